import GRDB
import GRDBSQLite
import Primitives

/// GRDB's connection as the rest of the control plane sees one.
struct SQLiteConnection: SQLConnection {
    let database: GRDB.Database
    let scope: TenantScope

    var dialect: SQLDialect { .sqlite }

    func query(_ sql: String, _ arguments: [SQLValue]) throws -> [SQLRow] {
        try SQLiteErrors.mapping {
            let statement = try statement(sql, arguments)
            defer { Self.finish(statement) }
            let cursor = try Row.fetchCursor(statement)
            let columns = SQLRow.Columns(statement.columnNames)
            var rows: [SQLRow] = []
            while let row = try cursor.next() {
                rows.append(SQLRow(columns: columns, values: row.databaseValues.map(Self.value)))
            }
            return rows
        }
    }

    @discardableResult
    func execute(_ sql: String, _ arguments: [SQLValue]) throws -> Int {
        try SQLiteErrors.mapping {
            // DDL leaves `changesCount` as the statement before set it.
            let before = database.totalChangesCount
            let statement = try statement(sql, arguments)
            defer { Self.finish(statement) }
            try statement.execute()
            return database.totalChangesCount == before ? 0 : database.changesCount
        }
    }

    func insertMany(into table: String, columns: [String], rows: some Collection<[SQLValue]>) throws {
        guard !rows.isEmpty else { return }
        let names = columns.map(dialect.quoted).joined(separator: ", ")
        let places = columns.indices.map { "?\($0 + 1)" }.joined(separator: ", ")
        try SQLiteErrors.mapping {
            let statement = try database.makeStatement(sql: "INSERT INTO \(dialect.quoted(table)) (\(names)) VALUES (\(places))")
            statement.setUncheckedArguments(StatementArguments())
            for row in rows {
                try Self.bind(row, to: statement.sqliteStatement)
                // Not by way of GRDB, which would look for observers of each row.
                guard sqlite3_step(statement.sqliteStatement) == SQLITE_DONE else { throw lastError }
            }
        }
    }

    /// What is the same in the next row stays bound, and nothing is copied: the bytes outlive the statement's runs.
    func insertMany(into table: String, _ rows: PackedRows, at places: some Collection<Int>) throws {
        guard !places.isEmpty else { return }
        let names = rows.columns.map(dialect.quoted).joined(separator: ", ")
        let values = rows.columns.indices.map { "?\($0 + 1)" }.joined(separator: ", ")
        try SQLiteErrors.mapping {
            let kept = try database.cachedStatement(sql: "INSERT INTO \(dialect.quoted(table)) (\(names)) VALUES (\(values))")
            kept.setUncheckedArguments(StatementArguments())
            defer { Self.finish(kept) }
            let statement = kept.sqliteStatement
            try rows.bytes.withUnsafeBytes { bytes in
                var last: Int?
                for place in places {
                    sqlite3_reset(statement)
                    for column in 0..<rows.width where last.map({ rows[$0, column] != rows[place, column] }) ?? true {
                        let code = Self.bind(rows[place, column], rows.kinds[column], bytes, to: statement, CInt(column + 1))
                        guard code == SQLITE_OK else {
                            throw DatabaseError.statement(code: "\(code)", message: "argument \(column + 1) cannot be bound")
                        }
                    }
                    last = place
                    guard sqlite3_step(statement) == SQLITE_DONE else { throw lastError }
                }
            }
        }
    }

    private static func bind(
        _ slot: Int64, _ kind: PackedRows.Kind, _ bytes: UnsafeRawBufferPointer, to statement: SQLiteStatement, _ place: CInt
    ) -> CInt {
        if slot == PackedRows.null { return sqlite3_bind_null(statement, place) }
        if kind == .int { return sqlite3_bind_int64(statement, place, slot) }
        guard let range = PackedRows.range(slot), range.upperBound <= bytes.count, let start = bytes.baseAddress, !range.isEmpty else {
            return kind == .blob ? sqlite3_bind_zeroblob(statement, place, 0) : sqlite3_bind_text(statement, place, empty, 0, nil)
        }
        let first = start + range.lowerBound
        // Without a destructor: SQLITE_STATIC.
        if kind == .blob { return sqlite3_bind_blob(statement, place, first, CInt(range.count), nil) }
        return sqlite3_bind_text(statement, place, first.assumingMemoryBound(to: CChar.self), CInt(range.count), nil)
    }

