import Contract
import Formats
import Primitives

/// Counters of one event loop: plain integers, summed over the loops when somebody asks.
struct LoopMetrics: Sendable {
    /// By status class: index 2 is 2xx. Index 0: no answer could be sent.
    var answers = [UInt64](repeating: 0, count: 6)
    var admitted: UInt64 = 0
    var streams: UInt64 = 0
    /// By `Rejection.Fault`: 1 client, 2 Weir, 3 provider.
    var rejections = [UInt64](repeating: 0, count: 4)
    var retries: UInt64 = 0
    /// Attempts that could have followed, and did not, since too many do.
    var retriesDenied: UInt64 = 0
    /// Requests that went to a second endpoint beside the first; those that it answered; and those that did not go there, since too many do.
    var hedges: UInt64 = 0
    var hedgesWon: UInt64 = 0
    var hedgesDenied: UInt64 = 0
    var healthChecks: UInt64 = 0
    var healthCheckFailures: UInt64 = 0
    /// Questions to services of workflows, and those that came to nothing.
    var lookups: UInt64 = 0
    var lookupFailures: UInt64 = 0
    /// Requests that went on with less, since a check of their workflow had failed.
    var degraded: UInt64 = 0
    /// Answers of which something was masked by their channel's workflow.
    var sanitised: UInt64 = 0
    /// Members of templates that providers did not take.
    var templateMembersLeft: UInt64 = 0
    /// Requests that another model came to serve.
    var fallbacks: UInt64 = 0
    /// Refused by a limit; and served, although a limit that only observes would not have.
    var limited: UInt64 = 0
    var wouldHaveLimited: UInt64 = 0
    /// Requests that asked the counters in Redis, and that were held against this data plane's own, since Redis could not be used.
    var redisAsked: UInt64 = 0
    var redisMissed: UInt64 = 0
    var clientDisconnects: UInt64 = 0
    var upstreamDeaths: UInt64 = 0
    var malformedRequests: UInt64 = 0
    var deadlinesPassed: UInt64 = 0
    var journalFailures: UInt64 = 0
    var credentialRefusals: UInt64 = 0
    var inputTokens: UInt64 = 0
    var outputTokens: UInt64 = 0
    var costNano: UInt64 = 0
    var estimatedRecords: UInt64 = 0
    var connectionsOpened: UInt64 = 0
    /// Connections on which TLS did not come about.
    var handshakeFailures: UInt64 = 0
    /// Connections of applications that speak HTTP/2; streams that their clients reset; and connections that were ended for what came on them.
    var http2Connections: UInt64 = 0
    var http2Resets: UInt64 = 0
    var http2Violations: UInt64 = 0
    var upstreamConnectionsOpened: UInt64 = 0
    /// Whole exchange, and head to first byte, in microseconds.
    var latency = Buckets()
    var timeToFirstByte = Buckets()

    /// What the end of an attempt adds.
    mutating func note(_ outcome: AttemptOutcome) {
        inputTokens &+= UInt64(max(0, outcome.usage.input))
        outputTokens &+= UInt64(max(0, outcome.usage.output))
        costNano &+= UInt64(max(0, outcome.cost.rawValue))
        switch outcome.ending {
        case .broken(let why): if why.origin == .provider { upstreamDeaths &+= 1 }
        case .refused(let error, _): if error.concern.isOfCredential, error.isProven { credentialRefusals &+= 1 }
        case .answered, .unusable, .unreachable, .exhausted, .notBegun, .lost, .abandoned: return
        }
    }

    /// Powers of two of microseconds: bucket i counts what is at most 2^(i+6) µs (64 µs, 128 µs, …, 67 s), the last one the rest.
    struct Buckets: Sendable {
        static let count = 22
        var counts = [UInt64](repeating: 0, count: Buckets.count)
        var sum: UInt64 = 0

        mutating func record(_ microseconds: Int64) {
            let value = UInt64(max(0, microseconds))
            sum &+= value
            let bits = 64 - (value > 0 ? value - 1 : 0).leadingZeroBitCount
            counts[min(Self.count - 1, max(0, bits - 6))] += 1
        }

        static func add(_ a: inout Buckets, _ b: Buckets) {
            for index in 0..<count { a.counts[index] &+= b.counts[index] }
            a.sum &+= b.sum
        }
    }

    static func sum(_ all: [LoopMetrics]) -> LoopMetrics {
        var total = LoopMetrics()
        for one in all {
            for index in total.answers.indices { total.answers[index] &+= one.answers[index] }
            for index in total.rejections.indices { total.rejections[index] &+= one.rejections[index] }
            for path in counters { total[keyPath: path] &+= one[keyPath: path] }
            Buckets.add(&total.latency, one.latency)
            Buckets.add(&total.timeToFirstByte, one.timeToFirstByte)
        }
        return total
    }

    private static var counters: [WritableKeyPath<LoopMetrics, UInt64>] {
        [
            \.admitted, \.streams, \.retries, \.retriesDenied, \.hedges, \.hedgesWon, \.hedgesDenied, \.fallbacks, \.healthChecks,
            \.healthCheckFailures, \.limited,
            \.lookups, \.lookupFailures, \.degraded, \.sanitised, \.templateMembersLeft, \.wouldHaveLimited, \.redisAsked, \.redisMissed,
            \.clientDisconnects, \.upstreamDeaths, \.malformedRequests,
            \.deadlinesPassed,
            \.journalFailures, \.credentialRefusals, \.inputTokens, \.outputTokens, \.costNano, \.estimatedRecords,
            \.handshakeFailures, \.http2Connections, \.http2Resets, \.http2Violations, \.connectionsOpened, \.upstreamConnectionsOpened,
        ]
    }
}
