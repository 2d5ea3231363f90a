package import Primitives
import Storage

/// What of an entity an administrator writes.
package protocol EntityContent: Sendable, Hashable {
    /// As the API and the audit log show it, in that order. Never a secret.
    var members: JSONObject { get }
}

/// Something an administrator edits: what was written, and what the system adds to it.
package struct Entity<Kind: IdentifierKind, Content: EntityContent>: Sendable, Hashable {
    package let id: ID<Kind>
    /// Raised with each change: the ETag.
    package let revision: Int64
    /// Unix milliseconds.
    package let createdAt: Int64
    package let updatedAt: Int64
    package let content: Content

    package init(id: ID<Kind>, revision: Int64, createdAt: Int64, updatedAt: Int64, content: Content) {
        self.id = id
        self.revision = revision
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.content = content
    }

    package var json: JSONValue {
        var object: JSONObject = ["id": .string(id.rawValue)]
        for member in content.members.members { object[member.name] = member.value }
        object["created_at"] = .string(RFC3339.string(milliseconds: createdAt))
        object["updated_at"] = .string(RFC3339.string(milliseconds: updatedAt))
        return .object(object)
    }

    func cursor(_ list: String) -> Cursor { Cursor(list: list, time: createdAt, id: id.rawValue) }
}

extension Entity {
    init(id: String, meta: RowMeta, content: Content) {
        self.init(id: ID(id), revision: meta.revision, createdAt: meta.createdAt, updatedAt: meta.updatedAt, content: content)
    }

    var meta: RowMeta { RowMeta(revision: revision, createdAt: createdAt, updatedAt: updatedAt) }
}

extension RowMeta {
    static func new(at now: Int64) -> RowMeta { RowMeta(revision: 1, createdAt: now, updatedAt: now) }

    /// After a change at `now`.
    func next(at now: Int64) -> RowMeta { RowMeta(revision: revision &+ 1, createdAt: createdAt, updatedAt: now) }
}

extension JSONValue {
    /// A time as it is shown; null for none.
    package static func time(_ milliseconds: Int64?) -> JSONValue {
        milliseconds.map { .string(RFC3339.string(milliseconds: $0)) } ?? .null
    }

    static func identifiers<Kind>(_ ids: [ID<Kind>]) -> JSONValue { .strings(ids.map(\.rawValue)) }

    static func optional(_ text: String?) -> JSONValue { text.map { .string($0) } ?? .null }
}

/// Something that names another thing and so keeps it from being deleted.
package struct Referrer: Hashable, Sendable {
    package let kind: String
    package let id: String
    package let name: String

    /// The refusal to delete `noun`, naming up to twenty of those that use it.
    static func refusal(of noun: String, _ referrers: [Referrer]) -> DomainError {
        .conflict(
            detail: "The \(noun) is in use by \(referrers.count) other\(referrers.count == 1 ? "" : "s").",
            problems: referrers.prefix(20).map { referrer in
                FieldProblem(
                    "id", "is used by \(referrer.kind) \(referrer.id) (\(referrer.name))",
                    remedy: "Change or delete that \(referrer.kind) first.")
            })
    }
}
