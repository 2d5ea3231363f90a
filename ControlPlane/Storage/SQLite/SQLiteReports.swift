import GRDB
import GRDBSQLite
import Primitives
import Synchronization

/// Connections of SQLite for reports. They only read and so never checkpoint; each stops itself once its time is over.
final class SQLiteReports: Sendable {
    private struct Reader: Sendable {
        let queue: DatabaseQueue
        let deadline: Deadline
    }

    /// When the report that runs on a connection has to end. SQLite asks between steps of its virtual machine.
    private final class Deadline: Sendable {
        private let atMicroseconds = Atomic<Int64>(.max)

        var hasPassed: Bool { MonotonicClock.nowMicroseconds() >= atMicroseconds.load(ordering: .relaxed) }
        func set(_ microseconds: Int64) { atMicroseconds.store(microseconds, ordering: .relaxed) }

        func install(_ database: GRDB.Database) {
            // The connection does not outlive its `Reader`, which keeps this alive.
            let context = Unmanaged.passUnretained(self).toOpaque()
            sqlite3_progress_handler(
                database.sqliteConnection, SQLiteReports.stepsBetweenLooks,
                { context in
                    guard let context else { return 0 }
                    return Unmanaged<Deadline>.fromOpaque(context).takeUnretainedValue().hasPassed ? 1 : 0
                }, context)
        }
    }

    /// Instructions of SQLite's virtual machine: some tens of microseconds.
    private static let stepsBetweenLooks: CInt = 10_000

    private let readers: [Reader]
    private let slots: Slots
    private let timeoutMicroseconds: Int64

    /// Opens the connections; the file is there and in WAL mode.
    init(path: String, options: DatabaseOptions) throws {
        timeoutMicroseconds = Int64(options.reportTimeoutMilliseconds) * 1000
        slots = Slots(options.reportConnections, maximumWaiting: options.maximumWaitingReports)
        readers = try (0..<options.reportConnections).map { _ in
            let deadline = Deadline()
            var configuration = Configuration()
            configuration.label = "weir.storage.report"
            configuration.readonly = true
            configuration.busyMode = .timeout(Double(options.busyTimeoutMilliseconds) / 1000)
            configuration.prepareDatabase { deadline.install($0) }
            return Reader(queue: try DatabaseQueue(path: path, configuration: configuration), deadline: deadline)
        }
    }

    func run<R: Sendable>(as scope: TenantScope, _ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        let index = try await slots.acquire()
        defer { slots.release(index) }
        let reader = readers[index]
        let timeout = timeoutMicroseconds
        return try await withCheckedThrowingContinuation { continuation in
            reader.queue.asyncRead { connection in
                continuation.resume(
                    with: Result {
                        reader.deadline.set(MonotonicClock.nowMicroseconds() + timeout)
                        defer { reader.deadline.set(.max) }
                        do {
                            return try body(SQLiteConnection(database: connection.get(), scope: scope))
                        } catch {
                            throw SQLiteErrors.map(error)
                        }
                    })
            }
        }
    }

    /// Waits for what runs.
    func close() async {
        slots.close()
        for reader in readers {
            await withCheckedContinuation { continuation in reader.queue.asyncRead { _ in continuation.resume() } }
            try? reader.queue.close()
        }
    }
}
