package import Primitives
package import Storage

/// What every domain service stands on.
package struct DomainContext: Sendable {
    package let database: any Database
    package let clock: any WallClock
    package let signal: ChangeSignal
    package let warnings: OperatorWarnings

    package init(
        database: any Database, clock: any WallClock, signal: ChangeSignal, warnings: OperatorWarnings = OperatorWarnings()
    ) {
        self.warnings = warnings
        self.database = database
        self.clock = clock
        self.signal = signal
    }

    // Nothing is read or written without saying for whom: what is done for a tenant finds no other's rows (`NounTable`), and on Postgres the
    // database shows none, whatever a query forgot. `.all` is the installation's own work.

    /// - Parameter scope: Whose rows it may see.
    package func read<R: Sendable>(
        as scope: TenantScope, _ body: @escaping @Sendable (any SQLConnection) throws -> R
    ) async throws -> R {
        try await translated { try await database.read(as: scope, body) }
    }

    /// A read that may take long, on connections of its own: see `Database.report`.
    /// - Throws: `DomainError.unavailable` when it took too long or too many reports are being made already.
    package func report<R: Sendable>(
        as scope: TenantScope, _ body: @escaping @Sendable (any SQLConnection) throws -> R
    ) async throws -> R {
        try await translated {
            do {
                return try await database.report(as: scope, body)
            } catch DatabaseError.timedOut {
                throw DomainError.unavailable(
                    detail: "The report took too long and was stopped. Ask for a shorter time, or for less with a filter.")
            }
        }
    }

    package func write<R: Sendable>(
        as scope: TenantScope, raising topics: ChangeSignal.Topic..., taken: FieldProblem? = nil,
        body: @escaping @Sendable (any SQLConnection) throws -> R
    ) async throws -> R {
        try await write(as: scope, waking: Set(topics), taken: taken, body: body)
    }

    /// One transaction; after it has committed, `topics` are raised. The body may run more than once.
    /// - Parameter taken: What a violated unique index means to the caller: the conflict that is thrown for it.
    package func write<R: Sendable>(
        as scope: TenantScope, waking topics: Set<ChangeSignal.Topic>, taken: FieldProblem?,
        body: @escaping @Sendable (any SQLConnection) throws -> R
    ) async throws -> R {
        let result: R
        let attempt = IdempotentAttempt.current
        do {
            result = try await translated {
                try await database.transaction(as: scope, isolation: .serializable) { c in
                    try attempt?.commit(c)
                    return try body(c)
                }
            }
        } catch DatabaseError.uniqueViolation(let constraint) {
            guard let taken else { throw DatabaseError.uniqueViolation(constraint: constraint) }
            throw DomainError.conflict(taken.field, taken.message, remedy: taken.remedy)
        }
        for topic in topics { signal.raise(topic) }
        return result
    }

    /// A transaction of single statements that need no order among each other.
    func observe<R: Sendable>(
        as scope: TenantScope, _ body: @escaping @Sendable (any SQLConnection) throws -> R
    ) async throws -> R {
        try await translated { try await database.transaction(as: scope, isolation: .readCommitted, body) }
    }

    private func translated<R: Sendable>(_ work: () async throws -> R) async throws -> R {
        do {
            return try await work()
        } catch {
            throw DomainError(translating: error) ?? error
        }
    }
}

/// Counters that order changes. Taking one locks it until the transaction ends, so the changes under one counter happen one after
/// the other: their numbers commit in order, and a reference checked under the counter still stands at the commit. Transactions
/// that need several take them in the order of the cases, which rules out deadlocks.
package enum ChangeCounter: String, CaseIterable, Sendable {
    case administrators, bans, credentials, directory, draft, config, rollout

    package func next(_ c: any SQLConnection) throws -> Int64 {
        try CountersTable.next(c, rawValue)
    }
}

/// The revision that a change claims to be based on.
package func checkRevision(_ expected: Int64, current: Int64) throws(DomainError) {
    guard expected == current else { throw .preconditionFailed(current: current) }
}
