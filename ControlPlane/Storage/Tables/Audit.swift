import Primitives

/// One change that somebody made, kept as it was asked for.
package struct AuditRow: Sendable, Hashable {
    package let id: String
    /// Unix milliseconds.
    package let at: Int64
    package let actorID: String
    package let actorName: String
    package let actorRole: String
    package let remoteAddress: String
    package let requestID: String
    /// Noun and verb: `tenant.create`.
    package let action: String
    package let resourceKind: String
    package let resourceID: String
    /// JSON of the resource as its reader would see it; nil for what did not exist.
    package let before: String?
    package let after: String?
    /// Whose resource it is; nil: no tenant's.
    package let tenantID: String?
    /// Its place among all rows, for those of one moment. Given by the database: what it is made with is not stored.
    package let sequence: Int64
    /// Whose administrator did it; nil: one of the whole deployment.
    package let actorTenantID: String?

    package init(
        id: String, at: Int64, actorID: String, actorName: String, actorRole: String, remoteAddress: String, requestID: String,
        action: String, resourceKind: String, resourceID: String, before: String?, after: String?, tenantID: String? = nil,
        sequence: Int64 = 0, actorTenantID: String? = nil
    ) {
        self.actorTenantID = actorTenantID
        self.id = id
        self.at = at
        self.actorID = actorID
        self.actorName = actorName
        self.actorRole = actorRole
        self.remoteAddress = remoteAddress
        self.requestID = requestID
        self.action = action
        self.resourceKind = resourceKind
        self.resourceID = resourceID
        self.before = before
        self.after = after
        self.tenantID = tenantID
        self.sequence = sequence
    }
}

/// What of the audit log is wanted; nil is everything.
package struct AuditFilter: Sendable, Hashable {
    package var resourceKind: String?
    package var resourceID: String?
    package var actorID: String?
    package var tenantID: String?
    /// Unix milliseconds, included.
    package var from: Int64?
    /// Unix milliseconds, not included.
    package var to: Int64?
    /// Noun and verb: `tenant.create`.
    package var action: String?
    /// What was refused, or what was not.
    package var isRefusal: Bool?
    /// Done to this key, or by it.
    package var keyID: String?
    /// Done to this DID.
    package var didID: String?
    /// Done to the project, or to a key of it.
    package var projectID: String?
    /// Done to the model that is called so.
    package var model: String?
    /// A part of an id or a name in it.
    package var text: String?

    package init(
        resourceKind: String? = nil, resourceID: String? = nil, actorID: String? = nil, tenantID: String? = nil, from: Int64? = nil,
        to: Int64? = nil
    ) {
        self.tenantID = tenantID
        self.resourceKind = resourceKind
        self.resourceID = resourceID
        self.actorID = actorID
        self.from = from
        self.to = to
    }
}

