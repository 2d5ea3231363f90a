/// When records of a kind were purged last.
package struct RetentionRun: Sendable, Hashable {
    package var kind: String
    /// Unix milliseconds.
    package var ranAt: Int64
    /// Unix milliseconds: what is from before is gone.
    package var beforeAt: Int64
    /// By the last run.
    package var removed: Int64
    /// By all of them.
    package var removedTotal: Int64
    /// Why more is kept than was asked for; empty: it is not.
    package var held: String

    package init(kind: String, ranAt: Int64, beforeAt: Int64, removed: Int64, removedTotal: Int64 = 0, held: String = "") {
        self.kind = kind
        self.ranAt = ranAt
        self.beforeAt = beforeAt
        self.removed = removed
        self.removedTotal = removedTotal
        self.held = held
    }
}

package enum RetentionRunsTable {
    package static func list(_ c: any SQLConnection) throws -> [RetentionRun] {
        try c.query("SELECT kind, ran_at, before_at, removed, removed_total, held FROM retention_runs ORDER BY kind").map { row in
            RetentionRun(
                kind: try row.text("kind"), ranAt: try row.int("ran_at"), beforeAt: try row.int("before_at"),
                removed: try row.int("removed"), removedTotal: try row.int("removed_total"), held: try row.text("held"))
        }
    }

    /// Unix milliseconds: what is from before may be gone; nil: nothing was ever purged.
    package static func before(_ c: any SQLConnection, kind: String) throws -> Int64? {
        try c.first("SELECT before_at FROM retention_runs WHERE kind = $1", [.text(kind)])?.int("before_at")
    }

    /// Said before the first record goes, so that nobody takes what is missing for what never was.
    package static func announce(_ c: any SQLConnection, kind: String, before: Int64) throws {
        try c.execute(
            """
            INSERT INTO retention_runs (kind, ran_at, before_at, removed, removed_total, held) VALUES ($1, 0, $2, 0, 0, '')
            ON CONFLICT (kind) DO UPDATE SET before_at = \(c.dialect.greatest("retention_runs.before_at", "excluded.before_at"))
            """, [.text(kind), .int(before)])
    }

    package static func end(_ c: any SQLConnection, _ run: RetentionRun) throws {
        try c.execute(
            """
            INSERT INTO retention_runs (kind, ran_at, before_at, removed, removed_total, held) VALUES ($1, $2, $3, $4, $4, $5)
            ON CONFLICT (kind) DO UPDATE SET ran_at = excluded.ran_at, removed = excluded.removed, held = excluded.held,
                removed_total = retention_runs.removed_total + excluded.removed,
                before_at = \(c.dialect.greatest("retention_runs.before_at", "excluded.before_at"))
            """, [.text(run.kind), .int(run.ranAt), .int(run.beforeAt), .int(run.removed), .text(run.held)])
    }
}
