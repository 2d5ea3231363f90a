import Logging
import Primitives
import Synchronization

/// Postgres behind a small pool. A closure holds one connection for one transaction; callers queue for a free one.
final class PostgresDatabase: Database {
    let dialect = SQLDialect.postgres
    private let workers: [PostgresWorker]
    private let state: Mutex<State>
    /// As which everything but `maintain` is done; nil: as the user that connects.
    private let role = Mutex<String?>(nil)
    private let logger: Logger

    private struct State {
        /// Indices of free workers; the one used last is on top, so that few connections do the work when there is little.
        var idle: [Int]
        var waiting: [Waiter] = []
        var waitingHead = 0
        var closed = false
    }

    private typealias Waiter = CheckedContinuation<Int?, Never>

    init(address: PostgresAddress, options: DatabaseOptions, logger: Logger) {
        let gate = ConnectGate(address: address, options: options, logger: logger)
        workers = (0..<options.maximumConnections).map { index in PostgresWorker(index: index) { try gate.connect() } }
        state = Mutex(State(idle: Array((0..<options.maximumConnections).reversed())))
        self.logger = logger
    }

    func read<R: Sendable>(as scope: TenantScope, _ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        try await run(confined("ISOLATION LEVEL REPEATABLE READ READ ONLY", scope), body)
    }

    func transaction<R: Sendable>(
        as scope: TenantScope, isolation: TransactionIsolation, _ body: @escaping @Sendable (any SQLConnection) throws -> R
    ) async throws -> R {
        switch isolation {
        case .serializable: try await run(confined("ISOLATION LEVEL SERIALIZABLE READ WRITE", scope), body)
        case .readCommitted: try await run(confined("ISOLATION LEVEL READ COMMITTED READ WRITE", scope), body)
        }
    }

    func maintain<R: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        try await run(
            PostgresBeginning(mode: "ISOLATION LEVEL READ COMMITTED READ WRITE", role: nil, tenant: TenantScope.all.setting), body)
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
        PostgresBeginning(mode: mode, role: role.withLock { $0 }, tenant: scope.setting)
    }

    func close() async {
        let waiting = state.withLock { state -> [Waiter] in
            state.closed = true
            defer { state.waiting = [] }
            return Array(state.waiting.dropFirst(state.waitingHead))
        }
        for waiter in waiting { waiter.resume(returning: nil) }
        // A worker's queue is serial: this waits for what runs there.
        for worker in workers { await worker.disconnect() }
    }

    private func run<R: Sendable>(_ beginning: PostgresBeginning, _ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws
        -> R
    {
        guard let index = await acquire() else { throw DatabaseError.closed }
        defer { release(index) }
        var attempt = 1
        while true {
            switch await workers[index].attempt(beginning, body) {
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

    /// - Returns: nil when the database is closed.
    private func acquire() async -> Int? {
        await withCheckedContinuation { (waiter: Waiter) in
            // The lock is taken inside the continuation, never the other way round (swift#85668).
            let answer: Int?? = state.withLock { state in
                if state.closed { return .some(nil) }
                if let index = state.idle.popLast() { return .some(index) }
                state.waiting.append(waiter)
                return .none
            }
            if let answer { waiter.resume(returning: answer) }
        }
    }

    private func release(_ index: Int) {
        let next = state.withLock { state -> Waiter? in
            guard state.waitingHead < state.waiting.count else {
                state.idle.append(index)
                return nil
            }
            let waiter = state.waiting[state.waitingHead]
            state.waitingHead += 1
            if state.waitingHead * 2 >= state.waiting.count {
                state.waiting.removeFirst(state.waitingHead)
                state.waitingHead = 0
            }
            return waiter
        }
        next?.resume(returning: index)
    }
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
