import Domain
import HTTPTypes
import Nouns
import Primitives
import Synchronization
import Telemetry

/// Puts attempts at changes that were refused into the audit log: who tried what, and why not. Bounded, since whoever is refused can try
/// as often as he likes: beyond a few a minute of one caller, and a few a second of all, they are counted in `/metrics` only.
final class RefusalRecord: Sendable {
    /// Tokens of a bucket, and how many come back a second.
    private struct Rate {
        static let caller = (size: 30.0, perSecond: 0.5)
        static let all = (size: 300.0, perSecond: 5.0)
        /// Callers that are remembered. With more, all start anew; the bound of all holds on.
        static let maximumCallers = 4096
    }

    private struct Bucket {
        var tokens: Double
        var at: Int64

        mutating func take(_ rate: (size: Double, perSecond: Double), now: Int64) -> Bool {
            tokens = min(rate.size, tokens + Double(max(0, now - at)) / 1e6 * rate.perSecond)
            at = now
            guard tokens >= 1 else { return false }
            tokens -= 1
            return true
        }
    }

    private struct State {
        var all = Bucket(tokens: Rate.all.size, at: 0)
        var callers: [String: Bucket] = [:]
    }

    private static let statuses: Set<Int> = [401, 403, 409, 412, 422, 428]
    private static let patience: Duration = .seconds(2)

    private let audit: AuditLog
    private let state = Mutex(State())
    private let recorded: Counter
    private let skipped: Counter

    init(_ audit: AuditLog, metrics: MetricsRegistry) {
        self.audit = audit
        let help = "Refused attempts at changes, in the audit log or beyond what it takes."
        recorded = metrics.counter("weir_control_refusals_total", help: help, labels: [("audited", "yes")])
        skipped = metrics.counter("weir_control_refusals_total", help: help, labels: [("audited", "no")])
    }

    /// - Parameter path: Plain already (`RequestForm`).
    func note(_ method: HTTPRequest.Method, _ path: String, _ route: APIRoute, _ caller: Caller, _ problem: Problem, _ exchange: Exchange)
        async
    {
        guard case .admin = route.access, method != .get, method != .head, Self.statuses.contains(problem.status.code) else { return }
        let actor: Actor
        if case .admin(let known) = caller {
            actor = known
        } else {
            actor = Actor(
                id: "anonymous", name: "anonymous", role: .viewer, scope: .all, remoteAddress: exchange.remoteAddress,
                requestID: exchange.requestID)
        }
        let name = actor.id == "anonymous" ? exchange.remoteAddress : actor.id
        let now = MonotonicClock.nowMicroseconds()
        let isTaken = state.withLock { state in
            if state.callers[name] == nil, state.callers.count >= Rate.maximumCallers { state.callers = [:] }
            var bucket = state.callers[name] ?? Bucket(tokens: Rate.caller.size, at: now)
            defer { state.callers[name] = bucket }
            return bucket.take(Rate.caller, now: now) && state.all.take(Rate.all, now: now)
        }
        guard isTaken else {
            skipped.increment()
            return
        }
        let refusal: JSONValue = [
            "method": .string(String(method.rawValue.prefix(16))), "path": .string(String(path.prefix(200))),
            "status": .int(Int64(problem.status.code)), "code": .string(problem.code),
            "detail": .string(String(problem.detail.prefix(300))),
        ]
        // Best effort: the answer does not depend on it, and does not wait for long.
        let work = Task { [audit] in
            try await audit.recordRefusal(actor, resource: route.pattern, refusal)
            return true
        }
        let isDone = (try? await Deadline.wait(for: work, atMost: Self.patience)) ?? false
        (isDone ? recorded : skipped).increment()
    }
}
