package import Primitives
package import Storage

/// One kind of thing in the draft of the configuration: how it is stored, what it must satisfy and who refers to it.
package protocol CatalogNoun: Sendable {
    associatedtype Kind: IdentifierKind
    associatedtype Content: EntityContent
    associatedtype Table: EntityTable

    /// In messages, cursors and the audit log: `provider`.
    static var noun: String { get }
    /// What a second one of the same name (or moment) is told.
    static var taken: FieldProblem { get }

    static func row(id: String, _ content: Content, meta: RowMeta) -> Table.Row
    static func content(of row: Table.Row) throws -> Content
    /// What is wrong with the content by itself.
    static func problems(of content: Content) -> [FieldProblem]
    /// What is wrong with what it names, and with it beside the others; `id` is its own.
    static func problems(of content: Content, id: ID<Kind>, beside c: any SQLConnection) throws -> [FieldProblem]
    static func referrers(to id: ID<Kind>, _ c: any SQLConnection) throws -> [Referrer]
}

/// Create, read, change and delete one kind of thing in the draft. What is in the draft reaches data planes by publishing and
/// rolling out only.
package struct CatalogService<Noun: CatalogNoun>: Sendable {
    package typealias Item = Entity<Noun.Kind, Noun.Content>

    private let domain: DomainContext

    package init(_ domain: DomainContext) {
        self.domain = domain
    }

    package var list: String { Noun.noun }

    /// Oldest first. `filters` are columns and the values they must have.
    package func items(_ filters: [(column: String, id: String)], _ page: PageRequest) async throws -> Page<Item> {
        let items = try await domain.read { c in
            try Noun.Table.list(
                c, matching: filters.map { ($0.column, .text($0.id)) }, after: page.after.map { ($0.time, $0.id) }, limit: page.fetchLimit
            ).map(Self.item)
        }
        return Page(fetched: items, page) { $0.cursor(Noun.noun) }
    }

    /// - Throws: `DomainError.notFound`.
    package func get(_ id: ID<Noun.Kind>) async throws -> Item {
        try await domain.read { c in try Self.present(c, id) }
    }

    package func create(_ content: Noun.Content, by actor: Actor) async throws -> Item {
        try check(content)
        let id = ID<Noun.Kind>.random()
        return try await write { c, now in
            try Self.check(content, id, beside: c)
            let item = Item(id: id.rawValue, meta: .new(at: now), content: content)
            try Noun.Table.insert(c, Noun.row(id: id.rawValue, content, meta: item.meta))
            try AuditLog.record(c, actor, "\(Noun.noun).create", id: id.rawValue, before: nil, after: item.json, at: now)
            return item
        }
    }

    /// Writes `content` over the one at `revision`.
    package func replace(_ id: ID<Noun.Kind>, at revision: Int64, with content: Noun.Content, by actor: Actor) async throws -> Item {
        try check(content)
        return try await write { c, now in
            let old = try Self.present(c, id)
            try checkRevision(revision, current: old.revision)
            try Self.check(content, id, beside: c)
            let item = Item(id: id.rawValue, meta: old.meta.next(at: now), content: content)
            guard try Noun.Table.update(c, Noun.row(id: id.rawValue, content, meta: item.meta), expecting: revision) else {
                throw DomainError.preconditionFailed(current: old.revision)
            }
            try AuditLog.record(c, actor, "\(Noun.noun).update", id: id.rawValue, before: old.json, after: item.json, at: now)
            return item
        }
    }

    /// - Throws: `DomainError.conflict` naming everything that refers to it.
    package func delete(_ id: ID<Noun.Kind>, at revision: Int64, by actor: Actor) async throws {
        try await write { c, now in
            let old = try Self.present(c, id)
            try checkRevision(revision, current: old.revision)
            let referrers = try Noun.referrers(to: id, c)
            guard referrers.isEmpty else { throw Referrer.refusal(of: Noun.noun, referrers) }
            guard try Noun.Table.delete(c, id.rawValue, expecting: revision) else {
                throw DomainError.preconditionFailed(current: old.revision)
            }
            try AuditLog.record(c, actor, "\(Noun.noun).delete", id: id.rawValue, before: old.json, after: nil, at: now)
        }
    }

    private func check(_ content: Noun.Content) throws(DomainError) {
        let problems = Noun.problems(of: content)
        if !problems.isEmpty { throw .invalid(problems) }
    }

    private static func check(_ content: Noun.Content, _ id: ID<Noun.Kind>, beside c: any SQLConnection) throws {
        let problems = try Noun.problems(of: content, id: id, beside: c)
        if !problems.isEmpty { throw DomainError.invalid(problems) }
    }

    private static func item(_ row: Noun.Table.Row) throws -> Item {
        Item(id: row.key, meta: row.meta, content: try Noun.content(of: row))
    }

    private static func present(_ c: any SQLConnection, _ id: ID<Noun.Kind>) throws -> Item {
        guard let row = try Noun.Table.find(c, id.rawValue) else { throw DomainError.notFound(kind: Noun.noun, id: id.rawValue) }
        return try item(row)
    }

    /// A change of the draft, one after the other with all others, so that what was checked still holds when it is committed.
    private func write<R: Sendable>(_ body: @escaping @Sendable (any SQLConnection, _ now: Int64) throws -> R) async throws -> R {
        let now = domain.clock.nowMilliseconds()
        return try await domain.write(taken: Noun.taken) { c in
            _ = try ChangeCounter.draft.next(c)
            return try body(c, now)
        }
    }
}
