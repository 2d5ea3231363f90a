package import Primitives

/// The WHERE clause of a query whose filters are optional: fixed pieces of SQL with `?` for each value, numbered `$1, $2, …` in
/// the order they are added. Values are always arguments, never text.
package struct Conditions {
    private var pieces: [String] = []
    package private(set) var arguments: [SQLValue] = []

    package init() {}

    /// Without conditions yet, its arguments numbered on from those of another clause of the same statement.
    init(continuing other: Conditions) { arguments = other.arguments }

    package mutating func add(_ piece: String, _ values: SQLValue...) { add(piece, values: values) }

    mutating func add(_ piece: String, values: [SQLValue]) {
        var sql = ""
        var remaining = values[...]
        for character in piece {
            if character == "?", let value = remaining.popFirst() {
                sql += place(value)
            } else {
                sql.append(character)
            }
        }
        pieces.append(sql)
    }

    /// Only rows whose owner `column` is, where the transaction is for one tenant.
    package mutating func confine(_ column: String, to scope: TenantScope) {
        if case .tenant(let id) = scope { add("\(column) = ?", .text(id)) }
    }

    /// The column has one of these values, of which there is one at least.
    mutating func add(among column: String, _ values: some Sequence<String>) {
        let places = values.map { place(.text($0)) }
        pieces.append("\(column) IN (\(places.joined(separator: ", ")))")
    }

    /// Adds an argument that stands outside of the WHERE clause and returns its placeholder.
    package mutating func place(_ value: SQLValue) -> String {
        arguments.append(value)
        return "$\(arguments.count)"
    }

    /// Placeholders of as many rows of values: `($1, $2), ($3, $4)`.
    static func places(_ rows: Int, _ columns: Int) -> String {
        (0..<rows).map { row in "(" + (0..<columns).map { "$\(row * columns + $0 + 1)" }.joined(separator: ", ") + ")" }
            .joined(separator: ", ")
    }

    /// Empty when there are no conditions.
    package var clause: String { pieces.isEmpty ? "" : "WHERE " + pieces.joined(separator: " AND ") }
}

/// One page of a table, in the order of some columns.
struct KeysetOrder {
    let table: String
    let columns: [String]
    /// What the table is ordered by: each decides among rows that are equal in those before it.
    let order: [String]

    /// - Parameters:
    ///   - conditions: The filters; those of the page are added.
    ///   - after: What the last row that was seen has in the order's columns.
    func rows(
        _ c: any SQLConnection, _ conditions: Conditions, isDescending: Bool = true, after: [SQLValue]?, limit: Int
    ) throws -> [SQLRow] {
        var conditions = conditions
        if let after {
            let places = order.map { _ in "?" }.joined(separator: ", ")
            conditions.add("(\(order.joined(separator: ", "))) \(isDescending ? "<" : ">") (\(places))", values: after)
        }
        let limitPlace = conditions.place(.int(Int64(limit)))
        let ordered = order.map { isDescending ? $0 + " DESC" : $0 }.joined(separator: ", ")
        return try c.query(
            """
            SELECT \(columns.joined(separator: ", ")) FROM \(table) \(conditions.clause)
            ORDER BY \(ordered) LIMIT \(limitPlace)
            """, conditions.arguments)
    }
}
