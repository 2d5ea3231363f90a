import Glibc
package import Primitives

/// A value that goes into or comes out of SQL. Booleans are 0 and 1, times Unix milliseconds, money nano-dollars.
package enum SQLValue: Sendable, Hashable {
    case null
    case int(Int64)
    case double(Double)
    case text(String)
    case blob([UInt8])

    package static func bool(_ value: Bool) -> SQLValue { .int(value ? 1 : 0) }
    package static func optional(_ value: Int64?) -> SQLValue { value.map { .int($0) } ?? .null }
    package static func optional(_ value: String?) -> SQLValue { value.map { .text($0) } ?? .null }
    package static func optional(_ value: [UInt8]?) -> SQLValue { value.map { .blob($0) } ?? .null }
    package static func optional(_ value: Bool?) -> SQLValue { value.map { .bool($0) } ?? .null }
    package static func optional(_ value: Double?) -> SQLValue { value.map { .double($0) } ?? .null }
}

extension SQLValue: ExpressibleByIntegerLiteral, ExpressibleByStringLiteral, ExpressibleByNilLiteral {
    package init(integerLiteral value: Int64) { self = .int(value) }
    package init(stringLiteral value: String) { self = .text(value) }
    package init(nilLiteral: ()) { self = .null }
}

/// One row of an answer. Reading a column that is absent, NULL (unless `optional…`) or of another type throws
/// `DatabaseError.unexpectedValue`: it is a fault of our SQL, never of a caller's input.
package struct SQLRow: Sendable {
    /// Names of the columns, shared by the rows of one answer.
    package final class Columns: Sendable {
        package let names: [String]
        let indices: [String: Int]

        package init(_ names: [String]) {
            self.names = names
            indices = Dictionary(names.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        }
    }

    package let columns: Columns
    package let values: [SQLValue]

    package init(columns: Columns, values: [SQLValue]) {
        self.columns = columns
        self.values = values
    }

    package func value(_ column: String) throws -> SQLValue {
        guard let index = columns.indices[column], values.indices.contains(index) else {
            throw DatabaseError.unexpectedValue("no column \(column) in the answer")
        }
        return values[index]
    }

    package func int(_ column: String) throws -> Int64 { try required(column, optionalInt(column)) }
    package func text(_ column: String) throws -> String { try required(column, optionalText(column)) }
    package func blob(_ column: String) throws -> [UInt8] { try required(column, optionalBlob(column)) }
    package func double(_ column: String) throws -> Double { try required(column, optionalDouble(column)) }
    package func bool(_ column: String) throws -> Bool { try int(column) != 0 }
    package func optionalBool(_ column: String) throws -> Bool? { try optionalInt(column).map { $0 != 0 } }

    package func optionalInt(_ column: String) throws -> Int64? {
        switch try value(column) {
        case .null: nil
        case .int(let value): value
        default: throw mismatch(column, "an integer of 64 bits")
        }
    }

    package func optionalText(_ column: String) throws -> String? {
        switch try value(column) {
        case .null: nil
        case .text(let value): value
        default: throw mismatch(column, "text")
        }
    }

    package func optionalBlob(_ column: String) throws -> [UInt8]? {
        switch try value(column) {
        case .null: nil
        case .blob(let value): value
        default: throw mismatch(column, "bytes")
        }
    }

    package func optionalDouble(_ column: String) throws -> Double? {
        switch try value(column) {
        case .null: nil
        case .double(let value): value
        case .int(let value): Double(value)
        default: throw mismatch(column, "a number")
        }
    }

    private func required<T>(_ column: String, _ value: T?) throws -> T {
        guard let value else { throw DatabaseError.unexpectedValue("column \(column) is NULL") }
        return value
    }

    private func mismatch(_ column: String, _ expected: String) -> DatabaseError {
        .unexpectedValue("column \(column) does not hold \(expected)")
    }
}

/// A connection inside `Database.read` or `Database.transaction`. Synchronous, used on the thread that the closure runs on, and
/// never kept beyond the closure.
///
/// After a statement failed, Postgres refuses everything else in the transaction: let the error out of the closure, or wrap the
/// statement whose failure is expected in `savepoint`.
package protocol SQLConnection {
    var dialect: SQLDialect { get }
    /// Whose rows the transaction may touch: what its queries filter by.
    var scope: TenantScope { get }

    /// Rows of a SELECT or of a `… RETURNING`. Placeholders are `$1`, `$2`, …
    func query(_ sql: String, _ arguments: [SQLValue]) throws -> [SQLRow]

    /// Runs one statement and answers how many rows it inserted, changed or deleted.
    @discardableResult
    func execute(_ sql: String, _ arguments: [SQLValue]) throws -> Int

    /// Inserts all rows: COPY on Postgres, one prepared statement on SQLite. Integers go into BIGINT columns only.
    func insertMany(into table: String, columns: [String], rows: some Collection<[SQLValue]>) throws

    /// The same with those of the packed rows that stand at these places; a table without row-level security.
    func insertMany(into table: String, _ rows: PackedRows, at places: some Collection<Int>) throws

    /// Runs one statement once for each list of arguments.
    func executeEach(_ sql: String, _ arguments: some Collection<[SQLValue]>) throws

    /// Runs `body` as the owner of the schema: for tables that are made at work, such as partitions.
    func asOwner<R>(_ body: () throws -> R) throws -> R
}

extension SQLConnection {
    package func executeEach(_ sql: String, _ arguments: some Collection<[SQLValue]>) throws {
        for arguments in arguments { try execute(sql, arguments) }
    }

    package func asOwner<R>(_ body: () throws -> R) throws -> R { try body() }

    package func query(_ sql: String) throws -> [SQLRow] { try query(sql, []) }

    @discardableResult
    package func execute(_ sql: String) throws -> Int { try execute(sql, []) }

    /// The only row, or nil; further rows are ignored (write `LIMIT 1`).
    package func first(_ sql: String, _ arguments: [SQLValue] = []) throws -> SQLRow? { try query(sql, arguments).first }

    /// Runs `body` so that its failure undoes only what it did and leaves the transaction usable.
    package func savepoint<R>(_ body: () throws -> R) throws -> R {
        try execute("SAVEPOINT weir_savepoint")
        do {
            let result = try body()
            try execute("RELEASE SAVEPOINT weir_savepoint")
            return result
        } catch {
            try execute("ROLLBACK TO SAVEPOINT weir_savepoint")
            try execute("RELEASE SAVEPOINT weir_savepoint")
            throw error
        }
    }
}

/// What a transaction on Postgres may see of others. SQLite runs one writing transaction at a time and is always serializable.
package enum TransactionIsolation: Sendable {
    /// As if transactions ran one after the other: the same code is right on both databases. The price is a retry now and then,
    /// so the closure must be free of side effects outside the database.
    case serializable
    /// For code that locks the rows it decides on (`dialect.forUpdate`, `pg_advisory_xact_lock`) and runs often or long.
    case readCommitted
}

/// A database of the control plane. Its methods run the closure on a thread of the driver's own; it may run more than once.
package protocol Database: Sendable {
    var dialect: SQLDialect { get }

    /// A consistent view; writes are refused.
    /// - Throws: `DatabaseError`, or what the closure throws.
    /// - Parameter scope: Whose rows it may see.
    func read<R: Sendable>(as scope: TenantScope, _ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R

    /// All of the closure's writes or, when it throws, none. Retried on serialization failure and deadlock.
    /// - Throws: `DatabaseError`, or what the closure throws.
    /// - Parameter scope: Whose rows it may see and write.
    func transaction<R: Sendable>(
        as scope: TenantScope, isolation: TransactionIsolation, _ body: @escaping @Sendable (any SQLConnection) throws -> R
    ) async throws -> R

    /// A transaction as the owner of the schema, of isolation `readCommitted`: for migrations.
    func maintain<R: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R

    /// From now on everything but `maintain` runs as the role that row-level security holds for, where there is one.
    func confine() async throws

    /// A consistent view for a question that may take long. It runs on connections of its own, of which there are few, and no longer than
    /// `DatabaseOptions.reportTimeoutMilliseconds`: nothing else waits for it.
    /// - Throws: also `DatabaseError.timedOut`, and `.overloaded` when too many reports wait already.
    func report<R: Sendable>(as scope: TenantScope, _ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R

    /// One connection outside of any transaction, for what a transaction cannot hold; each statement commits by itself. For migrations.
    /// - Throws: `DatabaseError`, or what the closure throws.
    func session<R: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R

    /// Waits for running closures and closes; whatever is asked for afterwards throws `DatabaseError.closed`.
    func close() async
}

extension Database {
    /// With every tenant's rows.
    package func read<R: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        try await read(as: .all, body)
    }

    package func report<R: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        try await report(as: .all, body)
    }

    package func transaction<R: Sendable>(
        isolation: TransactionIsolation, _ body: @escaping @Sendable (any SQLConnection) throws -> R
    ) async throws -> R {
        try await transaction(as: .all, isolation: isolation, body)
    }

    package func maintain<R: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        try await transaction(isolation: .readCommitted, body)
    }

    package func confine() async throws {}

    /// A serializable transaction.
    package func transaction<R: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        try await transaction(isolation: .serializable, body)
    }

    /// Whether the database answers: for readiness checks.
    /// - Throws: `DatabaseError.unavailable` with what an operator should know.
    package func ping() async throws {
        _ = try await read { try $0.query("SELECT 1 AS one", []).count }
    }
}

