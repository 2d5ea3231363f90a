package import Domain
import HTTPTypes

/// How one kind of thing in the draft is read from JSON.
package protocol CatalogForm: Sendable {
    associatedtype Noun: CatalogNoun

    /// Who may change it.
    static var permission: Permission { get }
    /// Query parameters that narrow the list, which are columns, too.
    static var filters: Set<String> { get }

    /// `present` is what a PATCH changes; nil for a POST.
    static func content(_ fields: FieldReader, over present: Noun.Content?) -> Noun.Content
}

/// The five routes of every kind of thing in the draft.
package struct CatalogRoutes<Form: CatalogForm>: RouteGroup {
    let service: CatalogService<Form.Noun>
    let path: String

    init(service: CatalogService<Form.Noun>, path: String, form: Form.Type) {
        self.service = service
        self.path = "/admin/api/\(path)"
    }

    package func addRoutes(to table: inout RouteTable) {
        let noun = Form.Noun.noun
        table.get(path, .admin(.read)) { request in
            try request.query.allow(Form.filters.union(["limit", "cursor"]))
            let filters = Form.filters.sorted().compactMap { name in request.query[name].map { (column: name, id: $0) } }
            return .list(try await service.items(filters, request.page(of: noun))) { $0.json }
        }
        table.post(path, .admin(Form.permission)) { request in
            let item = try await service.create(try request.fields { Form.content($0, over: nil) }, by: request.actor)
            return .json(item.json, status: .created, revision: item.revision)
        }
        table.get("\(path)/{id}", .admin(.read)) { request in
            let item = try await service.get(request.id(noun))
            return .json(item.json, revision: item.revision)
        }
        table.patch("\(path)/{id}", .admin(Form.permission)) { request in
            let present = try await service.get(request.id(noun))
            let revision = try request.expectedRevision(current: present.revision)
            let content = try request.fields { Form.content($0, over: present.content) }
            let item = try await service.replace(present.id, at: revision, with: content, by: request.actor)
            return .json(item.json, revision: item.revision)
        }
        table.delete("\(path)/{id}", .admin(Form.permission)) { request in
            let present = try await service.get(request.id(noun))
            let revision = try request.expectedRevision(current: present.revision)
            try await service.delete(present.id, at: revision, by: request.actor)
            return .noContent
        }
    }
}
