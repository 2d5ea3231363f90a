import Contract
import Domain
import Foundation
import Nouns
import Primitives
import Storage
import SwiftProtobuf
import Telemetry
import Testing

/// What a data plane reports and may not report is acknowledged, kept apart and billed to nobody.
@Suite("Usage that a data plane may not report")
struct UsageConfinementTests {
    typealias Support = UsageSupport

    /// An intake, its clock, and a data plane of tenant a: `dp_mine`.
    private static func with(
        _ kind: TestDatabase, _ body: (any Database, UsageIntake, ManualClock, MetricsRegistry) async throws -> Void
    ) async throws {
        try await kind.with { database in
            let clock = ManualClock(milliseconds: Support.now)
            let metrics = MetricsRegistry()
            let intake = try await Support.intake(database, clock: clock, metrics: metrics)
            try await database.transaction { c in
                try Support.insertDataPlane(c, "dp_mine", tenants: ["ten_a"])
                let row = ConfigVersionRow(
                    version: 2, digest: [1], payloadBytes: 0, note: "", authorID: "t", authorName: "t", restores: nil, createdAt: 1)
                try ConfigVersionsTable.insert(c, row, payload: [])
            }
            try await body(database, intake, clock, metrics)
        }
    }

    private static func billed(_ database: any Database) async throws -> [SQLValue?: Int64] {
        let sums = try await Support.queries(database).sums(Support.everything, by: [.tenant], as: .all).rows
        return Dictionary(sums.map { ($0.group.first, $0.requests) }, uniquingKeysWith: +)
    }

    private static func apart(_ database: any Database) async throws -> [String: Int64] {
        let totals = try await database.read { try UsageQuarantineTable.totals($0) }
        return Dictionary(totals.map { ($0.reason, $0.records) }, uniquingKeysWith: +)
    }

    @Test("is kept apart, each with its reason, as it came; the honest rest is billed", arguments: TestDatabases.all)
    func reasons(_ kind: TestDatabase) async throws {
        try await Self.with(kind) { database, intake, clock, metrics in
            func record(_ number: UInt64, _ change: (inout Weir_V1_UsageRecord) -> Void) -> Weir_V1_UsageRecord {
                var record = Support.record(number)
                change(&record)
                return record
            }
            func asApp(_ record: inout Weir_V1_UsageRecord, _ app: String, user: String = "usr_a", owner: String = "usr_a") {
                record.keyID = ""
                record.projectID = ""
                (record.appID, record.userID, record.ownerID) = (app, user, owner)
            }
            let cases: [(QuarantineReason, Weir_V1_UsageRecord)] = [
                (.tenantNotServed, Support.record(1, tenant: "ten_b")),
                (.unknownTenant, record(2) { $0.tenantID = "ten_nobody" }),
                (.unknownTenant, record(3) { $0.tenantID = String(repeating: "x", count: 100_000) }),
                (.unknownProject, record(4) { $0.projectID = "prj_nothing" }),
                (.unknownKey, record(5) { $0.keyID = "key_nothing" }),
                (.unknownKey, record(6) { $0.keyID = "key_c" }),
                (.unknownKey, record(7) { $0.projectID = "prj_of_ten_b" }),
                (.unknownUser, record(14) { $0.userID = "usr_nobody" }),
                (.unknownUser, record(15) { $0.userID = "usr_b" }),
                (.unknownApp, record(16) { asApp(&$0, "app_b") }),
                (.unknownApp, record(17) { asApp(&$0, "app_nothing") }),
                (.unknownUser, record(18) { asApp(&$0, "app_a", user: "usr_b") }),
                (.unknownUser, record(19) { asApp(&$0, "app_a", owner: "usr_b") }),
                (
                    .unknownProject,
                    record(22) {
                        $0.keyID = ""; $0.projectID = ""
                    }
                ),
                (.unknownModel, record(8) { $0.model = "g\u{202E}pt" }),
                (.unknownModel, record(9) { $0.model = String(repeating: "<script>", count: 1000) }),
                (.unknownModel, record(10) { $0.model = "private-b" }),
                (.unknownConfigVersion, record(11) { $0.configVersion = 99 }),
                (.unknownConfigVersion, record(12) { $0.configVersion = .max }),
                (.configVersionNotHeld, record(13) { $0.configVersion = 2 }),
            ]
            let honest = [
                Support.record(20), Support.record(21, key: "key_b"), record(23) { asApp(&$0, "app_a") },
                record(24) { $0.userID = "usr_a" },
            ]
            let batch = Support.batch("i", 1, cases.map(\.1) + honest)
            #expect(try await intake.store(dataPlaneID: "dp_mine", batch: batch).storedSequence == 1)
            #expect(try await intake.store(dataPlaneID: "dp_mine", batch: batch).storedSequence == 1)
            #expect(try await Self.billed(database) == ["ten_a": 4])
            let rows = try await database.read { try UsageQuarantineTable.list($0, QuarantineFilter(), before: nil, limit: 100) }
                .sorted { $0.position < $1.position }
            #expect(rows.map(\.reason) == cases.map(\.0.rawValue))
            #expect(try rows.map { try Weir_V1_UsageRecord(serializedBytes: $0.record) } == cases.map(\.1))
            let counts = Dictionary(cases.map { ($0.0.rawValue, Int64(1)) }, uniquingKeysWith: +)
            #expect(try await Self.apart(database) == counts)
            #expect(metrics.text.contains(#"weir_usage_quarantined_records_total{reason="unknown_model"} 3"#))
        }
    }

