import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Holds an exclusive lock on a file of its own beside the database: never on the database file itself, where closing a second
/// descriptor would drop SQLite's locks.
final class FileLock: Sendable {
    private let descriptor: Mutex<Int32>

    /// - Throws: `DatabaseError.unavailable` when another process, or another open database of this one, holds it.
    init(path: String) throws {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw DatabaseError.unavailable("cannot make the lock file: \(String(cString: strerror(errno)))") }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw DatabaseError.unavailable(
                "another process has this SQLite database open; stop it first, or use Postgres for several control planes")
        }
        self.descriptor = Mutex(descriptor)
    }

    /// Makes the database file readable by its owner only, unless it is there. While the lock is held nobody has it open.
    func createPrivately(_ path: String) throws {
        let file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        if file >= 0 {
            close(file)
        } else if errno != EEXIST {
            throw DatabaseError.unavailable("cannot make the database file: \(String(cString: strerror(errno)))")
        }
    }

    func release() {
        descriptor.withLock { descriptor in
            if descriptor >= 0 {
                // Unlocked by name: a child process that is just being started may still hold a copy of the descriptor.
                flock(descriptor, LOCK_UN)
                close(descriptor)
            }
            descriptor = -1
        }
    }

    deinit { release() }
}
