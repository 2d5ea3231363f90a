import Glibc

/// How many files and sockets the process may have open (RLIMIT_NOFILE). Many systems start a process with a soft limit of 1,024, for the
/// sake of `select`, below a hard one of half a million: who serves connections takes what it may.
package enum DescriptorLimit {
    /// Raises the soft limit to the hard one.
    /// - Returns: the limit in force; as much as an `Int` holds where there is none.
    @discardableResult
    package static func raise() -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        if limit.rlim_cur < limit.rlim_max {
            var raised = limit
            raised.rlim_cur = limit.rlim_max
            if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &raised) == 0 { limit = raised }
        }
        return Int(clamping: limit.rlim_cur)
    }

    /// Descriptors for everything that is no connection of a listener's: databases, journals, logs, event loops, links to the other plane.
    package static let others = 192

    /// The connections that fit beside all else: as many as are wanted, or fewer.
    package static func connections(wanted: Int, each: Int, limit: Int) -> Int {
        let room = max(0, limit - others) / max(1, each)
        return max(1, min(wanted, room))
    }
}
