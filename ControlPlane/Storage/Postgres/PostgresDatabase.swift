import Logging
import Primitives
import Synchronization

/// Postgres behind two small pools: one for everybody, one for reports. A closure holds one connection; callers queue for a free one.
final class PostgresDatabase: Database {
    let dialect = SQLDialect.postgres
    private let everybody: Pool
    private let reports: Pool
    /// As which everything but `maintain` is done; nil: as the user that connects.
    private let role = Mutex<String?>(nil)
    private let logger: Logger

    private struct Pool: Sendable {
        let workers: [PostgresWorker]
        let slots: Slots

        init(_ gate: ConnectGate, count: Int, maximumWaiting: Int = .max) {
            workers = (0..<count).map { index in PostgresWorker(index: index) { try gate.connect() } }
            slots = Slots(count, maximumWaiting: maximumWaiting)
        }

        func close() async {
            slots.close()
            // A worker's queue is serial: this waits for what runs there.
            for worker in workers { await worker.disconnect() }
        }
    }

    init(address: PostgresAddress, options: DatabaseOptions, logger: Logger) {
        var forReports = options
        forReports.statementTimeoutMilliseconds = options.reportTimeoutMilliseconds
        everybody = Pool(ConnectGate(address: address, options: options, logger: logger), count: options.maximumConnections)
        reports = Pool(
            ConnectGate(address: address, options: forReports, logger: logger), count: options.reportConnections,
            maximumWaiting: options.maximumWaitingReports)
        self.logger = logger
    }

    func read<R: Sendable>(as scope: TenantScope, _ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        try await run(on: everybody, confined(Self.readOnly, scope), body)
    }

    func report<R: Sendable>(as scope: TenantScope, _ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        try await run(on: reports, confined(Self.readOnly, scope), body)
    }

    func transaction<R: Sendable>(
        as scope: TenantScope, isolation: TransactionIsolation, _ body: @escaping @Sendable (any SQLConnection) throws -> R
    ) async throws -> R {
        switch isolation {
        case .serializable: try await run(on: everybody, confined("ISOLATION LEVEL SERIALIZABLE READ WRITE", scope), body)
        case .readCommitted: try await run(on: everybody, confined("ISOLATION LEVEL READ COMMITTED READ WRITE", scope), body)
        }
    }

    func maintain<R: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        try await run(
            on: everybody, PostgresBeginning(mode: "ISOLATION LEVEL READ COMMITTED READ WRITE", role: nil, scope: .all),
            body)
    }

    /// Looks for the role that this schema's work is done as.
    func confine() async throws {
        let found = try await maintain { c in
            try c.first(
                """
                SELECT rolname AS name FROM pg_roles
                WHERE rolname = \(RowSecurity.roleName) AND pg_has_role(current_user, oid, 'MEMBER')
                """)?.text("name")
        }
        if found == nil {
            let wanted = try await maintain { try $0.first("SELECT \(RowSecurity.roleName) AS name")?.text("name") ?? "" }
            logger.warning(
                "work is done as the owner of the schema: the wall between tenants is thinner than it could be",
                metadata: [
                    "remedy":
                        "as an administrator of the server: CREATE ROLE \(wanted) NOLOGIN; GRANT \(wanted) TO <this user>; then restart"
                ])
        }
        role.withLock { $0 = found }
    }

    private func confined(_ mode: String, _ scope: TenantScope) -> PostgresBeginning {
        PostgresBeginning(mode: mode, role: role.withLock { $0 }, scope: scope)
    }

    func session<R: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        try await run(on: everybody, nil, body)
    }

    func close() async {
        await reports.close()
        await everybody.close()
    }

    private static let readOnly = "ISOLATION LEVEL REPEATABLE READ READ ONLY"

    private func run<R: Sendable>(
        on pool: Pool, _ beginning: PostgresBeginning?, _ body: @escaping @Sendable (any SQLConnection) throws -> R
    ) async throws -> R {
        let index = try await pool.slots.acquire()
        defer { pool.slots.release(index) }
        var attempt = 1
        while true {
            switch await pool.workers[index].attempt(beginning, body) {
            case .success(let result): return result
            case .failure(let error): throw error
            case .retry(let error):
                guard attempt < Self.maximumAttempts else { throw error }
                logger.debug("transaction retried", metadata: ["attempt": "\(attempt)", "reason": "\(error)"])
                // Full jitter, so that two that collided do not collide again.
                let ceiling = min(1 << min(attempt, 6), 64)
                try await Task.sleep(for: .microseconds(Int.random(in: 0...(ceiling * 1000))))
                attempt += 1
            }
        }
    }

    private static let maximumAttempts = 40
}

/// Opens connections and, after a failure, lets the next attempts fail at once for a moment: with the server gone, callers should
/// hear so quickly instead of queueing behind each other's connect timeouts.
private final class ConnectGate: Sendable {
    private let address: PostgresAddress
    private let options: DatabaseOptions
    private let logger: Logger
    private let lastFailure = Mutex<(error: DatabaseError, untilMicroseconds: Int64)?>(nil)

    init(address: PostgresAddress, options: DatabaseOptions, logger: Logger) {
        self.address = address
        self.options = options
        self.logger = logger
    }

    func connect() throws -> PostgresConnection {
        if let failure = lastFailure.withLock({ $0 }), MonotonicClock.nowMicroseconds() < failure.untilMicroseconds { throw failure.error }
        do {
            let connection = try PostgresConnection(address: address, options: options)
            let recovered = lastFailure.withLock { failure in
                defer { failure = nil }
                return failure != nil
            }
            if recovered { logger.notice("database connection restored", metadata: ["database": "\(address)"]) }
            return connection
        } catch let error as DatabaseError {
            let first = lastFailure.withLock { failure in
                defer { failure = (error, MonotonicClock.nowMicroseconds() + Self.pauseMicroseconds) }
                return failure == nil
            }
            if first { logger.error("database connection failed", metadata: ["reason": "\(error)"]) }
            throw error
        }
    }

    private static let pauseMicroseconds: Int64 = 250_000
}
