import Glibc

/// The checks of overlapping accesses to memory that Swift makes while a program runs.
package enum ExclusivityChecks {
    /// Turns them off for the whole process, for the modules of others on the hot path as Package.swift does for ours: every test of a debug
    /// build made them, and each request would pay for them (some 1.5 % of a data plane's time). To be called before there are threads.
    /// - Returns: false where the runtime does not have the switch: the checks stay.
    @discardableResult
    package static func turnOff() -> Bool {
        // `_swift_disableExclusivityChecking` of the runtime's Exclusivity.h.
        guard let flag = dlsym(nil, "_swift_disableExclusivityChecking") else { return false }
        flag.assumingMemoryBound(to: Bool.self).pointee = true
        return true
    }
}
