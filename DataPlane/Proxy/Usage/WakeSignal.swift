import Foundation
import Synchronization

/// Lets a thread sleep for a while or until somebody has something for it.
package final class WakeSignal: Sendable {
    private let condition = NSCondition()
    /// Guarded by `condition`.
    private nonisolated(unsafe) var raised = false
    private nonisolated(unsafe) var stopped = false
    private let hint = Atomic<Bool>(false)

    package init() {}

    /// Cheap when it was raised already.
    package func raise() {
        if hint.exchange(true, ordering: .acquiringAndReleasing) { return }
        condition.lock()
        raised = true
        condition.signal()
        condition.unlock()
    }

    func stop() {
        condition.lock()
        stopped = true
        condition.broadcast()
        condition.unlock()
    }

    /// - Returns: false once `stop` was called.
    func wait(milliseconds: Int) -> Bool {
        condition.lock()
        defer { condition.unlock() }
        if !raised, !stopped {
            let deadline = Date(timeIntervalSinceNow: Double(milliseconds) / 1000)
            while !raised, !stopped, condition.wait(until: deadline) {}
        }
        raised = false
        hint.store(false, ordering: .releasing)
        return !stopped
    }
}

/// A thread that does one step again and again, at intervals or sooner when its signal is raised.
final class BackgroundWorker: Sendable {
    private let signal: WakeSignal
    private let done = NSCondition()
    /// Guarded by `done`.
    private nonisolated(unsafe) var finished = false

    /// - Parameter step: returns the milliseconds until it wants to be called again.
    init(name: String, signal: WakeSignal, step: @escaping @Sendable () -> Int) {
        self.signal = signal
        let thread = Thread { [signal, self] in
            var pause = 0
            while signal.wait(milliseconds: pause) { pause = step() }
            done.lock()
            finished = true
            done.broadcast()
            done.unlock()
        }
        thread.name = name
        thread.start()
    }

    /// Returns when the step under way has ended.
    func stop() {
        signal.stop()
        done.lock()
        while !finished { done.wait() }
        done.unlock()
    }
}
