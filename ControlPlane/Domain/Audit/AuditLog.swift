package import Primitives
package import Storage

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
                resourceKind: String(action.prefix { $0 != "." }), resourceID: id, before: before?.text, after: after?.text))
    }

    /// Newest first.
    package func entries(_ filter: AuditFilter, _ page: PageRequest) async throws -> Page<AuditRow> {
        let rows = try await domain.read { c in
            try AuditTable.list(c, filter, before: page.after.map { ($0.time, $0.id) }, limit: page.fetchLimit)
        }
        return Page(fetched: rows, page) { Cursor(list: Self.list, time: $0.at, id: $0.id) }
    }
}
