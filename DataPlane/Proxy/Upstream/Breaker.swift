/// A circuit breaker: what failed too often lately is left alone for a while, then tried with one request at a time until one works.
///
/// closed → open (too many failures) → half-open (the time is over: one probe) → closed, or open again, for longer. A value with the time
/// handed in: monotonic microseconds throughout.
struct Breaker: Sendable {
    struct Settings: Sendable {
        /// Of the attempts in the window, percent that fail.
        var failurePercent: Int64 = 50
        /// Attempts in the window that it takes.
        var minimum: Int64 = 10
        var window: Int64 = 10_000_000
        /// The first time that it stays open; the next ones are twice as long each.
        var open: Int64 = 5_000_000
        /// Grows no further.
        var longestOpen: Int64 = 20_000_000
        /// A probe of which nothing is heard for so long is given up: another may go.
        var probe: Int64 = 10_000_000
    }

    enum State: Sendable, Equatable {
        case closed
        case open(until: Int64)
        case halfOpen(since: Int64)
    }

    enum Change: Sendable {
        case opened
        /// A probe failed.
        case reopened
        case closed
    }

    private(set) var state = State.closed
    private var buckets = [Bucket](repeating: Bucket(), count: Breaker.bucketCount)
    /// In a row, without a quiet time between.
    private var openings = 0
    private var openedAt: Int64 = 0
    private var lastFailure: Int64 = .min

    private struct Bucket: Sendable {
        /// Number of the stretch of time that it counts.
        var slot: Int64 = -1
        var attempts: Int64 = 0
        var failures: Int64 = 0
    }

    private static let bucketCount = 10

    /// The end of an attempt.
    /// - Parameters:
    ///   - startedAt: what began before a change says nothing of the time after it.
    ///   - isProof: one failure is enough: nobody answered at all.
    ///   - jitter: random bits.
    mutating func ended(
        failed: Bool, isProof: Bool = false, startedAt: Int64, now: Int64, jitter: UInt64, _ settings: Settings
    ) -> Change? {
        if failed { lastFailure = now }
        switch state {
        case .closed:
            count(failed: failed, now, settings)
            guard failed, isProof || isTooMuch(now, settings) else { return nil }
            // A time of peace: it begins anew.
            if now &- openedAt > 2 &* settings.longestOpen &+ settings.window { openings = 0 }
            open(now, jitter, settings)
            return .opened
        case .open(let until):
            // Tried all the same, since there was nothing better.
            guard startedAt >= openedAt else { return nil }
            if !failed { return close(now) }
            if now >= until { open(now, jitter, settings) }
            return nil
        case .halfOpen(let since):
            guard startedAt >= since else { return nil }
            if !failed { return close(now) }
            open(now, jitter, settings)
            return .reopened
        }
    }

    /// An attempt ended of which nothing can be said: if it was the probe, another one may go.
    mutating func passedOver(startedAt: Int64, now: Int64) {
        if case .halfOpen(let since) = state, startedAt >= since { state = .open(until: now) }
    }

    /// Whether nothing should be sent there now. A due probe is not blocked: `takeProbe` follows.
    func isBlocked(now: Int64, _ settings: Settings) -> Bool {
        switch state {
        case .closed: false
        case .open(let until): now < until
        case .halfOpen(let since): now &- since < settings.probe
        }
    }

    /// Whether the request may go; where it is the probe, it is from now on.
    mutating func takeProbe(now: Int64, _ settings: Settings) -> Bool {
        if isBlocked(now: now, settings) { return false }
        if state != .closed { state = .halfOpen(since: now) }
        return true
    }

    /// When it would be tried again; nil while it is closed.
    var blockedUntil: Int64? {
        switch state {
        case .closed: nil
        case .open(let until): until
        case .halfOpen: .max
        }
    }

    /// There is nothing to remember.
    func isIdle(now: Int64, _ settings: Settings) -> Bool {
        switch state {
        case .closed: lastFailure &+ settings.window < now && openedAt &+ 2 &* settings.longestOpen &+ settings.window < now
        // Nobody has asked for it any more: its endpoint may be gone.
        case .open(let until): until &+ 600_000_000 < now
        case .halfOpen(let since): since &+ 600_000_000 < now
        }
    }

    private mutating func close(_ now: Int64) -> Change {
        state = .closed
        buckets = [Bucket](repeating: Bucket(), count: Self.bucketCount)
        return .closed
    }

    private mutating func open(_ now: Int64, _ jitter: UInt64, _ settings: Settings) {
        let grown = settings.open &<< Int64(min(openings, 16))
        let time = min(max(settings.longestOpen, settings.open), grown)
        // 80 to 120 percent: data planes that saw one failure do not come back at one time.
        let spread = Int64(jitter % 401)
        state = .open(until: now &+ time / 1000 &* (800 &+ spread))
        openings += 1
        openedAt = now
    }

    private mutating func count(failed: Bool, _ now: Int64, _ settings: Settings) {
        let slot = now / max(1, settings.window / Int64(Self.bucketCount))
        let index = Int(UInt64(bitPattern: slot) % UInt64(Self.bucketCount))
        if buckets[index].slot != slot { buckets[index] = Bucket(slot: slot) }
        buckets[index].attempts &+= 1
        if failed { buckets[index].failures &+= 1 }
    }

    private func isTooMuch(_ now: Int64, _ settings: Settings) -> Bool {
        let oldest = now / max(1, settings.window / Int64(Self.bucketCount)) - Int64(Self.bucketCount)
        var attempts: Int64 = 0
        var failures: Int64 = 0
        for bucket in buckets where bucket.slot > oldest {
            attempts &+= bucket.attempts
            failures &+= bucket.failures
        }
        return attempts >= settings.minimum && failures &* 100 >= attempts &* settings.failurePercent
    }
}
