import Contract
import Domain
import Fleet
import Foundation
import Nouns
import Primitives
import Simulator
import Storage
import Testing

@testable import Proxy

/// Real planes, real sockets, TLS between them, a simulated provider behind them.
@Suite("Both planes", .timeLimit(.minutes(10)), .serialized)
struct BothPlanesTests {
    private static let model = "sim-in120-out64"

    /// Runs `body` with a control plane whose one model leads to a simulated provider, and its database.
    private func with(
        _ database: TestDatabase, _ body: (RunningControl, any Database, SimulatorServer) async throws -> Void
    ) async throws {
        try await database.with { database in
            let provider = try await SimulatorServer.start()
            let control = try await RunningControl.start(database)
            do {
                try await control.release(model: Self.model, url: "http://127.0.0.1:\(provider.port)/v1")
                try await body(control, database, provider)
            } catch {
                await control.stop()
                try await provider.shutdown()
                throw error
            }
            await control.stop()
            try await provider.shutdown()
        }
    }

    @Test("A key works once it is made and stops once it is revoked", arguments: TestDatabases.all)
    func keys(database: TestDatabase) async throws {
        try await with(database) { control, _, provider in
            let folder = DataFolder()
            let plane = try await RunningDataPlane.start(folder.path, token: try await control.token())
            #expect(await plane.snapshot { $0.isServing && $0.credentials.count == 1 } != nil)
            let project = try await control.project()
            let key = try await control.key(project)
            #expect(await plane.snapshot { $0.directory.lookup(key.id) != nil } != nil)
            let answer = try await plane.chat(key: key.text, model: Self.model)
            #expect(answer.status == 200, "\(answer.body)")
            #expect(!answer.body.contains("sk-provider"))

            _ = try await control.services.keys.revoke(key.id, at: nil, by: RunningControl.administrator)
            #expect(await plane.snapshot { $0.directory.lookup(key.id).map(\.disabled) ?? true } != nil)
            #expect(try await plane.chat(key: key.text, model: Self.model).status == 401)

            let stored = try await control.usage(reaching: 1)
            #expect(stored.records == 1)
            #expect(stored.input == 120 && stored.output == 64)
            // 120 × 2.50 $ and 64 × 10 $ a million, in nano-dollars.
            #expect(stored.cost == 300_000 + 640_000)
            #expect(provider.ledger.count == 1)
            await plane.stop()
        }
    }

    /// By version: whether its endpoint may call public addresses alone.
    private static func guarded(_ snapshot: RuntimeSnapshot) -> [UInt64: Bool] {
        snapshot.configs.mapValues { $0.endpoints.values.allSatisfy(\.pool.isPublicOnly) }
    }

    @Test("Where an endpoint may lead arrives with it", arguments: TestDatabases.all)
    func reach(database: TestDatabase) async throws {
        try await with(database) { control, _, _ in
            let folder = DataFolder()
            let plane = try await RunningDataPlane.start(folder.path, token: try await control.token())
            let services = control.services
            let actor = RunningControl.administrator
            #expect(await plane.snapshot { Self.guarded($0) == [1: false] } != nil)
            let before = try #require(try await services.endpoints.items([], PageRequest(limit: 1), as: .all).items.first)
            var content = before.content
            (content.privateAddresses, content.baseURL) = (false, "https://api.example.com/v1")
            _ = try await services.endpoints.replace(before.id, at: before.revision, with: content, by: actor)
            let version = try await services.configVersions.publish(note: "", actor: actor).version
            let rollout = try await services.rollouts.create(RolloutContent { $0.version = version }, by: actor)
            _ = try await services.rollouts.promote(rollout.id, by: actor)
            #expect(await plane.snapshot { Self.guarded($0)[2] == true } != nil)
            await plane.stop()
        }
    }

