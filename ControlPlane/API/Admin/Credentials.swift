package import Domain
import HTTPTypes
import Primitives

package struct CredentialRoutes: RouteGroup {
    let credentials: CredentialService

    package func addRoutes(to table: inout RouteTable) {
        table.get("/admin/api/credentials", .admin(.read)) { request in
            try request.query.allow(["limit", "cursor", "provider_id"])
            let page = try await credentials.items(of: request.query.id("provider_id"), request.page(of: CredentialService.list))
            return .list(page) { $0.json }
        }
        table.post("/admin/api/credentials", .admin(.operate)) { request in
            let (new, secret) = try request.fields { fields in (content(fields), Secret(fields.string("secret"))) }
            let credential = try await credentials.create(new, secret: secret, by: request.actor)
            return .json(credential.json, status: .created, revision: credential.revision)
        }
        table.get("/admin/api/credentials/{id}", .admin(.read)) { request in
            let credential = try await credentials.get(request.id("credential"))
            return .json(credential.json, revision: credential.revision)
        }
        table.patch("/admin/api/credentials/{id}", .admin(.operate)) { request in
            let present = try await credentials.get(request.id("credential"))
            let revision = try request.expectedRevision(current: present.revision)
            let changed = try request.fields { content($0, over: present.content) }
            let credential = try await credentials.replace(present.id, at: revision, with: changed, by: request.actor)
            return .json(credential.json, revision: credential.revision)
        }
        table.delete("/admin/api/credentials/{id}", .admin(.operate)) { request in
            let present = try await credentials.get(request.id("credential"))
            let revision = try request.expectedRevision(current: present.revision)
            try await credentials.delete(present.id, at: revision, by: request.actor)
            return .noContent
        }
        table.post("/admin/api/credentials/{id}/rotate", .admin(.operate)) { request in
            let present = try await credentials.get(request.id("credential"))
            let revision = try request.optionalRevision(current: present.revision)
            let secret = try request.fields { Secret($0.string("secret")) }
            let credential = try await credentials.rotate(present.id, at: revision, secret: secret, by: request.actor)
            return .json(credential.json, revision: credential.revision)
        }
    }

    private func content(_ fields: FieldReader, over present: CredentialContent? = nil) -> CredentialContent {
        CredentialContent(
            providerID: fields.identifier("provider_id", or: present?.providerID), name: fields.string("name", or: present?.name))
    }
}