/// What went wrong in the database. Texts are for the log: they name tables and constraints, never values or passwords.
package enum DatabaseError: Error, Hashable, Sendable, CustomStringConvertible {
    /// `constraint` is Postgres's constraint or index name, SQLite's "table.column, table.column": for hints, not for decisions
    /// finer than "does it mention this column".
    case uniqueViolation(constraint: String)
    case foreignKeyViolation(constraint: String)
    /// NOT NULL or CHECK.
    case constraintViolation(constraint: String)
    /// Retries of a transaction ran out: serialization failures, deadlocks, or SQLite locked by another process.
    case contended(String)
    /// The server is not reachable, the disk is full, the connection broke. A transaction that was being committed may have been.
    case unavailable(String)
    /// The statement timeout of the configuration passed.
    case timedOut(String)
    /// Too many reports wait already.
    case overloaded(String)
    case closed
    /// The address of the database cannot be used; the text says why without repeating it.
    case invalidAddress(String)
    /// The schema carries migrations that this binary does not know.
    case schemaTooNew(found: Int, known: Int)
    /// A text with a zero byte, which Postgres cannot store, or a value of hundreds of megabytes.
    case invalidValue(String)
    /// An answer does not have the column or type our code expects.
    case unexpectedValue(String)
    /// Anything else: a fault of our SQL or an uncommon state of the server. `code` is the SQLSTATE or SQLite's result code.
    case statement(code: String, message: String)

    /// Whether the same call may succeed later without anything being changed.
    package var isTransient: Bool {
        switch self {
        case .contended, .unavailable, .timedOut, .overloaded: true
        default: false
        }
    }

    package var description: String {
        switch self {
        case .uniqueViolation(let constraint): "unique constraint \(constraint) violated"
        case .foreignKeyViolation(let constraint): "foreign key \(constraint) violated"
        case .constraintViolation(let constraint): "constraint \(constraint) violated"
        case .contended(let detail): "the transaction kept colliding with others: \(detail)"
        case .unavailable(let detail): "the database is unavailable: \(detail)"
        case .timedOut(let detail): "the database took too long: \(detail)"
        case .overloaded(let detail): "the database is asked for too many reports: \(detail)"
        case .closed: "the database has been closed"
        case .invalidAddress(let detail): "invalid database address: \(detail)"
        case .schemaTooNew(let found, let known):
            "the database has migration \(found), this binary knows up to \(known): start a newer weir-control, or restore a backup"
        case .invalidValue(let detail): "a value cannot be stored: \(detail)"
        case .unexpectedValue(let detail): "unexpected answer of the database: \(detail)"
        case .statement(let code, let message): "statement failed (\(code)): \(message)"
        }
    }
}

extension SQLValue {
    /// Refuses what one of the two databases could not hold, on both.
    func checkStorable() throws {
        let length: Int
        switch self {
        case .text(var text):
            length = text.utf8.count
            let holdsZero = text.withUTF8 { utf8 in utf8.baseAddress.map { memchr($0, 0, utf8.count) != nil } ?? false }
            if holdsZero { throw DatabaseError.invalidValue("a text holds a zero byte") }
        case .blob(let bytes):
            length = bytes.count
        default:
            return
        }
        if length > Self.maximumLength { throw DatabaseError.invalidValue("it has \(length) bytes, more than \(Self.maximumLength)") }
    }

    /// Bytes. Far below the gigabyte at which both databases give up, far above anything we store.
    private static let maximumLength = 256 << 20
}
