import Foundation
import Glibc
import Synchronization

/// Lets a thread sleep for a while or until somebody has something for it. Time is CLOCK_MONOTONIC: when the clock of the day is set back
/// an hour, nobody sleeps an hour longer, which is what Foundation's and Dispatch's waits would do here.
package final class WakeSignal: Sendable {
    private nonisolated(unsafe) let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private nonisolated(unsafe) let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    /// Guarded by `mutex`.
    private nonisolated(unsafe) var raised = false
    private nonisolated(unsafe) var stopped = false
    private let hint = Atomic<Bool>(false)

    package init() {
        // Initialised by pthread_…_init alone: Swift's own initialisers of these C types belong to whichever module was imported first,
        // which in a release build is CoreFoundation.
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Cheap when it was raised already.
    package func raise() {
        if hint.exchange(true, ordering: .acquiringAndReleasing) { return }
        pthread_mutex_lock(mutex)
        raised = true
        pthread_cond_signal(condition)
        pthread_mutex_unlock(mutex)
    }

    func stop() {
        pthread_mutex_lock(mutex)
        stopped = true
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }

    /// - Returns: false once `stop` was called.
    func wait(milliseconds: Int) -> Bool {
        var deadline = timespec()
        clock_gettime(CLOCK_MONOTONIC, &deadline)
        deadline.tv_sec += milliseconds / 1000
        deadline.tv_nsec += milliseconds % 1000 * 1_000_000
        if deadline.tv_nsec >= 1_000_000_000 {
            deadline.tv_sec += 1
            deadline.tv_nsec -= 1_000_000_000
        }
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while !raised, !stopped, pthread_cond_timedwait(condition, mutex, &deadline) == 0 {}
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
