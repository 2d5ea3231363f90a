import Domain
import HTTPTypes
import Nouns
import Primitives

/// Apps. An owner may be named by oid, in the body or the query.
package struct AppRoutes: RouteGroup {
    let apps: AppService

    package func addRoutes(to table: inout RouteTable) {
        var configured = NounRoutes(apps.nouns, showing: "secret") { content, actor in
            let issued = try await apps.create(content, by: actor)
            return (issued.app, issued.plaintext)
        }
        configured.createQuery = [
            FieldShape("owner_id", .text(maximum: 256), "The user who pays, by id or oid, where the body does not say it.")
        ]
        configured.listQuery = configured.createQuery.map { shape in
            var shape = shape
            shape.about = "Only those of this owner, by id or oid."
            return shape
        }
        configured.prepare = { [apps] request in try await Self.resolvingOwner(request, apps) }
        let routes = configured
        routes.addRoutes(to: &table)
        table.patch(
            "\(routes.path)/{id}/toggle", .admin(AppContent.permission),
            RouteDocs("Turn an app off, or on again.") {
                $0.ifMatch = .optional
                $0.answer = .object(AppContent.shown)
                $0.hasRevision = true
            }
        ) { request in
            try request.expectNoFields()
            let present = try await routes.named(request)
            return .item(
                try await apps.toggle(present.id, at: request.optionalRevision(current: present.revision), by: request.actor))
        }
        routes.action(
            "rotate-secret", "Give an app a new secret; the old one works on for the grace period.", KeyRotation.self, showing: "secret",
            to: &table
        ) { id, revision, body, actor in
            let issued = try await apps.rotateSecret(
                id, at: revision, graceSeconds: body.graceSeconds, force: body.force, by: actor)
            return (issued.app, issued.plaintext)
        }
    }

    /// The request with the owner's identifier, where it names an oid or names the owner in the query of a POST.
    private static func resolvingOwner(_ request: APIRequest, _ apps: AppService) async throws -> APIRequest {
        guard request.method != .get else {
            guard let text = request.query["owner_id"] else { return request }
            return request.with(
                query: request.query.with(
                    "owner_id", try await apps.owner(text, tenantID: request.query["tenant_id"], by: request.actor).rawValue))
        }
        var object = try request.object()
        guard let text = object["owner_id"]?.stringValue ?? request.query["owner_id"] else { return request }
        object["owner_id"] = .string(try await apps.owner(text, tenantID: object["tenant_id"]?.stringValue, by: request.actor).rawValue)
        return request.with(body: Array(JSONValue.object(object).text.utf8))
    }
}
