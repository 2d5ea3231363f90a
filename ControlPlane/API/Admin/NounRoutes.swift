package import Domain
import HTTPTypes
package import Nouns
import Primitives

/// The five routes of every noun.
package struct NounRoutes<Content: Administered>: RouteGroup {
    /// How a new one is made, with its secret where it has one that is shown this once.
    typealias Creation = @Sendable (Content, Actor) async throws -> (item: Entity<Content>, secret: Secret?)

    let service: NounService<Content>
    /// Not everything can be made or deleted by hand.
    enum Verb {
        case create, delete
    }

    /// The member that shows a new one's secret.
    let once: String?
    let missing: Set<Verb>
    let create: Creation
    /// Parameters beside those that every list and creation have.
    var listQuery: [FieldShape] = []
    var createQuery: [FieldShape] = []
    /// Of what says which one is meant, where the path's name is not enough.
    var pathQuery: [FieldShape] = []
    /// What the answer about a single one says beside its fields.
    var detail: (shapes: [FieldShape], members: @Sendable (Entity<Content>, Actor) async throws -> JSONObject)?
    /// Brings a list's or a creation's request into the form that the declaration reads.
    var prepare: @Sendable (APIRequest) async throws -> APIRequest = { $0 }
    var path: String { "/admin/api/\(Content.words.path)" }

    init(_ service: NounService<Content>, without missing: Set<Verb> = []) {
        self.init(service, without: missing, showing: nil) { content, actor in (try await service.create(content, by: actor), nil) }
    }

    init(
        _ service: NounService<Content>, without missing: Set<Verb> = [], showing once: String?, creating create: @escaping Creation
    ) {
        self.service = service
        self.missing = missing
        self.once = once
        self.create = create
    }

    package func addRoutes(to table: inout RouteTable) {
        let words = Content.words
        let (shapes, shown) = (Content.shapes, Content.shown)
        let filters = shapes.filter(\.isFilter)
        let orders = NounOrder.all(shapes)
        let sort = FieldShape("sort", .word(orders.map(\.rawValue)), "What the list is sorted by; a minus turns it round.") {
            $0.standard = .string(NounOrder.oldestFirst.rawValue)
        }
        let docs = RouteDocs("List \(words.path.map { $0 == "-" ? " " : String($0) }.joined()).") {
            $0.query =
                RouteDocs.page + [sort]
                + filters.filter { filter in !listQuery.contains { $0.name == filter.name } }.map { filter in
                    FieldShape(filter.name, filter.kind, "Only those with this. \(filter.about)")
                } + listQuery
            $0.answer = .list(shown)
        }
        table.get(path, .admin(Content.readPermission), docs) { request in
            try request.query.allow(Set(docs.query.map(\.name)))
            let request = try await prepare(request)
            let wanted = try filters.compactMap { shape in
                try request.query.filter(shape).map { (column: Content.column(of: shape), value: $0) }
            }
            _ = try request.query.filter(sort)
            let order = request.query["sort"].flatMap(NounOrder.init(rawValue:)) ?? .oldestFirst
            return .list(
                try await service.items(wanted, request.page(of: service.list(sortedBy: order)), sortedBy: order, as: request.actor.scope)
            ) { $0.json }
        }
        if !missing.contains(.create) { addCreation(to: &table) }
        let single = answering("Get \(words.oneOfIt).") { [detail] docs in
            if let detail { docs.answer = .object(Content.shown + detail.shapes) }
        }
        table.get("\(path)/{id}", .admin(Content.readPermission), single) { [detail] request in
            let item = try await named(request)
            guard let detail else { return .item(item) }
            var object = item.json.objectValue ?? JSONObject()
            for member in try await detail.members(item, request.actor).members { object[member.name] = member.value }
            return .json(.object(object), revision: item.revision)
        }
        if shapes.contains(where: { $0.use == .given }) { addChange(to: &table) }
        if !missing.contains(.delete) { addDeletion(to: &table) }
    }

    private func addCreation(to table: inout RouteTable) {
        let words = Content.words
        let creation = RouteDocs("Create \(words.oneOfIt).") {
            $0.query = createQuery
            $0.body = .form(Content.shapes)
            $0.answer = .object(Content.shown + (once.map { [.told($0, .text(maximum: 4096), "Its secret, shown this once.")] } ?? []))
            $0.status = 201
            $0.hasRevision = true
        }
        table.post(path, .admin(Content.permission), creation) { request in
            let (item, secret) = try await create(try await prepare(request).form(), request.actor)
            return .item(item, once: secret.flatMap { secret in once.map { ($0, secret) } }, status: .created)
        }
    }

    private func addDeletion(to table: inout RouteTable) {
        let words = Content.words
        let deletion = RouteDocs("Delete \(words.oneOfIt).") {
            $0.status = 204
            $0.query = pathQuery
            $0.ifMatch = .required
        }
        table.delete("\(path)/{id}", .admin(Content.permission), deletion) { request in
            let present = try await named(request)
            let revision = try request.expectedRevision(current: present.revision)
            try await service.delete(present.id, at: revision, by: request.actor)
            return .noContent
        }
    }

    private func addChange(to table: inout RouteTable) {
        let words = Content.words
        let change = answering("Update \(words.oneOfIt): the members that are given; the others stay.") {
            $0.body = .change(Content.shapes)
            $0.ifMatch = .required
        }
        table.patch("\(path)/{id}", .admin(Content.permission), change) { request in
            let present = try await named(request)
            let revision = try request.expectedRevision(current: present.revision)
            let content = try request.form(over: present.content)
            return .item(try await service.replace(present.id, at: revision, with: content, by: request.actor))
        }
    }

    /// A verb of one of them. It makes sense without `If-Match`, too.
    func action<Body: Record>(
        _ verb: String, _ summary: String, _ body: Body.Type, showing once: String? = nil, to table: inout RouteTable,
        _ act: @escaping @Sendable (ID<Content.Kind>, Int64?, Body, Actor) async throws -> (item: Entity<Content>, secret: Secret?)
    ) {
        let docs = answering(summary) {
            $0.body = Body.shapes.contains(where: \.isRequired) ? .form(Body.shapes) : .optionalForm(Body.shapes)
            $0.ifMatch = .optional
            if let once { $0.answer = .object(Content.shown + [.told(once, .text(maximum: 4096), "Its new secret, shown this once.")]) }
        }
        table.post("\(path)/{id}/\(verb)", .admin(Content.permission), docs) { request in
            let body: Body = try request.form(mayBeEmpty: true)
            let present = try await named(request)
            let (item, secret) = try await act(present.id, request.optionalRevision(current: present.revision), body, request.actor)
            return .item(item, once: secret.flatMap { secret in once.map { ($0, secret) } })
        }
    }

    /// The one that the path names, by its id or by the noun's alias.
    func named(_ request: APIRequest) async throws -> Entity<Content> {
        guard Content.alias != nil else { return try await service.get(request.id(Content.words.name), as: request.actor.scope) }
        return try await service.find(request.parameters["id"] ?? "", in: request.query["tenant_id"], as: request.actor.scope)
    }

    private func answering(_ summary: String, _ more: (inout RouteDocs) -> Void = { _ in }) -> RouteDocs {
        RouteDocs(summary) {
            $0.query = pathQuery
            $0.answer = .object(Content.shown)
            $0.hasRevision = true
            more(&$0)
        }
    }
}

