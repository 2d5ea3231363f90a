import Glibc
import Synchronization

/// An operation on a journal's files that the operating system refused.
package struct JournalFileError: Error, Hashable, CustomStringConvertible {
    package var operation: String
    /// `errno`.
    package var code: Int32

    package init(operation: String, code: Int32) {
        self.operation = operation
        self.code = code
    }

    /// No space, or none within a quota: passes when somebody makes room.
    package var isFull: Bool { code == ENOSPC || code == EDQUOT || code == EFBIG }

    package var description: String { "\(operation): \(String(cString: strerror(code)))" }
}

/// An open file of a `JournalFiles`.
package struct JournalFile: Hashable, Sendable {
    package var descriptor: Int32
    /// The whole file lies in memory: a write is a copy, and can neither fail nor be short.
    package var isMapped = false
    /// Where, for the file system that did it.
    fileprivate nonisolated(unsafe) var memory: UnsafeMutableRawBufferPointer?

    package init(descriptor: Int32, isMapped: Bool = false) {
        self.descriptor = descriptor
        self.isMapped = isMapped
    }

    package static func == (a: JournalFile, b: JournalFile) -> Bool { a.descriptor == b.descriptor }
    package func hash(into hasher: inout Hasher) { hasher.combine(descriptor) }
}

/// What the journal asks of a file system, so that a test can tear a write, fill the disk or die between two operations.
package protocol JournalFiles: Sendable {
    func makeDirectory(_ path: String) throws(JournalFileError)
    /// Names in the directory, in no order; empty when it does not exist.
    func list(_ directory: String) throws(JournalFileError) -> [String]
    /// Creates an empty file and reserves space, so that writes up to `reserving` cannot run out of it. The file's size may be zero or
    /// `reserving` afterwards; what is beyond the written part reads as zeros.
    func create(_ path: String, reserving: Int) throws(JournalFileError) -> JournalFile
    /// Maps a file that was just created with `length` bytes reserved, and makes it that long, all zeros.
    /// - Returns: the file to be used from now on; not mapped where a full disk could make a write to memory fail.
    func map(_ file: JournalFile, length: Int) -> JournalFile
    func openForReading(_ path: String) throws(JournalFileError) -> JournalFile
    /// One write, which may be short; never zero bytes.
    func write(_ file: JournalFile, _ bytes: UnsafeRawBufferPointer, at offset: Int) throws(JournalFileError) -> Int
    /// Fewer bytes than asked for only at the end of the file.
    func read(_ file: JournalFile, into bytes: UnsafeMutableRawBufferPointer, at offset: Int) throws(JournalFileError) -> Int
    func size(_ file: JournalFile) throws(JournalFileError) -> Int
    /// Gives up a reservation beyond `length` too. A mapped file stays as long as it is, with zeros from there on.
    func truncate(_ file: JournalFile, to length: Int) throws(JournalFileError)
    func synchronize(_ file: JournalFile) throws(JournalFileError)
    func synchronizeDirectory(_ path: String) throws(JournalFileError)
    func close(_ file: JournalFile)
    func rename(_ path: String, to newPath: String) throws(JournalFileError)
    /// Succeeds when there is no such file.
    func remove(_ path: String) throws(JournalFileError)
}

