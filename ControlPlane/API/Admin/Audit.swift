package import Domain
import Primitives

package struct AuditRoutes: RouteGroup {
    let audit: AuditLog

    package func addRoutes(to table: inout RouteTable) {
        // Newest first.
        table.report("/admin/api/audit", .admin(.readAudit)) { request in
            let query = request.query
            try query.allow(["limit", "cursor", "resource_kind", "resource_id", "actor_id", "tenant_id", "from", "until"])
            let filter = AuditQuery(
                resourceKind: query["resource_kind"], resourceID: query["resource_id"], actorID: query["actor_id"],
                tenantID: query["tenant_id"], from: try query.time("from"), to: try query.time("until"))
            return .list(try await audit.entries(filter, request.page(of: AuditLog.list), as: request.actor.scope)) { $0.json }
        }
    }
}