    @Test("is not that of a key, project or tenant that was deleted while it was on its way", arguments: TestDatabases.all)
    func deleted(_ kind: TestDatabase) async throws {
        try await Self.with(kind) { database, _, clock, _ in
            try await database.transaction { c in
                for table in ["virtual_keys", "projects", "tenants"] { try c.execute("UPDATE \(table) SET deleted_at = 5") }
            }
            let fresh = try await Support.intake(database, clock: clock)
            _ = try await fresh.store(dataPlaneID: "dp_mine", batch: Support.batch("i", 1, [Support.record(1)]))
            #expect(try await Self.billed(database) == ["ten_a": 1])
        }
    }

    @Test("is that of a tenant which was taken from it, but for what it served before it knew", arguments: TestDatabases.all)
    func narrowed(_ kind: TestDatabase) async throws {
        try await Self.with(kind) { database, intake, clock, _ in
            let minute: Int64 = 60_000
            var sequences: [String: UInt64] = [:]
            func ship(_ dataPlane: String, at milliseconds: Int64) async throws {
                let sequence = sequences[dataPlane, default: 0] + 1
                sequences[dataPlane] = sequence
                let record = Support.record(sequence, tenant: "ten_b", at: milliseconds)
                _ = try await intake.store(dataPlaneID: dataPlane, batch: Support.batch("i", sequence, [record]))
            }
            try await database.transaction { c in
                for id in ["dp_away", "dp_here"] {
                    try Support.insertDataPlane(c, id, tenants: ["ten_a"])
                    try FormerTenantsTable.record(
                        c, dataPlaneID: id, from: .tenants(["ten_a", "ten_b"]), to: .tenants(["ten_a"]), inContact: id == "dp_here",
                        now: Support.now)
                }
            }
            // Out of contact for three days it served on; it ships all of that when it is back.
            let back = Support.now + 3 * 86_400_000
            clock.set(milliseconds: back)
            try await ship("dp_away", at: back - minute)
            #expect(try await Self.billed(database) == ["ten_b": 1])
            // From then on it knows.
            clock.set(milliseconds: back + 20 * minute)
            try await ship("dp_away", at: back + minute)
            #expect(try await Self.billed(database) == ["ten_b": 2])
            try await ship("dp_away", at: back + 16 * minute)
            #expect(try await Self.apart(database) == ["tenant_not_served": 1])

            // One that was connected knew at once; what it served before may come late, but not for ever.
            try await ship("dp_here", at: Support.now - minute)
            #expect(try await Self.billed(database) == ["ten_b": 3])
            try await ship("dp_here", at: back)
            #expect(try await Self.apart(database) == ["tenant_not_served": 2])
            clock.set(milliseconds: Support.now + 15 * 86_400_000)
            try await ship("dp_here", at: Support.now - minute)
            #expect(try await Self.apart(database) == ["tenant_not_served": 3])
        }
    }

    @Test("is everything of a revoked data plane", arguments: TestDatabases.all)
    func revoked(_ kind: TestDatabase) async throws {
        try await Self.with(kind) { database, intake, _, _ in
            try await database.transaction { _ = try $0.execute("UPDATE data_planes SET status = 'revoked' WHERE id = 'dp_mine'") }
            _ = try await intake.store(dataPlaneID: "dp_mine", batch: Support.batch("i", 1, [Support.record(1)]))
            #expect(try await Self.billed(database) == [:])
            #expect(try await Self.apart(database) == ["revoked_data_plane": 1])
        }
    }

