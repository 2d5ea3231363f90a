/// How long is waited before an endpoint that has just failed is asked again for the same request.
enum RetryPause {
    /// Without a word of the provider's: doubled with each round.
    private static let base: Int64 = 100

    /// What the provider said, and up to a quarter more; without that, up to a time that grows. In both cases drawn, so that callers that failed
    /// together do not come back together.
    /// - Parameters:
    ///   - round: attempts that have ended.
    ///   - longest: milliseconds. Nil where the provider wants a longer wait: that is the caller's to decide.
    static func milliseconds(after outcome: AttemptOutcome, round: Int, longest: Int64) -> Int64? {
        if case .refused(_, let wait?) = outcome.ending {
            guard wait <= longest else { return nil }
            return wait &+ Int64.random(in: 1...max(1, wait / 4))
        }
        let most = min(longest, base &<< Int64(min(round, 10)))
        return most < 1 ? nil : Int64.random(in: 1...most)
    }
}
