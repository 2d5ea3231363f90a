package import Domain
import HTTPTypes
import Nouns
import Primitives

/// What the holder of a virtual key may ask: about the key itself and, as far as its rights reach, about its project or tenant. The tenant
/// is always the key's: no parameter can name another.
package struct SelfServiceRoutes: RouteGroup {
    let usage: UsageQueries
    let billing: Billing
    let health: HealthService
    let trail: AuditTrail

    package func addRoutes(to table: inout RouteTable) {
        table.report("/external/v1/usage", .virtualKey, UsageDocs.summary(for: .tenant(TenantID("")))) { request in
            let caller = try request.keyCaller
            try caller.checkChannel("external")
            let reader = UsageReader.tenant(caller.tenantID)
            var report = try request.usageReport(for: reader)
            report.query = try caller.narrowed(report.query)
            return .report(try await usage.report(report, for: reader))
        }

        table.report("/external/v1/billing", .virtualKey, BillingDocs.balance(forTenant: true)) { request in
            try request.query.allow([])
            let tenantID = try Self.payer(request)
            return .json(try await billing.ledger.balance(of: tenantID, as: .tenant(tenantID.rawValue)).json)
        }
        table.report("/external/v1/billing/statement", .virtualKey, BillingDocs.statement(forTenant: true)) { request in
            try request.query.allow(Set(BillingDocs.statement(forTenant: true).query.map(\.name)))
            let tenantID = try Self.payer(request)
            return try await request.statement(billing, of: tenantID, as: .tenant(tenantID.rawValue))
        }

        table.report("/external/v1/billing/invoice", .virtualKey, BillingDocs.invoice(forTenant: true)) { request in
            try request.query.allow(["month"])
            let tenantID = try Self.payer(request)
            return try await request.invoice(billing, of: tenantID, as: .tenant(tenantID.rawValue))
        }
        table.report("/external/v1/billing/keys", .virtualKey, BillingDocs.keys(forTenant: true)) { request in
            try request.query.allow([])
            let tenantID = try Self.payer(request)
            return .json(["items": .array(try await billing.signers(of: tenantID, as: .tenant(tenantID.rawValue)))])
        }

        table.report("/external/v1/audit", .virtualKey, AuditDocs.own) { request in
            try request.query.allow(Set(AuditDocs.own.query.map(\.name)))
            let caller = try request.keyCaller
            try caller.checkChannel("external")
            let query = try caller.narrowed(try request.auditQuery(usually: "all"))
            let reader = UsageReader.tenant(caller.tenantID)
            return .list(try await trail.entries(query, request.page(of: AuditTrail.list), for: reader)) { $0.json }
        }

        table.get("/external/v1/health", .virtualKey) { request in
            try request.query.allow([])
            let caller = try request.keyCaller
            try caller.checkChannel("external")
            let report = await health.report()
            // When others asked last is theirs to know.
            let lastUsage = report.ready && caller.reach == .tenant ? try await usage.lastReceived(tenantID: caller.tenantID) : nil
            return .json(
                [
                    "status": report.ready ? "ok" : "degraded",
                    "control_plane": "ok",
                    "database": .string(report.database),
                    "key": [
                        "id": .string(caller.keyID.rawValue), "name": .string(caller.key.content.name),
                        "status": .string(caller.key.content.status), "expires_at": .time(caller.key.content.expiresAt),
                    ],
                    "project": ["id": .string(caller.projectID.rawValue), "name": .string(caller.project.content.name)],
                    "tenant": [
                        "id": .string(caller.tenantID.rawValue), "name": .string(caller.tenant.content.name),
                        "status": .string(caller.tenant.content.status.rawValue),
                    ],
                    "last_usage_received_at": .time(lastUsage),
                ],
                status: report.ready ? .ok : .serviceUnavailable)
        }
    }

    /// Whose money it is: what a tenant pays is for those to see who may see all of it.
    private static func payer(_ request: APIRequest) throws -> TenantID {
        let caller = try request.keyCaller
        try caller.checkChannel("external")
        guard caller.reach == .tenant else {
            throw DomainError.forbidden(detail: "The key may not see what the tenant pays: that takes its right tenant:read.")
        }
        return caller.tenantID
    }
}
