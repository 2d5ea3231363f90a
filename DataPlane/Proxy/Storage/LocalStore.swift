package import GRDB
import Glibc
package import Primitives
import Synchronization

/// A data plane's whole durable state apart from the journal: one SQLite file behind one connection. A second connection that
/// checkpoints while the first commits can corrupt the file (SQLite before 3.51.3), so everything goes through this one.
package final class LocalStore: Sendable {
    /// The data directory, mode 0700.
    package let directory: String
    /// 32 hex digits, drawn when the database file was created: one life of the outbox's sequence numbers.
    package let incarnation: String
    /// Names of the folders under `directory` that hold database files found corrupt, oldest first. Usage in them was not
    /// shipped: the operator is told until the folder is removed.
    package let quarantined: [String]
    package let queue: DatabaseQueue
    private let lock: DirectoryLock

    package enum OnCorruption: Sendable {
        /// Move the damaged files aside and begin with an empty database of a new incarnation.
        case quarantine
        /// Throw `LocalStoreError.corrupt` and leave the files where they are.
        case refuse
    }

    static let fileName = "weir-proxy.db"

    /// Opens or creates the database, migrates it and reads its settings back.
    /// - Throws: `LocalStoreError`. A full disk, a locked file or missing rights are never taken for corruption.
    package init(
        directory: String, migrations: [LocalMigration] = LocalMigration.all, durability: DurabilityTier = .process,
        onCorruption: OnCorruption = .quarantine, clock: any WallClock = SystemClock()
    ) throws(LocalStoreError) {
        self.directory = directory
        try Self.createDirectory(directory)
        lock = try DirectoryLock(directory: directory)
        let path = directory + "/" + Self.fileName
        do {
            queue = try Self.open(path, migrations, durability)
        } catch .corrupt(let detail, _) where onCorruption == .quarantine {
            let folder = try Self.quarantine(directory, nowMilliseconds: clock.nowMilliseconds())
            do {
                queue = try Self.open(path, migrations, durability)
            } catch .corrupt(let second, _) {
                throw .corrupt(detail: "\(detail); a new database in its place: \(second)", quarantine: folder)
            }
        }
        incarnation = try Self.incarnation(queue)
        quarantined = Self.quarantineFolders(directory)
    }

    /// Runs `body` in one transaction, after whatever is running. Blocks the calling thread: never on an event loop that serves.
    package func write<R>(_ body: (Database) throws -> R) throws -> R { try queue.write(body) }

    package func read<R>(_ body: (Database) throws -> R) throws -> R { try queue.read(body) }

    package func meta(_ key: String) throws -> String? { try queue.read { try Self.meta($0, key) } }

    package func setMeta(_ key: String, _ value: String?) throws { try queue.write { try Self.setMeta($0, key, value) } }

    package static func meta(_ db: Database, _ key: String) throws -> String? {
        try String.fetchOne(db, sql: "SELECT value FROM meta WHERE key = ?", arguments: [key])
    }

    /// Nil removes the key.
    package static func setMeta(_ db: Database, _ key: String, _ value: String?) throws {
        if let value {
            try db.execute(
                sql: "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                arguments: [key, value])
        } else {
            try db.execute(sql: "DELETE FROM meta WHERE key = ?", arguments: [key])
        }
    }

    /// Writes the WAL back into the file and closes it. Later calls throw.
    package func close() {
        queue.writeWithoutTransaction { db in _ = try? db.checkpoint(.truncate) }
        try? queue.close()
        lock.release()
    }

    // MARK: Opening

    private static func createDirectory(_ directory: String) throws(LocalStoreError) {
        var path = directory.hasPrefix("/") ? "" : "."
        for part in directory.split(separator: "/") {
            path += "/" + part
            // The last one holds secrets; those above it, when missing, are nobody else's business either.
            if mkdir(path, 0o700) != 0, errno != EEXIST { throw .unusable(path: path, detail: "cannot be created: \(errorText())") }
        }
        guard chmod(directory, 0o700) == 0 else { throw .unusable(path: directory, detail: "mode 0700 cannot be set: \(errorText())") }
    }

    private static func open(
        _ path: String, _ migrations: [LocalMigration], _ durability: DurabilityTier
    ) throws(LocalStoreError) -> DatabaseQueue {
        // SQLite gives its -wal and -shm the mode of the database file, so the file is there, closed, before SQLite sees it.
        let descriptor = Glibc.open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0o600)
        if descriptor >= 0 {
            Glibc.close(descriptor)
        } else if errno != EEXIST || chmod(path, 0o600) != 0 {
            throw .unusable(path: path, detail: errorText())
        }
        var configuration = Configuration()
        configuration.journalMode = .wal
        configuration.busyMode = .timeout(5)
        configuration.label = "weir.store"
        configuration.acceptsDoubleQuotedStringLiterals = false
        do {
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            try queue.writeWithoutTransaction { db in
                try db.execute(sql: "PRAGMA synchronous = \(durability.pragma.name)")
                let synchronous = try Int.fetchOne(db, sql: "PRAGMA synchronous")
                let mode = try String.fetchOne(db, sql: "PRAGMA journal_mode")
                guard synchronous == durability.pragma.value, mode == "wal" else {
                    let found = "synchronous=\(synchronous.map(String.init) ?? "?"), journal_mode=\(mode ?? "?")"
                    throw LocalStoreError.unusable(path: path, detail: "SQLite did not take its settings: \(found)")
                }
                let check = try String.fetchOne(db, sql: "PRAGMA quick_check(1)") ?? "no answer"
                guard check == "ok" else { throw LocalStoreError.corrupt(detail: check, quarantine: nil) }
            }
            try migrate(queue, migrations, path)
            return queue
        } catch let error as LocalStoreError {
            throw error
        } catch let error as DatabaseError where [.SQLITE_CORRUPT, .SQLITE_NOTADB].contains(error.resultCode) {
            throw .corrupt(detail: error.message ?? "code \(error.extendedResultCode.rawValue)", quarantine: nil)
        } catch {
            throw .unusable(path: path, detail: "\(error)")
        }
    }

    /// What an older release has to know of stands in GRDB's list, which every release reads and refuses to go beyond; the rest in a list
    /// of our own (`local_expansions`), of which an older release does not know, and a newer one's entries mean nothing to this one.
    private static func migrate(_ queue: DatabaseQueue, _ migrations: [LocalMigration], _ path: String) throws {
        var migrator = DatabaseMigrator()
        for migration in migrations where migration.compatibility == .breaking {
            migrator.registerMigration(migration.name) { db in try db.execute(sql: migration.sql) }
        }
        var expanded = try queue.write { db in
            try db.execute(sql: "CREATE TABLE IF NOT EXISTS local_expansions (name TEXT PRIMARY KEY) WITHOUT ROWID")
            // Written by a release that had one list for both.
            if try db.tableExists("grdb_migrations") {
                for migration in migrations where migration.compatibility == .expanding {
                    try db.execute(
                        sql: "INSERT OR IGNORE INTO local_expansions SELECT identifier FROM grdb_migrations WHERE identifier = ?",
                        arguments: [migration.name])
                    try db.execute(sql: "DELETE FROM grdb_migrations WHERE identifier = ?", arguments: [migration.name])
                }
            }
            return Set(try String.fetchAll(db, sql: "SELECT name FROM local_expansions"))
        }
        guard try !queue.read(migrator.hasBeenSuperseded) else {
            throw LocalStoreError.unusable(path: path, detail: "was written by a newer release of weir-proxy; run that release")
        }
        for migration in migrations {
            switch migration.compatibility {
            case .breaking:
                if try !queue.read(migrator.appliedIdentifiers).contains(migration.name) {
                    try migrator.migrate(queue, upTo: migration.name)
                }
            case .expanding:
                guard expanded.insert(migration.name).inserted else { continue }
                try queue.write { db in
                    try db.execute(sql: migration.sql)
                    try db.execute(sql: "INSERT INTO local_expansions (name) VALUES (?)", arguments: [migration.name])
                }
            }
        }
    }

    private static func incarnation(_ queue: DatabaseQueue) throws(LocalStoreError) -> String {
        do {
            return try queue.write { db in
                if let known = try meta(db, "incarnation") { return known }
                let drawn = Hex.encode(SecureRandom.bytes(16))
                try setMeta(db, "incarnation", drawn)
                return drawn
            }
        } catch {
            throw .unusable(path: queue.path, detail: "\(error)")
        }
    }

    // MARK: Quarantine

    private static func quarantine(_ directory: String, nowMilliseconds: Int64) throws(LocalStoreError) -> String {
        var folder = "\(directory)/quarantine-\(nowMilliseconds)"
        var attempt = 1
        while mkdir(folder, 0o700) != 0 {
            guard errno == EEXIST, attempt < 1000 else { throw .unusable(path: folder, detail: errorText()) }
            attempt += 1
            folder = "\(directory)/quarantine-\(nowMilliseconds)-\(attempt)"
        }
        // The database first: a -wal left beside a new database would be taken for its own, so that must not fail halfway unseen.
        for suffix in ["", "-wal", "-shm"] {
            let name = fileName + suffix
            guard rename("\(directory)/\(name)", "\(folder)/\(name)") == 0 || errno == ENOENT else {
                throw .unusable(path: "\(directory)/\(name)", detail: "cannot be moved to \(folder): \(errorText())")
            }
        }
        return folder
    }

    private static func quarantineFolders(_ directory: String) -> [String] {
        guard let handle = opendir(directory) else { return [] }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name.hasPrefix("quarantine-") { names.append(name) }
        }
        return names.sorted()
    }

    static func errorText() -> String { String(cString: strerror(errno)) }
}

