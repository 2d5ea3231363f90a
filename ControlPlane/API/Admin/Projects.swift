package import Domain
import HTTPTypes

package struct ProjectRoutes: RouteGroup {
    let projects: ProjectService

    package func addRoutes(to table: inout RouteTable) {
        table.get("/admin/api/projects", .admin(.read)) { request in
            try request.query.allow(["limit", "cursor", "tenant_id"])
            let page = try await projects.items(of: request.query.id("tenant_id"), request.page(of: ProjectService.list))
            return .list(page) { $0.json }
        }
        table.post("/admin/api/projects", .admin(.operate)) { request in
            let project = try await projects.create(try request.fields { content($0) }, by: request.actor)
            return .json(project.json, status: .created, revision: project.revision)
        }
        table.get("/admin/api/projects/{id}", .admin(.read)) { request in
            let project = try await projects.get(request.id("project"))
            return .json(project.json, revision: project.revision)
        }
        table.patch("/admin/api/projects/{id}", .admin(.operate)) { request in
            let present = try await projects.get(request.id("project"))
            let revision = try request.expectedRevision(current: present.revision)
            let changed = try request.fields { content($0, over: present.content) }
            let project = try await projects.replace(present.id, at: revision, with: changed, by: request.actor)
            return .json(project.json, revision: project.revision)
        }
        table.delete("/admin/api/projects/{id}", .admin(.operate)) { request in
            let present = try await projects.get(request.id("project"))
            let revision = try request.expectedRevision(current: present.revision)
            try await projects.delete(present.id, at: revision, by: request.actor)
            return .noContent
        }
    }

    private func content(_ fields: FieldReader, over present: ProjectContent? = nil) -> ProjectContent {
        ProjectContent(
            tenantID: fields.identifier("tenant_id", or: present?.tenantID), name: fields.string("name", or: present?.name),
            status: fields.choice("status", or: present?.status ?? .active) ?? .disabled)
    }
}
