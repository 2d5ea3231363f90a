import Contract
import Foundation
import GRDB
import Primitives
import SwiftProtobuf
import Synchronization
import Testing
import Trust

@testable import Proxy

@Suite("Snapshots on the disk", .timeLimit(.minutes(10)))
struct SnapshotRestartTests {
    let fixture = SnapshotFixture()

    @Test("A restart brings back the same state with nobody to ask")
    func restart() async throws {
        let local = try fixture.local()
        let store = try fixture.store(local)
        let (tenant, project) = (TenantID.random(), ProjectID.random())
        let keys = (0..<20).map { _ in KeyID.random() }
        let full = try fixture.directory(1, SnapshotFixture.smallDirectory(Array(keys[..<10]), tenant: tenant, project: project))
        #expect(await store.apply(try fixture.config(1)).accepted)
        #expect(await store.apply(try fixture.config(2, SnapshotFixture.smallConfig(model: "next"))).accepted)
        #expect(await store.apply(try fixture.rollout(1, baseline: 1, candidate: 2, basisPoints: 5000)).accepted)
        #expect(await store.apply(full).accepted)
        var delta = Weir_V1_DirectoryPayload()
        delta.delta = true
        delta.keys = keys[10...].map { SnapshotFixture.key($0, project: project) }
        delta.removedKeyIds = [keys[0].rawValue]
        #expect(await store.apply(try fixture.directory(2, delta, previous: full.digest)).accepted)
        var secrets = Weir_V1_SealedSecrets()
        secrets.secrets = [try fixture.sealed("sk-real")]
        await store.apply(secrets)

        // Past every document's expiry: what is active keeps serving.
        fixture.clock.advance(milliseconds: 100 * 86_400_000)
        let restarted = try fixture.store(local)
        #expect(restarted.health().problems.isEmpty)
        #expect(restarted.hello() == store.hello())
        let (before, after) = (store.current, restarted.current)
        for key in keys {
            let (a, b) = (before.directory.lookup(key), after.directory.lookup(key))
            #expect((a == nil) == (key == keys[0]))
            #expect(a?.digest == b?.digest)
            #expect(a?.isCandidate == b?.isCandidate)
            #expect(
                a.flatMap { before.config(isCandidate: $0.isCandidate, nowMs: 1)?.version }
                    == b.flatMap { after.config(isCandidate: $0.isCandidate, nowMs: 1)?.version })
        }
        let chosen = keys.compactMap { after.directory.lookup($0) }.count { $0.isCandidate }
        #expect(chosen > 0 && chosen < 19)
        let endpoint = try #require(after.configs[1]?.endpoints["ep_a"])
        #expect(after.credentials["cred_a"]?.headerLine(at: endpoint) == Array("Authorization: Bearer sk-real\r\n".utf8))
    }

    private func damage(_ local: LocalStore, _ table: String, _ condition: String = "1 = 1") throws {
        try local.write { db in
            for row in try Row.fetchAll(db, sql: "SELECT rowid AS place, envelope FROM \(table) WHERE \(condition)") {
                var bytes: Data = row["envelope"]
                bytes[bytes.startIndex + bytes.count / 2] ^= 1
                try db.execute(sql: "UPDATE \(table) SET envelope = ? WHERE rowid = ?", arguments: [bytes, row["place"] as Int64])
            }
        }
    }

    @Test("A damaged rollout is reported and the one before it is used; it may come again")
    func damagedRollout() async throws {
        let local = try fixture.local()
        let store = try fixture.store(local)
        for version in UInt64(1)...3 {
            #expect(await store.apply(try fixture.config(version)).accepted)
            #expect(await store.apply(try fixture.rollout(version, baseline: version)).accepted)
        }
        try damage(local, "single_document", "version = 3")
        let restarted = try fixture.store(local)
        #expect(restarted.health().baselineVersion == 2)
        #expect(restarted.health().problems.contains { $0.contains("stored rollout 1.3") })
        #expect(await restarted.apply(try fixture.rollout(2, baseline: 2)).reason == "older_version")
        #expect(await restarted.apply(try fixture.rollout(3, baseline: 3)).accepted)
        #expect(restarted.health().baselineVersion == 3)
        #expect(restarted.health().problems.isEmpty)
    }

    @Test("A damaged configuration is left out, the rollout before serves, and the same version may come again")
    func damagedConfig() async throws {
        let local = try fixture.local()
        let store = try fixture.store(local)
        for version in UInt64(1)...2 {
            #expect(await store.apply(try fixture.config(version)).accepted)
            #expect(await store.apply(try fixture.rollout(version, baseline: version)).accepted)
        }
        try damage(local, "config_document", "version = 2")
        let restarted = try fixture.store(local)
        #expect(restarted.health().configVersions == [1])
        #expect(restarted.health().baselineVersion == 1)
        #expect(restarted.current.isServing)
        #expect(await restarted.apply(try fixture.config(2, SnapshotFixture.smallConfig(model: "other"))).reason == "equivocation")
        #expect(await restarted.apply(try fixture.config(2)).accepted)
        #expect(await restarted.apply(try fixture.rollout(2, baseline: 2)).accepted)
        #expect(restarted.health().problems.isEmpty)
    }

    @Test("A damaged delta ends the chain there, and a full directory is asked for")
    func damagedDelta() async throws {
        let local = try fixture.local()
        let store = try fixture.store(local)
        let (tenant, project) = (TenantID.random(), ProjectID.random())
        let keys = (0..<3).map { _ in KeyID.random() }
        var previous = try fixture.directory(1, SnapshotFixture.smallDirectory([keys[0]], tenant: tenant, project: project))
        #expect(await store.apply(previous).accepted)
        for version in UInt64(2)...3 {
            var delta = Weir_V1_DirectoryPayload()
            delta.delta = true
            delta.keys = [SnapshotFixture.key(keys[Int(version) - 1], project: project)]
            previous = try fixture.directory(version, delta, previous: previous.digest)
            #expect(await store.apply(previous).accepted)
        }
        try damage(local, "directory_document", "version = 2")
        let restarted = try fixture.store(local)
        #expect(restarted.hello().wantsFullDirectory)
        #expect(restarted.current.directory.keyCount == 1)
        #expect(restarted.hello().held.first { $0.kind == DocumentKind.directory.payloadType }?.version == 1)
        let full = try fixture.directory(4, SnapshotFixture.smallDirectory(keys, tenant: tenant, project: project))
        #expect(await restarted.apply(full).accepted)
        #expect(!restarted.hello().wantsFullDirectory)
        #expect(restarted.health().problems.isEmpty)
        #expect(try local.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM directory_document") } == 1)
    }

    @Test("A long chain of deltas makes the next hello ask for a full directory")
    func longChain() async throws {
        let local = try fixture.local()
        let store = try fixture.store(local)
        let (tenant, project) = (TenantID.random(), ProjectID.random())
        var previous = try fixture.directory(1, SnapshotFixture.smallDirectory([.random()], tenant: tenant, project: project))
        #expect(await store.apply(previous).accepted)
        for version in 2...UInt64(SnapshotState.maximumDeltas) + 2 {
            #expect(!store.wantsFullDirectory)
            var delta = Weir_V1_DirectoryPayload()
            delta.delta = true
            delta.keys = [SnapshotFixture.key(.random(), project: project)]
            previous = try fixture.directory(version, delta, previous: previous.digest)
            #expect(await store.apply(previous).accepted)
        }
        #expect(store.wantsFullDirectory)
    }

    @Test("Old configurations are pruned, never one that a rollout refers to")
    func pruning() async throws {
        let local = try fixture.local()
        let store = try fixture.store(local)
        for version in UInt64(1)...60 {
            #expect(await store.apply(try fixture.config(version)).accepted)
            if version == 1 { #expect(await store.apply(try fixture.rollout(1, baseline: 1)).accepted) }
        }
        let kept = store.health().configVersions
        #expect(kept.first == 1)
        #expect(kept.last == 60)
        #expect(kept.count == SnapshotState.keptUnreferenced + 1)
        #expect(try local.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM config_document") } == kept.count)
    }

    @Test("Listeners get what is in force at once, and every later snapshot in order")
    func publication() async throws {
        let store = try fixture.store(fixture.local())
        let seen = SeenGenerations()
        store.onActivate { seen.append($0.generation) }
        #expect(await store.apply(try fixture.config(1)).accepted)
        #expect(await store.apply(try fixture.rollout(1, baseline: 1)).accepted)
        #expect(seen.values == [0, 1, 2])
        #expect(store.current.generation == 2)
    }
}

private final class SeenGenerations: Sendable {
    private let list = Mutex<[UInt64]>([])
    var values: [UInt64] { list.withLock { $0 } }
    func append(_ value: UInt64) { list.withLock { $0.append(value) } }
}
