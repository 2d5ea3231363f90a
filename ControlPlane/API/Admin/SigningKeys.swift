package import Domain
import HTTPTypes
import Primitives

/// The keys that sign documents, and the epoch that orders before all versions.
package struct SigningKeyRoutes: RouteGroup {
    let keys: SigningKeyService

    package func addRoutes(to table: inout RouteTable) {
        table.get("/admin/api/signing-keys", .admin(.read)) { request in
            try request.query.allow([])
            return .json(["items": .array(try await keys.list().map(\.json)), "next_cursor": .null])
        }
        table.post("/admin/api/signing-keys/rotate", .admin(.secure)) { request in
            let grace =
                try request.body.isEmpty
                ? SigningKeyService.defaultGraceSeconds
                : request.fields { fields in
                    fields.integer(
                        "grace_seconds", in: 0...SigningKeyService.maximumGraceSeconds, or: SigningKeyService.defaultGraceSeconds)
                }
            return .json(try await keys.rotate(request.actor, graceSeconds: grace).json, status: .created)
        }
        // After the database was restored from a backup: data planes would refuse what is older than what they hold.
        table.post("/admin/api/epoch/raise", .admin(.secure)) { request in
            try request.expectNoFields()
            return .json(["epoch": .int(try await keys.raiseEpoch(request.actor))])
        }
    }
}
