/// One step of the local database's schema. Names are for ever; a step that was released is never changed.
package struct LocalMigration: Sendable {
    /// What becomes of an older release that is started on the folder again.
    package enum Compatibility: Sendable {
        /// It goes on: what it reads and writes is what it was. A column has a default, a table is another one's, nothing is taken away.
        case expanding
        /// It refuses the folder. For what no supported release can do with.
        case breaking
    }

    package let name: String
    package let compatibility: Compatibility
    package let sql: String

    package init(name: String, _ compatibility: Compatibility = .expanding, sql: String) {
        self.name = name
        self.compatibility = compatibility
        self.sql = sql
    }

    /// Every part's steps, in the order in which they are applied: one line a part.
    package static let all: [LocalMigration] = [
        base,
        snapshots,
        configRevisions,
        configSeenByOlder,
        usage,
        usageNotes,
        revocation,
        nonces,
        bans,
        rates,
        rateShares,
        leases,
        usageChains,
        rateRegions,
        banditArms,
        refusalsUntold,
    ]

    private static let base = LocalMigration(
        name: "0001 meta", .breaking,
        sql: """
            CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
            """)
}
