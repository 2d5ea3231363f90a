import Foundation
import Primitives

/// What a process says of itself on `/metrics`: its version, what it uses of the machine, and the log lines it lost.
package enum ProcessMetrics {
    /// - Parameter component: `weir-proxy` or `weir-control`.
    package static func write(component: String, log: LogWriter, to out: inout PrometheusText) {
        out.family("weir_build_info", "gauge", "1; the labels say what runs.")
        out.sample("weir_build_info", [("component", component), ("version", weirVersion.description)], UInt64(1))
        out.one("weir_log_dropped_total", "counter", "Log lines lost because they were not read as fast as they came.", log.dropped)
        guard let usage = ProcessUsage.current() else { return }
        out.one("process_cpu_seconds_total", "counter", "Processor time used, in seconds.", usage.cpuSeconds)
        out.one("process_resident_memory_bytes", "gauge", "Memory in use, in bytes.", usage.residentBytes)
        out.one("process_virtual_memory_bytes", "gauge", "Address space in use, in bytes.", usage.virtualBytes)
        out.one("process_threads", "gauge", "Threads.", usage.threads)
        out.one("process_open_fds", "gauge", "Open file descriptors.", usage.openDescriptors)
        out.one("process_max_fds", "gauge", "File descriptors that may be open.", usage.maximumDescriptors)
        out.one("process_start_time_seconds", "gauge", "When the process began, in seconds since 1970.", usage.startSeconds)
    }
}

/// What Linux says of this process in /proc (proc_pid_stat(5)).
package struct ProcessUsage: Sendable {
    package var cpuSeconds: Double
    package var residentBytes: UInt64
    package var virtualBytes: UInt64
    package var threads: UInt64
    package var openDescriptors: UInt64
    package var maximumDescriptors: UInt64
    package var startSeconds: Double

    /// Nil where there is no /proc.
    package static func current() -> ProcessUsage? {
        guard let stat = FileManager.default.contents(atPath: "/proc/self/stat") else { return nil }
        // The second field is the program's name in parentheses and may hold anything, more parentheses included.
        guard let end = stat.lastIndex(of: UInt8(ascii: ")")) else { return nil }
        let fields = String(decoding: stat[(end + 1)...], as: UTF8.self).split(separator: " ")
        /// Numbered as in the manual page, from 1.
        func field(_ number: Int) -> UInt64 { fields.indices.contains(number - 3) ? UInt64(fields[number - 3]) ?? 0 : 0 }
        let ticks = Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(7), &limit)  // RLIMIT_NOFILE
        let descriptors = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0
        return ProcessUsage(
            cpuSeconds: Double(field(14) &+ field(15)) / ticks,
            residentBytes: field(24) &* UInt64(max(0, sysconf(Int32(_SC_PAGESIZE)))),
            virtualBytes: field(23), threads: field(20), openDescriptors: UInt64(descriptors), maximumDescriptors: UInt64(limit.rlim_cur),
            startSeconds: bootSeconds + Double(field(22)) / ticks)
    }

    private static let bootSeconds: Double = {
        let text = FileManager.default.contents(atPath: "/proc/stat").map { String(decoding: $0, as: UTF8.self) } ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("btime ") }
        return line.flatMap { Double($0.dropFirst(6)) } ?? 0
    }()
}
