/// What the signed rollout document says now.
package struct RolloutStateRow: Sendable, Hashable {
    package var documentVersion: Int64
    /// 0: none yet.
    package var baselineVersion: Int64
    package var candidateRolloutID: String?
    /// The newest version that any rollout document has offered.
    package var highestVersion: Int64

    package static let none = RolloutStateRow(documentVersion: 0, baselineVersion: 0, candidateRolloutID: nil, highestVersion: 0)
}

package enum RolloutStateTable {
    package static func get(_ c: any SQLConnection) throws -> RolloutStateRow {
        let row = try c.first(
            "SELECT document_version, baseline_version, candidate_rollout_id, highest_version FROM rollout_state WHERE id = 1")
        guard let row else { return .none }
        return RolloutStateRow(
            documentVersion: try row.int("document_version"), baselineVersion: try row.int("baseline_version"),
            candidateRolloutID: try row.optionalText("candidate_rollout_id"), highestVersion: try row.int("highest_version"))
    }

    /// When the document became another one, Unix milliseconds; 0: never.
    package static func changedAt(_ c: any SQLConnection) throws -> Int64 {
        try c.first("SELECT updated_at FROM rollout_state WHERE id = 1")?.int("updated_at") ?? 0
    }

    package static func set(_ c: any SQLConnection, _ state: RolloutStateRow, at: Int64) throws {
        try c.execute(
            """
            INSERT INTO rollout_state (id, document_version, baseline_version, candidate_rollout_id, highest_version, updated_at)
            VALUES (1, $1, $2, $3, $4, $5)
            ON CONFLICT (id) DO UPDATE SET document_version = excluded.document_version, baseline_version = excluded.baseline_version,
                candidate_rollout_id = excluded.candidate_rollout_id, highest_version = excluded.highest_version,
                updated_at = excluded.updated_at
            """,
            [
                .int(state.documentVersion), .int(state.baselineVersion), .optional(state.candidateRolloutID), .int(state.highestVersion),
                .int(at),
            ])
    }
}

/// A version that was once in force for all.
package struct BaselineRow: Sendable, Hashable {
    package let version: Int64
    package let documentVersion: Int64
    /// What a rollback returns to; 0: nothing.
    package let previousVersion: Int64
    /// The rollout that was promoted; nil for the work of a rollback.
    package let rolloutID: String?
    package let authorID: String
    package let authorName: String
    package let createdAt: Int64

    package init(
        version: Int64, documentVersion: Int64, previousVersion: Int64, rolloutID: String?, authorID: String, authorName: String,
        createdAt: Int64
    ) {
        self.version = version
        self.documentVersion = documentVersion
        self.previousVersion = previousVersion
        self.rolloutID = rolloutID
        self.authorID = authorID
        self.authorName = authorName
        self.createdAt = createdAt
    }
}

package enum BaselinesTable {
    package static func insert(_ c: any SQLConnection, _ row: BaselineRow) throws {
        try c.execute(
            """
            INSERT INTO rollout_baselines (version, document_version, previous_version, rollout_id, author_id, author_name, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            """,
            [
                .int(row.version), .int(row.documentVersion), .int(row.previousVersion), .optional(row.rolloutID), .text(row.authorID),
                .text(row.authorName), .int(row.createdAt),
            ])
    }

    package static func find(_ c: any SQLConnection, version: Int64) throws -> BaselineRow? {
        try c.first(
            """
            SELECT version, document_version, previous_version, rollout_id, author_id, author_name, created_at
            FROM rollout_baselines WHERE version = $1
            """, [.int(version)]
        ).map { row in
            BaselineRow(
                version: try row.int("version"), documentVersion: try row.int("document_version"),
                previousVersion: try row.int("previous_version"), rolloutID: try row.optionalText("rollout_id"),
                authorID: try row.text("author_id"), authorName: try row.text("author_name"), createdAt: try row.int("created_at"))
        }
    }
}
