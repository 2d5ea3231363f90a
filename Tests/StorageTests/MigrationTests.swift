import Storage
import Testing

@Suite("Migrations")
struct MigrationTests {
    static let first = Migration(number: 1, name: "first") { _ in ["CREATE TABLE a (id BIGINT PRIMARY KEY, data BLOB)"] }
    static let second = Migration(number: 2, name: "second") { _ in ["CREATE TABLE b (id BIGINT)", "CREATE INDEX b_id ON b (id)"] }
    static let broken = Migration(number: 3, name: "broken") { _ in ["CREATE TABLE c (id BIGINT)", "CREATE TABLE c (id BIGINT)"] }

    @Test("have distinct numbers and names, in order")
    func list() {
        let numbers = Migrations.all.map(\.number)
        #expect(numbers == numbers.sorted())
        #expect(Set(numbers).count == numbers.count)
        #expect(Set(Migrations.all.map(\.name)).count == numbers.count)
    }

    @Test("give the same schema when they are replayed", arguments: TestDatabases.all)
    func replay(_ kind: TestDatabase) async throws {
        try await kind.with(migrated: false) { database in
            #expect(try await MigrationRunner.run(database) == Migrations.all.map(\.number))
            let schema = try await Self.schema(database)
            #expect(schema.count > 2)
            #expect(try await MigrationRunner.run(database) == [])
            #expect(try await Self.schema(database) == schema)
            let replayed = try await kind.with { try await Self.schema($0) }
            #expect(replayed == schema)
        }
    }

    @Test("apply what is missing only", arguments: TestDatabases.all)
    func stepwise(_ kind: TestDatabase) async throws {
        try await kind.with(migrated: false) { (database) async throws -> Void in
            #expect(try await MigrationRunner.run(database, migrations: [Self.second]) == [2])
            #expect(try await MigrationRunner.run(database, migrations: [Self.second, Self.first]) == [1])
        }
    }

    @Test("apply all of them or none", arguments: TestDatabases.all)
    func failing(_ kind: TestDatabase) async throws {
        try await kind.with(migrated: false) { (database) async throws -> Void in
            await #expect(throws: DatabaseError.self) {
                try await MigrationRunner.run(database, migrations: [Self.first, Self.second, Self.broken])
            }
            #expect(try await MigrationRunner.run(database, migrations: [Self.first, Self.second]) == [1, 2])
        }
    }

    @Test("refuse a database that is newer than the binary", arguments: TestDatabases.all)
    func newer(_ kind: TestDatabase) async throws {
        try await kind.with(migrated: false) { database in
            try await MigrationRunner.run(database, migrations: [Self.first, Self.second])
            await #expect(throws: DatabaseError.schemaTooNew(found: 2, known: 1)) {
                try await MigrationRunner.run(database, migrations: [Self.first])
            }
        }
    }

    @Test("run once when several replicas start together", arguments: TestDatabases.all)
    func together(_ kind: TestDatabase) async throws {
        try await kind.with(migrated: false) { database in
            let applied = try await withThrowingTaskGroup(of: [Int].self) { group in
                for _ in 0..<6 { group.addTask { try await MigrationRunner.run(database) } }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(applied == Migrations.all.map(\.number))
        }
    }

    /// Every table, column and index, as text.
    static func schema(_ database: any Database) async throws -> [String] {
        try await database.read { c in
            let sql =
                switch c.dialect {
                case .sqlite: "SELECT type || ' ' || name || ' ' || COALESCE(sql, '') AS line FROM sqlite_master"
                case .postgres:
                    """
                    SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable AS line
                    FROM information_schema.columns WHERE table_schema = current_schema()
                    UNION ALL
                    SELECT replace(indexdef, current_schema() || '.', '') FROM pg_indexes WHERE schemaname = current_schema()
                    """
                }
            return try c.query(sql, []).map { try $0.text("line") }.sorted()
        }
    }
}
