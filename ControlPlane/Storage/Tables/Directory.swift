/// Whose directory is read: every tenant's, or that of some.
package enum DirectoryScope: Sendable, Hashable {
    case everyone
    case tenants([String])

    /// A data plane's list; an empty one means everyone.
    package init(tenantIDs: [String]) { self = tenantIDs.isEmpty ? .everyone : .tenants(tenantIDs) }

    package func contains(_ tenantID: String) -> Bool {
        switch self {
        case .everyone: true
        case .tenants(let ids): ids.contains(tenantID)
        }
    }

    /// `AND column IN (…)`, with the arguments appended.
    func condition(_ column: String, _ arguments: inout [SQLValue]) -> String {
        guard case .tenants(let ids) = self else { return "" }
        let places = ids.map { id in
            arguments.append(.text(id))
            return "$\(arguments.count)"
        }
        return "AND \(column) IN (\(places.joined(separator: ", ")))"
    }

    /// The same for what may be no tenant's in particular, and concerns everyone then.
    func conditionOrNone(_ column: String, _ arguments: inout [SQLValue]) -> String {
        let mine = condition(column, &arguments)
        return mine.isEmpty ? "" : "AND (\(column) IS NULL OR (TRUE \(mine)))"
    }
}

/// Tenants, projects and keys as a data plane needs them: across the three tables, without what only administrators see. A row
/// counts as removed when it, its project or its tenant is.
package enum DirectoryTables {
    package struct Tenant: Sendable {
        package let id: String
        package let name: String
        package let disabled: Bool
        /// `off`, `on`, `allow_list`.
        package let didPolicy: String
        /// JSON arrays, as they are stored.
        package let didPatterns: String
        package let didHosts: String
        package let weight: Int64
        package let removed: Bool
    }

    package struct Project: Sendable {
        package let id: String
        package let tenantID: String
        package let name: String
        package let disabled: Bool
        package let removed: Bool
    }

    package struct Key: Sendable {
        package let id: String
        package let projectID: String
        package let sha256: [UInt8]
        package let previousSHA256: [UInt8]?
        package let previousExpiresAt: Int64?
        package let expiresAt: Int64?
        package let revoked: Bool
        /// JSON arrays, as they are stored.
        package let models: String
        package let capabilities: String
        package let channels: String
        package let userID: String?
        /// A JSON object.
        package let tags: String
        package let networks: String
        package let domains: String
        package let credentialIDs: String
        package let rights: String
        package let removed: Bool
    }

    package struct User: Sendable {
        package let id: String
        package let tenantID: String
        package let oid: String
        package let disabled: Bool
        package let paymentValidUntil: Int64?
        package let removed: Bool
    }

    package struct App: Sendable {
        package let id: String
        package let tenantID: String
        package let appID: String
        package let ownerID: String
        package let disabled: Bool
        package let sha256: [UInt8]?
        package let previousSHA256: [UInt8]?
        package let previousExpiresAt: Int64?
        package let removed: Bool
    }

    /// How many rows changed after `revision`, removed ones included, counted up to `limit`.
    package static func changes(_ c: any SQLConnection, _ scope: DirectoryScope, after revision: Int64, limit: Int64) throws -> Int64 {
        var arguments: [SQLValue] = [.int(revision), .int(limit)]
        let tenants = scope.condition("id", &arguments)
        let projects = scope.condition("tenant_id", &arguments)
        let keys = scope.condition("tenant_id", &arguments)
        let users = scope.condition("tenant_id", &arguments)
        let apps = scope.condition("tenant_id", &arguments)
        let dids = scope.condition("tenant_id", &arguments)
        let limits = scope.conditionOrNone("tenant_id", &arguments)
        return try c.first(
            """
            SELECT COUNT(*) AS changes FROM (
                SELECT 1 AS one FROM tenants WHERE directory_revision > $1 \(tenants)
                UNION ALL SELECT 1 AS one FROM projects WHERE directory_revision > $1 \(projects)
                UNION ALL SELECT 1 AS one FROM virtual_keys WHERE directory_revision > $1 \(keys)
                UNION ALL SELECT 1 AS one FROM users WHERE directory_revision > $1 \(users)
                UNION ALL SELECT 1 AS one FROM apps WHERE directory_revision > $1 \(apps)
                UNION ALL SELECT 1 AS one FROM dids WHERE directory_revision > $1 \(dids)
                UNION ALL SELECT 1 AS one FROM revoked_grants WHERE directory_revision > $1 \(dids)
                UNION ALL SELECT 1 AS one FROM budgets WHERE directory_revision > $1 \(dids)
                UNION ALL SELECT 1 AS one FROM limits WHERE directory_revision > $1 \(limits)
                LIMIT $2) AS changed
            """, arguments)?.int("changes") ?? 0
    }

    /// A key as it is chosen by a rollout.
    package struct Holder: Sendable, Hashable {
        package let id: String
        package let name: String
        package let projectID: String
        package let tenantID: String
    }

    /// Keys that work, by id, from the one after `lastID`.
    package static func holders(_ c: any SQLConnection, after lastID: String, now: Int64, limit: Int) throws -> [Holder] {
        try c.query(
            """
            SELECT k.id AS id, k.name AS name, k.project_id AS project_id, k.tenant_id AS tenant_id
            FROM virtual_keys k JOIN projects p ON p.id = k.project_id JOIN tenants t ON t.id = k.tenant_id
            WHERE k.id > $1 AND k.deleted_at IS NULL AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $2)
                AND p.deleted_at IS NULL AND p.status = 'active' AND t.deleted_at IS NULL AND t.status = 'active'
            ORDER BY k.id LIMIT $3
            """, [.text(lastID), .int(now), .int(Int64(limit))]
        ).map {
            Holder(
                id: try $0.text("id"), name: try $0.text("name"), projectID: try $0.text("project_id"), tenantID: try $0.text("tenant_id"))
        }
    }

    /// How many keys there are.
    package static func keyCount(_ c: any SQLConnection, _ scope: DirectoryScope) throws -> Int64 {
        var arguments: [SQLValue] = []
        let condition = scope.condition("tenant_id", &arguments)
        return try c.first("SELECT COUNT(*) AS keys FROM virtual_keys WHERE deleted_at IS NULL \(condition)", arguments)?.int("keys") ?? 0
    }

    /// The present tenants, or with `revision` those that changed after it, removed ones included.
    package static func tenants(_ c: any SQLConnection, _ scope: DirectoryScope, after revision: Int64?) throws -> [Tenant] {
        var arguments: [SQLValue] = revision.map { [.int($0)] } ?? []
        let condition = scope.condition("id", &arguments)
        let wanted = revision == nil ? "deleted_at IS NULL" : "directory_revision > $1"
        return try c.query(
            """
            SELECT id, name, status, did_policy, did_patterns, did_hosts, weight, deleted_at
            FROM tenants WHERE \(wanted) \(condition) ORDER BY id
            """, arguments
        ).map { row in
            Tenant(
                id: try row.text("id"), name: try row.text("name"), disabled: try row.text("status") != "active",
                didPolicy: try row.text("did_policy"), didPatterns: try row.text("did_patterns"), didHosts: try row.text("did_hosts"),
                weight: try row.int("weight"), removed: try row.optionalInt("deleted_at") != nil)
        }
    }

    package static func projects(_ c: any SQLConnection, _ scope: DirectoryScope, after revision: Int64?) throws -> [Project] {
        var arguments: [SQLValue] = revision.map { [.int($0)] } ?? []
        let condition = scope.condition("p.tenant_id", &arguments)
        let wanted = revision == nil ? "p.deleted_at IS NULL AND t.deleted_at IS NULL" : "p.directory_revision > $1"
        return try c.query(
            """
            SELECT p.id AS id, p.tenant_id AS tenant_id, p.name AS name, p.status AS status,
                COALESCE(p.deleted_at, t.deleted_at) AS deleted_at
            FROM projects p JOIN tenants t ON t.id = p.tenant_id WHERE \(wanted) \(condition) ORDER BY p.id
            """, arguments
        ).map { row in
            Project(
                id: try row.text("id"), tenantID: try row.text("tenant_id"), name: try row.text("name"),
                disabled: try row.text("status") != "active", removed: try row.optionalInt("deleted_at") != nil)
        }
    }

    /// One page of keys by id, from the one after `lastID`.
    package static func keys(
        _ c: any SQLConnection, _ scope: DirectoryScope, after revision: Int64?, lastID: String, limit: Int
    ) throws -> [Key] {
        var arguments: [SQLValue] = [.text(lastID), .int(Int64(limit))]
        var wanted = "k.deleted_at IS NULL AND p.deleted_at IS NULL AND t.deleted_at IS NULL"
        if let revision {
            arguments.append(.int(revision))
            wanted = "k.directory_revision > $3"
        }
        let condition = scope.condition("k.tenant_id", &arguments)
        return try c.query(
            """
            SELECT k.id AS id, k.project_id AS project_id, k.sha256 AS sha256, k.previous_sha256 AS previous_sha256,
                k.previous_expires_at AS previous_expires_at, k.expires_at AS expires_at, k.revoked_at AS revoked_at,
                k.user_id AS user_id, k.models AS models, k.capabilities AS capabilities, k.channels AS channels, k.tags AS tags,
                k.networks AS networks, k.domains AS domains, k.credential_ids AS credential_ids,
                k.rights AS rights,
                COALESCE(k.deleted_at, p.deleted_at, t.deleted_at) AS deleted_at
            FROM virtual_keys k JOIN projects p ON p.id = k.project_id JOIN tenants t ON t.id = k.tenant_id
            WHERE k.id > $1 AND \(wanted) \(condition) ORDER BY k.id LIMIT $2
            """, arguments
        ).map { row in
            Key(
                id: try row.text("id"), projectID: try row.text("project_id"), sha256: try row.blob("sha256"),
                previousSHA256: try row.optionalBlob("previous_sha256"), previousExpiresAt: try row.optionalInt("previous_expires_at"),
                expiresAt: try row.optionalInt("expires_at"), revoked: try row.optionalInt("revoked_at") != nil,
                models: try row.text("models"), capabilities: try row.text("capabilities"), channels: try row.text("channels"),
                userID: try row.optionalText("user_id"), tags: try row.text("tags"),
                networks: try row.text("networks"), domains: try row.text("domains"), credentialIDs: try row.text("credential_ids"),
                rights: try row.text("rights"), removed: try row.optionalInt("deleted_at") != nil)
        }
    }

    /// One page of users by id, from the one after `lastID`.
    package static func users(
        _ c: any SQLConnection, _ scope: DirectoryScope, after revision: Int64?, lastID: String, limit: Int
    ) throws -> [User] {
        try others(c, scope, "users", "x.oid AS oid, x.payment_valid_until AS payment_valid_until", revision, lastID, limit).map { row in
            User(
                id: try row.text("id"), tenantID: try row.text("tenant_id"), oid: try row.text("oid"),
                disabled: try row.text("status") != "active", paymentValidUntil: try row.optionalInt("payment_valid_until"),
                removed: try row.optionalInt("deleted_at") != nil)
        }
    }

    /// One page of apps by id, from the one after `lastID`.
    package static func apps(
        _ c: any SQLConnection, _ scope: DirectoryScope, after revision: Int64?, lastID: String, limit: Int
    ) throws -> [App] {
        let columns =
            "x.app_id AS app_id, x.owner_id AS owner_id, x.sha256 AS sha256, x.previous_sha256 AS previous_sha256, "
            + "x.previous_expires_at AS previous_expires_at"
        return try others(c, scope, "apps", columns, revision, lastID, limit).map { row in
            App(
                id: try row.text("id"), tenantID: try row.text("tenant_id"), appID: try row.text("app_id"),
                ownerID: try row.text("owner_id"), disabled: try row.text("status") != "active", sha256: try row.optionalBlob("sha256"),
                previousSHA256: try row.optionalBlob("previous_sha256"), previousExpiresAt: try row.optionalInt("previous_expires_at"),
                removed: try row.optionalInt("deleted_at") != nil)
        }
    }

    /// Rows of a table of tenants' callers, `x`.
    private static func others(
        _ c: any SQLConnection, _ scope: DirectoryScope, _ table: String, _ columns: String, _ revision: Int64?, _ lastID: String,
        _ limit: Int
    ) throws -> [SQLRow] {
        var arguments: [SQLValue] = [.text(lastID), .int(Int64(limit))]
        var wanted = "x.deleted_at IS NULL AND t.deleted_at IS NULL"
        if let revision {
            arguments.append(.int(revision))
            wanted = "x.directory_revision > $3"
        }
        let condition = scope.condition("x.tenant_id", &arguments)
        return try c.query(
            """
            SELECT x.id AS id, x.tenant_id AS tenant_id, x.status AS status, \(columns), COALESCE(x.deleted_at, t.deleted_at) AS deleted_at
            FROM \(table) x JOIN tenants t ON t.id = x.tenant_id WHERE x.id > $1 AND \(wanted) \(condition) ORDER BY x.id LIMIT $2
            """, arguments)
    }

    /// What goes with a removed tenant or project, whether or not it was marked itself.
    package static func projectIDs(_ c: any SQLConnection, tenantID: String) throws -> [String] {
        try c.query("SELECT id FROM projects WHERE tenant_id = $1 ORDER BY id", [.text(tenantID)]).map { try $0.text("id") }
    }

    package static func keyIDs(_ c: any SQLConnection, projectID: String) throws -> [String] {
        try c.query("SELECT id FROM virtual_keys WHERE project_id = $1 ORDER BY id", [.text(projectID)]).map { try $0.text("id") }
    }
}
