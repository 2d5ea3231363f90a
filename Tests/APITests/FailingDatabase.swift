import Storage
import Synchronization

/// Whether the database is out of reach just now.
final class Outage: Sendable {
    private let on = Mutex(false)
    func begin() { on.withLock { $0 = true } }
    func end() { on.withLock { $0 = false } }
    var isOn: Bool { on.withLock { $0 } }
}

/// A database that fails while an outage lasts.
struct FailingDatabase: Database {
    let inner: any Database
    let outage: Outage
    var error = DatabaseError.unavailable("connection to secret-host refused")

    var dialect: SQLDialect { inner.dialect }

    func read<R: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        if outage.isOn { throw error }
        return try await inner.read(body)
    }

    func transaction<R: Sendable>(
        isolation: TransactionIsolation, _ body: @escaping @Sendable (any SQLConnection) throws -> R
    ) async throws -> R {
        if outage.isOn { throw error }
        return try await inner.transaction(isolation: isolation, body)
    }

    func close() async { await inner.close() }
}
