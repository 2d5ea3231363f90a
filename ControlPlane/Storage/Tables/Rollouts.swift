/// One attempt to bring a configuration version into force.
package struct RolloutRow: Sendable, Hashable {
    package enum State: String, Sendable, CaseIterable {
        case candidate, promoted, aborted
        case rolledBack = "rolled_back"
    }

    package let id: String
    package let version: Int64
    /// The baseline when it was created; 0: none yet.
    package let baselineVersion: Int64
    /// The selectors all have to match; an empty one matches everything.
    package var tenantIDs: [String]
    package var regions: [String]
    package var dataPlaneIDs: [String]
    /// 0...10000 of the virtual keys.
    package var percentageBasisPoints: Int64
    package let salt: String
    package var effectiveAt: Int64
    package var state: State
    package let authorID: String
    package let authorName: String
    package var revision: Int64
    package let createdAt: Int64
    package var updatedAt: Int64
    package var endedAt: Int64?
    /// The name of who promoted, aborted or rolled it back.
    package var endedBy: String?

    package init(
        id: String, version: Int64, baselineVersion: Int64, tenantIDs: [String], regions: [String], dataPlaneIDs: [String],
        percentageBasisPoints: Int64, salt: String, effectiveAt: Int64, authorID: String, authorName: String, createdAt: Int64
    ) {
        self.id = id
        self.version = version
        self.baselineVersion = baselineVersion
        self.tenantIDs = tenantIDs
        self.regions = regions
        self.dataPlaneIDs = dataPlaneIDs
        self.percentageBasisPoints = percentageBasisPoints
        self.salt = salt
        self.effectiveAt = effectiveAt
        state = .candidate
        self.authorID = authorID
        self.authorName = authorName
        revision = 1
        self.createdAt = createdAt
        updatedAt = createdAt
    }

    fileprivate init(_ row: SQLRow) throws {
        id = try row.text("id")
        version = try row.int("version")
        baselineVersion = try row.int("baseline_version")
        tenantIDs = try TextList.decode(row.text("tenant_ids"))
        regions = try TextList.decode(row.text("regions"))
        dataPlaneIDs = try TextList.decode(row.text("data_plane_ids"))
        percentageBasisPoints = try row.int("percentage_basis_points")
        salt = try row.text("salt")
        effectiveAt = try row.int("effective_at")
        guard let known = State(rawValue: try row.text("state")) else { throw DatabaseError.unexpectedValue("unknown rollout state") }
        state = known
        authorID = try row.text("author_id")
        authorName = try row.text("author_name")
        revision = try row.int("revision")
        createdAt = try row.int("created_at")
        updatedAt = try row.int("updated_at")
        endedAt = try row.optionalInt("ended_at")
        endedBy = try row.optionalText("ended_by")
    }
}

package enum RolloutsTable {
    private static let columns = """
        id, version, baseline_version, tenant_ids, regions, data_plane_ids, percentage_basis_points, salt, effective_at, state, \
        author_id, author_name, revision, created_at, updated_at, ended_at, ended_by
        """

    package static func insert(_ c: any SQLConnection, _ row: RolloutRow) throws {
        try c.execute(
            """
            INSERT INTO rollouts (\(columns))
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
            """,
            [
                .text(row.id), .int(row.version), .int(row.baselineVersion), .text(TextList.encode(row.tenantIDs)),
                .text(TextList.encode(row.regions)), .text(TextList.encode(row.dataPlaneIDs)), .int(row.percentageBasisPoints),
                .text(row.salt), .int(row.effectiveAt), .text(row.state.rawValue), .text(row.authorID), .text(row.authorName),
                .int(row.revision), .int(row.createdAt), .int(row.updatedAt), .optional(row.endedAt), .optional(row.endedBy),
            ])
    }

    /// Writes what may change and raises the revision.
    /// - Returns: the row as it is now.
    package static func update(_ c: any SQLConnection, _ row: RolloutRow) throws -> RolloutRow {
        var changed = row
        changed.revision &+= 1
        try c.execute(
            """
            UPDATE rollouts SET tenant_ids = $1, regions = $2, data_plane_ids = $3, percentage_basis_points = $4, effective_at = $5,
                state = $6, revision = $7, updated_at = $8, ended_at = $9, ended_by = $10
            WHERE id = $11
            """,
            [
                .text(TextList.encode(row.tenantIDs)), .text(TextList.encode(row.regions)), .text(TextList.encode(row.dataPlaneIDs)),
                .int(row.percentageBasisPoints), .int(row.effectiveAt), .text(row.state.rawValue), .int(changed.revision),
                .int(row.updatedAt), .optional(row.endedAt), .optional(row.endedBy), .text(row.id),
            ])
        return changed
    }

    package static func find(_ c: any SQLConnection, id: String) throws -> RolloutRow? {
        try c.first("SELECT \(columns) FROM rollouts WHERE id = $1", [.text(id)]).map(RolloutRow.init)
    }

    /// Newest first; `before` is the last row of the page before.
    package static func list(_ c: any SQLConnection, before: (time: Int64, id: String)?, limit: Int) throws -> [RolloutRow] {
        var query = Conditions()
        if let before { query.add("(created_at, id) < (?, ?)", .int(before.time), .text(before.id)) }
        let limitPlace = query.place(.int(Int64(limit)))
        return try c.query(
            "SELECT \(columns) FROM rollouts \(query.clause) ORDER BY created_at DESC, id DESC LIMIT \(limitPlace)", query.arguments
        ).map(RolloutRow.init)
    }
}

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
