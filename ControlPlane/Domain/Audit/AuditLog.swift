import Nouns
package import Primitives
package import Storage

/// What of the audit log is wanted; nil is everything.
package struct AuditQuery: Sendable, Hashable {
    package var resourceKind: String?
    package var resourceID: String?
    package var actorID: String?
    package var tenantID: String?
    /// Unix milliseconds, included.
    package var from: Int64?
    /// Unix milliseconds, not included.
    package var to: Int64?
    /// None is named: what administrators did.
    package var sources: Set<AuditSource> = [.administration]
    /// Noun and verb: `tenant.create`.
    package var action: String?
    package var keyID: String?
    package var projectID: String?
    /// Done to this DID, or by it.
    package var didID: String?
    /// By its name.
    package var model: String?
    package var status: AuditStatus?
    /// A part of an id; of a request or a trace the whole of it.
    package var text: String?

    func wants(_ source: AuditSource) -> Bool { sources.contains(source) }

    /// The request that it is narrowed to, by its id.
    var requestID: RequestID? {
        [resourceID, text].lazy.compactMap { $0.flatMap { RequestID(text: $0) } }.first
    }

    /// Whether a request can be what it is narrowed to.
    var mayBeRequest: Bool {
        (resourceKind ?? "request") == "request" && (resourceID == nil || resourceID.flatMap { RequestID(text: $0) } != nil)
    }

    /// As the audit log is asked.
    var filter: AuditFilter {
        var filter = AuditFilter(
            resourceKind: resourceKind, resourceID: resourceID, actorID: actorID, tenantID: tenantID, from: from, to: to)
        filter.action = action
        filter.isRefusal = status.map { $0 == .refused }
        filter.keyID = keyID
        filter.didID = didID
        filter.projectID = projectID
        filter.model = model
        filter.text = text
        return filter
    }

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

/// One change that somebody made.
package struct AuditEntry: Sendable, Hashable {
    package let id: String
    /// Its place among all entries: later ones have a higher number, also within a millisecond.
    package let sequence: Int64
    /// Whose resource it is; nil: no tenant's.
    package let tenantID: String?
    /// Unix milliseconds.
    package let at: Int64
    package let actor: Actor
    package let action: String
    package let resourceKind: String
    package let resourceID: String
    package let before: JSONValue
    package let after: JSONValue

    /// - Parameter reader: Of a deed of the operator's on what is a tenant's, that tenant learns what was done, and not by whom.
    init(_ row: AuditRow, for reader: TenantScope) {
        id = row.id
        sequence = row.sequence
        tenantID = row.tenantID
        at = row.at
        let isHidden = reader != .all && row.actorTenantID != row.tenantID
        actor = Actor(
            id: isHidden ? "operator" : row.actorID, name: isHidden ? "operator" : row.actorName,
            role: isHidden ? .operator : Role(rawValue: row.actorRole) ?? .viewer, scope: row.actorTenantID.map { .tenant($0) } ?? .all,
            remoteAddress: isHidden ? "" : row.remoteAddress, requestID: row.requestID)
        action = row.action
        resourceKind = row.resourceKind
        resourceID = row.resourceID
        before = row.before.flatMap { try? JSONValue(parsing: $0) } ?? .null
        after = row.after.flatMap { try? JSONValue(parsing: $0) } ?? .null
    }

    package var json: JSONValue {
        [
            "id": .string(id), "sequence": .int(sequence), "at": .time(at), "tenant_id": .optional(tenantID),
            "actor": ["id": .string(actor.id), "name": .string(actor.name), "role": .string(actor.role.rawValue)],
            "remote_address": .string(actor.remoteAddress), "request_id": .string(actor.requestID), "action": .string(action),
            "resource_kind": .string(resourceKind), "resource_id": .string(resourceID),
            "source": .string(AuditSource.administration.rawValue),
            "status": .string(action == AuditTable.refusal ? AuditStatus.refused.rawValue : AuditStatus.done.rawValue),
            "error_code": action == AuditTable.refusal ? after["code"] ?? .null : .null,
            "key_id": resourceKind == "key" ? .string(resourceID) : .null, "model": .null, "before": before, "after": after,
        ]
    }
}

/// The record of who changed what. Written in the transaction of the change itself, so that neither is there without the other.
package struct AuditLog: Sendable {
    private let domain: DomainContext

    package init(_ domain: DomainContext) {
        self.domain = domain
    }

    /// - Parameters:
    ///   - action: Noun and verb, `tenant.create`; the noun is the resource's kind.
    ///   - before: The resource as its reader saw it, nil when it did not exist. Never holds a secret.
    ///   - at: Unix milliseconds.
    package static func record(
        _ c: any SQLConnection, _ actor: Actor, _ action: String, id: String, before: JSONValue?, after: JSONValue?, at: Int64
    ) throws {
        try AuditTable.insert(
            c,
            AuditRow(
                id: "aud_" + Base32.encode(SecureRandom.bytes(10)), at: at, actorID: actor.id, actorName: actor.name,
                actorRole: actor.role.rawValue, remoteAddress: actor.remoteAddress, requestID: actor.requestID, action: action,
                resourceKind: String(action.prefix { $0 != "." }), resourceID: id, before: before?.text, after: after?.text,
                tenantID: tenantID(of: action, id: id, before: before, after: after) ?? actor.tenantID?.rawValue,
                actorTenantID: actor.tenantID?.rawValue))
    }

    /// Whose the resource is: what it says of itself, before or after.
    private static func tenantID(of action: String, id: String, before: JSONValue?, after: JSONValue?) -> String? {
        if action.hasPrefix("tenant.") { return id }
        return (after ?? before)?["tenant_id"]?.stringValue
    }

    /// That an administrator of the whole deployment looked at a tenant's own pages: written before anything is shown.
    /// - Parameter page: Which of them, by its path.
    package func recordLook(_ actor: Actor, at tenantID: TenantID, page: String) async throws {
        let now = domain.clock.nowMilliseconds()
        try await domain.database.transaction(as: .all, isolation: .readCommitted) { c in
            try Self.record(c, actor, "tenant.look", id: tenantID.rawValue, before: nil, after: ["page": .string(page)], at: now)
        }
    }

    /// An attempt at a change that was refused, so that nothing else was written.
    /// - Parameter resource: What it was aimed at, as a route names it.
    package func recordRefusal(_ actor: Actor, resource: String, _ refusal: JSONValue) async throws {
        let now = domain.clock.nowMilliseconds()
        try await domain.database.transaction(as: .all, isolation: .readCommitted) { c in
            try Self.record(c, actor, AuditTable.refusal, id: resource, before: nil, after: refusal, at: now)
        }
    }
}