/// The real ones.
package struct PosixJournalFiles: JournalFiles {
    package init() {}

    package func makeDirectory(_ path: String) throws(JournalFileError) {
        if mkdir(path, 0o700) != 0, errno != EEXIST { throw JournalFileError(operation: "mkdir \(path)", code: errno) }
    }

    package func list(_ directory: String) throws(JournalFileError) -> [String] {
        guard let stream = opendir(directory) else {
            if errno == ENOENT { return [] }
            throw JournalFileError(operation: "opendir \(directory)", code: errno)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    package func create(_ path: String, reserving: Int) throws(JournalFileError) -> JournalFile {
        let descriptor = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw JournalFileError(operation: "create \(path)", code: errno) }
        let code = reserving > 0 ? Self.reserve(descriptor, reserving) : 0
        guard code == 0 else {
            _ = Glibc.close(descriptor)
            unlink(path)
            throw JournalFileError(operation: "fallocate \(path)", code: code)
        }
        return JournalFile(descriptor: descriptor)
    }

    package func map(_ file: JournalFile, length: Int) -> JournalFile {
        guard length > 0, Self.keepsReservations(file.descriptor) else { return file }
        // Written once, so that no page of it has to be given a block later: a store to memory has nobody to tell that the disk is full.
        let zeros = [UInt8](repeating: 0, count: 64 << 10)
        var done = 0
        while done < length {
            let count = zeros.withUnsafeBytes { pwrite(file.descriptor, $0.baseAddress, min($0.count, length - done), off_t(done)) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return file }
            done += count
        }
        guard let memory = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_SHARED, file.descriptor, 0), memory != MAP_FAILED else {
            return file
        }
        var mapped = file
        mapped.isMapped = true
        mapped.memory = UnsafeMutableRawBufferPointer(start: memory, count: length)
        return mapped
    }

    /// Whether blocks that a file has are written to in place. Elsewhere (copy on write) a store to a mapped page may need a new block,
    /// and on a full disk the process would die of SIGBUS.
    private static func keepsReservations(_ descriptor: Int32) -> Bool {
        guard let fstatfs else { return false }
        // struct statfs begins with f_type, a long, and is far smaller than this.
        var status = [Int](repeating: 0, count: 64)
        return fstatfs(descriptor, &status) == 0 && [ext4, tmpfs].contains(status[0])
    }

    // linux/magic.h
    private static let ext4 = 0xEF53
    private static let tmpfs = 0x0102_1994

    package func openForReading(_ path: String) throws(JournalFileError) -> JournalFile {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw JournalFileError(operation: "open \(path)", code: errno) }
        return JournalFile(descriptor: descriptor)
    }

    package func write(_ file: JournalFile, _ bytes: UnsafeRawBufferPointer, at offset: Int) throws(JournalFileError) -> Int {
        if let memory = file.memory, offset >= 0, bytes.count <= memory.count - offset {
            Self.copyInOrder(bytes, to: UnsafeMutableRawBufferPointer(rebasing: memory[offset..<offset + bytes.count]))
            return bytes.count
        }
        while true {
            let count = pwrite(file.descriptor, bytes.baseAddress, bytes.count, off_t(offset))
            if count > 0 { return count }
            if count < 0, errno == EINTR { continue }
            throw JournalFileError(operation: "write", code: count < 0 ? errno : EIO)
        }
    }

    /// From the first byte to the last, whenever the process is killed: what is there then is a beginning of `bytes`, as after a write(2),
    /// and never a whole frame behind a torn one. memcpy(3) promises no order. The steps are shorter than the shortest frame.
    private static func copyInOrder(_ bytes: UnsafeRawBufferPointer, to out: UnsafeMutableRawBufferPointer) {
        var done = 0
        while done &+ 16 <= bytes.count {
            let step = bytes.loadUnaligned(fromByteOffset: done, as: SIMD2<UInt64>.self)
            out.storeBytes(of: step, toByteOffset: done, as: SIMD2<UInt64>.self)
            // Costs nothing on x86, where stores are seen in their order; keeps the compiler from making a memcpy of the loop.
            atomicMemoryFence(ordering: .releasing)
            done &+= 16
        }
        while done < bytes.count {
            out[done] = bytes[done]
            done &+= 1
        }
    }

    package func read(_ file: JournalFile, into bytes: UnsafeMutableRawBufferPointer, at offset: Int) throws(JournalFileError) -> Int {
        var done = 0
        while done < bytes.count, let base = bytes.baseAddress {
            let count = pread(file.descriptor, base + done, bytes.count - done, off_t(offset + done))
            if count == 0 { break }
            if count < 0 {
                if errno == EINTR { continue }
                throw JournalFileError(operation: "read", code: errno)
            }
            done += count
        }
        return done
    }

    package func size(_ file: JournalFile) throws(JournalFileError) -> Int {
        var status = stat()
        guard fstat(file.descriptor, &status) == 0 else { throw JournalFileError(operation: "fstat", code: errno) }
        return Int(status.st_size)
    }

    package func truncate(_ file: JournalFile, to length: Int) throws(JournalFileError) {
        if let memory = file.memory {
            // Memory beyond the end of a file must not be touched, so the end stays where it is.
            let rest = memory[min(max(0, length), memory.count)...]
            UnsafeMutableRawBufferPointer(rebasing: rest).initializeMemory(as: UInt8.self, repeating: 0)
            return
        }
        while ftruncate(file.descriptor, off_t(length)) != 0 {
            if errno != EINTR { throw JournalFileError(operation: "ftruncate", code: errno) }
        }
    }

    package func synchronize(_ file: JournalFile) throws(JournalFileError) {
        while fdatasync(file.descriptor) != 0 {
            if errno != EINTR { throw JournalFileError(operation: "fdatasync", code: errno) }
        }
    }

    package func synchronizeDirectory(_ path: String) throws(JournalFileError) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw JournalFileError(operation: "open \(path)", code: errno) }
        defer { _ = Glibc.close(descriptor) }
        if fsync(descriptor) != 0 { throw JournalFileError(operation: "fsync \(path)", code: errno) }
    }

    package func close(_ file: JournalFile) {
        if let memory = file.memory { munmap(memory.baseAddress, memory.count) }
        _ = Glibc.close(file.descriptor)
    }

    package func rename(_ path: String, to newPath: String) throws(JournalFileError) {
        if Glibc.rename(path, newPath) != 0 { throw JournalFileError(operation: "rename \(path)", code: errno) }
    }

    package func remove(_ path: String) throws(JournalFileError) {
        if unlink(path) != 0, errno != ENOENT { throw JournalFileError(operation: "unlink \(path)", code: errno) }
    }

    // MARK: Reserving

    /// Neither does it show statfs(2).
    private static let fstatfs: (@convention(c) (Int32, UnsafeMutableRawPointer) -> Int32)? = dlsym(nil, "fstatfs").map {
        unsafeBitCast($0, to: (@convention(c) (Int32, UnsafeMutableRawPointer) -> Int32).self)
    }

    private typealias Fallocate = @convention(c) (Int32, Int32, Int, Int) -> Int32

    /// Glibc shows fallocate(2) only to sources that define _GNU_SOURCE, which Swift's import of it does not.
    private static let fallocate: Fallocate? = dlsym(nil, "fallocate").map { unsafeBitCast($0, to: Fallocate.self) }
    private static let keepSize: Int32 = 1  // FALLOC_FL_KEEP_SIZE, linux/falloc.h

    /// Blocks for `count` bytes; 0 or an errno. Where the file system has no fallocate(2), glibc writes to each block.
    private static func reserve(_ descriptor: Int32, _ count: Int) -> Int32 {
        if let fallocate {
            while fallocate(descriptor, keepSize, 0, count) != 0 {
                if errno == EINTR { continue }
                if errno == EOPNOTSUPP || errno == ENOSYS { return posix_fallocate(descriptor, 0, off_t(count)) }
                return errno
            }
            return 0
        }
        return posix_fallocate(descriptor, 0, off_t(count))
    }
}
