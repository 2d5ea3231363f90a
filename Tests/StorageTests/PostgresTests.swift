import Storage
import Testing

/// What only a server can do to us. Skipped without `WEIR_TEST_POSTGRES`.
@Suite("Postgres", .enabled(if: TestDatabases.postgresURI != nil))
struct PostgresTests {
    static func withDatabase(_ options: DatabaseOptions = DatabaseOptions(), _ body: (any Database) async throws -> Void) async throws {
        for kind in TestDatabases.all where kind.name == "postgres" {
            try await kind.withURL { url in
                let database = try await DatabaseFactory.open(url: url, options: options)
                do {
                    try await MigrationRunner.run(database)
                    try await body(database)
                    await database.close()
                } catch {
                    await database.close()
                    throw error
                }
            }
        }
    }

    static func backend(_ database: any Database) async throws -> Int64 {
        try await database.read { try $0.first("SELECT pg_backend_pid() AS pid")?.int("pid") ?? 0 }
    }

    @Test("connections that died while idle are replaced unnoticed")
    func idleConnectionLost() async throws {
        try await Self.withDatabase(DatabaseOptions(maximumConnections: 1)) { database in
            try await Self.withDatabase(DatabaseOptions(maximumConnections: 1)) { killer in
                let before = try await Self.backend(database)
                _ = try await killer.maintain { try $0.query("SELECT pg_terminate_backend($1::int4, 5000)", [.text(String(before))]) }
                #expect(try await Self.backend(database) != before)
                #expect(try await database.transaction { try CountersTable.next($0, "x") } == 1)
            }
        }
    }

    @Test("a connection that dies inside a transaction fails it, undone, and the next one works")
    func connectionLostInside() async throws {
        try await Self.withDatabase { (database) async throws -> Void in
            await #expect {
                try await database.maintain { c in
                    _ = try CountersTable.next(c, "x")
                    _ = try c.query("SELECT pg_terminate_backend(pg_backend_pid())")
                    _ = try CountersTable.next(c, "x")
                }
            } throws: { error in
                if case DatabaseError.unavailable = error { true } else { false }
            }
            #expect(try await database.read { try CountersTable.current($0, "x") } == 0)
            #expect(try await database.transaction { try CountersTable.next($0, "x") } == 1)
        }
    }

    @Test("a statement that takes too long is cancelled")
    func statementTimeout() async throws {
        try await Self.withDatabase(DatabaseOptions(maximumConnections: 1, statementTimeoutMilliseconds: 50)) { database in
            await #expect {
                try await database.read { try $0.query("SELECT pg_sleep(30)") }
            } throws: { error in
                if case DatabaseError.timedOut = error { true } else { false }
            }
            try await database.ping()
        }
    }

    @Test("a transaction whose failed statement was ignored does not pretend to be committed")
    func swallowedFailure() async throws {
        try await Self.withDatabase { (database) async throws -> Void in
            await #expect(throws: DatabaseError.self) {
                try await database.transaction { c in
                    _ = try CountersTable.next(c, "x")
                    _ = try? c.execute("SELECT broken")
                }
            }
            #expect(try await database.read { try CountersTable.current($0, "x") } == 0)
        }
    }

    @Test("transactions that lock each other's rows in turn are retried until both are done")
    func deadlock() async throws {
        try await Self.withDatabase { database in
            try await database.transaction { c in
                _ = try CountersTable.next(c, "a")
                _ = try CountersTable.next(c, "b")
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<6 {
                    group.addTask {
                        try await database.transaction(isolation: index % 3 == 0 ? .serializable : .readCommitted) { c in
                            _ = try CountersTable.next(c, index % 2 == 0 ? "a" : "b")
                            _ = try CountersTable.next(c, index % 2 == 0 ? "b" : "a")
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await database.read { try CountersTable.all($0) } == ["a": 7, "b": 7])
        }
    }

    @Test("more callers than connections wait their turn")
    func queueing() async throws {
        try await Self.withDatabase(DatabaseOptions(maximumConnections: 2)) { database in
            let total = try await withThrowingTaskGroup(of: Int64.self) { group in
                for index in 0..<Int64(200) {
                    group.addTask { try await database.read { try $0.first("SELECT $1 AS v", [.int(index)])?.int("v") ?? 0 } }
                }
                return try await group.reduce(0, +)
            }
            #expect(total == 199 * 100)
        }
    }

    @Test("a server that is not there is reported without the password")
    func unreachable() async throws {
        do {
            _ = try await DatabaseFactory.open(url: "postgresql://someone:sesame@127.0.0.1:1/weir")
            Issue.record("opened")
        } catch DatabaseError.unavailable(let text) {
            #expect(text.contains("someone@127.0.0.1:1/weir"))
            #expect(!text.contains("sesame"))
        }
    }

    @Test("a type that is not read is named")
    func unknownType() async throws {
        try await Self.withDatabase { database in
            await #expect(throws: DatabaseError.self) { try await database.read { try $0.query("SELECT now() AS at") } }
        }
    }
}
