/// An index of a table that may be large: on Postgres it is built without keeping anybody from writing, on a partitioned table
/// partition by partition. Never unique: a violation would only show at its end.
package struct OnlineIndex: Sendable, Hashable {
    package let name: String
    package let table: String
    /// As in the statement: `tenant_id, created_at, id`.
    package let columns: String
    /// Without the word WHERE; nil: all rows.
    package let condition: String?
    /// Rows up to which it is built at once, since nobody would notice: so on every new database.
    package let smallTable: Int

    package init(
        _ name: String, on table: String, _ columns: String, where condition: String? = nil, smallTable: Int = 10_000
    ) {
        self.name = name
        self.table = table
        self.columns = columns
        self.condition = condition
        self.smallTable = smallTable
    }

    /// Makes it where it is missing; what an interrupted attempt left is made anew. Outside of a transaction.
    func build(_ c: any SQLConnection) throws {
        guard c.dialect.buildsIndexesOnline else {
            try c.execute("CREATE INDEX IF NOT EXISTS \(name) ON \(table) (\(columns))\(suffix)")
            return
        }
        if try Self.isValid(c, name) == nil, try isSmall(c) {
            try c.execute("SET lock_timeout = '2s'")
            defer { _ = try? c.execute("SET lock_timeout = 0") }
            try c.execute("CREATE INDEX IF NOT EXISTS \(name) ON \(table) (\(columns))\(suffix)")
            return
        }
        guard try Self.isPartitioned(c, table) else {
            try buildAlone(c)
            return
        }
        // The parent's index counts as valid once each partition has its own; partitions made from now on bring one along.
        try c.execute("CREATE INDEX IF NOT EXISTS \(name) ON ONLY \(table) (\(columns))\(suffix)")
        guard try Self.isValid(c, name) != true else { return }
        for partition in try Self.partitions(c, of: table) {
            let part = OnlineIndex("\(partition)_\(name)", on: partition, columns, where: condition, smallTable: 0)
            guard try !Self.isAttached(c, part.name, to: name) else { continue }
            try part.buildAlone(c)
            try c.execute("ALTER INDEX \(name) ATTACH PARTITION \(part.name)")
        }
    }

    private var suffix: String { condition.map { " WHERE \($0)" } ?? "" }

    private func isSmall(_ c: any SQLConnection) throws -> Bool {
        try smallTable > 0 && c.first("SELECT 1 AS one FROM \(table) LIMIT 1 OFFSET \(smallTable)") == nil
    }

    private func buildAlone(_ c: any SQLConnection) throws {
        switch try Self.isValid(c, name) {
        case true?: return
        case false?: try c.execute("DROP INDEX CONCURRENTLY IF EXISTS \(name)")
        case nil: break
        }
        try c.execute("CREATE INDEX CONCURRENTLY \(name) ON \(table) (\(columns))\(suffix)")
    }

    /// Nil when there is no such index.
    private static func isValid(_ c: any SQLConnection, _ name: String) throws -> Bool? {
        try c.first(
            """
            SELECT i.indisvalid AS valid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
            JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = $1 AND n.nspname = current_schema()
            """, [.text(name)]
        ).map { try $0.bool("valid") }
    }

    private static func isPartitioned(_ c: any SQLConnection, _ table: String) throws -> Bool {
        try c.first(
            """
            SELECT 1 AS one FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relname = $1 AND c.relkind = 'p' AND n.nspname = current_schema()
            """, [.text(table)]) != nil
    }

    private static func partitions(_ c: any SQLConnection, of table: String) throws -> [String] {
        try inheritors(c, of: table)
    }

    private static func isAttached(_ c: any SQLConnection, _ part: String, to index: String) throws -> Bool {
        try inheritors(c, of: index).contains(part)
    }

    private static func inheritors(_ c: any SQLConnection, of parent: String) throws -> [String] {
        try c.query(
            """
            SELECT child.relname AS name FROM pg_inherits i JOIN pg_class child ON child.oid = i.inhrelid
            JOIN pg_class parent ON parent.oid = i.inhparent JOIN pg_namespace n ON n.oid = parent.relnamespace
            WHERE parent.relname = $1 AND n.nspname = current_schema() ORDER BY child.relname
            """, [.text(parent)]
        ).map { try $0.text("name") }
    }
}