package enum AuditTable {
    /// Of an attempt that was refused, by whatever it was aimed at.
    package static let refusal = "request.refuse"

    private static let columns = [
        "id", "at", "actor_id", "actor_name", "actor_role", "remote_address", "request_id", "action", "resource_kind", "resource_id",
        "before_json", "after_json", "tenant_id", "actor_tenant_id",
    ]

    package static func insert(_ c: any SQLConnection, _ row: AuditRow) throws {
        try c.execute(
            """
            INSERT INTO audit_log (\(columns.joined(separator: ", ")), sequence)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \(nextSequence(c.dialect)))
            """,
            [
                .text(row.id), .int(row.at), .text(row.actorID), .text(row.actorName), .text(row.actorRole), .text(row.remoteAddress),
                .text(row.requestID), .text(row.action), .text(row.resourceKind), .text(row.resourceID), .optional(row.before),
                .optional(row.after), .optional(row.tenantID), .optional(row.actorTenantID),
            ])
    }

    private static func nextSequence(_ dialect: SQLDialect) -> String {
        switch dialect {
        // One transaction writes at a time.
        case .sqlite: "(SELECT COALESCE(MAX(sequence), 0) + 1 FROM audit_log)"
        case .postgres: "nextval('audit_log_sequence')"
        }
    }

    /// By time, newest first where nothing else is said; `after` is the time and sequence of the last row seen.
    package static func list(
        _ c: any SQLConnection, _ filter: AuditFilter, oldestFirst: Bool = false, after: (at: Int64, sequence: Int64)? = nil, limit: Int
    ) throws -> [AuditRow] {
        var query = Conditions()
        query.confine("tenant_id", to: c.scope)
        if let kind = filter.resourceKind { query.add("resource_kind = ?", .text(kind)) }
        if let id = filter.resourceID { query.add("resource_id = ?", .text(id)) }
        if let actor = filter.actorID {
            query.add("actor_id = ?", .text(actor))
            // Whose deeds are shown without him are not found by him.
            query.confine("actor_tenant_id", to: c.scope)
        }
        if let from = filter.from { query.add("at >= ?", .int(from)) }
        if let to = filter.to { query.add("at < ?", .int(to)) }
        if let tenant = filter.tenantID { query.add("tenant_id = ?", .text(tenant)) }
        add(filter, to: &query, c)
        let order = KeysetOrder(table: "audit_log", columns: columns + ["sequence"], order: ["at", "sequence"])
        let place = after.map { [SQLValue.int($0.at), .int($0.sequence)] }
        return try order.rows(c, query, isDescending: !oldestFirst, after: place, limit: limit).map { row in
            AuditRow(
                id: try row.text("id"), at: try row.int("at"), actorID: try row.text("actor_id"), actorName: try row.text("actor_name"),
                actorRole: try row.text("actor_role"), remoteAddress: try row.text("remote_address"), requestID: try row.text("request_id"),
                action: try row.text("action"), resourceKind: try row.text("resource_kind"), resourceID: try row.text("resource_id"),
                before: try row.optionalText("before_json"), after: try row.optionalText("after_json"),
                tenantID: try row.optionalText("tenant_id"), sequence: try row.optionalInt("sequence") ?? 0,
                actorTenantID: try row.optionalText("actor_tenant_id"))
        }
    }

    /// What is narrowed more rarely: these conditions are looked at in the rows that the others leave.
    private static func add(_ filter: AuditFilter, to query: inout Conditions, _ c: any SQLConnection) {
        if let action = filter.action { query.add("action = ?", .text(action)) }
        if let isRefusal = filter.isRefusal { query.add("action \(isRefusal ? "=" : "<>") ?", .text(refusal)) }
        if let key = filter.keyID { query.add("resource_id = ?", .text(key)) }
        if let did = filter.didID { query.add("resource_id = ?", .text(did)) }
        if let project = filter.projectID {
            query.add(
                "(resource_id = ? OR resource_id IN (SELECT id FROM virtual_keys WHERE project_id = ?))", .text(project), .text(project))
        }
        if let model = filter.model {
            query.add("resource_kind = 'model' AND resource_id IN (SELECT id FROM models WHERE name = ?)", .text(model))
        }
        guard let text = filter.text else { return }
        func holds(_ columns: [String]) -> String {
            columns.map { c.dialect.contains($0, "?") }.joined(separator: " OR ")
        }
        let (own, actors) = (["id", "resource_id", "request_id"], ["actor_id", "actor_name", "remote_address"])
        switch c.scope {
        case .all:
            let columns = own + actors
            query.add("(\(holds(columns)))", values: columns.map { _ in .text(text) })
        case .tenant(let tenant):
            // Who it was of the operator's is not found by looking for him either.
            query.add(
                "(\(holds(own)) OR (actor_tenant_id = ? AND (\(holds(actors)))))",
                values: own.map { _ in .text(text) } + [.text(tenant)] + actors.map { _ in .text(text) })
        }
    }

    /// Takes away the oldest that are from before a moment (Unix milliseconds).
    /// - Returns: how many rows went; fewer than `limit`: there are no more.
    package static func purge(_ c: any SQLConnection, before: Int64, limit: Int) throws -> Int {
        try c.execute(
            "DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE at < $1 ORDER BY at LIMIT $2)",
            [.int(before), .int(Int64(limit))])
    }
}
