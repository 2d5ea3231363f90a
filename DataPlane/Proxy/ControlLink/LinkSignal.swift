import Synchronization

/// Wakes the one task that waits for it; a signal raised while nobody waits is kept.
final class LinkSignal: Sendable {
    private struct State {
        var isRaised = false
        var waiter: CheckedContinuation<Bool, Never>?
        /// Tells one waiting from the next, so that a late timeout wakes nobody else.
        var turn: UInt64 = 0
    }

    private let state = Mutex(State())

    func raise() {
        let waiter = state.withLock { state -> CheckedContinuation<Bool, Never>? in
            defer { state.waiter = nil }
            if state.waiter == nil { state.isRaised = true }
            return state.waiter
        }
        waiter?.resume(returning: true)
    }

    /// - Returns: whether it was raised; false when the time is up or the task was cancelled.
    func wait(milliseconds: Int64) async -> Bool {
        let turn = state.withLock { state in
            state.turn &+= 1
            return state.turn
        }
        let timer = Task {
            try? await Task.sleep(for: .milliseconds(milliseconds))
            giveUp(turn)
        }
        defer { timer.cancel() }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let (outcome, replaced): (Bool?, CheckedContinuation<Bool, Never>?) = state.withLock { state in
                    if state.isRaised {
                        state.isRaised = false
                        return (true, nil)
                    }
                    if Task.isCancelled || state.turn != turn { return (false, nil) }
                    defer { state.waiter = continuation }
                    return (nil, state.waiter)
                }
                replaced?.resume(returning: false)
                if let outcome { continuation.resume(returning: outcome) }
            }
        } onCancel: {
            giveUp(turn)
        }
    }

    private func giveUp(_ turn: UInt64) {
        let waiter = state.withLock { state -> CheckedContinuation<Bool, Never>? in
            guard state.turn == turn else { return nil }
            // A timeout that comes before the continuation is in place must be seen by it.
            if state.waiter == nil { state.turn &+= 1 }
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(returning: false)
    }
}
