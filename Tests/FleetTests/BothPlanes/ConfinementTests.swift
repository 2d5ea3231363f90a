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

/// A data plane of some tenants holds what they may use and nothing else, and what it reports counts for them only.
@Suite("A data plane and its tenants", .timeLimit(.minutes(10)))
struct ConfinementTests {
    private static func with(
        _ kind: TestDatabase, _ body: (RunningControl, any Database, SimulatorServer) async throws -> Void
    ) async throws {
        try await kind.with { database in
            let provider = try await SimulatorServer.start()
            let control = try await RunningControl.start(database)
            let result: Result<Void, any Error>
            do { result = .success(try await body(control, database, provider)) } catch { result = .failure(error) }
            await control.stop()
            try await provider.shutdown()
            try result.get()
        }
    }

    @Test(
        "it gets their models, prices and credentials only, also when its tenants change, and keeps to it over a restart",
        arguments: TestDatabases.all)
    func projection(_ kind: TestDatabase) async throws {
        try await Self.with(kind) { control, database, provider in
            let url = "http://127.0.0.1:\(provider.port)/v1"
            let mine = try await control.project(of: "mine")
            let others = try await control.project(of: "others")
            let tenants = try await [mine, others].asyncMap { try await control.services.projects.get($0, as: .all).content.tenantID }
            let theirKey = try await control.key(others)
            try await control.release(model: "sim-in120-out64", url: url)
            try await control.release(model: "sim-in50-out10", url: url, secret: "sk-private-of-others", tenants: [tenants[1]])
            let folder = DataFolder()
            var plane = try await RunningDataPlane.start(folder.path, token: try await control.token(tenants: [tenants[0]]))

            @Sendable func holds(_ models: Set<String>, _ snapshot: RuntimeSnapshot) -> Bool {
                guard let version = snapshot.rollout?.baselineVersion, let config = snapshot.configs[version] else { return false }
                return Set(config.models.keys) == models && snapshot.credentials.count == models.count
                    && config.endpoints.count == models.count
            }
            #expect(await plane.snapshot { holds(["sim-in120-out64"], $0) } != nil)

            func serve(_ ids: [TenantID]) async throws {
                let dataPlanes = control.server.services.dataPlanes
                let id = plane.enrollment.dataPlaneID
                let row = try await dataPlanes.nouns.get(id, as: .all)
                var content = row.content
                content.tenantIDs = ids.isEmpty ? .all : .only(ids)
                _ = try await dataPlanes.nouns.replace(id, at: row.revision, with: content, by: RunningControl.administrator)
            }
            // Given the other tenant as well: the same versions come again, with that tenant's part.
            try await serve(tenants)
            #expect(
                await plane.snapshot { holds(["sim-in120-out64", "sim-in50-out10"], $0) && $0.directory.lookup(theirKey.id) != nil } != nil)
            #expect(try await plane.chat(key: theirKey.text, model: "sim-in50-out10").status == 200)
            #expect(try await control.usage(reaching: 1).records == 1)
            // Taken again.
            try await serve([tenants[0]])
            #expect(await plane.snapshot { holds(["sim-in120-out64"], $0) && $0.directory.lookup(theirKey.id) == nil } != nil)
            #expect(plane.snapshots.health().problems == [])
            // Nothing of it is left on the disk.
            let stored = try plane.local.read { db in
                try ConfigDocuments.all(db).filter { String(decoding: $0.envelope, as: UTF8.self).contains("sim-in50-out10") }.count
            }
            #expect(stored == 0)
            await plane.stop()
            plane = try await RunningDataPlane.start(folder.path, token: nil)
            #expect(holds(["sim-in120-out64"], plane.snapshots.current))
            #expect(plane.snapshots.health().problems == [])
            // All tenants: the whole again, under a revision of its own.
            try await serve([])
            #expect(await plane.snapshot { holds(["sim-in120-out64", "sim-in50-out10"], $0) } != nil)
            let documents = try await control.server.services.dataPlanes.nouns.get(
                plane.enrollment.dataPlaneID, as: .all
            ).content.documents
            #expect(documents.allSatisfy { $0.accepted }, "\(documents.filter { !$0.accepted })")
            await plane.stop()
        }
    }

    @Test("what it reports for others is acknowledged, so that its outbox moves on, and billed to nobody", arguments: TestDatabases.all)
    func usage(_ kind: TestDatabase) async throws {
        try await Self.with(kind) { control, database, provider in
            let project = try await control.project()
            let key = try await control.key(project)
            try await control.release(model: "sim-in120-out64", url: "http://127.0.0.1:\(provider.port)/v1")
            let folder = DataFolder()
            let plane = try await RunningDataPlane.start(folder.path, token: try await control.token())
            #expect(await plane.snapshot { $0.isServing && $0.directory.lookup(key.id) != nil } != nil)
            // What a data plane of another tenant would look like that got hold of this tenant's key.
            let other = try await control.services.projects.get(try await control.project(of: "other"), as: .all).content.tenantID
            try await database.transaction { c in
                _ = try c.execute("UPDATE data_planes SET tenant_ids = $1", [.text(#"["\#(other.rawValue)"]"#)])
            }
            #expect(try await plane.chat(key: key.text, model: "sim-in120-out64").status == 200)
            let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
            var apart: [QuarantineTotal] = []
            while apart.isEmpty, MonotonicClock.nowMicroseconds() < deadline {
                try await Task.sleep(for: .milliseconds(20))
                apart = try await control.services.quarantine.totals()
            }
            #expect(apart.map(\.reason) == ["tenant_not_served"])
            #expect(try await control.usage().records == 0)
            await plane.stop()
        }
    }
}

extension Array {
    fileprivate func asyncMap<R>(_ transform: (Element) async throws -> R) async rethrows -> [R] {
        var out: [R] = []
        for element in self { out.append(try await transform(element)) }
        return out
    }
}
