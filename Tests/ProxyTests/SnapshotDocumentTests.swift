import Contract
import Foundation
import GRDB
import Primitives
import SwiftProtobuf
import Testing
import Trust

@testable import Proxy

@Suite("Signed documents", .timeLimit(.minutes(10)))
struct SnapshotDocumentTests {
    let fixture = SnapshotFixture()

    /// A store with a configuration, a rollout and a directory in force.
    private func served() async throws -> (store: SnapshotStore, local: LocalStore, key: KeyID) {
        let local = try fixture.local()
        let store = try fixture.store(local)
        let key = KeyID.random()
        let directory = SnapshotFixture.smallDirectory([key], tenant: .random(), project: .random())
        for envelope in [try fixture.config(5), try fixture.rollout(5, baseline: 5), try fixture.directory(5, directory)] {
            let answer = await store.apply(envelope)
            #expect(answer.accepted, "\(answer.reason) \(answer.detail)")
        }
        return (store, local, key)
    }

    /// Everything that lasts, to see that nothing changed.
    private func remains(_ store: SnapshotStore, _ local: LocalStore) throws -> String {
        let rows = try local.read { db in
            let counts = try ["config_document", "single_document", "directory_document", "trusted_key", "sealed_secret"].map { table in
                try Int.fetchOne(db, sql: "SELECT count(*) FROM \(table)") ?? -1
            }
            return "\(counts) \(try DocumentMarks.all(db).map { "\($0.key)=\($0.value)" }.sorted())"
        }
        return "\(store.current.generation) \(rows)"
    }

    @Test("A valid document is activated and acknowledged; again, it changes nothing")
    func valid() async throws {
        let (store, local, key) = try await served()
        let snapshot = store.current
        let entry = try #require(snapshot.directory.lookup(key))
        #expect(snapshot.config(isCandidate: entry.isCandidate, nowMs: SnapshotFixture.now)?.version == 5)
        #expect(entry.verdict(presented: try #require(digestWords("secret")), nowMilliseconds: 0) == .accepted)
        #expect(entry.verdict(presented: try #require(digestWords("other")), nowMilliseconds: 0) == .wrongSecret)
        let before = try remains(store, local)
        let again = await store.apply(try fixture.config(5))
        #expect(again.accepted)
        #expect(try remains(store, local) == before)
    }

    @Test("Any bit of a document changed, it is refused and nothing changes", arguments: ["config", "rollout", "directory"])
    func bitFlips(kind: String) async throws {
        let (store, local, key) = try await served()
        let envelope =
            switch kind {
            case "config": try fixture.config(6)
            case "rollout": try fixture.rollout(6, baseline: 5)
            default: try fixture.directory(6, SnapshotFixture.smallDirectory([key], tenant: .random(), project: .random()))
            }
        let bytes: [UInt8] = try envelope.serializedBytes()
        let before = try remains(store, local)
        for bit in 0..<bytes.count * 8 {
            var flipped = bytes
            flipped[bit / 8] ^= 1 << UInt8(bit % 8)
            guard let damaged = try? Weir_V1_Envelope(serializedBytes: flipped) else { continue }
            let answer = await store.apply(damaged)
            #expect(!answer.accepted, "bit \(bit)")
            #expect(!answer.reason.isEmpty)
        }
        #expect(try remains(store, local) == before)
        #expect(await store.apply(envelope).accepted, "the undamaged one is still taken")
    }

    @Test("Cut short at any byte, a document is refused")
    func truncated() async throws {
        let (store, local, _) = try await served()
        let bytes: [UInt8] = try fixture.config(6).serializedBytes()
        let before = try remains(store, local)
        for length in 0..<bytes.count {
            guard let damaged = try? Weir_V1_Envelope(serializedBytes: Array(bytes[..<length])) else { continue }
            #expect(await !store.apply(damaged).accepted)
        }
        #expect(try remains(store, local) == before)
    }

