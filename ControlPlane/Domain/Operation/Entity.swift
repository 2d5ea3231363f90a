package import Nouns
package import Primitives
package import Storage

/// Something an administrator edits: what was written, and what the system adds to it.
package struct Entity<Content: Noun>: Sendable, Hashable {
    package let id: ID<Content.Kind>
    package internal(set) var meta: RowMeta
    package internal(set) var content: Content
    /// The number of its last change among all that share its counter; 0 where none is kept.
    package internal(set) var change: Int64
    /// Unix milliseconds; nil: present.
    package internal(set) var deletedAt: Int64?

    package init(id: String, meta: RowMeta, content: Content, change: Int64 = 0, deletedAt: Int64? = nil) {
        self.id = ID(id)
        self.meta = meta
        self.content = content
        self.change = change
        self.deletedAt = deletedAt
    }

    /// Raised with each change: the ETag.
    package var revision: Int64 { meta.revision }
    /// Unix milliseconds.
    package var createdAt: Int64 { meta.createdAt }
    package var updatedAt: Int64 { meta.updatedAt }

    package var json: JSONValue { json { _ in true } }

    /// Without what comes with use.
    var audited: JSONValue {
        let observed = Set(Content.shapes.filter(\.isObserved).map(\.name))
        return json { !observed.contains($0) }
    }

    private func json(_ isWanted: (String) -> Bool) -> JSONValue {
        var object: JSONObject = ["id": .string(id.rawValue)]
        for member in content.members.members where isWanted(member.name) { object[member.name] = member.value }
        object["created_at"] = .time(createdAt)
        object["updated_at"] = .time(updatedAt)
        return .object(object)
    }

    func seen(at now: Int64) -> Entity {
        var entity = self
        entity.content.seen(at: now)
        return entity
    }
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
