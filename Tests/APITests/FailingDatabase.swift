import Primitives
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

    func read<R: Sendable>(as scope: TenantScope, _ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        if outage.isOn { throw error }
        return try await inner.read(as: scope, body)
    }

    func report<R: Sendable>(as scope: TenantScope, _ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        if outage.isOn { throw error }
        return try await inner.report(as: scope, body)
    }

    func session<R: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        if outage.isOn { throw error }
        return try await inner.session(body)
    }

    func transaction<R: Sendable>(
        as scope: TenantScope, isolation: TransactionIsolation, _ body: @escaping @Sendable (any SQLConnection) throws -> R
    ) async throws -> R {
        if outage.isOn { throw error }
        return try await inner.transaction(as: scope, isolation: isolation, body)
    }

    func close() async { await inner.close() }
}

/// Lets work through, or holds it until it is opened.
final class Valve: Sendable {
    private struct State {
        var isClosed = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    func close() { state.withLock { $0.isClosed = true } }

    func open() {
        let waiting = state.withLock { state in
            state.isClosed = false
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    func pass() async {
        await withCheckedContinuation { continuation in
            let held = state.withLock { state in
                if state.isClosed { state.waiting.append(continuation) }
                return state.isClosed
            }
            if !held { continuation.resume() }
        }
    }
}

/// A database that does not answer while the valve is closed.
struct HangingDatabase: Database {
    let inner: any Database
    let valve: Valve

    var dialect: SQLDialect { inner.dialect }

    func read<R: Sendable>(as scope: TenantScope, _ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        await valve.pass()
        return try await inner.read(as: scope, body)
    }

    func report<R: Sendable>(as scope: TenantScope, _ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        await valve.pass()
        return try await inner.report(as: scope, body)
    }

    func session<R: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        await valve.pass()
        return try await inner.session(body)
    }

    func transaction<R: Sendable>(
        as scope: TenantScope, isolation: TransactionIsolation, _ body: @escaping @Sendable (any SQLConnection) throws -> R
    ) async throws -> R {
        await valve.pass()
        return try await inner.transaction(as: scope, isolation: isolation, body)
    }

    func close() async { await inner.close() }
}
