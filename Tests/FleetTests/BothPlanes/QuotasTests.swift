import Domain
import Foundation
import Nouns
import Primitives
import Simulator
import Storage
import Testing

@testable import Proxy

/// Every level of a budget, in every unit and period, from the admin's services to the answer.
@Suite("Quotas over both planes", .timeLimit(.minutes(10)), .serialized)
struct QuotasTests {
    private static let model = "sim-in20-out64"
    private static let body = #"{"model":"\#(model)","max_tokens":64,"messages":[{"role":"user","content":"hello"}]}"#
    private static let levels = ["tenant", "project", "app", "user", "key", "capability"]

    private struct Case: Sendable {
        let name: String
        let period: BudgetPeriod
        let headers: [String]
        let path: String
    }

    /// Two requests: of tokens what two came to, and one short of what a third may come to.
    private static func limit(_ unit: BudgetUnit) -> String {
        switch unit {
        case .requests, .cost: "2"
        case .tokens: String(2 * (20 + 64) + body.utf8.count + 64 - 1)
        }
    }

    /// A tenant of its own, so that no other budget is in the way.
    private static func make(_ level: String, _ unit: BudgetUnit, _ period: BudgetPeriod, _ control: RunningControl) async throws -> Case {
        let name = "\(level)-\(unit.rawValue)-\(period.rawValue)"
        let actor = RunningControl.administrator
        let services = control.services
        let project = try await control.project(of: name)
        let tenant = try await services.projects.get(project, as: .all).content.tenantID
        var content = BudgetContent {
            $0.tenantID = tenant
            $0.name = name
            $0.unit = unit
            $0.limit = AmountText(limit(unit))
            $0.period = period
            $0.timeZone = "America/New_York"
        }
        var headers: [String] = []
        var path = "/v1/chat/completions"
        if level == "app" || level == "user" {
            let user = try await services.users.create(
                UserContent {
                    $0.tenantID = tenant
                    $0.oid = "ada"
                }, by: actor)
            let app = try await services.apps.create(
                AppContent {
                    $0.appID = name
                    $0.name = name
                    $0.ownerID = user.id
                }, by: actor)
            if level == "app" { content.appID = app.app.id } else { content.userID = user.id }
            headers = ["X-Gateway-Secret: \(app.plaintext.reveal())", "X-App-Id: \(name)", "X-User-Oid: ada"]
            path = "/internal/v1/chat/completions"
        } else {
            let key = try await control.key(project)
            if level == "project" { content.projectID = project }
            if level == "key" { content.keyID = key.id }
            if level == "capability" { content.capability = "chat" }
            headers = ["Authorization: Bearer \(key.text)"]
        }
        _ = try await services.budgets.create(content, by: actor)
        return Case(name: name, period: period, headers: headers, path: path)
    }

    private static func ask(_ one: Case, _ plane: RunningDataPlane) async throws -> (status: Int, body: String) {
        let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
        while true {
            let answer = try await plane.send(headers: one.headers, path: one.path, body: body)
            // Not known in time: a machine that is busy with other tests.
            if answer.status != 503 || MonotonicClock.nowMicroseconds() > deadline { return answer }
        }
    }

    private static func statuses(of cases: [Case], _ plane: RunningDataPlane, times: Int) async throws -> [String: [Int]] {
        try await withThrowingTaskGroup(of: (String, [Int]).self) { group in
            var found: [String: [Int]] = [:]
            func add(_ one: Case) {
                group.addTask {
                    var statuses: [Int] = []
                    for _ in 0..<times {
                        let answer = try await ask(one, plane)
                        statuses.append(answer.status)
                        if answer.status == 402 { #expect(answer.body.contains(one.name), "\(answer.body)") }
                    }
                    return (one.name, statuses)
                }
            }
            var waiting = cases[...]
            for one in waiting.prefix(6) { add(one) }
            waiting = waiting.dropFirst(6)
            while let (name, statuses) = try await group.next() {
                found[name] = statuses
                if let one = waiting.popFirst() { add(one) }
            }
            return found
        }
    }

    @Test("serve what they cover at each level, in each unit, and begin anew when their period does", arguments: TestDatabases.all)
    func table(database: TestDatabase) async throws {
        try await database.with { database in
            let clock = ShiftedClock()
            // Midday in New York: no day ends meanwhile.
            let today = SystemClock().nowMilliseconds() / 86_400_000 * 86_400_000
            clock.move(toMilliseconds: today + 17 * 3_600_000)
            let provider = try await SimulatorServer.start()
            let control = try await RunningControl.start(database, clock: clock)
            try await control.release(models: [Self.model], url: "http://127.0.0.1:\(provider.port)/v1") {
                $0.perRequest = NanoDollars(1_000_000_000)
            }
            var cases: [Case] = []
            // Each level with each unit and with each period, and each unit with each period.
            for (turn, level) in Self.levels.enumerated() {
                for (place, unit) in BudgetUnit.allCases.enumerated() {
                    let period = BudgetPeriod.allCases[(turn + place) % BudgetPeriod.allCases.count]
                    cases.append(try await Self.make(level, unit, period, control))
                }
            }
            let all = cases.count
            let plane = try await RunningDataPlane.start(DataFolder().path, token: try await control.token(), clock: clock)
            #expect(
                await plane.snapshot {
                    $0.isServing && $0.credentials.count == 1 && $0.directory.budgets.rules.count == all
                } != nil)
            for (name, statuses) in try await Self.statuses(of: cases, plane, times: 3) {
                #expect(statuses == [200, 200, 402], "\(name)")
            }
            // Forty days on it is another day, and another month.
            clock.move(toMilliseconds: today + 17 * 3_600_000 + 40 * 86_400_000)
            try await BudgetPeriodService(control.services.domain).roll()
            let now = clock.nowMilliseconds()
            #expect(
                await plane.snapshot { snapshot in
                    snapshot.directory.budgets.rules.values.allSatisfy { $0.account(atMilliseconds: now) != nil }
                } != nil)
            let later = try await Self.statuses(of: cases, plane, times: 1)
            for one in cases { #expect(later[one.name] == [one.period == .never ? 402 : 200], "\(one.name)") }
            await plane.stop()
            await control.stop()
            try await provider.shutdown()
        }
    }
}
