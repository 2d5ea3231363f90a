import Contract
import Domain
import Foundation
import Nouns
import Primitives
import Storage
import Testing

@Suite("Billing")
struct BillingLedgerTests {
    typealias Support = UsageSupport

    private static var november: BillingMonth {
        get throws { try #require(BillingMonth("2026-11")) }
    }
    private static let day = Support.now / 86_400_000

    private static func domain(_ database: any Database, at now: Int64 = Support.now) -> DomainContext {
        DomainContext(database: database, clock: ManualClock(milliseconds: now), signal: ChangeSignal())
    }

    private static func cost(_ input: Int64) -> Int64 { Pricing.rate(TokenUsage(input: input, output: 20), Support.price).rawValue }

    /// What the accounts come to by their lines; every entry's lines come to nothing.
    private static func accounts(_ database: any Database, _ tenant: String) async throws -> [String: Int64] {
        try await database.read { c in
            let unbalanced = try c.query("SELECT entry_id FROM ledger_lines GROUP BY entry_id HAVING SUM(amount_nano) <> 0")
            #expect(unbalanced.isEmpty)
            let rows = try c.query(
                "SELECT account, SUM(amount_nano) AS amount FROM ledger_lines WHERE tenant_id = $1 GROUP BY account", [.text(tenant)])
            let balances = try c.query("SELECT account, amount_nano FROM ledger_balances WHERE tenant_id = $1", [.text(tenant)])
            let sums = Dictionary(uniqueKeysWithValues: try rows.map { (try $0.text("account"), try $0.int("amount")) })
            let kept = Dictionary(uniqueKeysWithValues: try balances.map { (try $0.text("account"), try $0.int("amount_nano")) })
            #expect(sums == kept)
            return sums
        }
    }

    @Test(
        "posts what was used once, and what comes late by an entry of its own; the lines of a statement come to the ledger",
        arguments: TestDatabases.all)
    func usage(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let intake = try await Support.intake(database)
            let ledger = BillingLedger(Self.domain(database))
            let yesterday = Support.now - 86_400_000
            let first = [
                Support.record(1, input: 1000), Support.record(2, model: "emb", input: 500), Support.record(3, input: 70, at: yesterday),
                Support.record(4, tenant: "ten_b", input: 9),
            ]
            _ = try await intake.store(dataPlaneID: "dp_a", batch: Support.batch("i", 1, first))
            for _ in 0..<3 { try await ledger.postUsage(everything: true) }
            let spent = Self.cost(1000) + Self.cost(500) + Self.cost(70)
            #expect(try await Self.accounts(database, "ten_a") == ["balance": -spent, "usage": spent])
            let entries = try await ledger.entries(tenantID: TenantID("ten_a"), kind: "usage", PageRequest(), as: .all)
            #expect(entries.items.count == 2)
            // An hour later something from yesterday comes, and something new.
            let later = BillingLedger(Self.domain(database, at: Support.now + 3_600_000))
            let late = [Support.record(5, input: 8, at: yesterday), Support.record(6, input: 3)]
            _ = try await intake.store(dataPlaneID: "dp_b", batch: Support.batch("i", 1, late))
            #expect(try await later.balance(of: TenantID("ten_a"), as: .all).availableNano == -spent - Self.cost(8) - Self.cost(3))
            let statement = try await later.statement(of: TenantID("ten_a"), month: try Self.november, as: .all)
            let total = spent + Self.cost(8) + Self.cost(3)
            #expect(try await Self.accounts(database, "ten_a") == ["balance": -total, "usage": total])
            let json = statement.json
            #expect(json["closing_balance"] == .string(NanoDollars(-total).decimalString) && json["opening_balance"] == "0.00")
            let lines = json["lines"]?.arrayValue ?? []
            let amounts = lines.compactMap { $0["amount"]?.stringValue.flatMap { NanoDollars(decimal: $0)?.rawValue } }
            #expect(lines.count == 5 && amounts.reduce(0, +) == -total)
            #expect(lines.compactMap { $0["requests"]?.intValue }.reduce(0, +) == 5)
            #expect(lines.last?["balance"] == json["closing_balance"])
            // As it was before, and nothing of anybody else's.
            let before = try await later.statement(
                of: TenantID("ten_a"), month: try Self.november, postedUntil: Support.now + 1, as: .tenant("ten_a"))
            #expect(before.json["closing_balance"] == .string(NanoDollars(-spent).decimalString))
            await #expect(throws: DomainError.self) {
                try await later.statement(of: TenantID("ten_b"), month: try Self.november, as: .tenant("ten_a"))
            }
            let december = try await later.statement(of: TenantID("ten_a"), month: try #require(BillingMonth("2026-12")), as: .all)
            #expect(december.json["opening_balance"] == json["closing_balance"] && december.json["lines"] == [])
            // The month's bill is the ledger's usage.
            let bill = try await Billing(Self.domain(database)).month(try Self.november, by: .model, tenantID: TenantID("ten_a"), as: .all)
            #expect(bill["total_cost"] == .string(NanoDollars(total).decimalString) && bill["total_requests"] == 5)
        }
    }

