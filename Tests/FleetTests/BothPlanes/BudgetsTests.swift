import Contract
import Domain
import Fleet
import Foundation
import Leases
import Nouns
import Primitives
import Simulator
import Storage
import SwiftProtobuf
import Synchronization
import Testing

@testable import Proxy

/// One budget over real planes: what it covers is served, and nothing else, whatever happens to either.
@Suite("A budget over both planes", .timeLimit(.minutes(10)), .serialized)
struct BudgetsTests {
    private static let model = "sim-in20-out64"
    /// 20 × 2.50 $ and 64 × 10 $ a million, in nano-dollars.
    private static let charged: Int64 = 50_000 + 640_000

    private final class Answers: Sendable {
        private let all = Mutex<[(status: Int, body: String)]>([])
        var seen: [(status: Int, body: String)] { all.withLock { $0 } }
        func add(_ answer: (status: Int, body: String)) { all.withLock { $0.append(answer) } }
    }

    private struct Scene {
        let control: RunningControl
        let provider: SimulatorServer
        let project: ProjectID
        let tenant: TenantID
        let key: (id: KeyID, text: String)

        /// - Parameter limit: of the key, in nano-dollars.
        func budget(_ limit: Int64, kind: BudgetStrictness = .hard, mode: EnforcementMode = .enforce) async throws -> BudgetID {
            try await control.services.budgets.create(
                BudgetContent {
                    $0.tenantID = tenant
                    $0.keyID = key.id
                    $0.name = "the key's"
                    $0.limit = AmountText(NanoDollars(limit).decimalString)
                    $0.period = .never
                    $0.kind = kind
                    $0.mode = mode
                }, by: RunningControl.administrator
            ).id
        }
    }

    private func with(
        _ database: TestDatabase, model: String = Self.model, hedgedFrom: String? = nil, _ body: (Scene) async throws -> Void
    ) async throws {
        try await database.with { database in
            let provider = try await SimulatorServer.start()
            let control = try await RunningControl.start(database)
            do {
                try await control.release(model: model, url: "http://127.0.0.1:\(provider.port)/v1", hedgedFrom: hedgedFrom)
                let project = try await control.project()
                let tenant = try await control.services.projects.get(project, as: .all).content.tenantID
                try await body(
                    Scene(control: control, provider: provider, project: project, tenant: tenant, key: try await control.key(project)))
            } catch {
                await control.stop()
                try await provider.shutdown()
                throw error
            }
            await control.stop()
            try await provider.shutdown()
        }
    }

    private static func ready(_ plane: RunningDataPlane, _ scene: Scene) async -> Bool {
        await plane.snapshot { snapshot in
            snapshot.isServing && snapshot.credentials.count == 1 && snapshot.directory.lookup(scene.key.id) != nil
                && !snapshot.directory.budgets.isEmpty
        } != nil
    }

    private static func ask(_ plane: RunningDataPlane, _ key: String, model: String = model) async throws -> (status: Int, body: String) {
        let body = #"{"model":"\#(model)","max_tokens":64,"messages":[{"role":"user","content":"hello"}]}"#
        return try await plane.send(headers: ["Authorization: Bearer \(key)"], body: body)
    }

    /// The same, again until it was told in time whether the budget allows it.
    private static func askUntilKnown(_ plane: RunningDataPlane, _ key: String) async -> (status: Int, body: String) {
        let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
        while true {
            let answer: (status: Int, body: String) = (try? await ask(plane, key)) ?? (0, "")
            if answer.status != 503 || MonotonicClock.nowMicroseconds() > deadline { return answer }
        }
    }

