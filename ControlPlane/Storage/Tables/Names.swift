/// What rows are called.
package enum NamesTable {
    /// The names of those rows that there are, deleted ones included.
    /// - Parameter table: A table's name, a constant of ours, with the columns `id` and `name`.
    package static func names(_ c: any SQLConnection, in table: String, ids: [String]) throws -> [String: String] {
        guard !ids.isEmpty else { return [:] }
        let places = ids.indices.map { "$\($0 + 1)" }.joined(separator: ", ")
        return Dictionary(
            try c.query("SELECT id, name FROM \(table) WHERE id IN (\(places))", ids.map { .text($0) }).map {
                (try $0.text("id"), try $0.text("name"))
            }, uniquingKeysWith: { first, _ in first })
    }
}
