/// Waits for work that cannot be interrupted, such as a database driver's, but not for ever.
package enum Deadline {
    /// The value of `work`, or nil when it took longer than `duration`; the work then goes on by itself. Not a task group: that
    /// would wait for the work even after the deadline.
    package static func wait<R: Sendable>(for work: Task<R, any Error>, atMost duration: Duration) async throws -> R? {
        let (answers, continuation) = AsyncStream.makeStream(of: Result<R, any Error>?.self, bufferingPolicy: .bufferingOldest(1))
        let waiting = Task { continuation.yield(await work.result) }
        let timer = Task {
            try await Task.sleep(for: duration)
            continuation.yield(nil)
        }
        defer {
            waiting.cancel()
            timer.cancel()
        }
        for await answer in answers { return try answer?.get() }
        return nil
    }
}
