/// One step of the schema. Never edited once released: what it made is changed by a later one.
///
/// Each is a transaction of its own, or a list of indexes that are built outside of any transaction while others go on writing.
package struct Migration: Sendable {
    /// What becomes of a binary that does not know the migration.
    package enum Compatibility: Sendable {
        /// It goes on: nothing that it reads or writes is another thing now. A column has a default or may be NULL, nothing is renamed
        /// or dropped, no new constraint refuses what it writes. The release before runs beside the new one and after it.
        case expanding
        /// It is refused at its start. For what takes away what no supported release uses any more.
        case breaking
    }

    /// Order and identity; numbers may have gaps.
    package let number: Int
    package let name: String
    package let compatibility: Compatibility
    /// One SQL statement each, written once for both databases where they agree (`BLOB` becomes BYTEA on Postgres).
    package let statements: @Sendable (SQLDialect) -> [String]
    /// Built one by one, outside of a transaction. Interrupted, the migration goes on with those that are missing.
    package let indexes: [OnlineIndex]

    /// A transaction.
    package init(
        number: Int, name: String, _ compatibility: Compatibility = .expanding, statements: @escaping @Sendable (SQLDialect) -> [String]
    ) {
        self.number = number
        self.name = name
        self.compatibility = compatibility
        self.statements = statements
        indexes = []
    }

    /// A transaction.
    package init(
        _ number: Int, _ name: String, _ compatibility: Compatibility = .expanding,
        _ statements: @escaping @Sendable (SQLDialect) -> [String]
    ) {
        self.init(number: number, name: name, compatibility, statements: statements)
    }

    /// Indexes of tables that may be large by now, built while others write.
    package init(_ number: Int, _ name: String, indexes: [OnlineIndex]) {
        self.number = number
        self.name = name
        compatibility = .expanding
        statements = { _ in [] }
        self.indexes = indexes
    }
}