/// Why a data directory could not be opened.
package enum LocalStoreError: Error, Hashable, CustomStringConvertible {
    /// Rights, disk space, another process, a newer release: nothing is known to be lost.
    case unusable(path: String, detail: String)
    /// SQLite says that the file is damaged. Usage that was not shipped may be in it.
    case corrupt(detail: String, quarantine: String?)
    /// Another process has the directory open.
    case inUse(directory: String)

    package var description: String {
        switch self {
        case .unusable(let path, let detail): "\(path): \(detail)"
        case .corrupt(let detail, let folder):
            "the local database is damaged (\(detail)); "
                + (folder.map { "its files are in \($0). " } ?? "its files were left in place. ")
                + "Usage that was not shipped yet may be in them: keep them for `sqlite3 weir-proxy.db .recover`"
        case .inUse(let directory): "\(directory) is in use by another weir-proxy; give each its own data directory"
        }
    }
}

/// An advisory lock that the kernel drops with the process: two writers of one database and one journal would undo each other.
final class DirectoryLock: Sendable {
    private let descriptor: Int32
    private let released = Atomic<Bool>(false)

    init(directory: String) throws(LocalStoreError) {
        let path = directory + "/lock"
        descriptor = Glibc.open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .unusable(path: path, detail: LocalStore.errorText()) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            Glibc.close(descriptor)
            throw .inUse(directory: directory)
        }
    }

    func release() {
        guard !released.exchange(true, ordering: .acquiringAndReleasing) else { return }
        // Unlocked by name: a child process that is just being started may still hold a copy of the descriptor.
        flock(descriptor, LOCK_UN)
        Glibc.close(descriptor)
    }

    deinit { release() }
}

extension DurabilityTier {
    /// SQLite's `synchronous`: NORMAL may lose the last commits with the power, FULL syncs each.
    fileprivate var pragma: (name: String, value: Int) { self == .process ? ("NORMAL", 1) : ("FULL", 2) }
}
