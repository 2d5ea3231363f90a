import Domain
import Primitives

/// Usage that data planes reported and may not report.
package struct UsageQuarantineRoutes: RouteGroup {
    let quarantine: UsageQuarantine

    package func addRoutes(to table: inout RouteTable) {
        // Newest first.
        table.get("/admin/api/usage/quarantine", .admin(.read)) { request in
            let query = request.query
            try query.allow(["limit", "cursor", "data_plane_id", "tenant_id", "reason"])
            return .list(
                try await quarantine.items(
                    dataPlaneID: query.id("data_plane_id"), tenantID: query.id("tenant_id"), reason: Self.reason(query["reason"]),
                    request.page(of: UsageQuarantine.list))
            ) { $0.json }
        }
        table.post("/admin/api/usage/quarantine/release", .admin(.operate)) { request in
            .json(try await quarantine.release(try selection(request), by: request.actor).json("released"))
        }
        table.post("/admin/api/usage/quarantine/discard", .admin(.operate)) { request in
            .json(try await quarantine.discard(try selection(request), by: request.actor).json("discarded"))
        }
    }

    private func selection(_ request: APIRequest) throws -> UsageQuarantine.Selection {
        let (id, word): (DataPlaneID, String?) = try request.fields { fields in
            (fields.identifier("data_plane_id", or: nil), fields.optionalString("reason"))
        }
        return UsageQuarantine.Selection(dataPlaneID: id, reason: try Self.reason(word))
    }

    private static func reason(_ word: String?) throws(DomainError) -> QuarantineReason? {
        guard let word else { return nil }
        guard let reason = QuarantineReason(rawValue: word) else {
            let words = QuarantineReason.allCases.map(\.rawValue).joined(separator: ", ")
            throw .invalid("reason", "is not a reason for keeping records apart", remedy: "Pass one of: \(words).")
        }
        return reason
    }
}