    @Test("is bounded: records of a batch, new lives in a day", arguments: TestDatabases.all)
    func bounds(_ kind: TestDatabase) async throws {
        try await Self.with(kind) { database, intake, clock, _ in
            let large = Support.batch("i", 1, Array(repeating: Weir_V1_UsageRecord(), count: UsageIntake.maximumRecords + 1))
            await #expect(throws: DomainError.self) { try await intake.store(dataPlaneID: "dp_mine", batch: large) }
            for life in 1...Int(UsageIntake.maximumIncarnationsPerDay) {
                _ = try await intake.store(dataPlaneID: "dp_mine", batch: Support.batch("life\(life)", 1, [Support.record(UInt64(life))]))
            }
            let next = Support.batch("onemore", 1, [Support.record(100)])
            await #expect(throws: UsageRefusal.tooManyIncarnations) { try await intake.store(dataPlaneID: "dp_mine", batch: next) }
            // The lives it has go on, others are not concerned, and a day later it may begin anew.
            _ = try await intake.store(dataPlaneID: "dp_mine", batch: Support.batch("life1", 2, [Support.record(101)]))
            _ = try await intake.store(dataPlaneID: "dp_a", batch: next)
            clock.advance(milliseconds: 86_400_001)
            _ = try await intake.store(dataPlaneID: "dp_mine", batch: next)
            #expect(try await Self.billed(database) == ["ten_a": UsageIntake.maximumIncarnationsPerDay + 3])
        }
    }

    @Test("is billed when somebody releases it, once, unless there is nobody to bill", arguments: TestDatabases.all)
    func released(_ kind: TestDatabase) async throws {
        try await Self.with(kind) { database, intake, clock, _ in
            var nobody = Support.record(3)
            nobody.tenantID = "ten_nobody"
            let records = [Support.record(1, tenant: "ten_b"), Support.record(2, tenant: "ten_b"), nobody]
            _ = try await intake.store(dataPlaneID: "dp_mine", batch: Support.batch("i", 1, records))
            let domain = DomainContext(database: database, clock: clock, signal: ChangeSignal())
            let quarantine = UsageQuarantine(domain)
            let selection = UsageQuarantine.Selection(dataPlaneID: DataPlaneID("dp_mine"))
            let actor = Actor(id: "tok_a", name: "Ada", role: .owner, scope: .all)
            #expect(try await quarantine.release(selection, by: actor) == UsageQuarantine.Decision(decided: 2, left: 1))
            #expect(try await Self.billed(database) == ["ten_b": 2])
            #expect(try await quarantine.release(selection, by: actor) == UsageQuarantine.Decision(decided: 0, left: 1))
            #expect(try await Self.billed(database) == ["ten_b": 2])
            #expect(try await quarantine.discard(selection, by: actor) == UsageQuarantine.Decision(decided: 1, left: 0))
            #expect(try await Self.apart(database) == [:])
        }
    }

    @Test("draws on budgets beyond what was held for it when it is released, once", arguments: TestDatabases.all)
    func uncovered(_ kind: TestDatabase) async throws {
        try await Self.with(kind) { database, intake, clock, _ in
            try await database.transaction(as: .all, isolation: .serializable) { c in
                for (id, mode) in [("bgt_hard", "enforce"), ("bgt_watch", "observe")] {
                    try c.execute(
                        """
                        INSERT INTO budgets (id, tenant_id, name, unit, limit_text, period, time_zone, kind, mode, revision, created_at,
                            updated_at, directory_revision)
                        VALUES ($1, 'ten_b', $1, 'requests', '10', 'never', 'UTC', 'hard', $2, 1, 1, 1, 1)
                        """, [.text(id), .text(mode)])
                }
            }
            func record(_ number: UInt64, tenant: String = "ten_b", _ amount: Int64) -> Weir_V1_UsageRecord {
                var record = Support.record(number, tenant: tenant)
                record.uncovered = ["bgt_watch", "bgt_hard", "bgt_nobody"].map { id in
                    .with {
                        $0.budgetID = id
                        $0.amount = amount
                    }
                }
                return record
            }
            func settled() async throws -> [Int64?] {
                try await database.read(as: .all) { c in
                    try ["bgt_hard", "bgt_watch", "bgt_nobody"].map { id in
                        try BudgetAccountsTable.find(c, budgetID: id, periodStart: 0)?.settled
                    }
                }
            }
            // One of another tenant draws on nothing of this one's.
            let batch = Support.batch("i", 1, [record(1, 7), record(2, 7), record(3, tenant: "ten_a", 9)])
            _ = try await intake.store(dataPlaneID: "dp_mine", batch: batch)
            #expect(try await settled() == [nil, nil, nil])
            let quarantine = UsageQuarantine(DomainContext(database: database, clock: clock, signal: ChangeSignal()))
            let actor = Actor(id: "tok_a", name: "Ada", role: .owner, scope: .all)
            for _ in 0..<2 {
                _ = try await quarantine.release(.init(dataPlaneID: DataPlaneID("dp_mine")), by: actor)
                #expect(try await settled() == [14, 7, nil])
                let refused = try await database.read(as: .all) {
                    try BudgetObservationsTable.requests($0, budgetID: "bgt_watch", periodStart: 0)
                }
                #expect(refused == 1)
            }
        }
    }
}
