package import Domain
import HTTPTypes
package import Nouns
import Primitives

/// The five routes of every noun.
package struct NounRoutes<Content: Administered>: RouteGroup {
    /// How a new one is made and answered, where its secret is shown this once.
    typealias Creation = @Sendable (Content, Actor) async throws -> (item: Entity<Content>, once: (name: String, secret: Secret)?)

    let service: NounService<Content>
    let create: Creation
    var path: String { "/admin/api/\(Content.words.path)" }

    init(_ service: NounService<Content>) {
        self.init(service) { content, actor in (try await service.create(content, by: actor), nil) }
    }

    init(_ service: NounService<Content>, creating create: @escaping Creation) {
        self.service = service
        self.create = create
    }

    package func addRoutes(to table: inout RouteTable) {
        let filters = Content.fields.map(\.shape).filter(\.isFilter)
        table.get(path, .admin(Content.readPermission)) { request in
            try request.query.allow(Set(["limit", "cursor"] + filters.map(\.name)))
            let wanted = try filters.compactMap { shape in
                try request.query.filter(shape).map { (column: shape.name, value: $0) }
            }
            return .list(try await service.items(wanted, request.page(of: service.list))) { $0.json }
        }
        table.post(path, .admin(Content.permission)) { request in
            let (item, once) = try await create(try request.form(), request.actor)
            return .item(item, once: once, status: .created)
        }
        table.get("\(path)/{id}", .admin(Content.readPermission)) { request in
            .item(try await service.get(request.id(Content.words.name)))
        }
        table.patch("\(path)/{id}", .admin(Content.permission)) { request in
            let present = try await service.get(request.id(Content.words.name))
            let revision = try request.expectedRevision(current: present.revision)
            let content = try request.form(over: present.content)
            return .item(try await service.replace(present.id, at: revision, with: content, by: request.actor))
        }
        table.delete("\(path)/{id}", .admin(Content.permission)) { request in
            let present = try await service.get(request.id(Content.words.name))
            let revision = try request.expectedRevision(current: present.revision)
            try await service.delete(present.id, at: revision, by: request.actor)
            return .noContent
        }
    }

    /// A verb of one of them. It makes sense without `If-Match`, too.
    func action<Body: Record>(
        _ verb: String, _ body: Body.Type, to table: inout RouteTable,
        _ act: @escaping @Sendable (ID<Content.Kind>, Int64?, Body, Actor) async throws -> APIResponse
    ) {
        table.post("\(path)/{id}/\(verb)", .admin(Content.permission)) { request in
            let body: Body = try request.form(mayBeEmpty: true)
            let present = try await service.get(request.id(Content.words.name))
            return try await act(present.id, request.optionalRevision(current: present.revision), body, request.actor)
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
