package import Domain
import HTTPTypes
import Nouns
import Primitives

package struct DataPlaneRoutes: RouteGroup {
    let dataPlanes: DataPlaneService

    package func addRoutes(to table: inout RouteTable) {
        table.get("/admin/api/data-planes", .admin(.read)) { request in
            try request.query.allow(["limit", "cursor", "region"])
            return .list(try await dataPlanes.list(request.page(of: DataPlaneService.list), region: request.query["region"])) { $0.json }
        }
        table.get("/admin/api/data-planes/{id}", .admin(.read)) { request in
            let dataPlane = try await dataPlanes.get(request.id("data plane"))
            return .json(dataPlane.json, revision: dataPlane.revision)
        }
        table.patch("/admin/api/data-planes/{id}", .admin(.operate)) { request in
            let present = try await dataPlanes.get(request.id("data plane"))
            let revision = try request.expectedRevision(current: present.revision)
            let change = try request.form(
                over: DataPlaneChange {
                    $0.name = present.name
                    $0.tenantIDs = present.tenantIDs
                })
            let dataPlane = try await dataPlanes.update(request.actor, present.id, change, expecting: revision)
            return .json(dataPlane.json, revision: dataPlane.revision)
        }
        table.post("/admin/api/data-planes/{id}/revoke", .admin(.operate)) { request in
            try request.expectNoFields()
            let present = try await dataPlanes.get(request.id("data plane"))
            let revision = try request.optionalRevision(current: present.revision)
            let dataPlane = try await dataPlanes.revoke(request.actor, present.id, expecting: revision)
            return .json(dataPlane.json, revision: dataPlane.revision)
        }
    }
}
