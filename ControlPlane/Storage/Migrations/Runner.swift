package import Primitives

/// Brings a database to the schema of this binary.
package enum MigrationRunner {
    /// Applies what is missing, in one transaction: all of it or nothing. Several replicas may start at once; one migrates, the
    /// others wait and find nothing to do.
    /// - Returns: the numbers that were applied now.
    /// - Throws: `DatabaseError.schemaTooNew` when the database knows a migration that this binary does not.
    @discardableResult
    package static func run(
        _ database: any Database, migrations: [Migration] = Migrations.all, clock: any WallClock = SystemClock()
    ) async throws -> [Int] {
        let ordered = migrations.sorted { $0.number < $1.number }
        // Read committed: with a snapshot taken before the lock was granted, a second replica would not see the first one's work.
        let applied = try await database.maintain { c in
            if c.dialect == .postgres {
                try c.execute("SET LOCAL statement_timeout = 0", [])
                _ = try c.query("SELECT pg_advisory_xact_lock(\(lockKey), hashtext(current_schema()))", [])
            }
            try c.execute(
                """
                CREATE TABLE IF NOT EXISTS schema_migrations (
                    number BIGINT PRIMARY KEY,
                    name TEXT NOT NULL,
                    applied_at BIGINT NOT NULL
                )
                """, [])
            let applied = Set(try c.query("SELECT number FROM schema_migrations", []).map { Int(try $0.int("number")) })
            let known = Set(ordered.map(\.number))
            if let unknown = applied.subtracting(known).max() {
                throw DatabaseError.schemaTooNew(found: unknown, known: ordered.last?.number ?? 0)
            }
            let pending = ordered.filter { !applied.contains($0.number) }
            for migration in pending {
                for statement in migration.statements(c.dialect) { try c.execute(statement, []) }
                try c.execute(
                    "INSERT INTO schema_migrations (number, name, applied_at) VALUES ($1, $2, $3)",
                    [.int(Int64(migration.number)), .text(migration.name), .int(clock.nowMilliseconds())])
            }
            if c.dialect == .postgres { try c.execute(RowSecurity.establish) }
            return pending.map(\.number)
        }
        try await database.confine()
        return applied
    }

    /// First half of the advisory lock's key: "weir" in ASCII. The second is the schema, so that two installations in one
    /// database do not wait for each other.
    private static let lockKey = 0x7765_6972
}
