import Domain
import HTTPTypes
import Nouns
import Primitives

/// Who asks, and what the things are called that answers name by id.
package struct WhoAmIRoutes: RouteGroup {
    let adminTokens: AdminTokenService
    let names: NameService
    let signOn: SignOnPolicy

    package func addRoutes(to table: inout RouteTable) {
        let who = RouteDocs("Who the token belongs to, and what it may do.") {
            $0.answer = .object([
                .told("id", Shapes.words, "Of the token, or of the person."), .told("name", .name, "What people call it."),
                .told("tenant_id", .id(TenantKind.prefix), "The tenant whose administrator it is; null: of all.", nullable: true),
                .told("role", .word(Role.allCases.map(\.rawValue)), "Its role."),
                .told("permissions", .list(.word(Permission.allCases.map(\.rawValue)), 0...16), "What it may do."),
                .told(
                    "csrf_token", Shapes.words, "What changes with this cookie bring along in X-CSRF-Token; null: no cookie was sent.",
                    nullable: true),
                .told("expires_at", .time, "When it ends; null: never.", nullable: true), .told("created_at", .time, "When it was made."),
            ])
        }
        table.get("/admin/api/whoami", .admin(.identify), who) { request in
            try request.query.allow([])
            let actor = try request.actor
            let (createdAt, expiresAt) = try await adminTokens.times(of: actor)
            let held = request.headers[.authorization] == nil ? SessionCookie(signOn).session(in: request.headers) : nil
            return .json([
                "csrf_token": held.map { .string($0.changeToken) } ?? .null, "id": .string(actor.id), "name": .string(actor.name),
                "tenant_id": actor.tenantID.map { .string($0.rawValue) } ?? .null,
                "role": .string((actor.tokenRole ?? actor.role).rawValue),
                "permissions": .strings(Permission.allCases.filter(actor.may).map(\.rawValue)),
                "expires_at": .time(expiresAt), "created_at": .time(createdAt),
            ])
        }
        let names = RouteDocs("What the things with these ids are called; what there is not is left out.") {
            $0.query = [FieldShape("ids", .text(maximum: 8000), "Ids with commas between them, at most \(NameService.maximumIDs).")]
            $0.answer = .list([.told("id", Shapes.words, "Its identifier."), .told("name", Shapes.words, "What people call it.")])
        }
        table.get("/admin/api/names", .admin(.identify), names) { request in
            try request.query.allow(["ids"])
            let ids = (request.query["ids"] ?? "").split(separator: ",").map(String.init)
            let items = try await self.names.names(of: ids, for: request.actor)
            return .json(["items": .array(items.map(\.json)), "next_cursor": .null])
        }
    }
}
