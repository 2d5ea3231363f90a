import Primitives
import Synchronization

/// What a data plane keeps of a route from one configuration to the next: all loops', and all versions' that are held.
package final class RouteState: Sendable {
    private let turns = Atomic<UInt64>(0)
    private let observed = Atomic<Bool>(false)
    private let meters = Mutex<[String: TargetMeter]>([:])

    private let counters = (0..<RouteState.counterCount).map { _ in Counter() }
    private let retries = Mutex(RetryBudget())

    package init() {}

    /// Each loop counts requests in one of its own, so that no two wait for each other.
    private final class Counter: Sendable {
        let value = Atomic<UInt64>(0)
        /// A cache line's worth.
        private let apart = (0, 0, 0, 0, 0, 0, 0, 0)
    }

    private static let counterCount = 8

    /// A request begins.
    func countRequest(loop: Int) { counters[loop & (Self.counterCount - 1)].value.wrappingAdd(1, ordering: .relaxed) }

    /// Whether another attempt may follow a failed one; it is spent then.
    func takeRetry(now: Int64, _ settings: RetryBudget.Settings) -> Bool {
        let requests = counters.reduce(UInt64(0)) { $0 &+ $1.value.load(ordering: .relaxed) }
        return retries.withLock { $0.take(requests: requests, now: now, settings) }
    }

    /// The number of this turn.
    func takeTurn() -> UInt64 { turns.wrappingAdd(1, ordering: .relaxed).oldValue }

    /// Some requests choose by what the meters say: they are kept from now on.
    func observe() { observed.store(true, ordering: .relaxed) }
    var isObserved: Bool { observed.load(ordering: .relaxed) }

    /// The one of a target, made where there is none. Bounded by what configurations held at one time named.
    func meter(endpoint: String, model: String) -> TargetMeter {
        meters.withLock { meters in
            let key = endpoint + "\n" + model
            if let known = meters[key] { return known }
            if meters.count >= Self.maximumMeters { meters.removeAll() }
            let meter = TargetMeter()
            meters[key] = meter
            return meter
        }
    }

    /// A route has 64 targets at most; this is for those of the versions before.
    private static let maximumMeters = 256
}

extension TargetMeter {
    /// Where the attempt says something of how fast its endpoint is. One that was overtaken took at least as long as it ran.
    func learn(_ outcome: AttemptOutcome, isHedge: Bool, now: Int64) {
        if outcome.isOvertaken { return learn(atLeast: outcome.latency, isHedge: isHedge, now: now) }
        switch outcome.blamesEndpoint {
        case false?: if let first = outcome.timeToFirstByte { learn(latency: first, failed: false, now: now) }
        case true?: learn(latency: outcome.latency, failed: true, now: now)
        case nil: return
        }
    }
}
