import Glibc
import Primitives
import Proxy
import Synchronization

/// A file system in memory that tears writes, runs out of space, fails, and dies between two operations or within one. What was written
/// stays when the process dies, as in a page cache.
final class UsageSimulatedDisk: JournalFiles {
    struct Faults {
        /// In a thousand operations.
        var shortWrites = 0
        var errors = 0
        /// Failing writes, of a thousand.
        var writeErrors = 0
        /// Failing truncations, of a thousand.
        var stuckTruncations = 0
        /// Whether reserving space makes the file as long, as posix_fallocate does.
        var reservingExtends = false
        /// Whether files can be mapped: then writing to them cannot fail, and they stay as long as they are.
        var maps = false
    }

    private final class Content {
        var bytes: [UInt8] = []
        var reserved = 0
        var isMapped = false
        var size: Int { max(bytes.count, reserved) }
    }

    private struct State {
        var random: SeededGenerator
        var faults = Faults()
        var capacity = Int.max
        var files: [String: Content] = [:]
        var open: [Int32: Content] = [:]
        var nextDescriptor: Int32 = 3
        var dead = false
        var operationsToDeath: Int?
        var failedTruncations = 0
        var renames = 0
    }

    /// `Content` is a class, and all of it is guarded by the mutex.
    private struct Guarded: @unchecked Sendable { var state: State }
    private let guarded: Mutex<Guarded>

    init(seed: UInt64) { guarded = Mutex(Guarded(state: State(random: SeededGenerator(seed: seed)))) }

    // MARK: The test's side

    private func with<R>(_ body: (inout State) -> R) -> R where R: Sendable { guarded.withLock { body(&$0.state) } }

    var isDead: Bool { with { $0.dead } }
    var failedTruncations: Int { with { $0.failedTruncations } }
    /// Files given another name.
    var renames: Int { with { $0.renames } }
    func setFaults(_ faults: Faults) { with { $0.faults = faults } }
    func setFree(_ bytes: Int?) { with { state in state.capacity = bytes.map { Self.taken(state) + $0 } ?? .max } }
    /// The process dies within the operation that comes after so many.
    func die(afterOperations count: Int) { with { $0.operationsToDeath = count } }
    func dieNow() { with { $0.dead = true } }
    func revive() {
        with { state in
            state.dead = false
            state.operationsToDeath = nil
            state.open = [:]
        }
    }
    var names: [String] { with { $0.files.keys.sorted() } }
    var openFiles: Int { with { $0.open.count } }
    func bytes(_ path: String) -> [UInt8] { with { $0.files[path]?.bytes ?? [] } }
    func change(_ path: String, _ body: @Sendable (inout [UInt8]) -> Void) {
        with { state in if let content = state.files[path] { body(&content.bytes) } }
    }

    private static func taken(_ state: State) -> Int { state.files.values.reduce(0) { $0 + $1.size } }

    // MARK: JournalFiles

    /// What an operation may do: everything, only this many bytes of a write and then die, or nothing.
    private enum Fate { case whole, torn }

    private static func fate(_ state: inout State) throws(JournalFileError) -> Fate {
        if state.dead { throw JournalFileError(operation: "dead", code: EIO) }
        if let left = state.operationsToDeath {
            if left <= 0 {
                state.dead = true
                return .torn
            }
            state.operationsToDeath = left - 1
        }
        return .whole
    }

    private static func strikes(_ state: inout State, _ inThousand: Int) -> Bool {
        inThousand > 0 && Int.random(in: 0..<1000, using: &state.random) < inThousand
    }

    private func perform<R: Sendable>(
        _ operation: String, _ body: (inout State) -> Result<R, JournalFileError>
    ) throws(JournalFileError) -> R {
        let result: Result<R, JournalFileError> = with { state in
            do throws(JournalFileError) {
                if try Self.fate(&state) == .torn { return .failure(JournalFileError(operation: operation, code: EIO)) }
            } catch {
                return .failure(error)
            }
            if Self.strikes(&state, state.faults.errors) { return .failure(JournalFileError(operation: operation, code: EIO)) }
            return body(&state)
        }
        return try result.get()
    }

    func makeDirectory(_ path: String) throws(JournalFileError) {}

    func list(_ directory: String) throws(JournalFileError) -> [String] {
        try perform("list") { state in .success(state.files.keys.map { String($0.dropFirst(directory.count + 1)) }) }
    }

    func create(_ path: String, reserving: Int) throws(JournalFileError) -> JournalFile {
        try perform("create") { state in
            if state.files[path] != nil { return .failure(JournalFileError(operation: "create", code: EEXIST)) }
            if state.capacity - Self.taken(state) < reserving { return .failure(JournalFileError(operation: "create", code: ENOSPC)) }
            let content = Content()
            content.reserved = reserving
            if state.faults.reservingExtends { content.bytes = [UInt8](repeating: 0, count: reserving) }
            state.files[path] = content
            return .success(Self.descriptor(&state, content))
        }
    }

