import Foundation
import Glibc
import Leases
import Synchronization

/// A few bytes in this machine's memory (tmpfs) that a killed process leaves behind and a restart of the machine, another machine and another
/// folder do not have: what proves that the slices on the disk may be spent from on. See `ContinuityMark`.
final class LeaseWitness: Sendable {
    private struct State {
        var file: Int32 = -1
        var mark = ContinuityMark(boot: "", step: 0)
        var begun: UInt64 = 0
        /// Where in the file the number of holds begins; nil until it is written.
        var holdsAt: Int?
    }

    private let path: String?
    private let state = Mutex(State())

    /// - Parameter folders: where memory is mounted, the best first.
    init(stateFolder: String, folders: [String] = LeaseWitness.folders) {
        var info = stat()
        guard stat(stateFolder, &info) == 0, let folder = folders.first(where: { access($0, W_OK) == 0 }) else {
            path = nil
            return
        }
        // What stands in the place of a folder that was moved away is another one.
        path = folder + "/weir-lease-\(geteuid())-\(info.st_dev)-\(info.st_ino)"
    }

    deinit {
        let file = state.withLock { $0.file }
        if file >= 0 { close(file) }
    }

    static var folders: [String] {
        var folders = ["/dev/shm"]
        if let runtime = ProcessInfo.processInfo.environment["XDG_RUNTIME_DIR"], runtime.hasPrefix("/") { folders.append(runtime) }
        return folders
    }

    /// What was last known to be on the disk, and what was begun last. Nil where there is none, or it is of before the machine's start.
    func read() -> (mark: ContinuityMark, begun: UInt64)? {
        guard let path, let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
        let parts = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard parts.count >= 6, parts[0] == "weir lease witness 1", parts[1] == Self.machineStart, let step = UInt64(parts[3]),
            let begun = UInt64(parts[4]), let holds = UInt64(parts[5])
        else { return nil }
        return (ContinuityMark(boot: String(parts[2]), step: step, holds: holds), begun)
    }

    /// This process goes on from a mark. What was written down before and is folded now counts from the disk.
    func begin(_ mark: ContinuityMark) {
        state.withLock { state in
            state.mark = mark
            state.begun = mark.step
            guard let path, !mark.boot.isEmpty else { return }
            if state.file < 0 { state.file = open(path, O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0o600) }
            write(&state)
        }
    }

    /// A transaction is about to be committed.
    func begins(step: UInt64, after disk: UInt64) {
        state.withLock { state in
            guard state.file >= 0 else { return }
            state.mark.step = disk
            state.begun = step
            write(&state)
        }
    }

    func isOnDisk(step: UInt64) {
        state.withLock { state in
            guard state.file >= 0 else { return }
            state.mark.step = step
            write(&state)
        }
    }

    func add(holds: UInt64) {
        state.withLock { state in
            guard state.file >= 0 else { return }
            state.mark.holds &+= holds
            if let at = state.holdsAt { writeHolds(state, at) } else { write(&state) }
        }
    }

    /// One write of less than a page: a process that dies leaves the whole of it or none. Where it fails, nothing is proved.
    private func write(_ state: inout State) {
        let head = "weir lease witness 1\n\(Self.machineStart)\n\(state.mark.boot)\n\(state.mark.step)\n\(state.begun)\n"
        let bytes = Array((head + "\(state.mark.holds)\n").utf8)
        state.holdsAt = head.utf8.count
        let padded = bytes + Array(repeating: UInt8(ascii: " "), count: max(0, Self.size - bytes.count))
        put(padded.withUnsafeBytes { pwrite(state.file, $0.baseAddress, $0.count, 0) } == padded.count)
    }

    /// The same, where nothing else has changed: for each turn of a loop in which something was reserved. The number never has fewer digits
    /// than before.
    private func writeHolds(_ state: State, _ at: Int) {
        withUnsafeTemporaryAllocation(byteCount: 24, alignment: 8) { memory in
            var line = HeadWriter(memory)
            line.put(decimal: state.mark.holds)
            line.put("\n")
            put(pwrite(state.file, memory.baseAddress, line.count, off_t(at)) == line.count)
        }
    }

    private func put(_ isWritten: Bool) {
        if !isWritten, let path { unlink(path) }
    }

    private static let size = 224

    /// Another one at each start of the machine.
    private static let machineStart: String = {
        let text = (try? String(contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8)) ?? ""
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }()
}
