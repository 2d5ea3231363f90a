import Domain
import Synchronization

/// Batches of one stream between the task that reads them and the one that stores them: what came while others were stored is stored
/// together. Bounded: beyond that nothing more is read, and gRPC's window holds the data plane back.
final class UsageArrivals: Sendable {
    private static let maximumBatches = 16
    private static let maximumBytes = 16 << 20

    private struct Waiting {
        var batches: [UsageBatchBytes] = []
        var bytes = 0

        var isFull: Bool { batches.count >= maximumBatches || bytes >= maximumBytes }
    }

    private let waiting = Mutex(Waiting())
    private let arrived = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    private let taken = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))

    /// Reads until the messages end; waits while there are enough.
    func read(_ messages: some AsyncSequence<UsageBatchBytes, any Error>) async throws {
        defer { arrived.continuation.finish() }
        var room = taken.stream.makeAsyncIterator()
        for try await batch in messages {
            waiting.withLock { waiting in
                waiting.batches.append(batch)
                waiting.bytes += batch.size
            }
            arrived.continuation.yield()
            while waiting.withLock({ $0.isFull }) {
                // Nil: the task is cancelled.
                guard await room.next() != nil else { return }
            }
        }
    }

    /// Hands over all that waits, again and again, until nothing more can come.
    func each(_ body: ([UsageBatchBytes]) async throws -> Void) async throws {
        for await _ in arrived.stream { try await body(take()) }
        try await body(take())
    }

    private func take() -> [UsageBatchBytes] {
        let batches = waiting.withLock { waiting in
            defer { waiting = Waiting() }
            return waiting.batches
        }
        taken.continuation.yield()
        return batches
    }
}