    @Test("What is wrong with a document is said with a stable code")
    func reasons() async throws {
        let (store, local, key) = try await served()
        let before = try remains(store, local)
        func reason(_ envelope: Weir_V1_Envelope) async -> String { await store.apply(envelope).reason }
        let config = SnapshotFixture.smallConfig()

        #expect(await reason(try fixture.config(4)) == "older_version")
        #expect(await reason(try fixture.config(5, SnapshotFixture.smallConfig(model: "other"))) == "equivocation")
        #expect(await reason(try fixture.sign(.config, fixture.header(6, audience: "dp_another"), config)) == "wrong_audience")
        var header = fixture.header(6)
        header.deployment = "elsewhere"
        #expect(await reason(try fixture.sign(.config, header, config)) == "wrong_audience")
        header = fixture.header(6)
        header.expiresMs = SnapshotFixture.now - 600_000
        header.notBeforeMs = SnapshotFixture.now - 700_000
        #expect(await reason(try fixture.sign(.config, header, config)) == "expired")
        header = fixture.header(6)
        header.notBeforeMs = SnapshotFixture.now + 600_000
        header.expiresMs = SnapshotFixture.now + 700_000
        #expect(await reason(try fixture.sign(.config, header, config)) == "not_yet_valid")
        header = fixture.header(6)
        header.minimumDataPlaneVersion = "99.0.0"
        #expect(await reason(try fixture.sign(.config, header, config)) == "data_plane_too_old")
        #expect(await reason(try fixture.sign(.config, fixture.header(6), config, with: SigningKey())) == "unknown_key")
        header = fixture.header(6)
        header.version = UInt64.max
        #expect(await reason(try fixture.sign(.config, header, config)) == "malformed_header")

        var broken = config
        broken.routes[0].targets[0].endpointID = "ep_missing"
        #expect(await reason(try fixture.config(6, broken)) == "broken_reference")
        #expect(await reason(try fixture.rollout(6, baseline: 7)) == "broken_reference")
        var keys = SnapshotFixture.smallDirectory([key], tenant: .random(), project: .random())
        keys.keys[0].projectID = ProjectID.random().rawValue
        #expect(await reason(try fixture.directory(6, keys)) == "broken_reference")
        keys = SnapshotFixture.smallDirectory([key], tenant: .random(), project: .random())
        keys.keys[0].sha256 = Data([1, 2, 3])
        #expect(await reason(try fixture.directory(6, keys)) == "malformed_payload")
        keys = SnapshotFixture.smallDirectory([key], tenant: .random(), project: .random())
        keys.delta = true
        #expect(await reason(try fixture.directory(6, keys)) == "malformed_payload", "a delta that names no base")
        #expect(await reason(try fixture.directory(6, keys, previous: Array(repeating: 7, count: 32))) == "wrong_previous_digest")
        #expect(store.wantsFullDirectory)
        #expect(store.hello().wantsFullDirectory)

        #expect(try remains(store, local) == before)
        #expect(store.health().problems.contains { $0.contains("broken_reference") })
    }

    @Test("A document above the size limit is refused before anything else is looked at")
    func size() async throws {
        let store = try SnapshotStore(
            local: fixture.local(), identity: fixture.identity(), clock: fixture.clock, logger: fixture.logger, maximumDocumentBytes: 100)
        #expect(await store.apply(try fixture.config(1)).reason == "too_large")
    }

    @Test("A document recorded earlier does not come back, nor after a restart")
    func replay() async throws {
        let (store, local, _) = try await served()
        let old = try fixture.rollout(6, baseline: 5)
        #expect(await store.apply(old).accepted)
        #expect(await store.apply(try fixture.config(6)).accepted)
        #expect(await store.apply(try fixture.rollout(7, baseline: 6)).accepted)
        #expect(await store.apply(old).reason == "older_version")
        let restarted = try fixture.store(local)
        #expect(await restarted.apply(old).reason == "older_version")
        #expect(restarted.health().baselineVersion == 6)
    }

