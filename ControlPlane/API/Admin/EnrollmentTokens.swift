package import Domain
import HTTPTypes
import Primitives

package struct EnrollmentTokenRoutes: RouteGroup {
    let enrollment: EnrollmentService

    package func addRoutes(to table: inout RouteTable) {
        table.get("/admin/api/enrollment-tokens", .admin(.read)) { request in
            try request.query.allow(["limit", "cursor"])
            return .list(try await enrollment.list(request.page(of: EnrollmentService.list))) { $0.json }
        }
        table.post("/admin/api/enrollment-tokens", .admin(.operate)) { request in
            let new = try request.fields { fields in
                (
                    name: fields.string("name", or: ""), region: fields.string("region", or: "default"),
                    tenantIDs: fields.identifiers("tenant_ids", or: []) as [TenantID],
                    ttl: fields.integer("ttl_seconds", in: 1...EnrollmentService.maximumTTLSeconds, or: EnrollmentService.defaultTTLSeconds)
                )
            }
            let (token, text) = try await enrollment.create(
                request.actor, name: new.name, region: new.region, tenantIDs: new.tenantIDs, ttlSeconds: new.ttl)
            guard case .object(var object) = token.json else { return .json(token.json, status: .created, revision: token.revision) }
            // Shown here and never again.
            object["token"] = .string(text)
            return .json(.object(object), status: .created, revision: token.revision)
        }
        table.get("/admin/api/enrollment-tokens/{id}", .admin(.read)) { request in
            let token = try await enrollment.get(request.id("enrollment token"))
            return .json(token.json, revision: token.revision)
        }
        table.delete("/admin/api/enrollment-tokens/{id}", .admin(.operate)) { request in
            let present = try await enrollment.get(request.id("enrollment token"))
            let revision = try request.expectedRevision(current: present.revision)
            try await enrollment.delete(request.actor, present.id, expecting: revision)
            return .noContent
        }
    }
}
