import Domain
import Nouns
import Primitives
import Storage
import Testing

@testable import Proxy

/// What one data plane has learnt of its routes, at another.
@Suite("Routes that learn, across both planes", .timeLimit(.minutes(10)), .serialized)
struct ArmsAcrossPlanesTests {
    @Test(arguments: TestDatabases.all)
    func whatOneDataPlaneLearnsTheOthersHear(database: TestDatabase) async throws {
        try await database.with { (database) async throws -> Void in
            let control = try await RunningControl.start(database)
            try await control.release(models: ["m"], url: "http://127.0.0.1:9/v1", strategy: .thompson) { $0.input = NanoDollars(1) }
            let folders = (0..<2).map { _ in DataFolder() }
            var planes: [RunningDataPlane] = []
            for folder in folders { planes.append(try await RunningDataPlane.start(folder.path, token: try await control.token())) }
            var meters: [TargetMeter] = []
            for plane in planes {
                let snapshot = try #require(await plane.snapshot { $0.isServing && !$0.configs.isEmpty })
                meters.append(try #require(snapshot.configs.values.first?.models["m"]?.route?.targets[0].meter))
            }
            for turn in 0..<400 { _ = meters[0].learn(0.75, succeeded: true, now: Int64(turn)) }
            let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
            while meters[1].arm.priorPulls == 0, MonotonicClock.nowMicroseconds() < deadline {
                try await Task.sleep(for: .milliseconds(20))
            }
            // However much it has learnt, it weighs no more than a bounded number of tries.
            #expect(meters[1].arm.priorPulls == 100 && abs(meters[1].arm.mean - 0.75) < 0.001)
            #expect(meters[1].arm.pulls == 0 && meters[0].arm.priorPulls == 0)
            for plane in planes { await plane.stop() }
            await control.stop()
        }
    }
}