    @Test("What a key's tags were at admission is in the records, and its last use beside the key", arguments: TestDatabases.all)
    func tags(database: TestDatabase) async throws {
        try await with(database) { control, _, _ in
            let folder = DataFolder()
            let plane = try await RunningDataPlane.start(folder.path, token: try await control.token())
            let project = try await control.project()
            let plain = try await control.key(project)
            let tagged = try await control.key(project, tags: ["team": "search", "env": "prod"])
            let isThere = await plane.snapshot { $0.isServing && $0.credentials.count == 1 && $0.directory.lookup(tagged.id) != nil }
            #expect(isThere != nil)
            #expect(try await plane.chat(key: plain.text, model: Self.model).status == 200)
            #expect(try await plane.chat(key: tagged.text, model: Self.model).status == 200)
            // What they are afterwards says nothing of what was.
            let keys = control.services.keys.nouns
            let present = try await keys.get(tagged.id, as: .all)
            var content = present.content
            content.tags = ["team": "sales"]
            _ = try await keys.replace(tagged.id, at: present.revision, with: content, by: RunningControl.administrator)
            #expect(await plane.snapshot { $0.directory.lookup(tagged.id)?.scopes?.tags == [Array("team=sales".utf8)] } != nil)
            #expect(try await plane.chat(key: tagged.text, model: Self.model).status == 200)
            #expect(try await control.usage(reaching: 3).records == 3)
            var request = UsageReportRequest()
            request.groups = [.tag("team"), .tags]
            let report = try await control.services.usage.report(request, for: .administrator).json
            let items = report["items"]?.arrayValue ?? []
            #expect(items.map { $0["tag"] } == [[:], ["team": "sales"], ["team": "search"]])
            #expect(items.map { $0["tags"] } == [[], ["team=sales"], ["env=prod", "team=search"]])
            #expect(items.map { $0["requests"] } == [1, 1, 1])
            #expect(try await keys.get(plain.id, as: .all).content.lastUsedAt != nil)
            let now = SystemClock().nowMilliseconds()
            #expect(try await control.usageKnown(until: now) >= now)
            await plane.stop()
        }
    }

