import Glibc

/// The scheduler's time slice of a thread, sched_setattr(2). It gives a thread no more of the processor and no less, only sooner or later:
/// since Linux 6.12 a thread that wakes goes before one that runs with a longer slice than its own; before that, whoever computes may
/// keep a processor for some milliseconds while a request waits.
package enum TimeSlice: UInt64, Sendable {
    /// What the scheduler gives everybody.
    case ordinary = 0
    /// The least that Linux grants: for a thread that does little and must not wait, as one that measures.
    case short = 100_000
    /// The most: for work that nobody waits for.
    case long = 100_000_000

    /// Asks for it for the calling thread and those that it starts from now on. Leaves a thread alone whose policy somebody chose. A
    /// kernel or a sandbox that does not grant it changes nothing.
    /// - Returns: whether the kernel took the wish.
    @discardableResult
    package func request() -> Bool {
        guard let number = Self.number, let syscall = Self.syscall, sched_getscheduler(0) == SCHED_OTHER else { return false }
        errno = 0
        let nice = getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0)
        guard errno == 0 else { return false }
        var attributes = Attributes(nice: nice, runtime: rawValue)
        return withUnsafeMutablePointer(to: &attributes) { syscall(number, 0, UnsafeMutableRawPointer($0), 0) == 0 }
    }

    /// `struct sched_attr` of linux/sched/types.h, its first version.
    private struct Attributes {
        var size: UInt32 = 48
        var policy: UInt32 = 0  // SCHED_OTHER
        var flags: UInt64 = 0
        var nice: Int32
        var priority: UInt32 = 0
        /// Nanoseconds; the slice, for the ordinary policy.
        var runtime: UInt64
        var deadline: UInt64 = 0
        var period: UInt64 = 0
    }

    #if arch(x86_64)
        private static let number: Int? = 314
    #elseif arch(arm64)
        private static let number: Int? = 274
    #else
        private static let number: Int? = nil
    #endif

    private typealias Syscall = @convention(c) (Int, Int, UnsafeMutableRawPointer, Int) -> Int

    /// glibc has a function of its own for this call since 2.41 only, and `syscall` takes a list of arguments that Swift cannot pass.
    private static let syscall: Syscall? = dlsym(nil, "syscall").map { unsafeBitCast($0, to: Syscall.self) }
}