    func executeEach(_ sql: String, _ arguments: some Collection<[SQLValue]>) throws {
        guard !arguments.isEmpty else { return }
        try SQLiteErrors.mapping {
            let statement = try database.cachedStatement(sql: dialect.rewrite(sql))
            statement.setUncheckedArguments(StatementArguments())
            defer { Self.finish(statement) }
            for arguments in arguments {
                try Self.bind(arguments, to: statement.sqliteStatement)
                guard sqlite3_step(statement.sqliteStatement) == SQLITE_DONE else { throw lastError }
            }
        }
    }

    private var lastError: GRDB.DatabaseError {
        let connection = database.sqliteConnection
        return GRDB.DatabaseError(
            resultCode: ResultCode(rawValue: sqlite3_extended_errcode(connection)),
            message: sqlite3_errmsg(connection).map { String(cString: $0) })
    }

    /// A statement with its arguments in place: prepared now, or kept from before.
    private func statement(_ sql: String, _ arguments: [SQLValue]) throws -> Statement {
        let text = StatementTexts.of(sql, dialect)
        let statement = try text.number == nil ? database.makeStatement(sql: text.sql) : database.cachedStatement(sql: text.sql)
        // GRDB shall take what is bound as it is.
        statement.setUncheckedArguments(StatementArguments())
        try Self.bind(arguments, to: statement.sqliteStatement)
        return statement
    }

    /// One that is kept must hold neither a lock nor what it was given, which may be large or secret.
    private static func finish(_ statement: Statement) {
        sqlite3_reset(statement.sqliteStatement)
        sqlite3_clear_bindings(statement.sqliteStatement)
    }

    /// Binds without GRDB's `StatementArguments`, which took half of the time of storing a usage record.
    private static func bind(_ values: [SQLValue], to statement: SQLiteStatement) throws {
        let wanted = Int(sqlite3_bind_parameter_count(statement))
        guard values.count == wanted else {
            throw DatabaseError.statement(code: "\(SQLITE_MISUSE)", message: "\(wanted) arguments are wanted, not \(values.count)")
        }
        // A statement that ran has to be reset before it is bound again; what it returns is the run's error, which was thrown then.
        sqlite3_reset(statement)
        for (place, value) in zip(CInt(1)..., values) {
            try value.checkStorable()
            let code =
                switch value {
                case .null: sqlite3_bind_null(statement, place)
                case .int(let value): sqlite3_bind_int64(statement, place, value)
                case .double(let value): sqlite3_bind_double(statement, place, value)
                case .text(var text):
                    text.withUTF8 { utf8 in
                        utf8.withMemoryRebound(to: CChar.self) {
                            // A null pointer would be NULL, not the empty text.
                            sqlite3_bind_text(statement, place, $0.baseAddress ?? Self.empty, CInt($0.count), Self.transient)
                        }
                    }
                case .blob(let bytes) where bytes.isEmpty: sqlite3_bind_zeroblob(statement, place, 0)
                case .blob(let bytes): sqlite3_bind_blob(statement, place, bytes, CInt(bytes.count), Self.transient)
                }
            guard code == SQLITE_OK else {
                throw DatabaseError.statement(code: "\(code)", message: "argument \(place) cannot be bound")
            }
        }
    }

    /// SQLITE_TRANSIENT (https://www.sqlite.org/c3ref/c_static.html): SQLite copies what it is given.
    private static var transient: sqlite3_destructor_type { unsafeBitCast(-1, to: sqlite3_destructor_type.self) }
    private static var empty: UnsafePointer<CChar>? { ("" as StaticString).utf8Start.withMemoryRebound(to: CChar.self, capacity: 1) { $0 } }

    private static func value(_ value: DatabaseValue) -> SQLValue {
        switch value.storage {
        case .null: .null
        case .int64(let value): .int(value)
        case .double(let value): .double(value)
        case .string(let value): .text(value)
        case .blob(let value): .blob([UInt8](value))
        }
    }
}
