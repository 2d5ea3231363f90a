import CLibPQ
import Primitives

/// How a transaction begins: what it may see of others, as whom it works, and for which tenant.
struct PostgresBeginning: Sendable {
    let mode: String
    /// Nil: as the user that connected.
    let role: String?
    let scope: TenantScope

    /// One message to the server. The scope's setting holds nothing that would need quoting (`TenantScope.setting`).
    var statement: String {
        let asRole = role.map { "; SET LOCAL ROLE \(SQLDialect.postgres.quoted($0))" } ?? ""
        return "BEGIN \(mode)\(asRole); SET LOCAL weir.tenant = '\(scope.setting)'"
    }
}

/// One connection of libpq, used by one thread at a time. Statements are sent with binary parameters and answered in binary.
final class PostgresConnection: SQLConnection {
    private let handle: OpaquePointer
    /// Set by any statement that lost against a concurrent transaction: the transaction is to be run again whatever its closure
    /// made of the error.
    private(set) var mustRetry = false
    /// Of the transaction under way.
    private var role: String?
    private(set) var scope = TenantScope.all
    /// The names of the statements prepared here, by text and types of the parameters.
    private var prepared: [PreparedKey: String] = [:]
    /// What a prepared statement answers with has changed: they have to be made anew, in another transaction.
    private var preparedAreStale = false

    private struct PreparedKey: Hashable {
        let text: Int
        let types: [UInt32]
    }

    var dialect: SQLDialect { .postgres }
    var isLost: Bool { PQstatus(handle) != CONNECTION_OK }

