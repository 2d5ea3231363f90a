/// A version that an operator went back from.
package struct RollbackRow: Sendable, Hashable {
    package let leftVersion: Int64
    /// Whose content came back; 0: there was none before.
    package let restoredVersion: Int64
    /// In force for all afterwards.
    package let baselineVersion: Int64
    /// The rollout that was undone; nil for a baseline that none had made.
    package let rolloutID: String?
    package let authorID: String
    package let authorName: String
    package let createdAt: Int64
    /// When somebody said what is to become of it in the draft, or changed it there.
    package let answeredAt: Int64?

    package init(
        leftVersion: Int64, restoredVersion: Int64, baselineVersion: Int64, rolloutID: String?, authorID: String, authorName: String,
        createdAt: Int64, answeredAt: Int64? = nil
    ) {
        self.leftVersion = leftVersion
        self.restoredVersion = restoredVersion
        self.baselineVersion = baselineVersion
        self.rolloutID = rolloutID
        self.authorID = authorID
        self.authorName = authorName
        self.createdAt = createdAt
        self.answeredAt = answeredAt
    }

    fileprivate init(_ row: SQLRow) throws {
        self.init(
            leftVersion: try row.int("left_version"), restoredVersion: try row.int("restored_version"),
            baselineVersion: try row.int("baseline_version"), rolloutID: try row.optionalText("rollout_id"),
            authorID: try row.text("author_id"), authorName: try row.text("author_name"), createdAt: try row.int("created_at"),
            answeredAt: try row.optionalInt("answered_at"))
    }
}

package enum RollbacksTable {
    private static let columns =
        "left_version, restored_version, baseline_version, rollout_id, author_id, author_name, created_at, answered_at"

    /// A version that was left before and came back since counts anew.
    package static func put(_ c: any SQLConnection, _ row: RollbackRow) throws {
        try c.execute("DELETE FROM rollout_rollbacks WHERE left_version = $1", [.int(row.leftVersion)])
        try c.execute(
            "INSERT INTO rollout_rollbacks (\(columns)) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            [
                .int(row.leftVersion), .int(row.restoredVersion), .int(row.baselineVersion), .optional(row.rolloutID), .text(row.authorID),
                .text(row.authorName), .int(row.createdAt), .optional(row.answeredAt),
            ])
    }

    package static func find(_ c: any SQLConnection, leftVersion: Int64) throws -> RollbackRow? {
        try c.first("SELECT \(columns) FROM rollout_rollbacks WHERE left_version = $1", [.int(leftVersion)]).map(RollbackRow.init)
    }

    /// Those that nobody has answered, newest first.
    package static func unanswered(_ c: any SQLConnection) throws -> [RollbackRow] {
        try c.query("SELECT \(columns) FROM rollout_rollbacks WHERE answered_at IS NULL ORDER BY left_version DESC LIMIT 100")
            .map(RollbackRow.init)
    }

    package static func answer(_ c: any SQLConnection, leftVersion: Int64, at: Int64) throws {
        try c.execute(
            "UPDATE rollout_rollbacks SET answered_at = $1 WHERE left_version = $2 AND answered_at IS NULL",
            [.int(at), .int(leftVersion)])
    }
}