/// The body of an action that takes no members.
package struct NoFields: Record {
    package init() {}
    package static let fields: [Field<Self>] = []
}

extension APIResponse {
    /// - Parameter once: The name of its secret and the secret, which are shown in this answer and never again.
    static func item<Content: Noun>(
        _ item: Entity<Content>, once: (name: String, secret: Secret)? = nil, status: HTTPResponse.Status = .ok
    ) -> APIResponse {
        guard let once else { return .json(item.json, status: status, revision: item.revision) }
        var object = item.json.objectValue ?? JSONObject()
        object[once.name] = .string(once.secret.reveal())
        return .json(.object(object), status: status, revision: item.revision)
    }
}

extension APIRequest {
    /// The body, read by the declaration of what it makes.
    /// - Throws: `DomainError.invalid` for what is no JSON object, and for each wrong, missing or unknown member.
    func form<Content: Record>(mayBeEmpty: Bool = false) throws -> Content {
        var problems: [FieldProblem] = []
        let content = Content.reading(mayBeEmpty && body.isEmpty ? JSONObject() : try object(), problems: &problems)
        if !problems.isEmpty { throw DomainError.invalid(problems) }
        return content
    }

    /// The body as a change of `present`.
    func form<Content: Record>(over present: Content) throws -> Content {
        var problems: [FieldProblem] = []
        let content = present.changed(try object(), problems: &problems)
        if !problems.isEmpty { throw DomainError.invalid(problems) }
        return content
    }
}

extension QueryParameters {
    func filter(_ shape: FieldShape) throws(DomainError) -> ColumnValue? {
        guard let text = self[shape.name] else { return nil }
        guard let value = shape.kind.filterValue(text) else {
            throw .invalid(shape.name, "does not fit", remedy: "Pass \(shape.kind.words).")
        }
        return value
    }
}
