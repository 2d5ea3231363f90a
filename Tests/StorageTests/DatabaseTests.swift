import Primitives
import Storage
import Testing

/// What both databases promise alike.
@Suite("A database")
struct DatabaseTests {
    static let table =
        "CREATE TABLE things (id BIGINT PRIMARY KEY, name TEXT UNIQUE, data BLOB, ratio DOUBLE PRECISION, CHECK (id <> 666))"

    static func withThings(_ kind: TestDatabase, _ body: (any Database) async throws -> Void) async throws {
        try await kind.with(migrated: false) { database in
            try await database.transaction { _ = try $0.execute(table) }
            try await body(database)
        }
    }

    @Test("gives back every value as it was stored", arguments: TestDatabases.all)
    func roundTrip(_ kind: TestDatabase) async throws {
        try await Self.withThings(kind) { database in
            let rows: [[SQLValue]] = [
                [.int(.max), .text("naïve 日本語 🦉 'quoted' $1 \\ \t\n\""), .blob([0, 1, 0, 255, 0]), .double(0.1)],
                [.int(.min), .text(""), .blob([]), .double(-1e300)],
                [.int(0), .null, .null, .null],
                [.int(-1), .text("\\N"), .blob(Array(repeating: 0, count: 100_000)), .double(.infinity)],
                [.int(7), .text(String(repeating: "é", count: 50_000)), .blob([UInt8](0...255)), .double(-0.5)],
            ]
            for copy in [false, true] {
                try await database.transaction { c in
                    try c.execute("DELETE FROM things")
                    let columns = ["id", "name", "data", "ratio"]
                    if copy {
                        try c.insertMany(into: "things", columns: columns, rows: rows)
                    } else {
                        for row in rows {
                            #expect(try c.execute("INSERT INTO things (id, name, data, ratio) VALUES ($1, $2, $3, $4)", row) == 1)
                        }
                    }
                }
                let stored = try await database.read { c in
                    try c.query("SELECT id, name, data, ratio FROM things", []).map(\.values)
                }
                #expect(Set(stored) == Set(rows))
            }
        }
    }

    @Test("reads typed columns and refuses to read another type", arguments: TestDatabases.all)
    func typedColumns(_ kind: TestDatabase) async throws {
        try await Self.withThings(kind) { database in
            let row = try await database.transaction { c in
                try c.query("INSERT INTO things (id, name) VALUES ($1, $2) RETURNING id, name, data, id AS flag", [1, "a"])
            }.first
            let found = try #require(row)
            #expect(try found.int("id") == 1)
            #expect(try found.text("name") == "a")
            #expect(try found.bool("flag"))
            #expect(try found.optionalBlob("data") == nil)
            #expect(throws: DatabaseError.self) { try found.blob("data") }
            #expect(throws: DatabaseError.self) { try found.text("id") }
            #expect(throws: DatabaseError.self) { try found.int("absent") }
        }
    }

