/// Bans as data planes need them, and what data planes said of them.
package enum BansTable {
    package struct InForce: Sendable {
        package let id: String
        package let subjectID: String
        package let expiresAt: Int64?
    }

    /// Those that are not lifted, expired ones included.
    package static func count(_ c: any SQLConnection) throws -> Int64 {
        try c.first("SELECT COUNT(*) AS bans FROM bans WHERE deleted_at IS NULL", [])?.int("bans") ?? 0
    }

    /// By id.
    package static func inForce(_ c: any SQLConnection, _ scope: DirectoryScope, now: Int64) throws -> [InForce] {
        var arguments: [SQLValue] = [.int(now)]
        let condition = scope.condition("tenant_id", &arguments)
        return try c.query(
            """
            SELECT id, subject_id, expires_at FROM bans
            WHERE deleted_at IS NULL AND (expires_at IS NULL OR expires_at > $1) \(condition) ORDER BY id
            """, arguments
        ).map { InForce(id: try $0.text("id"), subjectID: try $0.text("subject_id"), expiresAt: try $0.optionalInt("expires_at")) }
    }

    /// A data plane has put in force all bans of `scope` up to the change `covered`. What it said before stays.
    package static func acted(
        _ c: any SQLConnection, dataPlaneID: String, _ scope: DirectoryScope, covered: Int64, now: Int64
    ) throws {
        var arguments: [SQLValue] = [.text(dataPlaneID), .int(now), .int(covered)]
        let condition = scope.condition("tenant_id", &arguments)
        try c.execute(
            """
            INSERT INTO ban_receipts (ban_id, data_plane_id, acted_at)
            SELECT id, $1, $2 FROM bans WHERE deleted_at IS NULL AND ban_revision <= $3 \(condition)
            ON CONFLICT (ban_id, data_plane_id) DO NOTHING
            """, arguments)
    }

    /// When each data plane said that it has acted, Unix milliseconds.
    package static func receipts(_ c: any SQLConnection, _ banID: String) throws -> [String: Int64] {
        var found: [String: Int64] = [:]
        for row in try c.query("SELECT data_plane_id, acted_at FROM ban_receipts WHERE ban_id = $1", [.text(banID)]) {
            found[try row.text("data_plane_id")] = try row.int("acted_at")
        }
        return found
    }
}
