import Domain
import HTTPTypes
import Nouns
import Primitives

/// Who may administer: tokens, people, and the groups that give people their roles.
package struct AdministratorRoutes: RouteGroup {
    let tokens: AdminTokenService
    let people: PeopleService

    package func addRoutes(to table: inout RouteTable) {
        NounRoutes(tokens.nouns, showing: "token") { [tokens] content, actor in
            let issued = try await tokens.create(content, by: actor)
            return (issued.token, issued.plaintext)
        }.addRoutes(to: &table)
        addOwn(to: &table)
        NounRoutes(people.people, showing: nil) { [people] content, actor in
            (try await people.create(content, by: actor), nil)
        }.addRoutes(to: &table)
        NounRoutes(people.groupRoles, showing: nil) { [people] content, actor in
            (try await people.create(content, by: actor), nil)
        }.addRoutes(to: &table)
    }

    /// The body of a token of one's own.
    struct OwnToken: Record {
        var name = ""
        var role: Role?
        var expiresAt: Int64?

        static let fields: [Field<Self>] = [
            .name(\.name),
            Field("role", \.role, "What it may do at most; null: what the person may now."),
            Field("expires_at", \.expiresAt, .time, "When it ends; null: after 90 days."),
        ]
    }

    /// Tokens that a person who has signed on makes for programs: each may do what the person may at the time, and no more than it was made for.
    private func addOwn(to table: inout RouteTable) {
        let path = "/admin/api/whoami/tokens"
        table.get(path, .admin(.identify), RouteDocs("List one's own tokens.") { $0.answer = .list(AdminTokenContent.shown) }) { request in
            try request.query.allow([])
            return .list(Page(items: try await tokens.own(of: request.actor), next: nil)) { $0.json }
        }
        let creation = RouteDocs("Make a token of one's own.") {
            $0.body = .form(OwnToken.shapes)
            $0.answer = .object(AdminTokenContent.shown + [.told("token", .text(maximum: 4096), "Its secret, shown this once.")])
            $0.status = 201
            $0.hasRevision = true
        }
        table.post(path, .admin(.identify), creation) { request in
            let body: OwnToken = try request.form()
            let issued = try await tokens.createOwn(name: body.name, role: body.role, expiresAt: body.expiresAt, by: request.actor)
            return .item(issued.token, once: ("token", issued.plaintext), status: .created)
        }
        let deletion = RouteDocs("Delete a token of one's own.") {
            $0.status = 204
            $0.ifMatch = .optional
        }
        table.delete("\(path)/{id}", .admin(.identify), deletion) { request in
            let id: AdminTokenID = try request.id("token")
            guard let present = try await tokens.own(of: request.actor).first(where: { $0.id == id }) else {
                throw DomainError.notFound(kind: "token", id: id.rawValue)
            }
            try await tokens.deleteOwn(id, at: request.optionalRevision(current: present.revision), by: request.actor)
            return .noContent
        }
    }
}
