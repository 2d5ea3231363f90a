import Domain
import Foundation
import Nouns
import Primitives
import Storage
import Telemetry
import Testing

@testable import weir

/// What is kept for a time only, and what stays.
@Suite("Retention")
struct RetentionTests {
    private static let day: Int64 = 86_400_000

    private static func service(_ h: ControlHarness, audit: Int = 30, log: Int = 30) -> RetentionService {
        RetentionService(h.services.domain, auditDays: audit, logDays: log, metrics: h.metrics)
    }

    private static func removed(_ runs: [RetentionRun]) -> [String: Int64] {
        Dictionary(runs.map { ($0.kind, $0.removed) }) { $1 }
    }

    /// Without what an answer says of when it was made.
    private static func told(_ h: ControlHarness, _ path: String) async throws -> JSONValue {
        var object = try await h.get(path).json.objectValue ?? JSONObject()
        for name in ["as_of", "records_since", "behind"] { object[name] = nil }
        return .object(object)
    }

    private static func records(_ h: ControlHarness, from: String) async throws -> Int? {
        try await h.get("/admin/api/usage/records?limit=200&from=\(from)&until=2027-04-30T00:00:00Z&tenant_id=").json["items"]?.arrayValue?
            .count
    }

    @Test("takes records away and no sum, no statement and no bill of a month that is kept", arguments: TestDatabases.all)
    func usage(_ kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let month = try await InvoiceTests.Month(h)
            let tenant = month.customers.tenants[0]
            let january = try InvoiceTests.verify(try await month.invoice(), pinned: month.keys)
            let paths = [
                "/admin/api/billing?month=2026-12&group_by=key", "/admin/api/billing?month=2027-01&group_by=user",
                "/admin/api/billing/statement?month=2026-12&tenant_id=\(tenant)",
                "/admin/api/usage?group_by=tenant,day,model&from=2026-11-01T00:00:00Z&until=2027-03-01T00:00:00Z",
            ]
            var before: [JSONValue] = []
            for path in paths { before.append(try await Self.told(h, path)) }

            // On the first of February: thirty days are everything up to the second of January.
            let runs = try await Self.service(h).purge()
            #expect(Self.removed(runs)["usage"] == 6, "one of December, five of the first of January")
            #expect(Self.removed(runs)["invoices"] == 1 && runs.allSatisfy { $0.held.isEmpty })
            var after: [JSONValue] = []
            for path in paths { after.append(try await Self.told(h, path)) }
            #expect(after == before)
            let report = try await h.get("/admin/api/usage?group_by=day&from=2026-12-01T00:00:00Z&until=2027-02-02T00:00:00Z")
            #expect(report.json["records_since"]?.stringValue?.hasPrefix("2027-01-02T00:00:00") == true)
            let gone = try await h.get("/admin/api/usage/records/\(RequestID(high: 77, low: 2).text)")
            #expect(gone.status == 404 && gone.json["detail"]?.stringValue?.contains("from before 2027-01-02 are purged") == true)

            // January is proved as before; of December the ledger and the heads are left, and the file says so.
            let kept = try InvoiceTests.verify(try await month.invoice(), pinned: month.keys)
            #expect(kept.charged == january.charged && kept.records == january.records && kept.purgedBefore == nil)
            let december = try InvoiceTests.verify(try await month.invoice(month: "2026-12"), pinned: month.keys)
            #expect(december.purgedBefore?.hasPrefix("2027-01-01") == true && !december.isWhole)
            #expect(december.purged == InvoiceSum(requests: 1, nano: 1_000_000_007) && december.unsigned == InvoiceSum())
            #expect(
                december.heads == 1 && december.lines(isPinned: true).contains { $0.contains("keeps no records from before 2027-01-01") })

