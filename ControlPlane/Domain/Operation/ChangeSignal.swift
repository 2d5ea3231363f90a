import Synchronization

/// Wakes what has to act when something was changed in this process. It only shortens the wait: whoever listens also looks at
/// the database's counters from time to time, since another replica's change raises nothing here.
package final class ChangeSignal: Sendable {
    package enum Topic: String, CaseIterable, Sendable {
        case directory, config, rollout, credentials, keyring, bans
    }

    private struct Subscriber {
        let topics: Set<Topic>
        let pending: Pending
        let continuation: AsyncStream<Void>.Continuation
    }

    /// What was raised since the subscriber last looked. Raising a topic twice before that wakes once.
    fileprivate final class Pending: Sendable {
        private let topics = Mutex<Set<Topic>>([])
        func insert(_ topic: Topic) { topics.withLock { _ = $0.insert(topic) } }
        func take() -> Set<Topic> {
            topics.withLock { pending in
                defer { pending = [] }
                return pending
            }
        }
    }

    private struct State {
        var next = 0
        var subscribers: [Int: Subscriber] = [:]
    }

    private let state = Mutex(State())

    package init() {}

    /// Wakes all who wait for `topic`. Call it after the transaction has committed.
    package func raise(_ topic: Topic) {
        let woken = state.withLock { state in
            state.subscribers.values.filter { $0.topics.contains(topic) }
        }
        for subscriber in woken {
            subscriber.pending.insert(topic)
            subscriber.continuation.yield()
        }
    }

    /// The changes from now on, several raised in the meantime as one set. Ends when the task that iterates is cancelled.
    package func changes(of topics: Set<Topic> = Set(Topic.allCases)) -> Changes {
        let pending = Pending()
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let number = state.withLock { state in
            defer { state.next &+= 1 }
            state.subscribers[state.next] = Subscriber(topics: topics, pending: pending, continuation: continuation)
            return state.next
        }
        continuation.onTermination = { [weak self] _ in
            self?.state.withLock { _ = $0.subscribers.removeValue(forKey: number) }
        }
        return Changes(stream: stream, pending: pending)
    }

    package struct Changes: AsyncSequence, Sendable {
        fileprivate let stream: AsyncStream<Void>
        fileprivate let pending: Pending

        package func makeAsyncIterator() -> Iterator {
            Iterator(inner: stream.makeAsyncIterator(), pending: pending)
        }

        package struct Iterator: AsyncIteratorProtocol {
            fileprivate var inner: AsyncStream<Void>.Iterator
            fileprivate let pending: Pending

            package mutating func next() async -> Set<Topic>? {
                while await inner.next() != nil {
                    let topics = pending.take()
                    if !topics.isEmpty { return topics }
                }
                return nil
            }
        }
    }
}
