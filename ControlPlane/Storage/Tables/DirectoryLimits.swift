/// Limits as a data plane needs them.
extension DirectoryTables {
    package struct Limit: Sendable {
        package let id: String
        package let name: String
        package let level: String
        /// Nil: each of the level.
        package let subjectID: String?
        package let tenantID: String?
        package let channel: String?
        package let model: String?
        package let measure: String
        package let amount: Int64
        package let windowSeconds: Int64
        package let algorithm: String
        package let burst: Int64
        package let mode: String
        package let removed: Bool
    }

    package static func limitCount(_ c: any SQLConnection) throws -> Int64 {
        try c.first("SELECT COUNT(*) AS limits FROM limits WHERE deleted_at IS NULL", [])?.int("limits") ?? 0
    }

    /// One page by id, from the one after `lastID`: the present ones, or with `revision` those that changed after it, removed ones included.
    package static func limits(
        _ c: any SQLConnection, _ scope: DirectoryScope, after revision: Int64?, lastID: String, limit: Int
    ) throws -> [Limit] {
        var arguments: [SQLValue] = [.text(lastID), .int(Int64(limit))]
        var wanted = "deleted_at IS NULL"
        if let revision {
            arguments.append(.int(revision))
            wanted = "directory_revision > $3"
        }
        let condition = scope.conditionOrNone("tenant_id", &arguments)
        return try c.query(
            """
            SELECT id, name, level, tenant_id, COALESCE(project_id, app_id, user_id, key_id, did_id, ip) AS subject_id, channel, model, measure,
                amount, window_seconds, algorithm, burst, mode, deleted_at
            FROM limits WHERE id > $1 AND \(wanted) \(condition) ORDER BY id LIMIT $2
            """, arguments
        ).map { row in
            Limit(
                id: try row.text("id"), name: try row.text("name"), level: try row.text("level"),
                subjectID: try row.optionalText("subject_id"), tenantID: try row.optionalText("tenant_id"),
                channel: try row.optionalText("channel"), model: try row.optionalText("model"), measure: try row.text("measure"),
                amount: try row.int("amount"), windowSeconds: try row.int("window_seconds"), algorithm: try row.text("algorithm"),
                burst: try row.int("burst"), mode: try row.text("mode"), removed: try row.optionalInt("deleted_at") != nil)
        }
    }
}
