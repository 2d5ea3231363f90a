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
            "resource_kind": .string(resourceKind), "resource_id": .string(resourceID), "before": before, "after": after,
        ]
    }
}

/// The record of who changed what. Written in the transaction of the change itself, so that neither is there without the other.
package struct AuditLog: Sendable {
    package static let list = "audit"

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

    /// An attempt at a change that was refused, so that nothing else was written.
    /// - Parameter resource: What it was aimed at, as a route names it.
    package func recordRefusal(_ actor: Actor, resource: String, _ refusal: JSONValue) async throws {
        let now = domain.clock.nowMilliseconds()
        try await domain.database.transaction(as: .all, isolation: .readCommitted) { c in
            try Self.record(c, actor, "request.refuse", id: resource, before: nil, after: refusal, at: now)
        }
    }

    /// Newest first.
    package func entries(_ query: AuditQuery, _ page: PageRequest, as scope: TenantScope) async throws -> Page<AuditEntry> {
        let filter = AuditFilter(
            resourceKind: query.resourceKind, resourceID: query.resourceID, actorID: query.actorID, tenantID: query.tenantID,
            from: query.from, to: query.to)
        let before = try page.after.map { (cursor) throws(DomainError) -> (at: Int64, sequence: Int64) in
            guard let sequence = Int64(cursor.id) else {
                throw .invalid("cursor", "is not a cursor of this list", remedy: "Pass next_cursor of the previous page unchanged.")
            }
            return (cursor.time, sequence)
        }
        let entries = try await domain.report(as: scope) { c in
            try AuditTable.list(c, filter, before: before, limit: page.fetchLimit).map { AuditEntry($0, for: scope) }
        }
        return Page(fetched: entries, page) { Cursor(list: Self.list, time: $0.at, id: String($0.sequence)) }
    }
}
