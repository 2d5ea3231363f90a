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

    @Test("take nothing away from the release before, unless they say so")
    func additive() {
        for migration in Migrations.all where migration.compatibility == .expanding {
            for dialect in [SQLDialect.sqlite, .postgres] {
                for statement in migration.statements(dialect) {
                    for taken in ["DROP TABLE", "DROP COLUMN", "RENAME "] {
                        #expect(!statement.uppercased().contains(taken), "migration \(migration.number): \(taken)")
                    }
                }
            }
        }
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

    @Test("keep what came before a broken one, which leaves nothing", arguments: TestDatabases.all)
    func failing(_ kind: TestDatabase) async throws {
        try await kind.with(migrated: false) { (database) async throws -> Void in
            await #expect(throws: DatabaseError.self) {
                try await MigrationRunner.run(database, migrations: [Self.first, Self.second, Self.broken])
            }
            let left = try await Self.schema(database).filter { $0.hasPrefix("table c ") || $0.hasPrefix("c.id") }
            #expect(left == [])
            let mended = Migration(3, "mended") { _ in ["CREATE TABLE c (id BIGINT)"] }
            #expect(try await MigrationRunner.run(database, migrations: [Self.first, Self.second, mended]) == [3])
        }
    }

    @Test("refuse a binary that would have to know more, and no other", arguments: TestDatabases.all)
    func newer(_ kind: TestDatabase) async throws {
        try await kind.with(migrated: false) { database in
            let expanding = Migration(2, "expanding") { _ in ["ALTER TABLE a ADD COLUMN more BIGINT"] }
            try await MigrationRunner.run(database, migrations: [Self.first, expanding])
            // The release before starts on what its successor has made, and the successor on that again.
            #expect(try await MigrationRunner.run(database, migrations: [Self.first]) == [])
            #expect(try await MigrationRunner.run(database, migrations: [Self.first, expanding]) == [])
            let breaking = Migration(3, "breaking", .breaking) { _ in ["ALTER TABLE a DROP COLUMN more"] }
            try await MigrationRunner.run(database, migrations: [Self.first, expanding, breaking])
            await #expect(throws: DatabaseError.schemaTooNew(found: 3, known: 2)) {
                try await MigrationRunner.run(database, migrations: [Self.first, expanding])
            }
        }
    }

    @Test("build indexes while others write, and anew what was interrupted", arguments: TestDatabases.all)
    func indexes(_ kind: TestDatabase) async throws {
        try await kind.with(migrated: false) { database in
            let tables = Migration(1, "tables") { dialect in
                ["CREATE TABLE plain (id BIGINT, name TEXT)"]
                    + (dialect == .postgres
                        ? [
                            "CREATE TABLE parts (id BIGINT) PARTITION BY RANGE (id)",
                            "CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10)",
                            "CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (10) TO (20)",
                        ] : ["CREATE TABLE parts (id BIGINT)"])
            }
            let wanted = Migration(
                2, "indexes",
                indexes: [
                    OnlineIndex("plain_name", on: "plain", "name, id", where: "name IS NOT NULL", smallTable: 0),
                    OnlineIndex("parts_id", on: "parts", "id", smallTable: 0),
                ])
            try await MigrationRunner.run(database, migrations: [tables])
            if database.dialect == .postgres {
                // What an attempt that died leaves: an index that is not valid, and a parent of which one part is attached.
                try await database.maintain { c in
                    try c.execute("CREATE INDEX plain_name ON plain (name)")
                    try c.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'plain_name'::regclass")
                    try c.execute("CREATE INDEX parts_id ON ONLY parts (id)")
                    try c.execute("CREATE INDEX parts_low_parts_id ON parts_low (id)")
                    try c.execute("ALTER INDEX parts_id ATTACH PARTITION parts_low_parts_id")
                }
            }
            #expect(try await MigrationRunner.run(database, migrations: [tables, wanted]) == [2])
            #expect(try await MigrationRunner.run(database, migrations: [tables, wanted]) == [])
            let schema = try await Self.schema(database)
            let plain = schema.filter { $0.contains("plain_name") && $0.contains("name, id") && $0.contains("WHERE") }
            #expect(plain.count == 1)
            let parts = schema.filter { $0.contains("parts_id") }
            #expect(parts.count == (database.dialect == .postgres ? 3 : 1))
            guard database.dialect == .postgres else { return }
            let invalid = try await database.read { c in
                try c.query("SELECT indexrelid::regclass::text AS name FROM pg_index WHERE NOT indisvalid").map { try $0.text("name") }
            }
            #expect(invalid.filter { $0.contains("plain_name") || $0.contains("parts_id") } == [])
        }
    }

    @Test(
        "let endpoints that are there, and those of the release before, lead into private networks as they did",
        arguments: TestDatabases.all)
    func privateAddresses(_ kind: TestDatabase) async throws {
        try await kind.with(migrated: false) { database in
            func endpoint(_ name: String) async throws {
                try await database.maintain { c in
                    try c.execute(
                        """
                        INSERT INTO endpoints (id, provider_id, name, credential_ids, disabled, connect_ms, first_byte_ms, idle_ms, total_ms,
                            revision, created_at, updated_at)
                        VALUES ($1, 'prov_a', $1, '[]', 0, 0, 0, 0, 0, 1, 0, 0)
                        """, [.text(name)])
                }
            }
            try await MigrationRunner.run(database, migrations: Migrations.all.filter { $0.number < 355 })
            try await endpoint("before")
            try await MigrationRunner.run(database)
            try await endpoint("beside")
            let found = try await database.read { c in
                try c.query("SELECT private_addresses AS p FROM endpoints ORDER BY name").map { try $0.int("p") }
            }
            #expect(found == [1, 1])
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
