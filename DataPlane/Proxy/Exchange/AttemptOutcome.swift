import Contract
import Formats
import Leases
import Primitives

/// How one try at one endpoint ended. Health, metrics, cost and the usage record hear of attempts through this and nothing else.
struct AttemptOutcome {
    /// What is rare and large is kept elsewhere: an outcome is handed from stage to stage.
    enum Ending {
        /// The whole answer passed. `hadError`: with an error inside of it.
        case answered(hadError: Bool)
        /// The provider answered with an error.
        indirect case refused(ProviderError, retryMilliseconds: Int64?)
        /// The provider answered with what is no answer to this request.
        case unusable(String)
        /// No connection could be had: nothing was sent.
        indirect case unreachable(String, Unreached)
        /// There is no room for another connection to the endpoint.
        case exhausted
        /// The connection had been given up by the provider before any of the request reached it.
        case notBegun
        /// The request was sent, and what became of it is not known.
        case lost(String, isTimeout: Bool)
        /// The answer broke off after part of it had reached the caller.
        indirect case broken(Interruption)
        /// Given up by us or by the client, whatever the provider was doing.
        indirect case abandoned(Interruption)
    }

    /// What kept a connection from being there.
    enum Unreached {
        case refusal
        case timeout
        /// It leads to an address that is not called, or has a host (nil) that is not.
        case forbidden(AddressRefusal?)
    }

    var ending: Ending
    /// Some of the request may have reached the provider.
    var sentUpstream: Bool
    /// It was connected, and not all of its request had been sent.
    var wasUploading = false
    /// 0: no response head arrived.
    var providerStatus: Int
    var usage = TokenUsage()
    var flags = UsageFlags()
    var cost = NanoDollars(0)
    /// Monotonic microseconds.
    var startedAt: Int64
    /// Microseconds from there.
    var latency: Int64
    /// The same to the first byte for the caller; nil when there was none.
    var timeToFirstByte: Int64?
    var responseBytes: Int64
}

/// Why a request ended before its answer did: who ended it, and what is said of it.
struct Interruption {
    var origin: Rejection.Fault
    var code: StaticString
    var flags = UsageFlags()
    /// Of the answer, where nothing of one has left yet.
    var status = 502
    /// For the caller, if it still listens.
    var message: String
    var param: String? = nil
    /// Nobody listens any more.
    var isClientGone = false
    /// Only the operator can change it: SDKs are told not to try again by themselves.
    var isPermanent = false
    /// The answer is larger than allowed, whatever the endpoint.
    var isOfSize = false
    /// Another endpoint answered first.
    var isOvertaken = false

    static let providerDied = Interruption(
        origin: .provider, code: "provider_died", flags: .upstreamDied,
        message: "The provider's answer broke off. What has arrived is incomplete.")
    static let providerStalled = Interruption(
        origin: .provider, code: "provider_timeout", flags: [.upstreamDied, .cutByLimit],
        message: "The provider stopped in the middle of its answer.")
    static let tooLarge = Interruption(
        origin: .provider, code: "response_too_large", flags: .cutByLimit, message: "The response is larger than allowed.",
        isOfSize: true)
    static let clientGone = Interruption(
        origin: .client, code: "client_disconnected", flags: .clientDisconnected, message: "The client has left.", isClientGone: true)
    static let clientStalled = Interruption(
        origin: .client, code: "client_stalled", flags: [.clientDisconnected, .cutByLimit],
        message: "The client did not take what was sent to it.", isClientGone: true)
    /// It took something now and then, but not all of the answer within the endpoint's bound on the whole attempt.
    static let clientTooSlow = Interruption(
        origin: .client, code: "client_too_slow", flags: .cutByLimit,
        message: "The answer was not taken within the time that it may last.")

    static let stopped = Interruption(
        origin: .weir, code: "gateway_stopped", flags: .interrupted, status: 503,
        message: "This gateway was stopped while it worked on the request. Try again: another one will answer.")
    static let gatewayRevoked = Interruption(
        origin: .weir, code: "gateway_revoked", flags: .interrupted, status: 503, message: "This gateway was taken out of service.")

    /// By a kill switch. Nobody is blamed but the gateway.
    static func stopped(_ what: String) -> Interruption {
        Interruption(
            origin: .weir, code: "stopped_by_operator", flags: .interrupted, status: 503,
            message: "\(what) was stopped by the gateway's operator.", isPermanent: true)
    }

    /// The provider writes more than it was asked for, and there is no more of a budget.
    static let budgetUsedUp = Interruption(
        origin: .weir, code: "budget_exhausted", flags: .cutByLimit, status: 402,
        message: "The answer is longer than what was reserved for it, and the budget has no more.")

    /// A principal lost its standing while its request was running.
    static func disabled(_ code: StaticString, _ message: String, status: Int) -> Interruption {
        Interruption(origin: .client, code: code, status: status, message: message)
    }
}

