/// What travels in the documents of bans, as data planes need it, and what data planes said of it: bans and kill switches, which have their
/// columns and their receipts in common.
package enum BansTable: String, Sendable, CaseIterable {
    case bans
    case killSwitches = "kill_switches"

    package struct InForce: Sendable {
        package let id: String
        package let subjectID: String
        package let expiresAt: Int64?
        /// Of a ban: it is of a key's signatures alone.
        package let isOfSignatures: Bool
    }

    /// What concerns a data plane: what is its tenants', and what is no tenant's in particular.
    private func condition(_ scope: DirectoryScope, _ arguments: inout [SQLValue]) -> String {
        switch self {
        case .bans: scope.condition("tenant_id", &arguments)
        case .killSwitches: scope.conditionOrNone("tenant_id", &arguments)
        }
    }

    /// Those that are not lifted, expired ones included: of whom the transaction is for.
    package func count(_ c: any SQLConnection) throws -> Int64 {
        var conditions = Conditions()
        conditions.add("deleted_at IS NULL")
        conditions.confine("tenant_id", to: c.scope)
        return try c.first("SELECT COUNT(*) AS bans FROM \(rawValue) \(conditions.clause)", conditions.arguments)?.int("bans") ?? 0
    }

    /// By id.
    package func inForce(_ c: any SQLConnection, _ scope: DirectoryScope, now: Int64) throws -> [InForce] {
        var arguments: [SQLValue] = [.int(now)]
        let condition = condition(scope, &arguments)
        return try c.query(
            """
            SELECT id, subject_id, expires_at, \(self == .bans ? "covers" : "'everything' AS covers") FROM \(rawValue)
            WHERE deleted_at IS NULL AND (expires_at IS NULL OR expires_at > $1) \(condition) ORDER BY id
            """, arguments
        ).map { row in
            InForce(
                id: try row.text("id"), subjectID: try row.text("subject_id"), expiresAt: try row.optionalInt("expires_at"),
                isOfSignatures: try row.text("covers") == "signatures")
        }
    }

    /// A data plane has put in force all of `scope` up to the change `covered`. What it said before stays.
    package func acted(
        _ c: any SQLConnection, dataPlaneID: String, _ scope: DirectoryScope, covered: Int64, now: Int64
    ) throws {
        var arguments: [SQLValue] = [.text(dataPlaneID), .int(now), .int(covered)]
        let condition = condition(scope, &arguments)
        try c.execute(
            """
            INSERT INTO ban_receipts (ban_id, data_plane_id, acted_at)
            SELECT id, $1, $2 FROM \(rawValue) WHERE deleted_at IS NULL AND ban_revision <= $3 \(condition)
            ON CONFLICT (ban_id, data_plane_id) DO NOTHING
            """, arguments)
    }

    /// When each data plane said that it has acted, Unix milliseconds.
    /// - Parameter id: of a ban or a kill switch.
    package static func receipts(_ c: any SQLConnection, _ id: String) throws -> [String: Int64] {
        var found: [String: Int64] = [:]
        for row in try c.query("SELECT data_plane_id, acted_at FROM ban_receipts WHERE ban_id = $1", [.text(id)]) {
            found[try row.text("data_plane_id")] = try row.int("acted_at")
        }
        return found
    }
}