    @Test("With money for three, three of forty at once are served, and the others are told which budget", arguments: TestDatabases.all)
    func atOnce(database: TestDatabase) async throws {
        try await with(database) { scene in
            let folder = DataFolder()
            let key = scene.key.text
            let plane = try await RunningDataPlane.start(folder.path, token: try await scene.control.token())
            _ = try await scene.budget(3 * 900_000)
            #expect(await Self.ready(plane, scene))
            let answers = Answers()
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<40 {
                    group.addTask { if let answer = try? await Self.ask(plane, key) { answers.add(answer) } }
                }
            }
            let seen = answers.seen
            #expect(seen.count { $0.status == 200 } == 3, "\(seen.map(\.status))")
            #expect(seen.count { $0.status == 402 } == 37)
            let refused = try #require(seen.first { $0.status == 402 })
            #expect(refused.body.contains(#""code":"insufficient_quota""#) && refused.body.contains("the key's"), "\(refused.body)")
            #expect(scene.provider.ledger.count == 3)
            await plane.stop()
        }
    }

    @Test(
        "A killed process goes on with what it held, without a control plane; one that cannot prove it does not",
        arguments: TestDatabases.all)
    func restarts(database: TestDatabase) async throws {
        try await with(database) { scene in
            let folder = DataFolder()
            let key = scene.key.text
            var plane = try await RunningDataPlane.start(folder.path, token: try await scene.control.token())
            _ = try await scene.budget(20 * Self.charged)
            #expect(await Self.ready(plane, scene))
            #expect(await Self.askUntilKnown(plane, key).status == 200)
            let boot = plane.link.budgets.store?.boot
            await scene.control.stop()
            // Nothing of the slices is given back here.
            await plane.stop()
            plane = try await RunningDataPlane.start(folder.path, token: nil)
            #expect(plane.snapshots.current.isServing)
            let served = await Self.askUntilKnown(plane, key)
            #expect(served.status == 200, "\(served.body)")
            #expect(plane.link.budgets.store?.boot == boot)
            await plane.stop()
            // What another machine would see.
            for name in try FileManager.default.contentsOfDirectory(atPath: "/dev/shm") where name.hasPrefix("weir-lease-") {
                let text = try? String(contentsOfFile: "/dev/shm/" + name, encoding: .utf8)
                if let boot, text?.contains(boot) == true { try FileManager.default.removeItem(atPath: "/dev/shm/" + name) }
            }
            plane = try await RunningDataPlane.start(folder.path, token: nil, budgetTimeout: 200)
            let refused = try await Self.ask(plane, key)
            #expect(refused.status == 503 && refused.body.contains("budget_unavailable"), "\(refused.body)")
            #expect(plane.link.budgets.store?.previousBoot == boot)
            await plane.stop()
        }
    }

    @Test("A budget that only observes refuses nobody, and says whom it would have refused", arguments: TestDatabases.all)
    func observes(database: TestDatabase) async throws {
        try await with(database) { scene in
            let folder = DataFolder()
            let key = scene.key.text
            let plane = try await RunningDataPlane.start(folder.path, token: try await scene.control.token())
            let budget = try await scene.budget(1, mode: .observe)
            #expect(await Self.ready(plane, scene))
            let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
            while plane.link.budgets.sums.observed == 0, MonotonicClock.nowMicroseconds() < deadline {
                #expect(await Self.askUntilKnown(plane, key).status == 200)
            }
            let observed = Int64(plane.link.budgets.sums.observed)
            #expect(observed > 0)
            // The operator is told how many, and of each request which it was.
            func state() async throws -> BudgetState { try await scene.control.services.budgetStates.state(of: budget, as: .all) }
            while try await state().wouldHaveRefused < observed, MonotonicClock.nowMicroseconds() < deadline {
                try await Task.sleep(for: .milliseconds(20))
            }
            // What was served before the data plane knew that there is no more is counted at the intake.
            #expect(try await state().wouldHaveRefused >= observed)
            let flagged = try await scene.control.database.read(as: .all) { c in
                try c.query("SELECT flags FROM usage_records", []).count { row in
                    UsageFlags(rawValue: UInt32(clamping: try row.int("flags"))).contains(.wouldHaveRefused)
                }
            }
            #expect(flagged == Int(observed))
            await plane.stop()
        }
    }

    @Test("A soft budget counts what was served before there was a slice of it", arguments: TestDatabases.all)
    func countsWithoutSlices(database: TestDatabase) async throws {
        try await with(database) { scene in
            let folder = DataFolder()
            let plane = try await RunningDataPlane.start(folder.path, token: try await scene.control.token())
            let budget = try await scene.budget(1, kind: .soft)
            #expect(await Self.ready(plane, scene))
            #expect(await Self.askUntilKnown(plane, scene.key.text).status == 200)
            #expect(await Self.settled(scene, budget, is: Self.charged))
            await plane.stop()
        }
    }

    @Test("What a provider charges beyond what was reserved is taken from the budget, too", arguments: TestDatabases.all)
    func beyondWhatWasReserved(database: TestDatabase) async throws {
        // The request has fewer bytes than it is said to have tokens: 5000 × 2.50 $ and 64 × 10 $ a million.
        let (model, charged) = ("sim-in5000-out64", 12_500_000 + 640_000 as Int64)
        try await with(database, model: model) { scene in
            let folder = DataFolder()
            let plane = try await RunningDataPlane.start(folder.path, token: try await scene.control.token())
            let budget = try await scene.budget(10_000_000)
            #expect(await Self.ready(plane, scene))
            let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
            var answer = try await Self.ask(plane, scene.key.text, model: model)
            while answer.status == 503, MonotonicClock.nowMicroseconds() < deadline {
                answer = try await Self.ask(plane, scene.key.text, model: model)
            }
            #expect(answer.status == 200, "\(answer.body)")
            #expect(await Self.settled(scene, budget, is: charged))
            await plane.stop()
        }
    }

    @Test(
        "Two endpoints at one time are both covered; the one that was cut off counts at its worst, and the rest goes back",
        arguments: TestDatabases.all)
    func hedged(database: TestDatabase) async throws {
        try await with(database, hedgedFrom: "sim-stall") { scene in
            let folder = DataFolder()
            let plane = try await RunningDataPlane.start(folder.path, token: try await scene.control.token())
            // For two at their worst, and not for three.
            let budget = try await scene.budget(2_500_000)
            #expect(await Self.ready(plane, scene))
            #expect(await Self.askUntilKnown(plane, scene.key.text).status == 200)
            let row = try await scene.control.usageRow()
            let attempts = try Weir_V1_UsageRecord(serializedBytes: try #require(row.attemptList)).attemptList
            #expect(attempts.map(\.errorCode) == ["overtaken", ""] && attempts.map(\.hedge) == [false, true])
            #expect(attempts[0].inputTokens == row.estimatedInputTokens && attempts[1].costNano == Self.charged)
            #expect(row.costNano == row.reratedCostNano && row.costNano == attempts[0].costNano + Self.charged)
            #expect(await Self.settled(scene, budget, is: row.costNano))
            // A token has a byte at least, and the output's bound is the request's.
            let worst = row.requestBytes * 2500 + 640_000
            #expect(
                try await scene.control.services.budgetStates.state(of: budget, as: .all).unknown == worst - attempts[0].costNano)
            await plane.stop()
        }
    }

    @Test("A limit that is lowered takes back what data planes hold and do not need", arguments: TestDatabases.all)
    func lowered(database: TestDatabase) async throws {
        try await with(database) { scene in
            let folder = DataFolder()
            let plane = try await RunningDataPlane.start(folder.path, token: try await scene.control.token())
            let budget = try await scene.budget(100 * Self.charged)
            #expect(await Self.ready(plane, scene))
            #expect(await Self.askUntilKnown(plane, scene.key.text).status == 200)
            let services = scene.control.services
            let present = try await services.budgets.get(budget, as: .all)
            var content = present.content
            content.limit = AmountText(NanoDollars(Self.charged).decimalString)
            _ = try await services.budgets.replace(budget, at: present.revision, with: content, by: RunningControl.administrator)
            let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
            var free: Int64 = -1
            while free < 0, MonotonicClock.nowMicroseconds() < deadline {
                free = try await services.budgetStates.state(of: budget, as: .all).free
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(free == 0)
            #expect(await Self.askUntilKnown(plane, scene.key.text).status == 402)
            await plane.stop()
        }
    }

    @Test("What another data plane holds and does not need is waited for, and refuses nobody", arguments: TestDatabases.all)
    func waitsForWhatOthersHold(database: TestDatabase) async throws {
        try await with(database) { scene in
            let folders = (DataFolder(), DataFolder())
            let idle = try await RunningDataPlane.start(folders.0.path, token: try await scene.control.token())
            let busy = try await RunningDataPlane.start(folders.1.path, token: try await scene.control.token(), budgetTimeout: 120_000)
            _ = try await scene.budget(20 * Self.charged)
            #expect(await Self.ready(idle, scene))
            #expect(await Self.ready(busy, scene))
            #expect(await Self.askUntilKnown(idle, scene.key.text).status == 200)
            // Each needs a little more than it is charged: the last of twenty does not fit.
            for number in 2...19 {
                let answer = try await Self.ask(busy, scene.key.text)
                #expect(answer.status == 200, "\(number): \(answer.body)")
            }
            await busy.stop()
            await idle.stop()
        }
    }

    private static func settled(_ scene: Scene, _ budget: BudgetID, is amount: Int64) async -> Bool {
        let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
        var last: Int64?
        while MonotonicClock.nowMicroseconds() < deadline {
            last = try? await scene.control.services.budgetStates.state(of: budget, as: .all).settled
            if last == amount { return true }
            try? await Task.sleep(for: .milliseconds(20))
        }
        Issue.record("settled: \(last ?? -1)")
        return false
    }
}
