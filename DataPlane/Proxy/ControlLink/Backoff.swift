/// How long to wait before the next attempt: doubling from 0.2 s to 5 s, each wait drawn between its half and its whole, so that a
/// fleet that lost its control plane at one moment does not come back at one moment.
struct Backoff {
    static let firstMilliseconds: Int64 = 200
    static let maximumMilliseconds: Int64 = 5000
    private var next = Self.firstMilliseconds

    mutating func reset() { next = Self.firstMilliseconds }

    /// Milliseconds.
    mutating func delay(using generator: inout some RandomNumberGenerator) -> Int64 {
        let whole = next
        next = min(Self.maximumMilliseconds, next * 2)
        return Int64.random(in: whole / 2...whole, using: &generator)
    }
}
