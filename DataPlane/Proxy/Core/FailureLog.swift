import Logging

/// Failures in the log, at most ten a second of a kind and loop: a provider that is down must not fill the disk as well.
struct FailureLog {
    private var windowStart: Int64 = 0
    private var counts: [String: Int] = [:]

    mutating func record(logger: Logger, now: Int64, code: String, metadata: () -> Logger.Metadata) {
        if now - windowStart >= 1_000_000 {
            for (code, count) in counts where count > 10 {
                logger.warning("more requests failed the same way", metadata: ["code": "\(code)", "not_logged": "\(count - 10)"])
            }
            counts.removeAll(keepingCapacity: true)
            windowStart = now
        }
        counts[code, default: 0] += 1
        if counts[code, default: 0] <= 10 { logger.warning("a request failed", metadata: metadata()) }
    }
}
