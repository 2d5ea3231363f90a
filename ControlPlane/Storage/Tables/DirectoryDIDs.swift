/// DIDs as a data plane needs them.
extension DirectoryTables {
    package struct RegisteredDID: Sendable {
        package let id: String
        package let tenantID: String
        package let fingerprint: [UInt8]
        package let userID: String?
        package let disabled: Bool
        /// Of a did:web, the keys of its document as `DIDDocumentRow.methods`; nil: it has none.
        package let methods: String?
        package let removed: Bool
    }

    /// One page by id, from the one after `lastID`: the present ones, or with `revision` those that changed after it, removed ones included.
    package static func dids(
        _ c: any SQLConnection, _ scope: DirectoryScope, after revision: Int64?, lastID: String, limit: Int
    ) throws -> [RegisteredDID] {
        var arguments: [SQLValue] = [.text(lastID), .int(Int64(limit))]
        var wanted = "d.deleted_at IS NULL AND t.deleted_at IS NULL"
        if let revision {
            arguments.append(.int(revision))
            wanted = "d.directory_revision > $3"
        }
        let condition = scope.condition("d.tenant_id", &arguments)
        return try c.query(
            """
            SELECT d.id AS id, d.tenant_id AS tenant_id, d.fingerprint AS fingerprint, d.user_id AS user_id, d.status AS status,
                w.methods AS methods, COALESCE(d.deleted_at, t.deleted_at) AS deleted_at
            FROM dids d JOIN tenants t ON t.id = d.tenant_id LEFT JOIN did_documents w ON w.did_id = d.id WHERE d.id > $1 AND \(wanted) \(condition) ORDER BY d.id LIMIT $2
            """, arguments
        ).map { row in
            RegisteredDID(
                id: try row.text("id"), tenantID: try row.text("tenant_id"), fingerprint: try row.blob("fingerprint"),
                userID: try row.optionalText("user_id"), disabled: try row.text("status") != "active",
                methods: try row.optionalText("methods"), removed: try row.optionalInt("deleted_at") != nil)
        }
    }

    /// The present one that stands for a key or account, and whose it is.
    package static func did(_ c: any SQLConnection, fingerprint: [UInt8]) throws -> (id: String, tenantID: String)? {
        try c.first("SELECT id, tenant_id FROM dids WHERE fingerprint = $1 AND deleted_at IS NULL", [.blob(fingerprint)])
            .map { (try $0.text("id"), try $0.text("tenant_id")) }
    }

    /// How many DIDs their own first requests have made, those that are gone by now included, since a moment (Unix milliseconds).
    package static func provisionedDIDs(_ c: any SQLConnection, tenantID: String, since: Int64) throws -> Int64 {
        try c.first(
            "SELECT COUNT(*) AS n FROM dids WHERE tenant_id = $1 AND provisioned_by IS NOT NULL AND created_at > $2",
            [.text(tenantID), .int(since)])?.int("n") ?? 0
    }

    package struct RevokedGrant: Sendable {
        package let id: String
        package let tenantID: String
        package let name: [UInt8]
        package let removed: Bool
    }

    /// The same of grants that were revoked.
    package static func revokedGrants(
        _ c: any SQLConnection, _ scope: DirectoryScope, after revision: Int64?, lastID: String, limit: Int
    ) throws -> [RevokedGrant] {
        var arguments: [SQLValue] = [.text(lastID), .int(Int64(limit))]
        var wanted = "g.deleted_at IS NULL AND t.deleted_at IS NULL"
        if let revision {
            arguments.append(.int(revision))
            wanted = "g.directory_revision > $3"
        }
        let condition = scope.condition("g.tenant_id", &arguments)
        return try c.query(
            """
            SELECT g.id AS id, g.tenant_id AS tenant_id, g.grant_name AS grant_name, COALESCE(g.deleted_at, t.deleted_at) AS deleted_at
            FROM revoked_grants g JOIN tenants t ON t.id = g.tenant_id WHERE g.id > $1 AND \(wanted) \(condition) ORDER BY g.id LIMIT $2
            """, arguments
        ).map { row in
            RevokedGrant(
                id: try row.text("id"), tenantID: try row.text("tenant_id"), name: try row.blob("grant_name"),
                removed: try row.optionalInt("deleted_at") != nil)
        }
    }
}