    func map(_ file: JournalFile, length: Int) -> JournalFile {
        with { state in
            guard state.faults.maps, !state.dead, let content = state.open[file.descriptor] else { return file }
            content.bytes = [UInt8](repeating: 0, count: length)
            content.isMapped = true
            return JournalFile(descriptor: file.descriptor, isMapped: true)
        }
    }

    func openForReading(_ path: String) throws(JournalFileError) -> JournalFile {
        try perform("open") { state in
            guard let content = state.files[path] else { return .failure(JournalFileError(operation: "open", code: ENOENT)) }
            return .success(Self.descriptor(&state, content))
        }
    }

    private static func descriptor(_ state: inout State, _ content: Content) -> JournalFile {
        defer { state.nextDescriptor += 1 }
        state.open[state.nextDescriptor] = content
        return JournalFile(descriptor: state.nextDescriptor)
    }

    func write(_ file: JournalFile, _ bytes: UnsafeRawBufferPointer, at offset: Int) throws(JournalFileError) -> Int {
        let result: Result<Int, JournalFileError> = with { state in
            do throws(JournalFileError) {
                var count = bytes.count
                let fate = try Self.fate(&state)
                guard let content = state.open[file.descriptor] else { throw JournalFileError(operation: "write", code: EBADF) }
                // A write that fails may have begun: the real one is short first, and fails when it is continued.
                let fails = fate == .torn || !content.isMapped && Self.strikes(&state, state.faults.writeErrors)
                if fails {
                    count = Int.random(in: 0...count, using: &state.random)
                } else if !content.isMapped, Self.strikes(&state, state.faults.shortWrites), count > 1 {
                    count = Int.random(in: 1..<count, using: &state.random)
                }
                let free = state.capacity - Self.taken(state)
                count = min(count, max(0, content.size - offset) + max(0, free))
                let end = offset + count
                if content.bytes.count < end { content.bytes += [UInt8](repeating: 0, count: end - content.bytes.count) }
                content.bytes.replaceSubrange(offset..<end, with: bytes.prefix(count))
                if fails { throw JournalFileError(operation: "write", code: EIO) }
                if count == 0 { throw JournalFileError(operation: "write", code: ENOSPC) }
                return .success(count)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    func read(_ file: JournalFile, into bytes: UnsafeMutableRawBufferPointer, at offset: Int) throws(JournalFileError) -> Int {
        let part: [UInt8] = try perform("read") { state in
            guard let content = state.open[file.descriptor] else { return .failure(JournalFileError(operation: "read", code: EBADF)) }
            return .success([UInt8](content.bytes.dropFirst(offset).prefix(bytes.count)))
        }
        bytes.copyBytes(from: part)
        return part.count
    }

    func size(_ file: JournalFile) throws(JournalFileError) -> Int {
        try perform("size") { state in .success(state.open[file.descriptor]?.bytes.count ?? 0) }
    }

    func truncate(_ file: JournalFile, to length: Int) throws(JournalFileError) {
        do {
            try perform("truncate") { state -> Result<Void, JournalFileError> in
                guard let content = state.open[file.descriptor] else {
                    return .failure(JournalFileError(operation: "truncate", code: EBADF))
                }
                if !content.isMapped, Self.strikes(&state, state.faults.stuckTruncations) {
                    return .failure(JournalFileError(operation: "truncate", code: EIO))
                }
                if content.isMapped {
                    content.bytes = content.bytes.prefix(length) + [UInt8](repeating: 0, count: max(0, content.bytes.count - length))
                    return .success(())
                }
                content.bytes.removeLast(max(0, content.bytes.count - length))
                content.reserved = 0
                return .success(())
            }
        } catch {
            with { $0.failedTruncations += 1 }
            throw error
        }
    }

    func synchronize(_ file: JournalFile) throws(JournalFileError) { try perform("sync") { _ in .success(()) } }
    func synchronizeDirectory(_ path: String) throws(JournalFileError) { try perform("sync") { _ in .success(()) } }
    func close(_ file: JournalFile) { with { state in state.open[file.descriptor] = nil } }

    func rename(_ path: String, to newPath: String) throws(JournalFileError) {
        try perform("rename") { state -> Result<Void, JournalFileError> in
            guard let content = state.files.removeValue(forKey: path) else {
                return .failure(JournalFileError(operation: "rename", code: ENOENT))
            }
            state.files[newPath] = content
            state.renames += 1
            return .success(())
        }
    }

    func remove(_ path: String) throws(JournalFileError) {
        try perform("remove") { state -> Result<Void, JournalFileError> in
            state.files[path] = nil
            return .success(())
        }
    }
}
