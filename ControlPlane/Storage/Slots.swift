import Synchronization

/// A fixed number of connections, by their indices, and the queue of those who wait for one.
final class Slots: Sendable {
    private struct State {
        /// The one used last is on top, so that few connections do the work when there is little.
        var idle: [Int]
        var waiting: [Waiter] = []
        var waitingHead = 0
        var closed = false
    }

    private typealias Waiter = CheckedContinuation<Int?, Never>

    private enum Answer {
        case slot(Int)
        case closed
        case full
    }

    private let state: Mutex<State>
    private let maximumWaiting: Int

    init(_ count: Int, maximumWaiting: Int = .max) {
        state = Mutex(State(idle: Array((0..<count).reversed())))
        self.maximumWaiting = maximumWaiting
    }

    /// Waits for a free one.
    /// - Throws: `DatabaseError.closed`; `.overloaded` when as many as may are waiting already.
    func acquire() async throws(DatabaseError) -> Int {
        let refused = Mutex<DatabaseError>(.closed)
        let index = await withCheckedContinuation { (waiter: Waiter) in
            // The lock is taken inside the continuation, never the other way round (swift#85668).
            let answer: Answer? = state.withLock { state in
                if state.closed { return .closed }
                if let index = state.idle.popLast() { return .slot(index) }
                if state.waiting.count - state.waitingHead >= maximumWaiting { return .full }
                state.waiting.append(waiter)
                return nil
            }
            switch answer {
            case .slot(let index): waiter.resume(returning: index)
            case .closed: waiter.resume(returning: nil)
            case .full:
                refused.withLock { $0 = .overloaded("as many as may wait already do") }
                waiter.resume(returning: nil)
            case nil: break
            }
        }
        guard let index else { throw refused.withLock { $0 } }
        return index
    }

    func release(_ index: Int) {
        let next = state.withLock { state -> Waiter? in
            guard state.waitingHead < state.waiting.count else {
                state.idle.append(index)
                return nil
            }
            let waiter = state.waiting[state.waitingHead]
            state.waitingHead += 1
            if state.waitingHead * 2 >= state.waiting.count {
                state.waiting.removeFirst(state.waitingHead)
                state.waitingHead = 0
            }
            return waiter
        }
        next?.resume(returning: index)
    }

    /// Whoever waits, and whoever comes later, is told that it is closed.
    func close() {
        let waiting = state.withLock { state -> [Waiter] in
            state.closed = true
            defer { state.waiting = [] }
            return Array(state.waiting.dropFirst(state.waitingHead))
        }
        for waiter in waiting { waiter.resume(returning: nil) }
    }
}
