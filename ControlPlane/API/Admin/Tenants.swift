package import Domain
import HTTPTypes

package struct TenantRoutes: RouteGroup {
    let tenants: TenantService

    package func addRoutes(to table: inout RouteTable) {
        table.get("/admin/api/tenants", .admin(.read)) { request in
            try request.query.allow(["limit", "cursor"])
            return .list(try await tenants.items(request.page(of: TenantService.list))) { $0.json }
        }
        table.post("/admin/api/tenants", .admin(.operate)) { request in
            let tenant = try await tenants.create(try request.fields { content($0) }, by: request.actor)
            return .json(tenant.json, status: .created, revision: tenant.revision)
        }
        table.get("/admin/api/tenants/{id}", .admin(.read)) { request in
            let tenant = try await tenants.get(request.id("tenant"))
            return .json(tenant.json, revision: tenant.revision)
        }
        table.patch("/admin/api/tenants/{id}", .admin(.operate)) { request in
            let present = try await tenants.get(request.id("tenant"))
            let revision = try request.expectedRevision(current: present.revision)
            let changed = try request.fields { content($0, over: present.content) }
            let tenant = try await tenants.replace(present.id, at: revision, with: changed, by: request.actor)
            return .json(tenant.json, revision: tenant.revision)
        }
        table.delete("/admin/api/tenants/{id}", .admin(.operate)) { request in
            let present = try await tenants.get(request.id("tenant"))
            let revision = try request.expectedRevision(current: present.revision)
            try await tenants.delete(present.id, at: revision, by: request.actor)
            return .noContent
        }
    }

    private func content(_ fields: FieldReader, over present: TenantContent? = nil) -> TenantContent {
        TenantContent(
            name: fields.string("name", or: present?.name), status: fields.choice("status", or: present?.status ?? .active) ?? .disabled)
    }
}