    @Test("sums 64-bit integers exactly and says so when a sum has no room", arguments: TestDatabases.all)
    func sums(_ kind: TestDatabase) async throws {
        try await Self.withThings(kind) { database in
            try await database.transaction { c in
                try c.insertMany(into: "things", columns: ["id"], rows: [[.int(.max - 100)], [.int(99)], [.int(-5)]])
            }
            let sum = try await database.read { try $0.first("SELECT SUM(id) AS s, COUNT(*) AS n, AVG(id) > 1.5 AS large FROM things") }
            #expect(try sum?.int("s") == .max - 6)
            #expect(try sum?.int("n") == 3)
            #expect(try sum?.bool("large") == true)
            let fraction = try await database.read { c in
                try c.first("SELECT 0.25 * 3 AS f, -12345678.5 * 1 AS g, SUM(id) AS none FROM things WHERE id = 3")
            }
            #expect(try fraction?.double("f") == 0.75)
            #expect(try fraction?.double("g") == -12_345_678.5)
            #expect(try fraction?.optionalInt("none") == nil)
            await #expect(throws: DatabaseError.self) {
                try await database.transaction { c in
                    try c.insertMany(into: "things", columns: ["id"], rows: [[.int(.max)]])
                    return try c.first("SELECT SUM(id) AS s FROM things")?.int("s")
                }
            }
        }
    }

    @Test("answers how many rows a statement changed", arguments: TestDatabases.all)
    func changes(_ kind: TestDatabase) async throws {
        try await Self.withThings(kind) { database in
            try await database.transaction { c in
                try c.insertMany(into: "things", columns: ["id"], rows: [[1], [2], [3]])
                #expect(try c.execute("UPDATE things SET name = $1 WHERE id = $2", ["x", 1]) == 1)
                #expect(try c.execute("UPDATE things SET ratio = $1", [.double(1)]) == 3)
                #expect(try c.execute("CREATE TABLE others (id BIGINT)") == 0)
                #expect(try c.execute("DELETE FROM things WHERE id = $1", [9]) == 0)
                #expect(try c.execute("DELETE FROM things WHERE id > $1", [1]) == 2)
            }
        }
    }

    @Test("undoes everything when the closure throws", arguments: TestDatabases.all)
    func rollback(_ kind: TestDatabase) async throws {
        struct Stop: Error {}
        try await Self.withThings(kind) { database in
            await #expect(throws: Stop.self) {
                try await database.transaction { c in
                    try c.execute("INSERT INTO things (id) VALUES ($1)", [1])
                    throw Stop()
                }
            }
            #expect(try await database.read { try $0.query("SELECT id FROM things").count } == 0)
            // And the connection is as good as new.
            try await database.transaction { _ = try $0.execute("INSERT INTO things (id) VALUES ($1)", [1]) }
        }
    }

    @Test("undoes only the savepoint when its closure throws", arguments: TestDatabases.all)
    func savepoint(_ kind: TestDatabase) async throws {
        try await Self.withThings(kind) { database in
            try await database.transaction { c in
                try c.execute("INSERT INTO things (id) VALUES ($1)", [1])
                do {
                    try c.savepoint {
                        try c.execute("INSERT INTO things (id) VALUES ($1)", [2])
                        try c.execute("INSERT INTO things (id) VALUES ($1)", [1])
                    }
                    Issue.record("the second insertion did not fail")
                } catch DatabaseError.uniqueViolation {}
                try c.savepoint { _ = try c.execute("INSERT INTO things (id) VALUES ($1)", [3]) }
            }
            #expect(try await database.read { try $0.query("SELECT id FROM things ORDER BY id").map { try $0.int("id") } } == [1, 3])
        }
    }

    @Test("refuses writes in a read", arguments: TestDatabases.all)
    func readOnly(_ kind: TestDatabase) async throws {
        try await Self.withThings(kind) { database in
            await #expect(throws: DatabaseError.self) {
                try await database.read { try $0.execute("INSERT INTO things (id) VALUES ($1)", [1]) }
            }
        }
    }

    @Test("names what was violated", arguments: TestDatabases.all)
    func violations(_ kind: TestDatabase) async throws {
        try await Self.withThings(kind) { database in
            try await database.transaction { c in
                try c.execute("CREATE TABLE parts (id BIGINT PRIMARY KEY, thing_id BIGINT NOT NULL REFERENCES things (id))")
                try c.execute("INSERT INTO things (id, name) VALUES ($1, $2)", [1, "one"])
            }
            func failure(_ sql: String, _ arguments: [SQLValue]) async throws -> DatabaseError? {
                do {
                    _ = try await database.transaction { try $0.execute(sql, arguments) }
                    return nil
                } catch let error as DatabaseError {
                    return error
                }
            }
            guard case .uniqueViolation(let name) = try await failure("INSERT INTO things (id, name) VALUES ($1, $2)", [2, "one"]) else {
                Issue.record("no unique violation")
                return
            }
            #expect(name.contains("things") && name.contains("name"))
            guard case .uniqueViolation = try await failure("INSERT INTO things (id) VALUES ($1)", [1]) else {
                Issue.record("no violation of the primary key")
                return
            }
            guard case .foreignKeyViolation = try await failure("INSERT INTO parts (id, thing_id) VALUES ($1, $2)", [1, 99]) else {
                Issue.record("no foreign key violation")
                return
            }
            guard case .constraintViolation = try await failure("INSERT INTO parts (id, thing_id) VALUES ($1, $2)", [1, .null]) else {
                Issue.record("no violation of NOT NULL")
                return
            }
            guard case .constraintViolation = try await failure("INSERT INTO things (id) VALUES ($1)", [666]) else {
                Issue.record("no violation of CHECK")
                return
            }
            guard case .invalidValue = try await failure("INSERT INTO things (id, name) VALUES ($1, $2)", [3, "a\0b"]) else {
                Issue.record("a zero byte in a text was accepted")
                return
            }
            guard case .statement = try await failure("INSERT INTO things (id, ratio) VALUES ($1, $2)", [3]) else {
                Issue.record("one argument for two places was accepted")
                return
            }
            guard case .statement = try await failure("INSERT INTO nothing (id) VALUES ($1)", [3]) else {
                Issue.record("no failing statement")
                return
            }
            guard case .uniqueViolation = try await copyFailure(database) else {
                Issue.record("no violation in insertMany")
                return
            }
        }
    }

    private func copyFailure(_ database: any Database) async throws -> DatabaseError? {
        do {
            try await database.transaction { try $0.insertMany(into: "things", columns: ["id"], rows: [[50], [1]]) }
            return nil
        } catch let error as DatabaseError {
            #expect(try await database.read { try $0.query("SELECT id FROM things WHERE id = 50").isEmpty })
            return error
        }
    }

    @Test("lets concurrent read-modify-write transactions lose nothing", arguments: TestDatabases.all)
    func concurrentIncrements(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            try await database.transaction { _ = try $0.execute("INSERT INTO counters (name, value) VALUES ($1, $2)", ["n", 0]) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<60 {
                    group.addTask {
                        try await database.transaction { c in
                            let value = try c.first("SELECT value FROM counters WHERE name = $1", ["n"])?.int("value") ?? -1
                            try c.execute("UPDATE counters SET value = $1 WHERE name = $2", [.int(value + 1), "n"])
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await database.read { try CountersTable.current($0, "n") } == 60)
        }
    }

    @Test("numbers what concurrent transactions do without gap or repetition", arguments: TestDatabases.all)
    func counters(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let taken = try await withThrowingTaskGroup(of: Int64.self) { group in
                for _ in 0..<40 { group.addTask { try await database.transaction { try CountersTable.next($0, "directory") } } }
                return try await group.reduce(into: Set<Int64>()) { $0.insert($1) }
            }
            #expect(taken == Set(1...40))
            try await database.transaction { try CountersTable.raise($0, "directory", to: 7) }
            #expect(try await database.read { try CountersTable.current($0, "directory") } == 40)
            try await database.transaction { try CountersTable.raise($0, "directory", to: 70) }
            #expect(try await database.read { try CountersTable.all($0) } == ["directory": 70])
        }
    }

    @Test("runs nothing after it was closed", arguments: TestDatabases.all)
    func closed(_ kind: TestDatabase) async throws {
        try await kind.withURL { url in
            let database = try await DatabaseFactory.open(url: url)
            try await database.ping()
            await database.close()
            await database.close()
            await #expect(throws: DatabaseError.closed) { try await database.ping() }
            await #expect(throws: DatabaseError.closed) { try await database.transaction { try $0.execute("SELECT 1") } }
        }
    }

    @Test("keeps what was committed when it is opened again", arguments: TestDatabases.all)
    func reopened(_ kind: TestDatabase) async throws {
        try await kind.withURL { url in
            for round in 1...3 {
                let database = try await DatabaseFactory.open(url: url)
                try await MigrationRunner.run(database)
                #expect(try await database.transaction { try CountersTable.next($0, "config") } == Int64(round))
                await database.close()
            }
        }
    }

    @Test(
        "says what is wrong with an address without repeating it",
        arguments: [
            "mysql://u:qxqvzv@h/d", "sqlite://relative.db", "sqlite:/x", "sqlite:///folder/", "postgresql://u:qxq@vzv@h/d",
            "postgresql://u:qxq/vzv@h/d", "postgresql://u:qxqvzv@h:port:1/d?x=y", "postgresql://u:qxqvzv@h/d?unknown=qxqvzv", "",
        ])
    func badAddress(_ url: String) async throws {
        do {
            _ = try await DatabaseFactory.open(url: url)
            Issue.record("opened")
        } catch DatabaseError.invalidAddress(let text) {
            #expect(!text.contains("qxq") && !text.contains("vzv"))
        } catch DatabaseError.unavailable(let text) {
            #expect(!text.contains("qxq"))
        }
    }
}
