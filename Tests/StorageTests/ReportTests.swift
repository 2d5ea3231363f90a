import Primitives
import Storage
import Synchronization
import Testing

/// What may take long and what must not wait for it.
@Suite("A report", .timeLimit(.minutes(10)))
struct ReportTests {
    /// More than anybody waits for; it stops when it is stopped.
    private static let endless = """
        WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000000000000)
        SELECT COUNT(*) AS total FROM numbers
        """

    private static func with(_ kind: TestDatabase, _ options: DatabaseOptions, _ body: (any Database) async throws -> Void) async throws {
        try await kind.withURL { url in
            let database = try await DatabaseFactory.open(url: url, options: options)
            do {
                try await MigrationRunner.run(database)
                try await body(database)
            } catch {
                await database.close()
                throw error
            }
            await database.close()
        }
    }

    @Test("that takes too long is stopped, and its connection is good for the next one", arguments: TestDatabases.all)
    func stopped(_ kind: TestDatabase) async throws {
        try await Self.with(kind, DatabaseOptions(reportConnections: 1, reportTimeoutMilliseconds: 100)) { database in
            for _ in 0..<2 {
                await #expect {
                    try await database.report { try $0.query(Self.endless).count }
                } throws: { error in
                    if case DatabaseError.timedOut = error { true } else { false }
                }
            }
            let seven = try await database.report { try $0.first("SELECT 7 AS seven")?.int("seven") }
            #expect(seven == 7)
        }
    }

    @Test("sees what was committed, and cannot write", arguments: TestDatabases.all)
    func reads(_ kind: TestDatabase) async throws {
        try await Self.with(kind, DatabaseOptions()) { (database) async throws -> Void in
            _ = try await database.transaction { try CountersTable.next($0, "seen") }
            #expect(try await database.report { try CountersTable.current($0, "seen") } == 1)
            _ = try await database.transaction { try CountersTable.next($0, "seen") }
            #expect(try await database.report { try CountersTable.current($0, "seen") } == 2)
            await #expect(throws: DatabaseError.self) { try await database.report { try CountersTable.next($0, "seen") } }
        }
    }

    @Test("keeps nobody else waiting, and too many of them are refused at once", arguments: TestDatabases.all)
    func bounded(_ kind: TestDatabase) async throws {
        let options = DatabaseOptions(
            maximumConnections: 1, reportConnections: 1, reportTimeoutMilliseconds: 60_000, maximumWaitingReports: 2)
        try await Self.with(kind, options) { database in
            let isRunning = LatchedSignal()
            let mayEnd = Flag()
            try await withThrowingTaskGroup(of: Void.self) { group in
                // One that runs until it is told to end, asking its database all the time.
                group.addTask {
                    try await database.report { c in
                        isRunning.raise()
                        let latest = MonotonicClock.nowMicroseconds() + 60_000_000
                        while !mayEnd.isUp, MonotonicClock.nowMicroseconds() < latest { _ = try c.query("SELECT 1 AS one") }
                    }
                }
                await isRunning.wait()
                // Two wait, two more find the queue full; in whatever order they come.
                let outcomes = AsyncStream<Bool>.makeStream()
                for _ in 0..<4 {
                    group.addTask {
                        do {
                            _ = try await database.report { try $0.query("SELECT 1 AS one").count }
                            outcomes.continuation.yield(true)
                        } catch DatabaseError.overloaded {
                            outcomes.continuation.yield(false)
                        }
                    }
                }
                var refused = outcomes.stream.makeAsyncIterator()
                #expect(await refused.next() == false)
                #expect(await refused.next() == false)
                // With one connection for everybody and the report still running.
                try await database.ping()
                #expect(try await database.transaction { try CountersTable.next($0, "others") } == 1)
                mayEnd.raise()
                #expect(await refused.next() == true)
                #expect(await refused.next() == true)
                try await group.waitForAll()
            }
        }
    }

    @Test("is refused once the database is closed", arguments: TestDatabases.all)
    func closed(_ kind: TestDatabase) async throws {
        try await kind.withURL { url in
            let database = try await DatabaseFactory.open(url: url)
            await database.close()
            await #expect(throws: DatabaseError.closed) { try await database.report { try $0.query("SELECT 1 AS one").count } }
        }
    }
}

