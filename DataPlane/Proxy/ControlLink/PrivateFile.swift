import Glibc

/// Small files that only this user may read, replaced whole or not at all.
enum PrivateFile {
    private static let maximumBytes = 1 << 20

    /// Nil when there is no such file.
    static func read(_ path: String) throws(EnrollmentError) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw .files(path: path, detail: LocalStore.errorText())
        }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .files(path: path, detail: LocalStore.errorText()) }
            if count == 0 { return bytes }
            bytes += chunk[..<count]
            guard bytes.count <= maximumBytes else { throw .files(path: path, detail: "is larger than \(maximumBytes) bytes") }
        }
    }

    /// On the disk when it returns: the file, and its name.
    static func write(_ path: String, _ bytes: [UInt8]) throws(EnrollmentError) {
        let temporary = path + ".new"
        let descriptor = open(temporary, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .files(path: temporary, detail: LocalStore.errorText()) }
        var written = 0
        var isSynced = fchmod(descriptor, 0o600) == 0
        while isSynced, written < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress.map { $0 + written }, $0.count - written) }
            if count < 0, errno == EINTR { continue }
            isSynced = count > 0
            written += max(0, count)
        }
        isSynced = isSynced && fsync(descriptor) == 0
        let detail = LocalStore.errorText()
        close(descriptor)
        guard isSynced, rename(temporary, path) == 0 else {
            let detail = isSynced ? LocalStore.errorText() : detail
            unlink(temporary)
            throw .files(path: path, detail: detail)
        }
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let directory = open(folder.isEmpty ? "/" : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if directory >= 0 {
            fsync(directory)
            close(directory)
        }
    }
}
