/// Budgets as a data plane needs them: whose they are and in what they count; how much is in them is said in slices.
extension DirectoryTables {
    package struct Budget: Sendable {
        package let id: String
        package let tenantID: String
        package let name: String
        package let subjectID: String
        package let unit: String
        package let period: String
        package let timeZone: String
        package let kind: String
        package let mode: String
        package let capability: String?
        package let unknownOutcomes: String
        package let removed: Bool
    }

    /// One page by id, from the one after `lastID`: the present ones, or with `revision` those that changed after it, removed ones included.
    package static func budgets(
        _ c: any SQLConnection, _ scope: DirectoryScope, after revision: Int64?, lastID: String, limit: Int
    ) throws -> [Budget] {
        var arguments: [SQLValue] = [.text(lastID), .int(Int64(limit))]
        var wanted = "b.deleted_at IS NULL AND t.deleted_at IS NULL"
        if let revision {
            arguments.append(.int(revision))
            wanted = "b.directory_revision > $3"
        }
        let condition = scope.condition("b.tenant_id", &arguments)
        return try c.query(
            """
            SELECT b.id AS id, b.tenant_id AS tenant_id, b.name AS name, b.unit AS unit, b.period AS period, b.time_zone AS time_zone,
                b.kind AS kind, b.mode AS mode, b.capability AS capability, b.unknown_outcomes AS unknown_outcomes,
                COALESCE(b.project_id, b.app_id, b.user_id, b.key_id, b.did_id, b.tenant_id) AS subject_id,
                COALESCE(b.deleted_at, t.deleted_at) AS deleted_at
            FROM budgets b JOIN tenants t ON t.id = b.tenant_id WHERE b.id > $1 AND \(wanted) \(condition) ORDER BY b.id LIMIT $2
            """, arguments
        ).map { row in
            Budget(
                id: try row.text("id"), tenantID: try row.text("tenant_id"), name: try row.text("name"),
                subjectID: try row.text("subject_id"), unit: try row.text("unit"), period: try row.text("period"),
                timeZone: try row.text("time_zone"), kind: try row.text("kind"), mode: try row.text("mode"),
                capability: try row.optionalText("capability"), unknownOutcomes: try row.text("unknown_outcomes"),
                removed: try row.optionalInt("deleted_at") != nil)
        }
    }
}
