/// One step of the schema. Never edited once released: what it made is changed by a later one.
package struct Migration: Sendable {
    /// Order and identity; numbers may have gaps.
    package let number: Int
    package let name: String
    /// One SQL statement each, written once for both databases where they agree (`BLOB` becomes BYTEA on Postgres).
    package let statements: @Sendable (SQLDialect) -> [String]

    package init(number: Int, name: String, statements: @escaping @Sendable (SQLDialect) -> [String]) {
        self.number = number
        self.name = name
        self.statements = statements
    }

    package init(_ number: Int, _ name: String, _ statements: @escaping @Sendable (SQLDialect) -> [String]) {
        self.init(number: number, name: name, statements: statements)
    }
}