    @Test("posts a payment once for each reference, corrects by entries, and edits nothing", arguments: TestDatabases.all)
    func payments(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            _ = try await Support.intake(database)
            let ledger = BillingLedger(Self.domain(database))
            let (actor, tenant) = (Actor.system("test"), TenantID("ten_a"))
            let payment = LedgerPosting(tenantID: tenant, amount: NanoDollars(25_000_000_000), reference: "pay-1", description: "Bank")
            let posted = try await ledger.topUp(payment, by: actor)
            #expect(try await ledger.topUp(payment, by: actor) == posted)
            let less = LedgerPosting(tenantID: tenant, amount: NanoDollars(1), reference: "pay-1")
            await #expect(throws: DomainError.self) { try await ledger.topUp(less, by: actor) }
            // The same reference of another tenant's, or of another kind, is another entry.
            let another = LedgerPosting(tenantID: TenantID("ten_b"), amount: NanoDollars(1), reference: "pay-1")
            _ = try await ledger.topUp(another, by: actor)
            let id = try #require(posted.json["id"]?.stringValue)
            let correction = LedgerPosting(
                tenantID: tenant, amount: NanoDollars(-5_000_000_000), reference: "pay-1", description: "Paid twice", correctsID: id)
            _ = try await ledger.adjust(correction, by: actor)
            #expect(
                try await Self.accounts(database, "ten_a") == [
                    "balance": 20_000_000_000, "received": -25_000_000_000, "adjustments": 5_000_000_000,
                ])
            for (amount, correctsID) in [(0, nil), (Int64.min, nil), (2_000_000_000_000_000, nil), (1, "led_none")] as [(Int64, String?)] {
                let posting = LedgerPosting(tenantID: tenant, amount: NanoDollars(amount), correctsID: correctsID)
                await #expect(throws: DomainError.self) { try await ledger.adjust(posting, by: actor) }
            }
            await #expect(throws: DomainError.self) {
                try await ledger.topUp(LedgerPosting(tenantID: TenantID("ten_none"), amount: NanoDollars(1)), by: actor)
            }
            for statement in ["UPDATE ledger_lines SET amount_nano = 1", "DELETE FROM ledger_entries", "DELETE FROM ledger_lines"] {
                await #expect(throws: DatabaseError.self) { try await database.transaction { _ = try $0.execute(statement) } }
            }
            await #expect(throws: LedgerError.unbalanced) {
                try await database.transaction { c in
                    let row = LedgerEntryRow(
                        id: "led_x", tenantID: "ten_a", kind: .usage, valueDay: 1, postedAt: 1, idempotencyKey: "x", description: "",
                        actorID: "", actorName: "")
                    _ = try LedgerTable.post(c, row, [LedgerLine(.balance, 1), LedgerLine(.usage, -2)])
                }
            }
            #expect(try await ledger.entries(tenantID: nil, kind: nil, PageRequest(), as: .tenant("ten_b")).items.count == 1)
        }
    }

    @Test(
        "of a tenant that owes more than it paid in advance is told; who pays afterwards owes nothing strange", arguments: TestDatabases.all
    )
    func overdrawn(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let intake = try await Support.intake(database)
            let ledger = BillingLedger(Self.domain(database))
            let records = [Support.record(1, input: 1000), Support.record(2, tenant: "ten_b", input: 1000)]
            _ = try await intake.store(dataPlaneID: "dp_a", batch: Support.batch("i", 1, records))
            _ = try await ledger.topUp(LedgerPosting(tenantID: TenantID("ten_a"), amount: NanoDollars(1)), by: .system("test"))
            try await ledger.postUsage(everything: false)
            let found = try await database.read { try LedgerTable.overdrawn($0, limit: 10).map(\.tenantID) }
            #expect(found == ["ten_a"])
        }
    }

    @Test("is by user, the owner of an app among them, and by whatever else; the groups come to the total", arguments: TestDatabases.all)
    func month(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let intake = try await Support.intake(database)
            var byApp = Support.record(1, input: 1000)
            (byApp.appID, byApp.ownerID, byApp.keyID, byApp.projectID) = ("app_a", "usr_a", "", "")
            var byUser = Support.record(2, input: 10)
            (byUser.userID, byUser.tags) = ("usr_a", ["team=search"])
            let other = Support.record(3, input: 1, at: Support.now - 40 * 86_400_000)
            let records = [byApp, byUser, Support.record(4, input: 100), other]
            _ = try await intake.store(dataPlaneID: "dp_a", batch: Support.batch("i", 1, records))
            let billing = Billing(Self.domain(database))
            func dollars(_ inputs: Int64...) -> JSONValue { .string(NanoDollars(inputs.map(Self.cost).reduce(0, +)).decimalString) }
            let users = try await billing.month(try Self.november, by: .user, tenantID: nil, as: .all)
            #expect(
                users == [
                    "month": "2026-11", "total_cost": dollars(1000, 10, 100), "total_requests": 3,
                    "users": [
                        ["user_oid": "usr_a", "email": .null, "requests": 2, "total_cost": dollars(1000, 10)],
                        ["user_oid": .null, "email": .null, "requests": 1, "total_cost": dollars(100)],
                    ],
                ])
            for word in ["tenant", "project", "app", "key", "model", "tag:team", "user"] {
                let group = try #require(Billing.Group(word: word))
                let bill = try await billing.month(try Self.november, by: group, tenantID: TenantID("ten_a"), as: .tenant("ten_a"))
                let items = (bill["items"] ?? bill["users"])?.arrayValue ?? []
                let sum = items.compactMap { $0["total_cost"]?.stringValue.flatMap { NanoDollars(decimal: $0)?.rawValue } }.reduce(0, +)
                #expect(.string(NanoDollars(sum).decimalString) == bill["total_cost"], "\(word)")
                #expect(bill["total_requests"] == 3)
            }
            #expect(Billing.Group(word: "hour") == nil && Billing.Group(word: "") == nil)
            #expect(BillingMonth("2026-13") == nil && BillingMonth("2026-1") == nil && BillingMonth("+026-11") == nil)
            #expect(BillingMonth("2026-02")?.days.count == 28 && BillingMonth("2026-12")?.days.count == 31)
        }
    }

    @Test("is put beside what a provider states, by day or by month, and only what it states", arguments: TestDatabases.all)
    func reconciliation(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let intake = try await Support.intake(database)
            let records = (1...4).map { number in
                var record = Support.record(UInt64(number), input: 100, at: Support.now - Int64(number % 2) * 86_400_000)
                record.upstreamModel = number < 4 ? "gpt-up" : "gpt-other"
                return record
            }
            _ = try await intake.store(dataPlaneID: "dp_a", batch: Support.batch("i", 1, records))
            let billing = Billing(Self.domain(database))
            typealias Line = BillingReconciliation.Line
            func differences(_ lines: [Line], tolerance: Int64 = 0) async throws -> [JSONValue] {
                try await billing.reconcile(
                    BillingReconciliation(month: try Self.november, lines: lines, tolerance: NanoDollars(tolerance)))["differences"]?
                    .arrayValue
                    ?? []
            }
            let (today, before, cost) = (Self.day, Self.day - 1, Self.cost(100))
            let exact = [
                Line(model: "gpt-up", day: today, requests: 1, inputTokens: 100, outputTokens: 20, cost: NanoDollars(cost)),
                Line(model: "gpt-up", day: before, cost: NanoDollars(cost)), Line(model: "gpt-up", day: before, cost: NanoDollars(cost)),
                Line(model: "gpt-other", inputTokens: 100),
            ]
            #expect(try await differences(exact).isEmpty)
            var off = exact
            off[0].cost = NanoDollars(cost + 2)
            #expect(try await differences(off).count == 1)
            #expect(try await differences(off, tolerance: 2).isEmpty)
            off[0].outputTokens = 21
            #expect(try await differences(off, tolerance: 2).first?["recorded"]?["output_tokens"] == 20)
            let missing = try await differences([exact[3], Line(model: "gpt-new", day: today, requests: 1)])
            #expect(missing.count == 3 && missing.contains { $0["model"] == "gpt-new" && $0["recorded"] == .null })
            #expect(missing.map { $0["kind"] } == ["missing_here", "missing_there", "missing_there"])
            #expect(try await differences(off).map { $0["kind"] } == ["other_amounts"])
            // Each line by itself: what one of them lacks is that one's difference, and of no other.
            for place in exact.indices {
                var lines = exact
                lines.remove(at: place)
                #expect(try await differences(lines).map { $0["kind"] } == [place == 1 || place == 2 ? "other_amounts" : "missing_there"])
                lines = exact
                lines[place].requests = 9
                #expect(try await differences(lines).map { $0["kind"] } == ["other_amounts"], "\(place)")
            }
            let foreign = BillingReconciliation(month: try Self.november, lines: [Line(model: "gpt-up", day: today + 60)])
            await #expect(throws: DomainError.self) { try await billing.reconcile(foreign) }
        }
    }
}
