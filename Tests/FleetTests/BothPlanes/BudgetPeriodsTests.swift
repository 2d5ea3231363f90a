import Domain
import Foundation
import Nouns
import Primitives
import Simulator
import Storage
import Testing

@testable import Proxy

/// Which period pays, over real planes whose clocks the test moves.
@Suite("The periods of budgets over both planes", .timeLimit(.minutes(10)), .serialized)
struct BudgetPeriodsTests {
    private static let stream = "sim-in20-out64-chunks64-pace10ms"
    /// 20 × 2.50 $ and 64 × 10 $ a million, in nano-dollars.
    private static let charged: Int64 = 50_000 + 640_000
    /// 2027-03-31T23:59:59.999 in Berlin, three days after its clocks went forward (UTC+2), and the month around it in UTC.
    private static let lastMicrosecond = utc("2027-03-31T21:59:59Z") * 1000 + 999_999
    private static let march = utc("2027-02-28T23:00:00Z")
    private static let april = utc("2027-03-31T22:00:00Z")

    private static func utc(_ text: String) -> Int64 { RFC3339.milliseconds(text) ?? 0 }

    @Test(
        "A stream that is admitted in a month's last millisecond is paid by that month, the next request by the next",
        arguments: TestDatabases.all)
    func monthsEnd(database: TestDatabase) async throws {
        try await database.with { database in
            let clock = ShiftedClock()
            let provider = try await SimulatorServer.start()
            let control = try await RunningControl.start(database, clock: clock)
            try await control.release(model: Self.stream, url: "http://127.0.0.1:\(provider.port)/v1")
            let project = try await control.project()
            let tenant = try await control.services.projects.get(project, as: .all).content.tenantID
            let key = try await control.key(project)
            let plane = try await RunningDataPlane.start(DataFolder().path, token: try await control.token(), clock: clock)
            let budget = try await control.services.budgets.create(
                BudgetContent {
                    $0.tenantID = tenant
                    $0.keyID = key.id
                    $0.name = "monthly"
                    $0.limit = AmountText("1")
                    $0.timeZone = "Europe/Berlin"
                }, by: RunningControl.administrator)
            clock.move(toMilliseconds: Self.april - 60_000)
            try await BudgetPeriodService(control.services.domain).roll()
            #expect(
                await plane.snapshot { snapshot in
                    snapshot.isServing && snapshot.credentials.count == 1
                        && snapshot.directory.budgets.rules.values.contains { $0.periods.map(\.lowerBound) == [Self.march, Self.april] }
                } != nil)
            clock.stop(atMicroseconds: Self.lastMicrosecond)
            let body = #"{"model":"\#(Self.stream)","stream":true,"max_tokens":64,"messages":[{"role":"user","content":"hello"}]}"#
            async let running = plane.send(headers: ["Authorization: Bearer \(key.text)"], body: body)
            while provider.ledger.count == 0 { try await Task.sleep(for: .milliseconds(2)) }
            // It is under way, and the month is over.
            clock.move(toMilliseconds: Self.april)
            let next = try await plane.send(headers: ["Authorization: Bearer \(key.text)"], body: body)
            let first = try await running
            #expect(first.status == 200 && first.body.contains("[DONE]") && next.status == 200, "\(first.body) \(next.body)")
            #expect(try await control.usage(reaching: 2).cost == 2 * Self.charged)
            func settled(_ start: Int64) async throws -> Int64 {
                try await database.read(as: .all) { c in
                    try BudgetAccountsTable.find(c, budgetID: budget.id.rawValue, periodStart: start)?.settled ?? 0
                }
            }
            let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
            while try await settled(Self.march) + settled(Self.april) < 2 * Self.charged, MonotonicClock.nowMicroseconds() < deadline {
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(try await settled(Self.march) == Self.charged)
            #expect(try await settled(Self.april) == Self.charged)
            await plane.stop()
            await control.stop()
            try await provider.shutdown()
        }
    }

    @Test(
        "Periods follow each other without a gap, and begin at midnight where their tenant is, whatever its clocks do",
        arguments: [
            "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo", "Africa/Cairo",
        ])
    func periodsTouch(zone: String) throws {
        let calendar = Calendar(identifier: .gregorian)
        let known = try #require(TimeZone(identifier: zone))
        for period in [BudgetPeriod.daily, .monthly] {
            let budget = BudgetContent {
                $0.period = period
                $0.timeZone = zone
            }
            var now = Self.utc("2026-01-15T12:00:00Z")
            for _ in 0..<(period == .daily ? 800 : 26) {
                let found = budget.period(at: now)
                let end = try #require(found.end)
                #expect(found.start <= now && now < end)
                // Of the last moment and of the next it is this one and the next one.
                #expect(budget.period(at: end - 1) == found && budget.period(at: end).start == end)
                #expect(budget.periods(at: now).map(\.start) == [found.start, end])
                let parts = calendar.dateComponents(in: known, from: Date(timeIntervalSince1970: Double(found.start) / 1000))
                // Where the clocks skip midnight, a day begins at one.
                #expect(parts.minute == 0 && (parts.hour == 0 || parts.hour == 1), "\(zone) \(found.start)")
                #expect(period == .daily || parts.day == 1)
                now = end
            }
        }
    }
}
