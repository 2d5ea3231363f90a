/// Rows that are marked as deleted and were so for long.
package enum PurgeTables {
    package enum Table: String, Sendable {
        case virtualKeys = "virtual_keys"
        case signingSecrets = "signing_secrets"
        case revokedGrants = "revoked_grants"
        case killSwitches = "kill_switches"
        case upstreamKeys = "upstream_keys"
        case dids, projects, tenants, credentials, users, apps, bans, budgets, limits

        /// What still refers to a row by a foreign key, and by which column.
        fileprivate var referrers: [(table: String, column: String)] {
            switch self {
            case .virtualKeys, .credentials, .signingSecrets, .revokedGrants, .budgets, .limits, .upstreamKeys: []
            case .dids: [("upstream_keys", "did_id")]
            case .projects: [("virtual_keys", "project_id")]
            case .tenants:
                ["projects", "virtual_keys", "apps", "users", "dids", "revoked_grants", "budgets", "upstream_keys"].map {
                    (table: $0, column: "tenant_id")
                }
            case .users: [("apps", "owner_id"), ("virtual_keys", "user_id"), ("dids", "user_id")]
            case .apps, .bans, .killSwitches: []
            }
        }

        fileprivate var isDirectory: Bool { changeColumn == "directory_revision" }
        fileprivate var changeColumn: String {
            switch self {
            case .credentials, .signingSecrets, .upstreamKeys: "revision"
            case .bans, .killSwitches: "ban_revision"
            default: "directory_revision"
            }
        }
    }

    /// Those that refer to others come first.
    package static let inOrder: [Table] = [
        .budgets, .limits, .signingSecrets, .virtualKeys, .revokedGrants, .upstreamKeys, .dids, .apps, .users, .projects, .tenants,
        .credentials, .bans,
        .killSwitches,
    ]

    /// The counter that says up to which change of the directory rows are missing: a delta from before it would not tell of them.
    package static let directoryMark = "directory_purged"

    /// - Returns: how many rows went.
    package static func purge(_ c: any SQLConnection, _ table: Table, deletedBefore: Int64, limit: Int) throws -> Int {
        let name = table.rawValue
        let free = table.referrers.map { "AND NOT EXISTS (SELECT 1 FROM \($0.table) WHERE \($0.table).\($0.column) = \(name).id)" }
        let rows = try c.query(
            """
            DELETE FROM \(name) WHERE id IN (
                SELECT id FROM \(name) WHERE deleted_at IS NOT NULL AND deleted_at < $1 \(free.joined(separator: " "))
                ORDER BY deleted_at LIMIT $2)
            RETURNING id, \(table.changeColumn) AS change
            """, [.int(deletedBefore), .int(Int64(limit))])
        if table == .virtualKeys { try KeyUsesTable.remove(c, keyIDs: rows.map { try $0.text("id") }) }
        if table.isDirectory, let last = try rows.map({ try $0.int("change") }).max() {
            try CountersTable.raise(c, directoryMark, to: last)
        }
        return rows.count
    }
}