    @Test("With the control plane gone requests are served, and each is accounted once when it is back", arguments: TestDatabases.all)
    func outage(database: TestDatabase) async throws {
        try await with(database) { control, database, provider in
            let folder = DataFolder()
            var plane = try await RunningDataPlane.start(folder.path, token: try await control.token())
            let key = try await control.key(try await control.project())
            #expect(await plane.snapshot { $0.isServing && $0.credentials.count == 1 && $0.directory.lookup(key.id) != nil } != nil)
            func ask(_ count: Int) async throws {
                for _ in 0..<count { #expect(try await plane.chat(key: key.text, model: Self.model).status == 200) }
            }
            try await ask(10)
            await control.stop()
            try await ask(10)
            // From the disk, with nobody to ask.
            await plane.stop()
            plane = try await RunningDataPlane.start(folder.path, token: nil)
            try await ask(10)
            #expect(!plane.link.state.isConnected)

            let restarted = try await RunningControl.start(database, port: control.port)
            try await ask(10)
            let stored = try await restarted.usage(reaching: 40)
            #expect(stored.records == 40 && stored.distinct == 40)
            #expect(stored.input == 40 * 120 && stored.output == 40 * 64)
            #expect(provider.ledger.count == 40)
            await plane.stop()
            await restarted.stop()
        }
    }

    @Test(
        "A replica that goes leaves its data plane to another one, of which that had heard, also after a restart",
        arguments: TestDatabases.all)
    func replicas(database: TestDatabase) async throws {
        try await database.withURL { url in
            let first = try await DatabaseFactory.open(url: url)
            try await MigrationRunner.run(first)
            // SQLite belongs to one process: its replicas share a connection.
            let second = first.dialect == .postgres ? try await DatabaseFactory.open(url: url) : first
            let one = try await RunningControl.start(first)
            let two = try await RunningControl.start(second)
            let folder = DataFolder()
            // Its token names the first alone.
            var plane = try await RunningDataPlane.start(folder.path, token: try await one.token())
            func eventually(_ isTrue: () async throws -> Bool) async throws -> Bool {
                let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
                while MonotonicClock.nowMicroseconds() < deadline {
                    if try await isTrue() { return true }
                    try await Task.sleep(for: .milliseconds(20))
                }
                return false
            }
            func server() async throws -> String? {
                try await two.server.services.dataPlanes.nouns.get(plane.enrollment.dataPlaneID, as: .all).content.replica
            }
            #expect(try await eventually { try await server() == one.server.replica })
            #expect(try await eventually { plane.snapshots.controlAddresses.all.contains { $0.port == two.port } })

            await one.stop()
            #expect(try await eventually { try await server() == two.server.replica })
            let key = try await two.key(try await two.project())
            #expect(await plane.snapshot { $0.directory.lookup(key.id) != nil } != nil)

            await plane.stop()
            plane = try await RunningDataPlane.start(folder.path, token: nil)
            #expect(try await eventually { plane.link.state.isConnected })
            #expect(try await eventually { try await server() == two.server.replica })
            await plane.stop()
            await two.stop()
            await first.close()
            if first.dialect == .postgres { await second.close() }
        }
    }

    @Test("The control plane restarted again and again under load, nothing is lost or doubled")
    func restarts() async throws {
        try await with(TestDatabases.all[0]) { control, database, provider in
            let folder = DataFolder()
            let plane = try await RunningDataPlane.start(folder.path, token: try await control.token())
            let key = try await control.key(try await control.project())
            #expect(await plane.snapshot { $0.isServing && $0.credentials.count == 1 && $0.directory.lookup(key.id) != nil } != nil)
            let load = Task.detached {
                var served = 0
                while !Task.isCancelled {
                    if try await plane.chat(key: key.text, model: Self.model).status == 200 { served += 1 }
                }
                return served
            }
            var running = control
            for round in 1...4 {
                _ = try await running.usage(reaching: Int64(round) * 20)
                await running.stop()
                running = try await RunningControl.start(database, port: control.port)
            }
            load.cancel()
            let served = try await load.value
            let stored = try await running.usage(reaching: Int64(served))
            #expect(stored.records == Int64(served) && stored.distinct == Int64(served))
            #expect(provider.ledger.count == served)
            await plane.stop()
            await running.stop()
        }
    }

    @Test("An enrolment that broke off after the control plane's yes is taken up again with the same token")
    func brokenEnrolment() async throws {
        try await with(TestDatabases.all[0]) { control, _, _ in
            let folder = DataFolder()
            let token = try await control.token()
            let first = try await RunningDataPlane.start(folder.path, token: token)
            await first.stop()
            try FileManager.default.removeItem(atPath: folder.path + "/enrollment.json")
            let second = try await RunningDataPlane.start(folder.path, token: token)
            #expect(second.enrollment.dataPlaneID == first.enrollment.dataPlaneID)
            #expect(await second.snapshot { $0.isServing } != nil)
            await second.stop()
            // Somebody else with the same token is turned away.
            let other = DataFolder()
            await #expect(throws: EnrollmentError.self) { try await RunningDataPlane.start(other.path, token: token) }
        }
    }

    @Test("Signing keys are replaced under a connected data plane, and under one that slept through it")
    func keyRotation() async throws {
        try await with(TestDatabases.all[0]) { control, _, provider in
            let folder = DataFolder()
            var plane = try await RunningDataPlane.start(folder.path, token: try await control.token())
            #expect(await plane.snapshot { $0.isServing } != nil)
            _ = try await control.server.administration.signingKeys.rotate(RunningControl.administrator, graceSeconds: 0)
            let second = try await control.release(model: "sim-second", url: "http://127.0.0.1:\(provider.port)/v1")
            #expect(await plane.snapshot { $0.rollout?.baselineVersion == UInt64(second) } != nil)
            await plane.stop()
            for _ in 0..<3 { _ = try await control.server.administration.signingKeys.rotate(RunningControl.administrator, graceSeconds: 0) }
            let third = try await control.release(model: "sim-third", url: "http://127.0.0.1:\(provider.port)/v1")
            plane = try await RunningDataPlane.start(folder.path, token: nil)
            #expect(plane.snapshots.current.isServing, "documents signed with a retired key still boot")
            #expect(await plane.snapshot { $0.rollout?.baselineVersion == UInt64(third) } != nil)
            #expect(plane.snapshots.health().problems.isEmpty)
            await plane.stop()
        }
    }

    @Test("A data plane whose database was damaged comes back whole, under a new incarnation")
    func damagedDatabase() async throws {
        try await with(TestDatabases.all[0]) { control, _, _ in
            let folder = DataFolder()
            var plane = try await RunningDataPlane.start(folder.path, token: try await control.token())
            let key = try await control.key(try await control.project())
            #expect(await plane.snapshot { $0.isServing && $0.credentials.count == 1 && $0.directory.lookup(key.id) != nil } != nil)
            #expect(try await plane.chat(key: key.text, model: Self.model).status == 200)
            #expect(try await control.usage(reaching: 1).records == 1)
            let incarnation = plane.local.incarnation
            await plane.stop()
            try Data(repeating: 1, count: 4096).write(to: URL(fileURLWithPath: folder.path + "/weir-proxy.db"))
            plane = try await RunningDataPlane.start(folder.path, token: nil)
            #expect(plane.local.quarantined.count == 1)
            #expect(plane.local.incarnation != incarnation)
            #expect(await plane.snapshot { $0.isServing && $0.credentials.count == 1 && $0.directory.lookup(key.id) != nil } != nil)
            #expect(try await plane.chat(key: key.text, model: Self.model).status == 200)
            #expect(try await control.usage(reaching: 2).records == 2)
            await plane.stop()
        }
    }

    @Test("An endpoint that fails shows at the control plane, and that it works again", arguments: TestDatabases.all)
    func endpoints(database: TestDatabase) async throws {
        try await with(database) { control, _, provider in
            let folder = DataFolder()
            let plane = try await RunningDataPlane.start(folder.path, token: try await control.token())
            let key = try await control.key(try await control.project())
            let version = try await control.release(model: "sim-dead", url: "http://127.0.0.1:9/v1")
            let isReady = await plane.snapshot {
                $0.rollout?.baselineVersion == UInt64(version) && $0.credentials.count == 2 && $0.directory.lookup(key.id) != nil
            }
            #expect(isReady != nil)
            #expect(try await plane.chat(key: key.text, model: "sim-dead").status == 502)
            #expect(try await plane.chat(key: key.text, model: Self.model).status == 200)
            let reports = control.server.administration.endpointReports
            var states: [EndpointState] = []
            let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
            while states.filter({ $0.status == .ok }).isEmpty, MonotonicClock.nowMicroseconds() < deadline {
                try await Task.sleep(for: .milliseconds(20))
                states = try await reports.list(PageRequest()).items
            }
            #expect(states.map(\.status).sorted { $0.rawValue < $1.rawValue } == [.failing, .ok])
            let failing = try #require(states.first { $0.status == .failing })
            #expect(failing.attempts == 1 && failing.failures == 1 && failing.last?.hasPrefix("no connection") == true)
            #expect(failing.connected && failing.region == "eu")
            #expect(try await reports.list(PageRequest(), inTrouble: true).items == [failing])
            await plane.stop()
        }
    }

    @Test("A revoked data plane stops serving, for good, and what it had served is still taken", arguments: TestDatabases.all)
    func revoked(database: TestDatabase) async throws {
        try await with(database) { control, database, _ in
            let folder = DataFolder()
            var plane = try await RunningDataPlane.start(folder.path, token: try await control.token())
            let key = try await control.key(try await control.project())
            #expect(await plane.snapshot { $0.isServing && $0.credentials.count == 1 && $0.directory.lookup(key.id) != nil } != nil)
            #expect(try await plane.chat(key: key.text, model: Self.model).status == 200)
            _ = try await control.usage(reaching: 1)

            // It serves one more while nobody hears of it, and is revoked meanwhile; the key that signs is replaced twice.
            await control.stop()
            #expect(try await plane.chat(key: key.text, model: Self.model).status == 200)
            let restarted = try await RunningControl.start(
                database, port: control.port,
                beforeServing: { administration in
                    for _ in 0..<2 { _ = try await administration.signingKeys.rotate(RunningControl.administrator, graceSeconds: 0) }
                    _ = try await administration.dataPlanes.revoke(plane.enrollment.dataPlaneID, by: RunningControl.administrator)
                })
            #expect(await plane.snapshot { $0.isRevoked && $0.credentials.count == 0 } != nil)
            #expect(try await plane.chat(key: key.text, model: Self.model).status == 503)
            #expect(plane.status.readiness().problems.first?.contains("revoked by its control plane") == true)
            #expect(try await restarted.shipped(by: plane.enrollment.dataPlaneID.rawValue, reaching: 2) == 2)

            // Neither a restart, with or without the control plane, nor anything it is sent brings it back.
            await plane.stop()
            plane = try await RunningDataPlane.start(folder.path, token: nil)
            #expect(try await plane.chat(key: key.text, model: Self.model).status == 503)
            await restarted.stop()
            #expect(try await plane.chat(key: key.text, model: Self.model).status == 503)
            await plane.stop()
        }
    }

    @Test("A control plane that cannot be reached, or refuses, stops nobody")
    func unreachable() async throws {
        try await with(TestDatabases.all[0]) { control, database, _ in
            let folder = DataFolder()
            var plane = try await RunningDataPlane.start(folder.path, token: try await control.token())
            let key = try await control.key(try await control.project())
            #expect(await plane.snapshot { $0.isServing && $0.credentials.count == 1 && $0.directory.lookup(key.id) != nil } != nil)
            await control.stop()
            await plane.stop()
            // Another deployment's control plane at the same address knows nothing of this data plane.
            try await TestDatabases.all[0].with { other in
                let stranger = try await RunningControl.start(other, port: control.port)
                plane = try await RunningDataPlane.start(folder.path, token: nil)
                let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
                while plane.link.state.lastError.isEmpty, MonotonicClock.nowMicroseconds() < deadline {
                    try await Task.sleep(for: .milliseconds(10))
                }
                #expect(!plane.link.state.lastError.isEmpty)
                #expect(try await plane.chat(key: key.text, model: Self.model).status == 200)
                #expect(plane.snapshots.health().revocation == nil)
                await plane.stop()
                await stranger.stop()
            }
        }
    }
}

/// A control plane that comes back from an older copy of its database.
@Suite("A restored control plane", .timeLimit(.minutes(10)))
struct RestoredControlTests {
    @Test("With its epoch raised, data planes follow it again and ship what they still have")
    func restored() async throws {
        try await TestDatabases.all[0].withURL { url in
            let provider = try await SimulatorServer.start()
            let path = String(url.dropFirst("sqlite://".count))
            func open() async throws -> any Database {
                let database = try await DatabaseFactory.open(url: url)
                try await MigrationRunner.run(database)
                return database
            }
            var database = try await open()
            var control = try await RunningControl.start(database)
            try await control.release(model: "sim-in120-out64", url: "http://127.0.0.1:\(provider.port)/v1")
            let key = try await control.key(try await control.project())
            let folder = DataFolder()
            let plane = try await RunningDataPlane.start(folder.path, token: try await control.token())
            #expect(await plane.snapshot { $0.isServing && $0.credentials.count == 1 && $0.directory.lookup(key.id) != nil } != nil)
            func ask(_ count: Int64, reaching total: Int64) async throws {
                // One after the other, each acknowledged: batches of one record.
                for done in 0..<count {
                    #expect(try await plane.chat(key: key.text, model: "sim-in120-out64").status == 200)
                    #expect(try await control.usage(reaching: total - count + done + 1).records == total - count + done + 1)
                }
            }
            func restart(_ between: () throws -> Void) async throws {
                let port = control.port
                await control.stop()
                await database.close()
                try between()
                database = try await open()
                control = try await RunningControl.start(database, port: port)
            }

            try await ask(2, reaching: 2)
            try await restart { try FileManager.default.copyItem(atPath: path, toPath: path + ".backup") }
            try await ask(3, reaching: 5)
            let later = try await control.release(model: "sim-later", url: "http://127.0.0.1:\(provider.port)/v1")
            #expect(await plane.snapshot { $0.rollout?.baselineVersion == UInt64(later) } != nil)
            let incarnation = plane.pipeline.outbox.incarnation
            try await restart {
                for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) }
                try FileManager.default.copyItem(atPath: path + ".backup", toPath: path)
            }
            _ = try await control.server.services.keys.raiseEpoch(RunningControl.administrator)

            // Older version numbers are in force again, because their epoch is newer.
            #expect(await plane.snapshot { $0.rollout.map { $0.baselineVersion < UInt64(later) } ?? false } != nil)
            // The three that the backup did not know are gone from both; what comes now is taken.
            try await ask(2, reaching: 4)
            #expect(plane.pipeline.outbox.incarnation != incarnation)
            // All four are in chains, of two lives; what is signed goes with what was stored.
            try plane.pipeline.outbox.sign(everything: true, SystemClock().nowMilliseconds())
            func chains() async throws -> [Int64] {
                try await database.read { c in
                    let row = try c.first(
                        "SELECT SUM(number) AS records, COUNT(broken) AS broken, MAX(signed_at) AS signed FROM usage_chains")
                    return try ["records", "broken", "signed"].map { try row?.int($0) ?? 0 }
                }
            }
            let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
            while try await chains()[2] == 0, MonotonicClock.nowMicroseconds() < deadline { try await Task.sleep(for: .milliseconds(20)) }
            let found = try await chains()
            #expect(found[0] == 4 && found[1] == 0 && found[2] > 0, "\(found)")
            await plane.stop()
            await control.stop()
            await database.close()
            try await provider.shutdown()
        }
    }
}
