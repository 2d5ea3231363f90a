import Glibc
import Primitives
import Synchronization

/// What a data plane has seen of one target of a route, for the strategies that choose by it: one object for all loops, without a lock but for arms of bandits. It
/// outlives configurations, like the endpoint it measures.
package final class TargetMeter: Sendable {
    /// Attempts under way.
    private let runningCount = Atomic<Int>(0)
    /// Microseconds to the first byte in the upper half; when that was learnt, in milliseconds that wrap, in the lower. 0: nothing is known.
    private let latency = Atomic<UInt64>(0)

    /// What is known of a latency counts half after so long: who was slow is asked again.
    static let halfLifeMilliseconds = 3000.0
    /// How far a sample above what is known moves it at least, so that an endpoint that becomes slow is noticed at once.
    private static let riseAtLeast = 0.25

    /// For strategies that learn.
    private let banditArm = Mutex(BanditArm())

    package init() {}

    var arm: BanditArm { banditArm.withLock { $0 } }

    /// - Returns: whether the target has degraded.
    func learn(_ gained: Double, succeeded: Bool, now: Int64) -> Bool {
        banditArm.withLock { $0.learn(gained, succeeded: succeeded, now: now) }
    }

    func restoreArm(pulls: Double, reward: Double) { banditArm.withLock { $0.restore(pulls: pulls, reward: reward) } }
    func takePrior(pulls: Double, reward: Double, now: Int64) {
        banditArm.withLock { $0.take(priorPulls: pulls, priorReward: reward, now: now) }
    }

    package var running: Int { runningCount.load(ordering: .relaxed) }

    /// - Parameters:
    ///   - latency: microseconds to the first byte, or to the failure.
    ///   - now: monotonic microseconds.
    package func learn(latency sample: Int64, failed: Bool, now: Int64) {
        var known = latency.load(ordering: .relaxed)
        while true {
            let (value, age) = Self.unpack(known, now)
            var sample = Double(max(1, sample))
            // Failing fast is no merit.
            if failed { sample = max(sample, (value ?? 0) * 2) }
            var next = sample
            if let value {
                var share = 1 - Self.decay(age)
                if sample > value { share = max(share, Self.riseAtLeast) }
                next = value + (sample - value) * share
            }
            let packed = UInt64(min(max(next, 1), Double(UInt32.max))) << 32 | UInt64(UInt32(truncatingIfNeeded: now / 1000))
            let (done, current) = latency.weakCompareExchange(expected: known, desired: packed, ordering: .relaxed)
            if done { return }
            known = current
        }
    }

    /// What took so long was not waited for any longer: that raises what is known, and never lowers it.
    /// - Parameter isHedge: it had less time than the other one: where nothing is known, it says nothing.
    package func learn(atLeast sample: Int64, isHedge: Bool, now: Int64) {
        let known = expectedLatency(now: now)
        if known.map({ $0 < Double(sample) }) ?? !isHedge { learn(latency: sample, failed: false, now: now) }
    }

    /// The latency to expect, microseconds; nil where nothing is known. Grows smaller with the time in which nothing is learnt.
    package func expectedLatency(now: Int64) -> Double? {
        let (value, age) = Self.unpack(latency.load(ordering: .relaxed), now)
        return value.map { $0 * Self.decay(age) }
    }

    /// What one more request has to wait for here: the expected latency for each that is under way, and its own. One of which nothing is
    /// known gets a request, and the next when that has answered.
    package func load(now: Int64) -> Double {
        let running = Double(max(0, running))
        guard let latency = expectedLatency(now: now) else { return running * 60_000_000 }
        return latency * (running + 1)
    }

    private static func unpack(_ packed: UInt64, _ now: Int64) -> (value: Double?, ageMilliseconds: Double) {
        guard packed != 0 else { return (nil, 0) }
        let age = UInt32(truncatingIfNeeded: now / 1000) &- UInt32(truncatingIfNeeded: packed)
        // Another loop's clock may be a moment ahead.
        return (Double(packed >> 32), age > UInt32.max / 2 ? 0 : Double(age))
    }

    private static func decay(_ ageMilliseconds: Double) -> Double { exp2(-ageMilliseconds / halfLifeMilliseconds) }

    /// One attempt that is counted while it exists.
    package final class Running {
        let meter: TargetMeter

        init(_ meter: TargetMeter) {
            self.meter = meter
            meter.runningCount.wrappingAdd(1, ordering: .relaxed)
        }

        deinit { meter.runningCount.wrappingSubtract(1, ordering: .relaxed) }
    }
}
