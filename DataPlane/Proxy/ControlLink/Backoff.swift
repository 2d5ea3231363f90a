import Primitives

/// How long to wait before the next attempt: doubling from 0.2 s to 5 s, each wait drawn between its half and its whole, so that a
/// fleet that lost its control plane at one moment does not come back at one moment.
struct Backoff {
    static let firstMilliseconds: Int64 = 200
    static let maximumMilliseconds: Int64 = 5000
    /// What lasted so long was no failure: the next wait is short again. One that is refused at once, or ends at once, is not tried five
    /// times a second for ever.
    private static let stableMicroseconds: Int64 = 10_000_000
    private var next = Self.firstMilliseconds

    mutating func reset() { next = Self.firstMilliseconds }

    /// Milliseconds.
    mutating func delay(using generator: inout some RandomNumberGenerator) -> Int64 {
        let whole = next
        next = min(Self.maximumMilliseconds, next * 2)
        return Int64.random(in: whole / 2...whole, using: &generator)
    }

    /// Waits before the next attempt.
    /// - Throws: when the task is cancelled.
    /// - Parameters:
    ///   - start: when the last one began: monotonic microseconds.
    ///   - milliseconds: to wait for so long instead.
    mutating func wait(since start: Int64, milliseconds: Int64? = nil) async throws {
        if MonotonicClock.nowMicroseconds() - start > Self.stableMicroseconds { reset() }
        var generator = SystemRandomNumberGenerator()
        let pause = milliseconds ?? delay(using: &generator)
        try await Task.sleep(for: .milliseconds(pause))
    }
}
