import Dispatch
import Synchronization

/// A thread with a connection. Everything of libpq blocks, so each connection has a queue of its own and never one of Swift's
/// cooperative threads.
///
/// `@unchecked`: `connection` is touched on `queue` only.
final class PostgresWorker: @unchecked Sendable {
    private let queue: DispatchQueue
    private let connect: @Sendable () throws -> PostgresConnection
    private var connection: PostgresConnection?

    /// How one run of a transaction ended.
    enum Outcome<R: Sendable>: Sendable {
        case success(R)
        case failure(any Error)
        /// It lost against a concurrent transaction; nothing of it remains.
        case retry(DatabaseError)
    }

    init(index: Int, connect: @escaping @Sendable () throws -> PostgresConnection) {
        queue = DispatchQueue(label: "weir.postgres.\(index)")
        self.connect = connect
    }

    /// Runs `body` once between BEGIN and COMMIT; without a beginning, outside of a transaction and as the user that connects.
    func attempt<R: Sendable>(
        _ beginning: PostgresBeginning?, _ body: @escaping @Sendable (any SQLConnection) throws -> R
    ) async -> Outcome<R> {
        await withCheckedContinuation { continuation in
            queue.async { continuation.resume(returning: self.run(beginning, body)) }
        }
    }

    func disconnect() async {
        await withCheckedContinuation { continuation in
            queue.async {
                self.connection = nil
                continuation.resume()
            }
        }
    }

    private func run<R: Sendable>(_ beginning: PostgresBeginning?, _ body: (any SQLConnection) throws -> R) -> Outcome<R> {
        guard let beginning else { return runOutsideTransaction(body) }
        let connection: PostgresConnection
        do {
            connection = try begin(beginning)
        } catch {
            return .failure(error)
        }
        do {
            let result = try body(connection)
            try connection.commit()
            return .success(result)
        } catch {
            if !connection.rollback() { self.connection = nil }
            if connection.mustRetry { return .retry(error as? DatabaseError ?? .contended("a statement lost against another transaction")) }
            return .failure(error)
        }
    }

    /// On a connection that nobody has used: what `body` does to its session ends with it.
    private func runOutsideTransaction<R: Sendable>(_ body: (any SQLConnection) throws -> R) -> Outcome<R> {
        do {
            return .success(try body(try connect()))
        } catch {
            return .failure(error)
        }
    }

    /// A connection that was lost while idle shows at BEGIN, before anything was done, so another one may take its place.
    private func begin(_ beginning: PostgresBeginning) throws -> PostgresConnection {
        if let connection {
            do {
                try connection.beginTransaction(beginning)
                return connection
            } catch {
                self.connection = nil
                guard connection.isLost else { throw error }
            }
        }
        let fresh = try connect()
        try fresh.beginTransaction(beginning)
        connection = fresh
        return fresh
    }
}
