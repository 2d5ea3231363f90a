import Dispatch

extension DispatchQueue {
    /// Does what waits for a disk on this queue, away from the tasks' threads.
    func blocking<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
        try await withCheckedThrowingContinuation { continuation in
            async { continuation.resume(with: Result(catching: body)) }
        }
    }
}
