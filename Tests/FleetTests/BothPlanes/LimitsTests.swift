import Domain
import Nouns
import Primitives
import Simulator
import Storage
import Testing

@testable import Proxy

/// Limits from the admin's service to what callers may have, on one data plane and on several.
@Suite("Limits across both planes", .timeLimit(.minutes(10)), .serialized)
struct LimitsAcrossPlanesTests {
    private static let model = "sim-in12-out6"

    private func eventually(seconds: Int64 = 120, _ holds: () async throws -> Bool) async throws -> Bool {
        let deadline = MonotonicClock.nowMicroseconds() + seconds * 1_000_000
        while true {
            if try await holds() { return true }
            if MonotonicClock.nowMicroseconds() > deadline { return false }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    @Test(
        "What three data planes let through together is the limit, also where one of them has nearly all callers; it holds without the control plane"
    )
    func shares() async throws {
        try await TestDatabases.all[0].with { (database) async throws -> Void in
            let provider = try await SimulatorServer.start()
            let control = try await RunningControl.start(database)
            try await control.release(model: Self.model, url: "http://127.0.0.1:\(provider.port)/v1")
            let actor = RunningControl.administrator
            let project = try await control.project()
            let key = try await control.services.keys.create(
                VirtualKeyContent {
                    $0.projectID = project
                    $0.name = "k"
                }, by: actor)
            let folders = (0..<3).map { _ in DataFolder() }
            var planes: [RunningDataPlane] = []
            for folder in folders {
                planes.append(try await RunningDataPlane.start(folder.path, token: try await control.token(), countsByRegion: true))
            }
            let amount = 60
            let limit = try await control.services.limits.create(
                LimitContent {
                    $0.name = "all"
                    $0.level = .global
                    $0.measure = .requests
                    $0.amount = Int64(amount)
                    $0.windowSeconds = 600
                }, by: actor)
            for plane in planes {
                #expect(
                    await plane.snapshot {
                        $0.isServing && $0.credentials.count == 1 && !$0.directory.limits.isEmpty && $0.directory.lookup(key.key.id) != nil
                    } != nil)
                #expect(try await eventually { plane.server.rates.told == (3, 3) }, "all of one region")
            }
            let text = key.plaintext.reveal()
            func isServed(_ plane: Int) async throws -> Bool { try await planes[plane].chat(key: text, model: Self.model).status == 200 }
            // All callers are at one of them: an equal part is 20, and more comes as it is needed.
            var served = 0
            #expect(
                try await eventually {
                    if try await isServed(0) { served += 1 }
                    return served >= 50
                }, "\(served)")
            // What is left is had by whoever asks, and no more than that.
            func ask() async throws {
                for plane in 0..<3 where try await isServed(plane) { served += 1 }
            }
            #expect(
                try await eventually {
                    try await ask()
                    return served >= 57
                }, "\(served)")
            for _ in 0..<20 { try await ask() }
            #expect(served <= amount && served >= 57, "\(served)")
            // Without the control plane, and after a restart without it, what was heard last holds.
            await control.stop()
            await planes[0].stop()
            planes[0] = try await RunningDataPlane.start(folders[0].path, token: nil)
            #expect(await planes[0].snapshot { $0.isServing } != nil)
            for plane in 0..<3 {
                for _ in 0..<3 where try await isServed(plane) { served += 1 }
            }
            #expect(served <= amount, "\(served)")
            for plane in planes { await plane.stop() }
            try await provider.shutdown()
            _ = limit
        }
    }
}
