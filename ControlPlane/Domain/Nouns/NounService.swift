package import Nouns
package import Primitives
import Storage

/// Create, read, change and delete one noun, and whatever else is done to one of it.
package struct NounService<Content: Administered>: Sendable {
    package typealias Item = Entity<Content>
    package typealias Key = ID<Content.Kind>

    let domain: DomainContext
    /// Nil: one has no secret of ours.
    let issue: Issue?
    /// Nil: one is given no secret.
    let holds: SecretComparison?
    let complete: Completion

    /// What the system adds to a new one, or to one that is given another secret, before it is written. Throws what is wrong with it.
    typealias Completion = @Sendable (inout Content, Key, any SQLConnection) throws -> Void
    /// Gives a new one its secret, which is shown this once.
    typealias Issue = @Sendable (inout Content, Key) -> Secret
    /// Whether the secret that a content brings is the one that is there.
    typealias SecretComparison = @Sendable (Item, Content) -> Bool

    package init(_ domain: DomainContext) {
        self.init(domain) { _, _, _ in }
    }

    init(
        _ domain: DomainContext, issuing issue: Issue? = nil, comparing holds: SecretComparison? = nil,
        completing complete: @escaping Completion
    ) {
        self.domain = domain
        self.issue = issue
        self.holds = holds
        self.complete = complete
    }

    /// Which list a cursor belongs to: one of another order is refused.
    package func list(sortedBy order: NounOrder) -> String { "\(Content.words.path)/\(order.rawValue)" }
    /// Unix milliseconds.
    package var now: Int64 { domain.clock.nowMilliseconds() }

    /// `filters` are columns of ours and the values they must have.
    package func items(
        _ filters: [(column: String, value: ColumnValue)] = [], _ page: PageRequest, sortedBy order: NounOrder = .oldestFirst,
        as scope: TenantScope
    ) async throws -> Page<Item> {
        let now = now
        let items = try await domain.read(as: scope) { c in
            var items = try Content.table.list(
                c, matching: filters.map { ($0.column, SQLValue($0.value)) }, order: order.columns, after: page.after.flatMap(order.place),
                limit: page.fetchLimit
            ).map { try Item($0).seen(at: now) }
            try Content.observe(&items, c)
            return items
        }
        return Page(fetched: items, page) { order.cursor(after: $0, list: list(sortedBy: order)) }
    }

    /// - Throws: `DomainError.notFound`.
    package func get(_ id: Key, as scope: TenantScope) async throws -> Item {
        let now = now
        return try await domain.read(as: scope) { c in try Self.observed(Content.present(c, id).seen(at: now), c) }
    }

    /// The one of this identifier, or of this value of the noun's alias.
    /// - Throws: `DomainError.notFound`; `.invalid` when several tenants have one and none of them is named.
    package func find(_ text: String, in tenantID: String? = nil, as scope: TenantScope) async throws -> Item {
        if let id = try? Key.parse(text), let item = try? await get(id, as: scope) { return item }
        let kind = Content.words.name
        guard let alias = Content.alias else { throw DomainError.notFound(kind: kind, id: String(text.prefix(64))) }
        let now = now
        let filters: [(column: String, value: SQLValue)] = [(alias, .text(text))] + (tenantID.map { [("tenant_id", .text($0))] } ?? [])
        let found = try await domain.read(as: scope) { c in
            try Content.table.list(c, matching: filters, limit: 2).map { try Item($0).seen(at: now) }
        }
        guard let item = found.first else { throw DomainError.notFound(kind: kind, id: String(text.prefix(64))) }
        guard found.count == 1 else {
            throw DomainError.invalid(
                "tenant_id", "is missing, and several tenants have \(Content.words.oneOfIt) of this \(alias)",
                remedy: "Name the tenant in the query, or the \(kind) by its id.")
        }
        return item
    }

    package func create(_ content: Content, id: Key = .random(), by actor: Actor) async throws -> Item {
        try Self.check(content.fieldProblems(replacing: nil) + content.problems(replacing: nil, now: now))
        return try await write(by: actor) { change in try insert(content, id: id, change) }
    }

    /// Inside a transaction of `write`.
    func insert(_ content: Content, id: Key, _ change: NounChange) throws -> Item {
        try Self.checkBeside(content, id: id, replacing: nil, change.connection)
        return try add(content, id: id, change)
    }

    /// Writes a new one whose place beside the others was checked, or will be in the same transaction.
    func add(_ content: Content, id: Key, _ change: NounChange) throws -> Item {
        let c = change.connection
        var content = content
        try complete(&content, id, c)
        try content.willWrite(id, replacing: nil, change)
        var item = Item(id: id.rawValue, meta: .new(at: change.now), content: content, change: change.number)
        if Content.scope.numbersRevisions { item.meta.revision = change.number }
        try Content.insert(c, item)
        item = item.seen(at: change.now)
        try Content.didWrite(item, replacing: nil, change)
        try Self.record(change, "create", before: nil, after: item)
        return item
    }

    /// Writes `content` over the one at `revision`.
    package func replace(_ id: Key, at revision: Int64, with content: Content, by actor: Actor) async throws -> Item {
        try await change(id, at: revision, "update", by: actor) { present, change in
            try Self.check(content.fieldProblems(replacing: present) + content.problems(replacing: present, now: change.now))
            var content = content
            content.keep(of: present)
            try Self.checkBeside(content, id: id, replacing: present, change.connection)
            present = content
        }
    }

    /// Reads one, lets `edit` change it, writes it with the next revision, and records both states under `verb`.
    /// - Parameter revision: What the caller saw; nil: whatever is there.
    func change(
        _ id: Key, at revision: Int64?, _ verb: String, by actor: Actor,
        _ edit: @escaping @Sendable (inout Content, NounChange) throws -> Void
    ) async throws -> Item {
        try await write(by: actor) { change in
            let old = try Content.present(change.connection, id).seen(at: change.now)
            if let revision { try checkRevision(revision, current: old.revision) }
            var content = old.content
            try edit(&content, change)
            return try Self.observed(try Self.put(content, over: old, verb, change), change.connection)
        }
    }

    private static func observed(_ item: Item, _ c: any SQLConnection) throws -> Item {
        var items = [item]
        try Content.observe(&items, c)
        return items.first ?? item
    }

    /// Writes a content with the next revision, and records both states under `verb`.
    @discardableResult
    static func put(_ content: Content, over old: Item, _ verb: String, _ change: NounChange) throws -> Item {
        var item = old
        item.content = content
        try item.content.willWrite(old.id, replacing: old.content, change)
        try update(&item, over: old, change)
        item = item.seen(at: change.now)
        try Content.didWrite(item, replacing: old, change)
        try record(change, verb, before: old, after: item)
        return item
    }

    /// - Throws: `DomainError.conflict` naming everything that refers to it.
    package func delete(_ id: Key, at revision: Int64, by actor: Actor) async throws {
        try await write(by: actor, taking: Content.deletionCounters) { change in
            let c = change.connection
            let old = try Content.present(c, id).seen(at: change.now)
            try checkRevision(revision, current: old.revision)
            try Self.delete(old, change)
        }
    }

    /// Removes one that nothing refers to, inside a transaction of `write`.
    static func delete(_ old: Item, _ change: NounChange) throws {
        let referrers = try Content.referrers(to: old.id, change.connection)
        guard referrers.isEmpty else { throw Referrer.refusal(of: Content.words.name, referrers) }
        try Content.willDelete(old, change)
        try remove(old, change)
    }

    /// Removes one inside a transaction of `write`.
    static func remove(_ old: Item, _ change: NounChange) throws {
        try Content.endReferring(to: old.id, change)
        if Content.scope.keepsDeleted {
            var item = old
            item.content.forget()
            item.deletedAt = change.now
            try update(&item, over: old, change)
        } else if try !Content.table.delete(change.connection, old.id.rawValue, expecting: old.revision) {
            throw DomainError.preconditionFailed(current: old.revision)
        }
        try record(change, "delete", before: old, after: nil)
    }

    // MARK: -

    private static func update(_ item: inout Item, over old: Item, _ change: NounChange) throws {
        item.meta = old.meta.next(at: change.now)
        if Content.scope.numbersRevisions { item.meta.revision = change.number }
        item.change = change.number
        guard try Content.table.update(change.connection, item.row, expecting: old.revision) else {
            throw DomainError.preconditionFailed(current: old.revision)
        }
    }

    private static func record(_ change: NounChange, _ verb: String, before: Item?, after: Item?) throws {
        guard let id = (after ?? before)?.id.rawValue else { return }
        try AuditLog.record(
            change.connection, change.actor, "\(Content.words.auditName).\(verb)", id: id, before: before?.audited, after: after?.audited,
            at: change.now)
    }

    static func checkBeside(_ content: Content, id: Key, replacing old: Content? = nil, _ c: any SQLConnection) throws {
        try check(try Content.danglingReferences(content, c))
        try check(try content.problems(id: id, replacing: old, beside: c))
    }

    static func check(_ problems: [FieldProblem]) throws(DomainError) {
        if !problems.isEmpty { throw .invalid(problems) }
    }

    /// One transaction under the scope's counters; whom it concerns is woken after the commit.
    func write<R: Sendable>(
        by actor: Actor, taking more: [ChangeCounter] = [], _ body: @escaping @Sendable (NounChange) throws -> R
    ) async throws -> R {
        let now = now
        let counters = ChangeCounter.allCases.filter { (Content.scope.counters + more).contains($0) }
        return try await domain.write(as: actor.scope, waking: Content.scope.topics, taken: Content.taken) { c in
            var numbers: [ChangeCounter: Int64] = [:]
            for counter in counters { numbers[counter] = try counter.next(c) }
            let number = Content.scope.counters.first.flatMap { numbers[$0] } ?? 0
            return try body(NounChange(connection: c, actor: actor, now: now, number: number))
        }
    }
}