extension AttemptOutcome {
    /// What the caller is told when this was the last attempt, and what the record says.
    var rejection: Rejection {
        switch ending {
        case .refused(let error, let wait): Rejection(error, retryMilliseconds: wait)
        case .unusable(let detail): .badUpstream(detail)
        case .unreachable(let detail, .timeout): .upstreamTimeout(detail)
        case .unreachable(let detail, .forbidden): .endpointNotAllowed(detail)
        case .unreachable(let detail, .refusal): .unreachable(detail)
        case .exhausted: .noPlace("no place, or no connection, was free")
        case .notBegun: .unreachable("the provider closed the connection before the request reached it")
        case .lost(let detail, let isTimeout): isTimeout ? .upstreamTimeout(detail) : .outcomeUnknown(detail)
        case .broken(let why), .abandoned(let why): Rejection(why)
        // Has been handed on as it was.
        case .answered: .badUpstream("an error inside the answer")
        }
    }

    /// Whether the endpoint, or the credential that was sent to it, failed by a fault of its own; nil where the attempt says nothing of that.
    /// What the caller or the operator did wrong is none: the endpoint answered. Breakers, strategies and their rewards hear this.
    var blamesEndpoint: Bool? {
        // An upload that breaks off may be its client's doing, who sends a byte now and then.
        if wasUploading { return nil }
        return switch ending {
        case .answered(let hadError): hadError
        case .refused(let error, _):
            switch error.concern {
            case .fault: true
            case .request, .content, .addedMember: false
            case .unknown: error.status >= 500 ? true : nil
            // Known otherwise, each for what it concerns.
            case .rateLimit, .credential, .scope, .account, .model, .endpoint: nil
            }
        case .unusable, .unreachable, .lost: true
        case .broken(let why): why.origin == .provider && !why.isOfSize ? true : nil
        case .exhausted, .notBegun, .abandoned: nil
        }
    }

    /// Whether another model may serve the request, when no endpoint of this one is left to be tried.
    func allowsFallback(on route: CompiledRoute) -> Bool {
        if allowsAnother(on: route) { return true }
        guard case .refused(let error, _) = ending else { return false }
        return error.isOfContextWindow && route.fallsBackOnContextWindow || error.concern == .content && route.fallsBackOnContentPolicy
    }

    /// Whether another endpoint may be tried. Where this one may have served the request, that is for the route to say.
    func allowsAnother(on route: CompiledRoute) -> Bool {
        switch ending {
        case .refused(let error, _): !error.concern.isOfRequest
        case .unusable, .unreachable, .exhausted, .notBegun: true
        case .lost: route.repeatsUnknownOutcomes
        case .answered, .broken, .abandoned: false
        }
    }
}

extension ProviderError.Concern {
    /// Another credential of the same endpoint may do.
    var isOfCredential: Bool { self == .credential || self == .account || self == .scope }
    /// Any other endpoint would say so, too.
    var isOfRequest: Bool { self == .request || self == .content }
}

/// The money and tokens that all attempts of a request came to together.
struct AttemptSums {
    var attempts: UInt32 = 0
    var usage = TokenUsage()
    var cost = NanoDollars(0)
    var flags = UsageFlags()
    var sentUpstream = false
    /// Of some attempt it is not known what it came to.
    private(set) var isUnknown = false
    /// How many, and whether one of them was waited for so long that it may have come to anything.
    private(set) var unknownAttempts: Int64 = 0
    private(set) var mayBeAnything = false
    /// What is estimated of them in cost and tokens.
    private(set) var unknownCost: Int64 = 0
    private(set) var unknownTokens: Int64 = 0

    mutating func noteUnknown(_ outcome: AttemptOutcome) {
        isUnknown = true
        unknownAttempts &+= 1
        unknownCost = LeaseAmount.clamped(unknownCost &+ LeaseAmount.clamped(outcome.cost.rawValue))
        unknownTokens = LeaseAmount.clamped(unknownTokens &+ outcome.usage.total)
        if outcome.latency > LikelyCase.unheardMicroseconds { mayBeAnything = true }
    }

    mutating func add(_ outcome: AttemptOutcome) {
        attempts &+= 1
        usage.add(outcome.usage)
        let (sum, overflow) = cost.rawValue.addingReportingOverflow(outcome.cost.rawValue)
        cost = NanoDollars(overflow ? .max : sum)
        flags.formUnion(outcome.flags)
        sentUpstream = sentUpstream || outcome.sentUpstream
    }
}

/// An attempt that is over, as the record tells of it.
struct EndedAttempt {
    let candidate: Candidate
    let price: CompiledPrice?
    let outcome: AttemptOutcome
    let isHedge: Bool

    init(_ attempt: Attempt, _ outcome: AttemptOutcome) {
        candidate = attempt.candidate
        price = attempt.price
        isHedge = attempt.isHedge
        self.outcome = outcome
    }
}
