/// What every row has that an administrator edits.
package struct RowMeta: Sendable, Hashable {
    /// Raised with each change; what an ETag shows and an UPDATE insists on.
    package var revision: Int64
    /// Unix milliseconds.
    package var createdAt: Int64
    package var updatedAt: Int64

    package init(revision: Int64, createdAt: Int64, updatedAt: Int64) {
        self.revision = revision
        self.createdAt = createdAt
        self.updatedAt = updatedAt
    }

    static let columns = ["revision", "created_at", "updated_at"]

    init(_ row: SQLRow) throws {
        self.init(revision: try row.int("revision"), createdAt: try row.int("created_at"), updatedAt: try row.int("updated_at"))
    }

    var values: [SQLValue] { [.int(revision), .int(createdAt), .int(updatedAt)] }
}

/// A row of an `EntityTable`: `id`, its own columns, and `RowMeta`'s.
package protocol EntityRow: Sendable, Hashable {
    static var table: String { get }
    /// Its own columns, without `id` and those of `RowMeta`.
    static var columns: [String] { get }

    var key: String { get }
    var meta: RowMeta { get set }
    /// In the order of `columns`.
    var values: [SQLValue] { get }

    init(_ row: SQLRow) throws
}

/// The statements that are the same for every table of edited rows.
package protocol EntityTable {
    associatedtype Row: EntityRow
    /// Holds for the rows that count as present; nil: all of them.
    static var present: String? { get }
}

extension EntityTable {
    package static var present: String? { nil }

    private static var allColumns: [String] { ["id"] + Row.columns + RowMeta.columns }
    private static func allValues(_ row: Row) -> [SQLValue] { [.text(row.key)] + row.values + row.meta.values }
    private static var selection: String { "SELECT \(allColumns.joined(separator: ", ")) FROM \(Row.table)" }
    private static var wherePresent: String { present.map { " WHERE \($0)" } ?? "" }

    /// Every present row, oldest first.
    package static func all(_ c: any SQLConnection) throws -> [Row] {
        try c.query("\(selection)\(wherePresent) ORDER BY created_at, id", []).map(Row.init)
    }

    /// Some of the present rows, oldest first. `matching` names columns by constants of ours, never by a caller's text.
    package static func list(
        _ c: any SQLConnection, matching filters: [(column: String, value: SQLValue)] = [], after: (createdAt: Int64, id: String)?,
        limit: Int
    ) throws -> [Row] {
        var conditions = Conditions()
        if let present { conditions.add(present) }
        for filter in filters { conditions.add("\(filter.column) = ?", filter.value) }
        if let after { conditions.add("(created_at, id) > (?, ?)", .int(after.createdAt), .text(after.id)) }
        let place = conditions.place(.int(Int64(limit)))
        return try c.query("\(selection) \(conditions.clause) ORDER BY created_at, id LIMIT \(place)", conditions.arguments).map(Row.init)
    }

    /// The present row with this id.
    package static func find(_ c: any SQLConnection, _ id: String) throws -> Row? {
        try c.query("\(selection) WHERE id = $1\(present.map { " AND \($0)" } ?? "")", [.text(id)]).first.map(Row.init)
    }

    package static func insert(_ c: any SQLConnection, _ row: Row) throws {
        let places = (1...allColumns.count).map { "$\($0)" }.joined(separator: ", ")
        try c.execute("INSERT INTO \(Row.table) (\(allColumns.joined(separator: ", "))) VALUES (\(places))", allValues(row))
    }

    /// Writes all columns if the row is still at `revision`; `row.meta` holds the revision that it gets.
    /// - Returns: whether it was.
    package static func update(_ c: any SQLConnection, _ row: Row, expecting revision: Int64) throws -> Bool {
        let columns = Row.columns + RowMeta.columns
        let assignments = columns.enumerated().map { "\($1) = $\($0 + 1)" }.joined(separator: ", ")
        let changed = try c.execute(
            "UPDATE \(Row.table) SET \(assignments) WHERE id = $\(columns.count + 1) AND revision = $\(columns.count + 2)",
            row.values + row.meta.values + [.text(row.key), .int(revision)])
        return changed == 1
    }

    /// Removes the row if it is still at `revision`.
    package static func delete(_ c: any SQLConnection, _ id: String, expecting revision: Int64) throws -> Bool {
        try c.execute("DELETE FROM \(Row.table) WHERE id = $1 AND revision = $2", [.text(id), .int(revision)]) == 1
    }

    /// Removes every row and puts these in their place.
    package static func replaceAll(_ c: any SQLConnection, _ rows: [Row]) throws {
        try c.execute("DELETE FROM \(Row.table)", [])
        try c.insertMany(into: Row.table, columns: allColumns, rows: rows.map(allValues))
    }

    /// The rows, present or not, where `column` is above `value`, by that column.
    static func changed(_ c: any SQLConnection, _ column: String, above value: Int64) throws -> [Row] {
        try c.query("\(selection) WHERE \(column) > $1 ORDER BY \(column), id", [.int(value)]).map(Row.init)
    }
}

/// A table of what data planes know as the directory: tenants, projects, virtual keys. Rows that are deleted stay, so that the
/// removal can be told.
package protocol DirectoryTable: EntityTable {}

extension DirectoryTable {
    package static var present: String? { "deleted_at IS NULL" }

    /// What changed after the directory's revision `revision`, removed rows included.
    package static func changedSince(_ c: any SQLConnection, _ revision: Int64) throws -> [Row] {
        try changed(c, "directory_revision", above: revision)
    }
}
