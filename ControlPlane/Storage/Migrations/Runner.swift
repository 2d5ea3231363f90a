import Glibc
package import Primitives

/// Brings a database to the schema of this binary.
///
/// Two tables say what was applied. `schema_migrations` holds what a binary has to know in order to use the database: one that finds a
/// number it does not know there refuses to start. `schema_expansions` holds what it need not know, so the release before starts and
/// runs on a schema that is ahead of it.
package enum MigrationRunner {
    /// Applies what is missing, one after the other. What was applied before one failed stays applied, and the next run goes on from
    /// there. Several replicas may start at once; one migrates, the others wait and find nothing to do.
    /// - Returns: the numbers that were applied now.
    /// - Throws: `DatabaseError.schemaTooNew` when the database needs a binary that knows more.
    @discardableResult
    package static func run(
        _ database: any Database, migrations: [Migration] = Migrations.all, clock: any WallClock = SystemClock()
    ) async throws -> [Int] {
        let ordered = migrations.sorted { $0.number < $1.number }
        while true {
            if let applied = try await database.session({ try attempt($0, ordered, clock) }) {
                try await database.confine()
                return applied
            }
            // Asked for again and again, not waited for: who waits inside of a statement keeps an index from being finished.
            try await Task.sleep(for: .milliseconds(200))
        }
    }

    /// - Returns: nil when another replica migrates just now.
    private static func attempt(_ c: any SQLConnection, _ migrations: [Migration], _ clock: any WallClock) throws -> [Int]? {
        guard c.dialect == .postgres else { return try apply(c, migrations, clock) }
        // The lock is the session's, which ends with this attempt whatever happens.
        guard try c.first("SELECT pg_try_advisory_lock(\(lockKey), hashtext(current_schema())) AS taken")?.bool("taken") == true else {
            return nil
        }
        try c.execute("SET statement_timeout = 0")
        defer { _ = try? c.query("SELECT pg_advisory_unlock(\(lockKey), hashtext(current_schema())) AS given") }
        let applied = try apply(c, migrations, clock)
        try patiently(c) { _ = try c.execute(RowSecurity.establish) }
        return applied
    }

    private static func apply(_ c: any SQLConnection, _ migrations: [Migration], _ clock: any WallClock) throws -> [Int] {
        for table in [needed, expansions] {
            try c.execute(
                "CREATE TABLE IF NOT EXISTS \(table) (number BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)")
        }
        func numbers(_ table: String) throws -> Set<Int> {
            Set(try c.query("SELECT number FROM \(table)", []).map { Int(try $0.int("number")) })
        }
        let mustKnow = try numbers(needed)
        if let unknown = mustKnow.subtracting(migrations.map(\.number)).max() {
            throw DatabaseError.schemaTooNew(found: unknown, known: migrations.last?.number ?? 0)
        }
        let applied = try mustKnow.union(numbers(expansions))
        let pending = migrations.filter { !applied.contains($0.number) }
        for migration in pending {
            if migration.indexes.isEmpty {
                try patiently(c) { try changeTables(c, migration, clock) }
            } else {
                for index in migration.indexes { try patiently(c) { try index.build(c) } }
                try note(c, migration, clock)
            }
        }
        return pending.map(\.number)
    }

    private static func changeTables(_ c: any SQLConnection, _ migration: Migration, _ clock: any WallClock) throws {
        try c.execute(c.dialect == .postgres ? "BEGIN" : "BEGIN IMMEDIATE")
        do {
            // A change of a table waits for those who use it, and everybody else behind it: not for long, then they go first.
            if c.dialect == .postgres { try c.execute("SET LOCAL lock_timeout = '2s'") }
            for statement in migration.statements(c.dialect) { try c.execute(statement, []) }
            try note(c, migration, clock)
            try c.execute("COMMIT")
        } catch {
            _ = try? c.execute("ROLLBACK")
            throw error
        }
    }

    private static func note(_ c: any SQLConnection, _ migration: Migration, _ clock: any WallClock) throws {
        try c.execute(
            "INSERT INTO \(migration.compatibility == .breaking ? needed : expansions) (number, name, applied_at) VALUES ($1, $2, $3)",
            [.int(Int64(migration.number)), .text(migration.name), .int(clock.nowMilliseconds())])
    }

    /// Tries again what lost against those who use the tables meanwhile.
    private static func patiently(_ c: any SQLConnection, _ step: () throws -> Void) throws {
        for _ in 1..<maximumAttempts {
            do {
                return try step()
            } catch DatabaseError.contended {
                // On a thread of the driver's own, with nothing locked.
                usleep(pauseMicroseconds)
            }
        }
        try step()
    }

    private static let maximumAttempts = 60
    private static let pauseMicroseconds: UInt32 = 500_000

    private static let needed = "schema_migrations"
    private static let expansions = "schema_expansions"

    /// First half of the advisory lock's key: "weir" in ASCII. The second is the schema, so that two installations in one
    /// database do not wait for each other.
    private static let lockKey = 0x7765_6972
}