private final class Flag: Sendable {
    private let up = Atomic<Bool>(false)
    var isUp: Bool { up.load(ordering: .acquiring) }
    func raise() { up.store(true, ordering: .releasing) }
}

/// Raised once, waited for by one.
private final class LatchedSignal: Sendable {
    private let stream: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() { (stream, continuation) = AsyncStream.makeStream() }

    func raise() { continuation.yield() }
    func wait() async { for await _ in stream { return } }
}

/// Statements are kept prepared; that must not be noticed.
@Suite("A statement that is said again")
struct RepeatedStatementTests {
    @Test("answers for its arguments and for the table as it is now", arguments: TestDatabases.all)
    func again(_ kind: TestDatabase) async throws {
        try await kind.with(migrated: false) { database in
            try await database.transaction { _ = try $0.execute("CREATE TABLE things (id BIGINT PRIMARY KEY, name TEXT)") }
            for id in 1...5 {
                try await database.transaction { c in
                    try c.execute(
                        "INSERT INTO things (id, name) VALUES ($1, $2)", [.int(Int64(id)), id % 2 == 0 ? .null : .text("n\(id)")])
                    let rows = try c.query("SELECT name FROM things WHERE id <= $1 ORDER BY id", [.int(Int64(id))])
                    let names = try rows.map { try $0.optionalText("name") }
                    let expected: [String?] = (1...id).map { $0 % 2 == 0 ? nil : "n\($0)" }
                    #expect(names == expected)
                }
            }
            // Another release changes what a kept statement answers with.
            let all = "SELECT * FROM things WHERE id = $1"
            @Sendable func columns(_ c: any SQLConnection) throws -> [String] { try c.query(all, [1]).first?.columns.names ?? [] }
            #expect(try await database.transaction(columns) == ["id", "name"])
            #expect(try await database.read(columns) == ["id", "name"])
            try await database.transaction { _ = try $0.execute("ALTER TABLE things ADD COLUMN more BIGINT") }
            #expect(try await database.transaction(columns) == ["id", "name", "more"])
            // A reader of SQLite learns of the change at its first step: named columns, which are all that we ask for, are there at once.
            let rows = try await database.read { try $0.query("SELECT id, more FROM things WHERE id = $1", [1]).map(\.values) }
            #expect(rows == [[.int(1), .null]])
            try await database.transaction { c in
                try c.execute("DROP TABLE things")
                try c.execute("CREATE TABLE things (name TEXT, id BIGINT)")
                try c.execute("INSERT INTO things (id, name) VALUES ($1, $2)", [1, "again"])
            }
            let name = try await database.transaction { try $0.query(all, [1]).first?.text("name") }
            #expect(name == "again")
        }
    }

    @Test("fails as the first time and leaves nothing behind", arguments: TestDatabases.all)
    func failing(_ kind: TestDatabase) async throws {
        try await kind.with(migrated: false) { (database) async throws -> Void in
            try await database.transaction { _ = try $0.execute("CREATE TABLE things (id BIGINT PRIMARY KEY)") }
            let insert = "INSERT INTO things (id) VALUES ($1)"
            try await database.transaction { _ = try $0.execute(insert, [1]) }
            for _ in 0..<3 {
                await #expect(throws: DatabaseError.self) { try await database.transaction { try $0.execute(insert, [1]) } }
            }
            #expect(try await database.transaction { try $0.execute(insert, [2]) } == 1)
            await #expect(throws: DatabaseError.self) { try await database.transaction { try $0.execute(insert, []) } }
            let kept = try await database.read { try $0.query("SELECT id FROM things ORDER BY id").map { try $0.int("id") } }
            #expect(kept == [1, 2])
        }
    }

    @Test("may have more texts and lengths than are kept", arguments: TestDatabases.all)
    func many(_ kind: TestDatabase) async throws {
        try await kind.with(migrated: false) { database in
            let sums = try await database.read { c in
                try (1...1500).map { count in
                    let sql = "SELECT \((1...(count % 40 + 1)).map { "$\($0)" }.joined(separator: " + ")) + \(count) AS total"
                    let arguments = [SQLValue](repeating: 1, count: count % 40 + 1)
                    return try c.first(sql, arguments)?.int("total")
                }
            }
            let expected: [Int64?] = (1...1500).map { count in Int64(count % 40) + 1 + Int64(count) }
            #expect(sums == expected)
        }
    }
}