            // Nothing is left to do, and today nobody looks again.
            #expect(Self.removed(try await Self.service(h).purge()).values.allSatisfy { $0 == 0 })
            let audit = try await h.get("/admin/api/audit?action=retention.purge").json["items"]?.arrayValue ?? []
            #expect(Set(audit.compactMap { $0["resource_id"]?.stringValue }) == ["usage", "invoices"])
            let told = try await h.get("/admin/api/status").json["retention"]?.arrayValue ?? []
            #expect(told.first { $0["records"] == "usage" }?["removed_total"] == 6)
            #expect(h.metrics.text.contains(#"weir_control_purge_removed_total{records="usage"} 6"#))
            h.clock.advance(milliseconds: 3_600_000)
            try await Self.service(h).purgeDaily()
            let unchanged = try await h.database.read { try RetentionRunsTable.list($0) }
            #expect(unchanged.allSatisfy { $0.ranAt < h.clock.nowMilliseconds() })
            h.clock.advance(milliseconds: 5 * Self.day)
            let findings = try await h.get("/admin/api/status").json["findings"]?.arrayValue ?? []
            #expect(findings.contains { $0["code"] == "purge_late" && $0["subject"] == "audit records" })
        }
    }

    @Test("keeps what a month needs that is not over, or of which a data plane has not told", arguments: TestDatabases.all)
    func open(_ kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let month = try await InvoiceTests.Month(h)
            h.clock.set(milliseconds: InvoiceTests.february + 20 * Self.day)
            func told(until milliseconds: Int64?) async throws {
                try await h.database.transaction { c in
                    try c.execute(
                        "UPDATE data_planes SET reported_at = $1, report = $2 WHERE id = $3",
                        [
                            .int(milliseconds ?? h.clock.nowMilliseconds()),
                            .text(milliseconds == nil ? #"{"outbox_batches":3}"# : #"{"usage_lag_ms":0,"outbox_batches":0}"#),
                            .text(month.first.id),
                        ])
                }
            }
            try await told(until: nil)
            var run = try await Self.service(h, log: 1).purge([.usage])[0]
            #expect(run.removed == 0 && run.held.contains("does not say how far"))
            try await told(until: InvoiceTests.january + Self.day)
            run = try await Self.service(h, log: 1).purge([.usage])[0]
            #expect(run.removed == 1 && run.beforeAt == InvoiceTests.january && run.held.contains("up to 2027-01-02"))
            let findings = try await h.get("/admin/api/status").json["findings"]?.arrayValue ?? []
            #expect(findings.contains { $0["code"] == "retention_held" })
            // It has caught up: January goes, and of February nothing, though a day was asked for.
            try await told(until: h.clock.nowMilliseconds())
            run = try await Self.service(h, log: 1).purge([.usage])[0]
            #expect(run.beforeAt == InvoiceTests.february && run.held.isEmpty && run.removed == 14)
            #expect(try await Self.records(h, from: "2027-02-01T00:00:00Z") == 1)
        }
    }

    @Test("drops whole months on Postgres, and takes in what comes late for one that is gone", arguments: TestDatabases.all)
    func months(_ kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            var month = try await InvoiceTests.Month(h)
            h.clock.set(milliseconds: InvoiceTests.february + 60 * Self.day)
            let run = try await Self.service(h).purge([.usage])[0]
            #expect(run.removed == 16)
            let names = try await h.database.read { try UsagePartitions.names($0) }
            #expect(!names.contains { ["2026_12", "2027_01", "2027_02"].contains($0.suffix(7)) }, "\(names)")
            let late = month.record(99, at: InvoiceTests.january + 5)
            try await month.store(month.first.batch([late], signedAt: nil), by: month.first)
            let bill = try await h.get("/admin/api/billing?month=2027-01").json
            #expect(bill["total_requests"] == 15)
            #expect(try await Self.service(h).purge([.usage])[0].removed == 1)
        }
    }

    @Test("takes changes and refusals away by their own time", arguments: TestDatabases.all)
    func audit(_ kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            _ = try await UsageRoutesTests.Customers(h)
            let start = h.clock.nowMilliseconds()
            try await h.database.transaction { c in
                var rows: [RequestRefusalRow] = []
                for number in 0..<2 {
                    var row = RequestRefusalRow()
                    row.requestID = RequestID(high: 9, low: UInt64(number)).bytes
                    row.at = start + Int64(number) * 10 * Self.day
                    rows.append(row)
                }
                try RequestRefusalsTable.insert(c, rows)
            }
            h.clock.advance(milliseconds: 29 * Self.day)
            #expect(Self.removed(try await Self.service(h).purge([.audit, .refusals])) == ["audit": 0, "refusals": 0])
            _ = try await h.create("/admin/api/tenants", ["name": "Later"])
            h.clock.advance(milliseconds: 2 * Self.day)
            let removed = Self.removed(try await Self.service(h).purge([.audit, .refusals]))
            #expect((removed["audit"] ?? 0) > 5 && removed["refusals"] == 1)
            let left = try await h.get("/admin/api/audit?limit=200").json["items"]?.arrayValue ?? []
            #expect(Set(left.compactMap { $0["action"]?.stringValue }) == ["tenant.create", "retention.purge"])
        }
    }
}
