import Foundation
import GRDB

/// GRDB's connection as the rest of the control plane sees one.
struct SQLiteConnection: SQLConnection {
    let database: GRDB.Database

    var dialect: SQLDialect { .sqlite }

    func query(_ sql: String, _ arguments: [SQLValue]) throws -> [SQLRow] {
        try SQLiteErrors.mapping {
            let statement = try database.makeStatement(sql: SQLDialect.sqlite.rewrite(sql))
            let cursor = try Row.fetchCursor(statement, arguments: bindings(arguments))
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
            try database.makeStatement(sql: SQLDialect.sqlite.rewrite(sql)).execute(arguments: bindings(arguments))
            return database.totalChangesCount == before ? 0 : database.changesCount
        }
    }

    func insertMany(into table: String, columns: [String], rows: [[SQLValue]]) throws {
        guard !rows.isEmpty else { return }
        let names = columns.map(dialect.quoted).joined(separator: ", ")
        let places = columns.indices.map { "?\($0 + 1)" }.joined(separator: ", ")
        try SQLiteErrors.mapping {
            let statement = try database.makeStatement(sql: "INSERT INTO \(dialect.quoted(table)) (\(names)) VALUES (\(places))")
            for row in rows { try statement.execute(arguments: bindings(row)) }
        }
    }

    private func bindings(_ values: [SQLValue]) throws -> StatementArguments {
        StatementArguments(
            try values.map { value -> DatabaseValue in
                try value.checkStorable()
                switch value {
                case .null: return .null
                case .int(let value): return value.databaseValue
                case .double(let value): return value.databaseValue
                case .text(let value): return value.databaseValue
                case .blob(let value): return Data(value).databaseValue
                }
            })
    }

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
