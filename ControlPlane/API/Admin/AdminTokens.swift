package import Domain
import HTTPTypes
import Primitives

package struct AdminTokenRoutes: RouteGroup {
    let tokens: AdminTokenService

    package func addRoutes(to table: inout RouteTable) {
        table.get("/admin/api/tokens", .admin(.administer)) { request in
            try request.query.allow(["limit", "cursor"])
            return .list(try await tokens.items(request.page(of: AdminTokenService.list))) { $0.json }
        }
        table.post("/admin/api/tokens", .admin(.administer)) { request in
            let issued = try await tokens.create(try request.fields { content($0) }, by: request.actor)
            var object = issued.token.json.objectValue ?? JSONObject()
            object["token"] = .string(issued.plaintext.reveal())
            return .json(.object(object), status: .created, revision: issued.token.revision)
        }
        table.get("/admin/api/tokens/{id}", .admin(.administer)) { request in
            let token = try await tokens.get(request.id("token"))
            return .json(token.json, revision: token.revision)
        }
        table.patch("/admin/api/tokens/{id}", .admin(.administer)) { request in
            let present = try await tokens.get(request.id("token"))
            let revision = try request.expectedRevision(current: present.revision)
            let changed = try request.fields { content($0, over: present.content) }
            let token = try await tokens.replace(present.id, at: revision, with: changed, by: request.actor)
            return .json(token.json, revision: token.revision)
        }
        table.delete("/admin/api/tokens/{id}", .admin(.administer)) { request in
            let present = try await tokens.get(request.id("token"))
            let revision = try request.expectedRevision(current: present.revision)
            try await tokens.delete(present.id, at: revision, by: request.actor)
            return .noContent
        }
    }

    private func content(_ fields: FieldReader, over present: AdminTokenContent? = nil) -> AdminTokenContent {
        AdminTokenContent(
            name: fields.string("name", or: present?.name), role: fields.choice("role", or: present?.role) ?? .viewer,
            expiresAt: fields.optionalTime("expires_at", or: present?.expiresAt))
    }
}