    /// Connects and sets what our SQL relies on. Blocks for at most the connect timeout per address.
    /// - Throws: `DatabaseError.unavailable`; the text names host and user, never the password.
    init(address: PostgresAddress, options: DatabaseOptions) throws {
        let parameters = address.connectionParameters(options: options)
        let connected = Self.withCStrings(parameters.map(\.keyword)) { keywords in
            Self.withCStrings(parameters.map(\.value)) { values in PQconnectdbParams(keywords, values, 0) }
        }
        guard let connected else { throw DatabaseError.unavailable("libpq is out of memory") }
        handle = connected
        guard PQstatus(handle) == CONNECTION_OK else {
            let message = PostgresErrors.firstLine(String(cString: PQerrorMessage(handle)))
            throw DatabaseError.unavailable("\(address): \(message)")
        }
        _ = PQsetNoticeReceiver(handle, { _, _ in }, nil)
        guard PQserverVersion(handle) >= Self.minimumServerVersion else {
            throw DatabaseError.unavailable("Postgres \(PQserverVersion(handle) / 10_000) is too old: 14 or newer is needed")
        }
        try command("SET client_min_messages = warning")
        try command("SET statement_timeout = \(max(0, options.statementTimeoutMilliseconds))")
        try command("SET idle_in_transaction_session_timeout = '2min'")
        // What a data plane was told is stored is forgotten there: never acknowledge before it is on disk.
        try command("SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
    }

    deinit { PQfinish(handle) }

    private static let minimumServerVersion: Int32 = 140_000

    func beginTransaction(_ beginning: PostgresBeginning) throws {
        mustRetry = false
        if preparedAreStale {
            try command("DEALLOCATE ALL")
            prepared = [:]
            preparedAreStale = false
        }
        role = beginning.role
        scope = beginning.scope
        try command(beginning.statement)
    }

    /// After an error the transaction is lost anyway, and with it the role.
    func asOwner<R>(_ body: () throws -> R) throws -> R {
        guard let role else { return try body() }
        try command("SET LOCAL ROLE NONE")
        let result = try body()
        try command("SET LOCAL ROLE \(dialect.quoted(role))")
        return result
    }

    /// - Throws: what a failing COMMIT throws; also when a statement had failed and its error was swallowed, since Postgres then
    ///   answers COMMIT with a rollback.
    func commit() throws {
        let status = try command("COMMIT")
        guard status == "COMMIT" else {
            throw DatabaseError.statement(code: "25P02", message: "a failed statement was ignored, so the transaction was rolled back")
        }
    }

    /// - Returns: whether the connection is fit for further use.
    func rollback() -> Bool {
        guard !isLost, PQtransactionStatus(handle) != PQTRANS_IDLE else { return !isLost }
        do {
            try command("ROLLBACK")
        } catch {
            return false
        }
        return !isLost
    }

    func query(_ sql: String, _ arguments: [SQLValue]) throws -> [SQLRow] {
        let result = try run(sql, arguments)
        defer { PQclear(result) }
        let width = PQnfields(result)
        let columns = SQLRow.Columns((0..<width).map { PQfname(result, $0).map { String(cString: $0) } ?? "" })
        let types = (0..<width).map { PQftype(result, $0) }
        let height = PQntuples(result)
        var rows: [SQLRow] = []
        rows.reserveCapacity(Int(height))
        for row in 0..<height {
            var values: [SQLValue] = []
            values.reserveCapacity(Int(width))
            for column in 0..<width {
                guard PQgetisnull(result, row, column) == 0, let start = PQgetvalue(result, row, column) else {
                    values.append(.null)
                    continue
                }
                let bytes = UnsafeRawBufferPointer(start: start, count: Int(PQgetlength(result, row, column)))
                values.append(try PostgresValues.decode(bytes, type: types[Int(column)], column: columns.names[Int(column)]))
            }
            rows.append(SQLRow(columns: columns, values: values))
        }
        return rows
    }

    @discardableResult
    func execute(_ sql: String, _ arguments: [SQLValue]) throws -> Int {
        let result = try run(sql, arguments)
        defer { PQclear(result) }
        return Int(String(cString: PQcmdTuples(result))) ?? 0
    }

    /// COPY in the binary format ("COPY", File Formats, in the PostgreSQL documentation).
    func insertMany(into table: String, columns: [String], rows: some Collection<[SQLValue]>) throws {
        guard !rows.isEmpty else { return }
        // Postgres has no COPY into tables with row-level security.
        if RowSecurity.tables.contains(where: { $0.name == table }) {
            try insertSecured(into: table, columns: columns, rows: Array(rows))
            return
        }
        // Everything is encoded, and so checked, before the first byte is sent.
        var data = Self.copyHeader
        for row in rows {
            guard row.count == columns.count else { throw DatabaseError.unexpectedValue("a row of \(table) has \(row.count) values") }
            PostgresValues.appendBigEndian(Int16(truncatingIfNeeded: row.count), to: &data)
            for value in row { try Self.appendField(value, to: &data) }
        }
        PostgresValues.appendBigEndian(Int16(-1), to: &data)
        try copy(data, into: table, columns)
    }

    func insertMany(into table: String, _ rows: PackedRows, at places: some Collection<Int>) throws {
        guard !places.isEmpty else { return }
        var data = Self.copyHeader
        PostgresValues.appendCopy(rows, at: places, to: &data)
        PostgresValues.appendBigEndian(Int16(-1), to: &data)
        try copy(data, into: table, rows.columns)
    }

    private static let copyHeader = Array("PGCOPY\n".utf8) + [0xFF] + Array("\r\n".utf8) + [0] + [UInt8](repeating: 0, count: 8)

    private func copy(_ data: [UInt8], into table: String, _ columns: [String]) throws {
        let names = columns.map(dialect.quoted).joined(separator: ", ")
        let started = PQexec(handle, "COPY \(dialect.quoted(table)) (\(names)) FROM STDIN (FORMAT binary)")
        defer { PQclear(started) }
        guard PQresultStatus(started) == PGRES_COPY_IN else { throw failure(started) }
        var offset = 0
        while offset < data.count {
            let count = min(Self.copyChunk, data.count - offset)
            let sent = data.withUnsafeBytes { bytes in
                PQputCopyData(handle, bytes.baseAddress?.advanced(by: offset).assumingMemoryBound(to: CChar.self), Int32(count))
            }
            guard sent == 1 else { throw failure(nil) }
            offset += count
        }
        guard PQputCopyEnd(handle, nil) == 1 else { throw failure(nil) }
        var thrown: DatabaseError?
        while let result = PQgetResult(handle) {
            if PQresultStatus(result) != PGRES_COMMAND_OK, thrown == nil { thrown = failure(result) }
            PQclear(result)
        }
        if let thrown { throw thrown }
    }

    private func insertSecured(into table: String, columns: [String], rows: [[SQLValue]]) throws {
        let names = columns.map(dialect.quoted).joined(separator: ", ")
        let chunk = max(1, Int(UInt16.max) / max(columns.count, 1))
        for start in stride(from: 0, to: rows.count, by: chunk) {
            let part = rows[start..<min(start + chunk, rows.count)]
            guard part.allSatisfy({ $0.count == columns.count }) else {
                throw DatabaseError.unexpectedValue("a row of \(table) has not \(columns.count) values")
            }
            let places = (0..<part.count).map { row in
                "(" + columns.indices.map { "$\(row * columns.count + $0 + 1)" }.joined(separator: ", ") + ")"
            }
            try execute("INSERT INTO \(dialect.quoted(table)) (\(names)) VALUES \(places.joined(separator: ", "))", part.flatMap { $0 })
        }
    }

    /// Bytes handed to libpq at once.
    private static let copyChunk = 1 << 18

    private static func appendField(_ value: SQLValue, to data: inout [UInt8]) throws {
        try value.checkStorable()
        if case .null = value {
            PostgresValues.appendBigEndian(Int32(-1), to: &data)
            return
        }
        let lengthAt = data.count
        PostgresValues.appendBigEndian(Int32(0), to: &data)
        PostgresValues.append(value, to: &data)
        let length = UInt32(truncatingIfNeeded: data.count - lengthAt - 4)
        for index in 0..<4 { data[lengthAt + index] = UInt8(truncatingIfNeeded: length >> UInt32(24 - 8 * index)) }
    }

    /// A statement without parameters, in the simple protocol.
    /// - Returns: the command tag, as in "COMMIT".
    @discardableResult
    private func command(_ sql: String) throws -> String {
        let result = PQexec(handle, sql)
        defer { PQclear(result) }
        switch PQresultStatus(result) {
        case PGRES_COMMAND_OK, PGRES_TUPLES_OK: return String(cString: PQcmdStatus(result))
        default: throw failure(result)
        }
    }

    /// - Returns: a successful result, which the caller clears.
    private func run(_ sql: String, _ arguments: [SQLValue]) throws -> OpaquePointer {
        guard arguments.count <= Int(UInt16.max) else { throw DatabaseError.unexpectedValue("\(arguments.count) parameters are too many") }
        var buffer: [UInt8] = []
        var ends: [Int] = []
        for argument in arguments {
            try argument.checkStorable()
            PostgresValues.append(argument, to: &buffer)
            ends.append(buffer.count)
        }
        // An empty value still needs an address.
        buffer.append(0)
        let types = arguments.map(PostgresValues.typeID)
        let formats = [Int32](repeating: 1, count: arguments.count)
        let text = StatementTexts.of(sql, dialect)
        let name = try preparedName(text, types)
        let result = buffer.withUnsafeBytes { bytes -> OpaquePointer? in
            var values: [UnsafePointer<CChar>?] = []
            var lengths: [Int32] = []
            var start = 0
            for (argument, end) in zip(arguments, ends) {
                let address = bytes.baseAddress?.advanced(by: start).assumingMemoryBound(to: CChar.self)
                values.append(argument == .null ? nil : address)
                lengths.append(Int32(truncatingIfNeeded: end - start))
                start = end
            }
            if let name { return PQexecPrepared(handle, name, Int32(arguments.count), values, lengths, formats, 1) }
            return PQexecParams(handle, text.sql, Int32(arguments.count), types, values, lengths, formats, 1)
        }
        switch PQresultStatus(result) {
        case PGRES_COMMAND_OK, PGRES_TUPLES_OK:
            if let result { return result }
            throw failure(nil)
        default:
            defer { PQclear(result) }
            // "cached plan must not change result type": another release has changed the table. Run again, it is planned anew.
            if name != nil, PostgresErrors.sqlstate(result) == "0A000" {
                preparedAreStale = true
                mustRetry = true
            }
            throw failure(result)
        }
    }

    /// The name under which this text is prepared for these types, which it is now if it was not; nil for what is not kept.
    private func preparedName(_ text: StatementTexts.Text, _ types: [UInt32]) throws -> String? {
        guard let number = text.number else { return nil }
        let key = PreparedKey(text: number, types: types)
        if let name = prepared[key] { return name }
        guard prepared.count < Self.maximumPrepared else { return nil }
        let name = "weir_\(prepared.count)"
        let result = PQprepare(handle, name, text.sql, Int32(types.count), types)
        defer { PQclear(result) }
        guard PQresultStatus(result) == PGRES_COMMAND_OK else { throw failure(result) }
        prepared[key] = name
        return name
    }

    /// Texts times the types that their NULLs leave open; each takes some kilobytes of the server's memory.
    private static let maximumPrepared = 1024

    private func failure(_ result: OpaquePointer?) -> DatabaseError {
        if let state = PostgresErrors.sqlstate(result), PostgresErrors.isRetryable(state) { mustRetry = true }
        return PostgresErrors.map(result, connectionLost: isLost, connectionMessage: String(cString: PQerrorMessage(handle)))
    }

    /// A NULL-terminated array of C strings that lives as long as `body` runs.
    private static func withCStrings<R>(_ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> R) -> R {
        var bytes: [CChar] = []
        var offsets: [Int] = []
        for string in strings {
            offsets.append(bytes.count)
            bytes += string.utf8.map { CChar(bitPattern: $0) } + [0]
        }
        return bytes.withUnsafeBufferPointer { buffer in
            let pointers = offsets.map { buffer.baseAddress?.advanced(by: $0) } + [nil]
            return pointers.withUnsafeBufferPointer { body($0.baseAddress) }
        }
    }
}
