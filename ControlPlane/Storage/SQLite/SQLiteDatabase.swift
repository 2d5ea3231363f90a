import Foundation
import GRDB
import Logging
import Primitives
import Synchronization

/// The embedded database: one connection writes and checkpoints, a few others read (WAL).
///
/// SQLite before 3.51.3 can corrupt a WAL database when one connection commits while another checkpoints. Readers are read-only
/// and never checkpoint; a lock file keeps a second process away.
final class SQLiteDatabase: Database {
    let dialect = SQLDialect.sqlite
    private let pool: DatabasePool
    private let reports: SQLiteReports
    private let lock: FileLock
    private let closed = Atomic<Bool>(false)

    private init(pool: DatabasePool, reports: SQLiteReports, lock: FileLock) {
        self.pool = pool
        self.reports = reports
        self.lock = lock
    }

    /// - Throws: `DatabaseError.unavailable` when the file cannot be opened or another process has it open.
    static func open(path: String, options: DatabaseOptions, logger: Logger) throws -> SQLiteDatabase {
        let folder = (path as NSString).deletingLastPathComponent
        do {
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw DatabaseError.unavailable("cannot make the folder of the database file: \(error.localizedDescription)")
        }
        let lock = try FileLock(path: path + ".lock")
        try lock.createPrivately(path)

        var configuration = Configuration()
        configuration.label = "weir.storage"
        configuration.foreignKeysEnabled = true
        configuration.maximumReaderCount = options.maximumConnections
        configuration.busyMode = .timeout(Double(options.busyTimeoutMilliseconds) / 1000)
        return try SQLiteErrors.mapping {
            let pool = try DatabasePool(path: path, configuration: configuration)
            try pool.writeWithoutTransaction { database in
                // After GRDB's own set-up, which chooses NORMAL: what the control plane acknowledged survives a power cut.
                try database.execute(sql: "PRAGMA synchronous = FULL")
                guard try Int.fetchOne(database, sql: "PRAGMA synchronous") == 2 else {
                    throw DatabaseError.unavailable("SQLite did not accept synchronous = FULL")
                }
                // Of the one connection that writes. What a savepoint may have to take back stays in memory instead of in a file of its own,
                // and so do the pages that batches of usage touch again and again. Kibibytes.
                try database.execute(sql: "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768")
                // Pages that many transactions change, as the ends of indexes, go to the file once for all of them: 16 MiB of pages.
                _ = try Int.fetchOne(database, sql: "PRAGMA wal_autocheckpoint = 4000")
                // A WAL grown by one large transaction gives its disk space back at the next checkpoint. Bytes.
                _ = try Int.fetchOne(database, sql: "PRAGMA journal_size_limit = 67108864")
            }
            return SQLiteDatabase(pool: pool, reports: try SQLiteReports(path: path, options: options), lock: lock)
        }
    }

    func read<R: Sendable>(as scope: TenantScope, _ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        guard !closed.load(ordering: .acquiring) else { throw DatabaseError.closed }
        return try await withCheckedThrowingContinuation { continuation in
            // Not GRDB's async methods: those roll back when the calling task is cancelled, Postgres would not.
            pool.asyncRead { connection in
                continuation.resume(
                    with: Result {
                        do {
                            return try body(SQLiteConnection(database: connection.get(), scope: scope))
                        } catch {
                            throw SQLiteErrors.map(error)
                        }
                    })
            }
        }
    }

    func transaction<R: Sendable>(
        as scope: TenantScope, isolation: TransactionIsolation, _ body: @escaping @Sendable (any SQLConnection) throws -> R
    ) async throws -> R {
        guard !closed.load(ordering: .acquiring) else { throw DatabaseError.closed }
        return try await withCheckedThrowingContinuation { continuation in
            pool.asyncWriteWithoutTransaction { database in
                continuation.resume(
                    with: Result {
                        do {
                            return try Self.runTransaction(database, scope, body)
                        } catch {
                            throw SQLiteErrors.map(error)
                        }
                    })
            }
        }
    }

    func report<R: Sendable>(as scope: TenantScope, _ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        try await reports.run(as: scope, body)
    }

    func session<R: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        guard !closed.load(ordering: .acquiring) else { throw DatabaseError.closed }
        return try await withCheckedThrowingContinuation { continuation in
            pool.asyncWriteWithoutTransaction { database in
                continuation.resume(
                    with: Result {
                        do {
                            return try body(SQLiteConnection(database: database, scope: .all))
                        } catch {
                            throw SQLiteErrors.map(error)
                        }
                    })
            }
        }
    }

    private static func runTransaction<R>(
        _ database: GRDB.Database, _ scope: TenantScope, _ body: (any SQLConnection) throws -> R
    ) throws -> R {
        var result: R?
        try database.inTransaction(.immediate) {
            result = try body(SQLiteConnection(database: database, scope: scope))
            return .commit
        }
        guard let result else { throw DatabaseError.unexpectedValue("the transaction ended without a result") }
        return result
    }

    func close() async {
        guard !closed.exchange(true, ordering: .acquiringAndReleasing) else { return }
        // Before the pool: who closes last checkpoints, and these cannot.
        await reports.close()
        await withCheckedContinuation { continuation in
            // Behind every transaction that was asked for before.
            pool.asyncWriteWithoutTransaction { database in
                _ = try? database.checkpoint(.truncate)
                continuation.resume()
            }
        }
        try? pool.close()
        lock.release()
    }
}
