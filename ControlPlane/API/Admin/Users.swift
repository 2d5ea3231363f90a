import Domain
import Nouns
import Primitives

/// Users, and the synchronisation of what they have paid.
package struct UserRoutes: RouteGroup {
    let users: UserService

    package func addRoutes(to table: inout RouteTable) {
        var configured = NounRoutes(users.nouns, showing: nil) { content, actor in (try await users.create(content, by: actor), nil) }
        configured.pathQuery = [
            FieldShape("tenant_id", .id(TenantKind.prefix), "Whose user is meant, where the path names an oid that several tenants have.")
        ]
        let routes = configured
        routes.addRoutes(to: &table)
        let shown = UserContent.shapes
        func told(_ name: String, as other: String? = nil) -> FieldShape? {
            shown.first { $0.name == other ?? name }.map {
                .told(name, $0.kind, $0.about, nullable: $0.isNullable)
            }
        }
        let single = RouteDocs("Take note of whether today is paid for by one user.") {
            $0.query = routes.pathQuery
            $0.answer = .object(
                [
                    told("user_oid", as: "oid"), told("email"), told("payment_valid_until"), told("payment_status"),
                    FieldShape.told("synced", .flag, "True: the status that is kept agrees with the date now."),
                ].compactMap { $0 })
        }
        table.post("\(routes.path)/{id}/sync-expiry", .admin(UserContent.permission), single) { request in
            try request.expectNoFields()
            let user = try await users.syncExpiry(try await routes.named(request).id, by: request.actor).user
            let json = user.json
            return .json([
                "user_oid": .string(user.content.oid), "email": json["email"] ?? .null,
                "payment_valid_until": json["payment_valid_until"] ?? .null, "payment_status": json["payment_status"] ?? .null,
                "synced": true,
            ])
        }
        let bulk = RouteDocs("Take note of whether today is paid for, by every user.") {
            $0.answer = .object([
                .told("checked", .number, "Users whose payment has an end."),
                .told("expired", .number, "Of these, whose payment was found to have run out since the last time."),
                .told("timestamp", .time, "When."),
            ])
        }
        table.post("\(routes.path)/sync/bulk-expiry", .admin(UserContent.permission), bulk) { request in
            try request.expectNoFields()
            let sync = try await users.syncAll(by: request.actor)
            return .json(["checked": .int(sync.checked), "expired": .int(Int64(sync.expired)), "timestamp": .time(sync.at)])
        }
    }
}
