import Glibc

/// How many attempts may follow failed ones: a share of the requests of the last seconds and a few more, so that an outage of the providers
/// is not made worse by what asks them twice. A value with the time handed in, in monotonic microseconds.
struct RetryBudget: Sendable {
    struct Settings: Sendable {
        /// Of the requests in the window.
        var percent: Int64 = 20
        /// In the window, whatever the requests.
        var floor: Int64 = 30
        var window: Int64 = 10_000_000
    }

    private var left: Double = 0
    private var lastAt: Int64?
    private var lastRequests: UInt64 = 0

    /// - Parameter requests: of the group, ever counted.
    /// - Returns: whether there is one for this attempt, which is spent then.
    mutating func take(requests: UInt64, now: Int64, _ settings: Settings) -> Bool {
        let window = Double(max(1, settings.window))
        let new = Double(requests &- lastRequests) * Double(settings.percent) / 100
        if let lastAt {
            let passed = Double(max(0, now &- lastAt))
            // What was saved is worth less with time; of what came since, what falls into the window counts.
            left = left * exp(-passed / window) + new * min(1, window / max(1, passed)) + Double(settings.floor) * min(1, passed / window)
        } else {
            left = Double(settings.floor) + new
        }
        lastAt = now
        lastRequests = requests
        guard left >= 1 else { return false }
        left -= 1
        return true
    }
}
