import Primitives

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

/// A row of a noun: its own columns in the table's order, and what every row has.
package struct NounRow: Sendable, Hashable {
    package var id: String
    package var values: [SQLValue]
    package var meta: RowMeta
    /// The number of its last change among all that share its counter; 0 where the table keeps none.
    package var change: Int64
    /// Unix milliseconds; nil: present.
    package var deletedAt: Int64?

    package init(id: String, values: [SQLValue], meta: RowMeta, change: Int64 = 0, deletedAt: Int64? = nil) {
        self.id = id
        self.values = values
        self.meta = meta
        self.change = change
        self.deletedAt = deletedAt
    }
}

/// A table of administered rows: `id`, the noun's columns, `RowMeta`'s and, where rows that are deleted stay so that the removal can
/// be told, `deleted_at`. Names are constants of ours, never a caller's text.
package struct NounTable: Sendable {
    package let name: String
    private let columns: [String]
    /// Where `NounRow.change` is kept; may be the revision itself.
    private let changeColumn: String?
    private let keepsDeleted: Bool
    /// Says whose a row is; nil: the installation's. A transaction for one tenant finds, makes and changes no other's.
    private let tenantColumn: String?

    package init(_ name: String, columns: [String], changeColumn: String?, keepsDeleted: Bool, tenantColumn: String?) {
        self.name = name
        self.columns = columns
        self.tenantColumn = tenantColumn
        self.changeColumn = changeColumn
        self.keepsDeleted = keepsDeleted
    }

    private var ownChangeColumn: String? { changeColumn == "revision" ? nil : changeColumn }
    private var allColumns: [String] {
        ["id"] + columns + RowMeta.columns + (ownChangeColumn.map { [$0] } ?? []) + (keepsDeleted ? ["deleted_at"] : [])
    }

    private func allValues(_ row: NounRow) -> [SQLValue] {
        [.text(row.id)] + row.values + row.meta.values + (ownChangeColumn == nil ? [] : [.int(row.change)])
            + (keepsDeleted ? [.optional(row.deletedAt)] : [])
    }

    private func row(_ row: SQLRow) throws -> NounRow {
        NounRow(
            id: try row.text("id"), values: try columns.map { try row.value($0) }, meta: try RowMeta(row),
            change: try changeColumn.map { try row.int($0) } ?? 0, deletedAt: keepsDeleted ? try row.optionalInt("deleted_at") : nil)
    }

    private var selection: String { "SELECT \(allColumns.joined(separator: ", ")) FROM \(name)" }

    /// What holds for all rows that this transaction may find.
    private func conditions(_ c: any SQLConnection, removedToo: Bool = false) -> Conditions {
        var conditions = Conditions()
        if keepsDeleted, !removedToo { conditions.add("deleted_at IS NULL") }
        if let tenantColumn { conditions.confine(tenantColumn, to: c.scope) }
        return conditions
    }

    /// - Throws: `DatabaseError.constraintViolation` for a row that a transaction for another tenant would write.
    private func checkOwner(_ c: any SQLConnection, _ row: NounRow) throws {
        guard let tenantColumn, case .tenant(let id) = c.scope else { return }
        let owner = zip(allColumns, allValues(row)).first { $0.0 == tenantColumn }?.1
        if owner != .text(id) { throw DatabaseError.constraintViolation(constraint: "\(name).\(tenantColumn)") }
    }

    /// Every present row, oldest first.
    package func all(_ c: any SQLConnection) throws -> [NounRow] {
        let conditions = conditions(c)
        return try c.query("\(selection) \(conditions.clause) ORDER BY created_at, id", conditions.arguments).map(row)
    }

    /// How a list is sorted: by a column of ours, then by id.
    package struct Order: Sendable, Hashable {
        package let column: String
        package let isDescending: Bool

        package init(_ column: String, isDescending: Bool = false) {
            self.column = column
            self.isDescending = isDescending
        }

        package static let oldestFirst = Order("created_at")
        package static let newestFirst = Order("created_at", isDescending: true)
    }

    /// Some of the present rows. `condition` is a piece of SQL of ours that holds for them, too.
    /// - Parameter after: The order's column and the id of the last row of the page before.
    package func list(
        _ c: any SQLConnection, matching filters: [(column: String, value: SQLValue)] = [], condition: String? = nil,
        order: Order = .oldestFirst, after: (value: SQLValue, id: String)? = nil, limit: Int
    ) throws -> [NounRow] {
        var conditions = conditions(c)
        if let condition { conditions.add(condition) }
        for filter in filters { conditions.add("\(filter.column) = ?", filter.value) }
        if let after {
            conditions.add("(\(order.column), id) \(order.isDescending ? "<" : ">") (?, ?)", after.value, .text(after.id))
        }
        let place = conditions.place(.int(Int64(limit)))
        let direction = order.isDescending ? " DESC" : ""
        return try c.query(
            "\(selection) \(conditions.clause) ORDER BY \(order.column)\(direction), id\(direction) LIMIT \(place)", conditions.arguments
        ).map(row)
    }

    /// The present rows whose JSON column mentions this id.
    package func mentioning(_ c: any SQLConnection, _ id: String, in column: String, condition: String?, limit: Int) throws -> [NounRow] {
        var conditions = conditions(c)
        if let condition { conditions.add(condition) }
        conditions.add("\(column) LIKE ?", .text("%\"\(id)\"%"))
        let place = conditions.place(.int(Int64(limit)))
        return try c.query("\(selection) \(conditions.clause) ORDER BY created_at, id LIMIT \(place)", conditions.arguments).map(row)
    }

    /// The present row with this id.
    package func find(_ c: any SQLConnection, _ id: String) throws -> NounRow? {
        var conditions = conditions(c)
        conditions.add("id = ?", .text(id))
        return try c.query("\(selection) \(conditions.clause)", conditions.arguments).first.map(row)
    }

    package func insert(_ c: any SQLConnection, _ row: NounRow) throws {
        try checkOwner(c, row)
        let places = (1...allColumns.count).map { "$\($0)" }.joined(separator: ", ")
        try c.execute("INSERT INTO \(name) (\(allColumns.joined(separator: ", "))) VALUES (\(places))", allValues(row))
    }

    /// Writes all columns if the row is still at `revision`; `row.meta` holds the revision that it gets.
    /// - Returns: whether it was.
    package func update(_ c: any SQLConnection, _ row: NounRow, expecting revision: Int64) throws -> Bool {
        try checkOwner(c, row)
        let columns = allColumns.dropFirst()
        let assignments = columns.enumerated().map { "\($1) = $\($0 + 1)" }.joined(separator: ", ")
        let changed = try c.execute(
            "UPDATE \(name) SET \(assignments) WHERE id = $\(columns.count + 1) AND revision = $\(columns.count + 2)",
            allValues(row).dropFirst() + [.text(row.id), .int(revision)])
        return changed == 1
    }

    /// Removes the row if it is still at `revision`.
    package func delete(_ c: any SQLConnection, _ id: String, expecting revision: Int64) throws -> Bool {
        var conditions = conditions(c, removedToo: true)
        conditions.add("id = ? AND revision = ?", .text(id), .int(revision))
        return try c.execute("DELETE FROM \(name) \(conditions.clause)", conditions.arguments) == 1
    }

    /// Removes every row and puts these in their place.
    package func replaceAll(_ c: any SQLConnection, _ rows: [NounRow]) throws {
        try c.execute("DELETE FROM \(name)", [])
        try c.insertMany(into: name, columns: allColumns, rows: rows.map(allValues))
    }

    /// Rows with these ids, in any order; removed ones that stay are among them.
    package func find(_ c: any SQLConnection, ids: [String]) throws -> [NounRow] {
        try stride(from: 0, to: ids.count, by: 500).flatMap { start in
            var conditions = conditions(c, removedToo: true)
            conditions.add(among: "id", ids[start..<min(start + 500, ids.count)])
            return try c.query("\(selection) \(conditions.clause)", conditions.arguments).map(row)
        }
    }

    /// What changed after the number `change`, removed rows included.
    package func changed(_ c: any SQLConnection, since change: Int64) throws -> [NounRow] {
        guard let changeColumn else { return [] }
        var conditions = conditions(c, removedToo: true)
        conditions.add("\(changeColumn) > ?", .int(change))
        return try c.query("\(selection) \(conditions.clause) ORDER BY \(changeColumn), id", conditions.arguments).map(row)
    }
}
