/// One step of the local database's schema. Names are for ever; a step that was released is never changed.
package struct LocalMigration: Sendable {
    package let name: String
    package let sql: String

    package init(name: String, sql: String) {
        self.name = name
        self.sql = sql
    }

    /// Every part's steps, in the order in which they are applied: one line a part.
    package static let all: [LocalMigration] = [
        base,
        snapshots,
        configRevisions,
        usage,
        usageNotes,
        revocation,
    ]

    private static let base = LocalMigration(
        name: "0001 meta",
        sql: """
            CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
            """)
}