    @Test("A rollback is an older content under a newer version")
    func rollback() async throws {
        let (store, _, key) = try await served()
        #expect(await store.apply(try fixture.config(6, SnapshotFixture.smallConfig(model: "new"))).accepted)
        #expect(await store.apply(try fixture.rollout(6, baseline: 6)).accepted)
        #expect(await store.apply(try fixture.config(7)).accepted)
        #expect(await store.apply(try fixture.rollout(7, baseline: 7)).accepted)
        let snapshot = store.current
        let config = snapshot.config(isCandidate: try #require(snapshot.directory.lookup(key)).isCandidate, nowMs: SnapshotFixture.now)
        #expect(config?.version == 7)
        #expect(config?.model(named: "gpt-small") != nil)
        #expect(config?.model(named: "new") == nil)
    }

    @Test("A configuration skipped before is taken while the rollout can still come to it, with one content only")
    func skipped() async throws {
        let (store, _, _) = try await served()
        #expect(await store.apply(try fixture.config(8)).accepted)
        #expect(await store.apply(try fixture.config(7)).accepted)
        #expect(await store.apply(try fixture.config(7, SnapshotFixture.smallConfig(model: "other"))).reason == "equivocation")
        #expect(await store.apply(try fixture.rollout(6, baseline: 5, candidate: 7)).accepted)
        #expect(await store.apply(try fixture.config(3)).reason == "older_version")
    }

    @Test("A higher epoch orders before every version")
    func epoch() async throws {
        let (store, local, _) = try await served()
        let config = try fixture.sign(.config, fixture.header(2, epoch: 2), SnapshotFixture.smallConfig(model: "restored"))
        #expect(await store.apply(config).accepted)
        var payload = Weir_V1_RolloutPayload()
        payload.baselineVersion = 2
        #expect(await store.apply(try fixture.sign(.rollout, fixture.header(1, epoch: 2), payload)).accepted)
        #expect(await store.apply(try fixture.rollout(99, baseline: 5)).reason == "older_version")
        #expect(try fixture.store(local).health().baselineVersion == 2)
    }

    @Test("A keyring hands over from one key to the next, and only a trusted key may sign it")
    func keyRotation() async throws {
        let (store, local, _) = try await served()
        let next = SigningKey()
        let stranger = SigningKey()
        #expect(await store.apply(try fixture.keyring(1, [stranger], signedBy: stranger)).reason == "unknown_key")
        #expect(await store.apply(try fixture.keyring(1, [], signedBy: fixture.signer)).reason == "malformed_payload")
        #expect(await store.apply(try fixture.keyring(1, [next], signedBy: fixture.signer)).accepted)
        #expect(await store.apply(try fixture.config(6)).reason == "unknown_key", "the old key signs nothing new")
        #expect(await store.apply(try fixture.sign(.config, fixture.header(6), SnapshotFixture.smallConfig(), with: next)).accepted)
        // What the retired key signed while it was trusted still boots, and still signs nothing new.
        let restarted = try fixture.store(local)
        #expect(restarted.health().problems.isEmpty)
        #expect(restarted.current.isServing)
        #expect(await restarted.apply(try fixture.config(7)).reason == "unknown_key")
    }

    @Test("Heartbeats make freshness, and say what was withheld")
    func freshness() async throws {
        let (store, _, _) = try await served()
        fixture.clock.advance(milliseconds: 90_000)
        #expect(store.health().state == "control plane not heard for 90 s")
        #expect(await store.apply(try fixture.heartbeat(1, latest: [(.rollout, 5), (.directory, 5)])).accepted)
        #expect(store.health().secondsSinceHeartbeat == 0)
        #expect(store.health().behind.isEmpty)
        #expect(store.health().state == "ok")
        #expect(await store.apply(try fixture.heartbeat(2, latest: [(.rollout, 6), (.directory, 5)])).accepted)
        #expect(store.health().behind == ["rollout"])
        #expect(await store.apply(try fixture.heartbeat(1)).reason == "older_version")
        #expect(store.current.isServing, "none of it stops the serving")
    }

    private func setReadOnly(_ local: LocalStore, _ on: Bool) throws {
        try local.queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA query_only = \(on ? 1 : 0)") }
    }

    @Test("When the database takes nothing, nothing is activated")
    func storage() async throws {
        let (store, local, _) = try await served()
        try setReadOnly(local, true)
        let generation = store.current.generation
        #expect(await store.apply(try fixture.config(6)).reason == "storage")
        #expect(store.current.generation == generation)
        try setReadOnly(local, false)
        #expect(await store.apply(try fixture.config(6)).accepted)
    }

    /// A configuration cut to the data plane's tenants.
    private func config(_ version: UInt64, revision: UInt64, model: String) throws -> Weir_V1_Envelope {
        var header = fixture.header(version, audience: fixture.dataPlaneID.rawValue)
        header.revision = revision
        return try fixture.sign(.config, header, SnapshotFixture.smallConfig(model: model))
    }

    @Test("A version gives way to its next revision, never to one before it, and no revision has two contents")
    func revisions() async throws {
        let (store, local, _) = try await served()
        func models() -> [UInt64: String] { store.current.configs.mapValues { $0.models.keys.sorted().joined() } }
        // Whole, then for some tenants; one that no rollout refers to is not kept for the tenants of before.
        #expect(await store.apply(try fixture.config(6)).accepted)
        #expect(await store.apply(try config(5, revision: 1, model: "mine")).accepted)
        #expect(models() == [5: "mine"])
        #expect(await store.apply(try config(6, revision: 1, model: "mine")).accepted)
        #expect(await store.apply(try config(5, revision: 3, model: "others")).accepted)
        #expect(models() == [5: "others"])

        let before = try remains(store, local)
        for (revision, model, code) in [
            (3, "third", DocumentRefusal.Code.equivocation), (2, "second", .olderVersion), (1, "mine", .olderVersion),
            (0, "x", .olderVersion),
        ] as [(UInt64, String, DocumentRefusal.Code)] {
            let answer = await store.apply(revision == 0 ? try fixture.config(5) : try config(5, revision: revision, model: model))
            #expect(!answer.accepted && answer.reason == code.rawValue, "revision \(revision): \(answer.reason)")
            #expect(answer.revision == revision)
        }
        // Nor does an older one come back under another version that is not held any more.
        #expect(await store.apply(try config(6, revision: 1, model: "mine")).reason == "older_version")
        #expect(try remains(store, local) == before)
        let again = await store.apply(try config(5, revision: 3, model: "others"))
        #expect(again.accepted && again.revision == 3)

        let held = store.hello().held.filter { $0.kind == DocumentKind.config.payloadType }
        #expect(held.map(\.version) == [5] && held.map(\.revision) == [3])
        #expect(store.hello().takesRevisions)
        // All of that is known after a restart.
        let restarted = try fixture.store(local)
        #expect(restarted.current.configs[5]?.models.keys.sorted() == ["others"])
        #expect(restarted.health().problems == [])
        #expect(await restarted.apply(try config(5, revision: 3, model: "third")).reason == "equivocation")
        #expect(await restarted.apply(try config(5, revision: 2, model: "second")).reason == "older_version")
        #expect(await restarted.apply(try config(7, revision: 3, model: "others")).accepted)
    }

    @Test("A revision is for one data plane and of a configuration, or it is refused")
    func strayRevisions() async throws {
        let (store, local, _) = try await served()
        let before = try remains(store, local)
        var header = fixture.header(9)
        header.revision = 2
        #expect(await store.apply(try fixture.sign(.config, header, SnapshotFixture.smallConfig())).reason == "malformed_header")
        header.audience = fixture.dataPlaneID.rawValue
        #expect(await store.apply(try fixture.sign(.rollout, header, Weir_V1_RolloutPayload())).reason == "malformed_header")
        #expect(try remains(store, local) == before)
    }
}
