/// The WHERE clause of a query whose filters are optional: fixed pieces of SQL with `?` for each value, numbered `$1, $2, …` in
/// the order they are added. Values are always arguments, never text.
package struct Conditions {
    private var pieces: [String] = []
    package private(set) var arguments: [SQLValue] = []

    package init() {}

    /// Without conditions yet, its arguments numbered on from those of another clause of the same statement.
    init(continuing other: Conditions) { arguments = other.arguments }

    package mutating func add(_ piece: String, _ values: SQLValue...) {
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

    /// Adds an argument that stands outside of the WHERE clause and returns its placeholder.
    package mutating func place(_ value: SQLValue) -> String {
        arguments.append(value)
        return "$\(arguments.count)"
    }

    /// Empty when there are no conditions.
    package var clause: String { pieces.isEmpty ? "" : "WHERE " + pieces.joined(separator: " AND ") }
}
