import Contract
import Foundation
import GRDB
import NIOCore
import Primitives
import Simulator
import Telemetry
import Testing
import Trust

@testable import Proxy

@Suite("A revoked data plane", .timeLimit(.minutes(10)))
struct RevokedDataPlaneTests {
    private let fixture = SnapshotFixture()
    private let key = KeyID.random()

    /// A store that serves one key with one credential.
    private func serving(_ local: LocalStore, grace: Int64 = 0) async throws -> SnapshotStore {
        let store = try fixture.store(local, revocationGrace: grace)
        #expect(await store.apply(try fixture.config(1)).accepted)
        #expect(await store.apply(try fixture.rollout(1, baseline: 1)).accepted)
        let directory = SnapshotFixture.smallDirectory([key], tenant: .random(), project: .random())
        #expect(await store.apply(try fixture.directory(1, directory)).accepted)
        var secrets = Weir_V1_SealedSecrets()
        secrets.secrets = [try fixture.sealed("sk-real")]
        await store.apply(secrets)
        #expect(store.current.isServing && store.current.credentials.count == 1)
        return store
    }

    private func rows(_ local: LocalStore) throws -> Int {
        try local.read { db in
            try ["sealed_secret", "directory_document"].reduce(0) { $0 + (try Int.fetchOne(db, sql: "SELECT count(*) FROM \($1)") ?? 0) }
        }
    }

    @Test func stopsServingAndForgetsItsCredentialsForGood() async throws {
        let local = try fixture.local()
        _ = try DataPlaneKeys.loadOrCreate(directory: fixture.folder.path)
        let store = try await serving(local)
        let ciphertext = try #require(try local.read { try Data.fetchOne($0, sql: "SELECT ciphertext FROM sealed_secret") })
        #expect(await store.apply(try fixture.revocation()).accepted)
        #expect(!store.current.isServing && store.current.isRevoked)
        #expect(store.current.credentials.count == 0 && store.current.directory.lookup(key) == nil)
        #expect(try rows(local) == 0)
        for name in try FileManager.default.contentsOfDirectory(atPath: fixture.folder.path) {
            #expect(name != "sealing.key")
            let content = FileManager.default.contents(atPath: fixture.folder.path + "/" + name) ?? Data()
            #expect(content.range(of: ciphertext) == nil, "\(name) still holds the sealed credential")
        }
        #expect(store.health().state == "revoked")

        // Nothing brings it back: no document, no repetition, no restart.
        #expect(
            !(await store.apply(try fixture.directory(2, SnapshotFixture.smallDirectory([key], tenant: .random(), project: .random()))))
                .accepted)
        #expect(await store.apply(try fixture.revocation()).accepted)
        fixture.clock.advance(milliseconds: 400 * 86_400_000)
        let restarted = try fixture.store(local)
        #expect(!restarted.current.isServing && restarted.current.isRevoked)
        #expect(restarted.health().revocation?.heardAtMilliseconds == SnapshotFixture.now)
    }

    @Test func servesOnForTheGraceThatTheOperatorChose() async throws {
        let local = try fixture.local()
        let store = try await serving(local, grace: 3_600_000)
        #expect(await store.apply(try fixture.revocation()).accepted)
        #expect(store.current.isServing && !store.current.isRevoked && store.current.credentials.count == 1)
        let revocation = try #require(store.health().revocation)
        #expect(revocation.text(graceMilliseconds: 3_600_000).contains("it stops serving at 2026-09-21T15:13:20Z"))
        // A store that starts waits for the end by the machine's own clock: not so close to it that it is over before anybody looks.
        fixture.clock.advance(milliseconds: 3_540_000)
        #expect(try fixture.store(local, revocationGrace: 3_600_000).current.isServing)
        fixture.clock.advance(milliseconds: 60_000)
        #expect(try !fixture.store(local, revocationGrace: 3_600_000).current.isServing)
        #expect(try rows(local) == 0)
    }

    @Test func theGraceEndsWhileItRuns() async throws {
        let local = try fixture.local()
        let store = try await serving(local, grace: 50)
        let (snapshots, continuation) = AsyncStream<RuntimeSnapshot>.makeStream()
        store.onActivate { continuation.yield($0) }
        #expect(await store.apply(try fixture.revocation()).accepted)
        for await snapshot in snapshots where snapshot.isRevoked { break }
        #expect(store.current.credentials.count == 0)
    }

    @Test func nobodyElsesWordStopsIt() async throws {
        let local = try fixture.local()
        let store = try await serving(local)
        for (forged, reason) in [
            (try fixture.revocation(with: SigningKey()), "unknown_key"), (try fixture.revocation(audience: "*"), "wrong_audience"),
            (try fixture.revocation(audience: DataPlaneID.random().rawValue), "wrong_audience"),
        ] {
            #expect(await store.apply(forged).reason == reason)
        }
        var tampered = try fixture.revocation()
        tampered.payload[tampered.payload.startIndex] ^= 1
        #expect(await store.apply(tampered).reason == "bad_digest")
        #expect(store.current.isServing && store.current.credentials.count == 1)
        #expect(try fixture.store(local).current.isServing)
    }

    @Test func takesNoRequestWhoseBodyWasArriving() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"])
        let client = try await RawClient.connect(port: proxy.server.port)
        let body = #"{"model":"sim-ok","messages":[]}"#
        try await client.send(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(proxy.key)\r\n"
                + "content-length: \(body.utf8.count)\r\n\r\n{")
        while await proxy.server.activeRequests() == 0 { try await ProxyFixture.pause() }
        #expect(await proxy.store.apply(try proxy.snapshots.revocation()).accepted)
        // The loop has heard of it.
        try await proxy.server.contexts[0].eventLoop.submit {}.get()
        try await client.send(String(body.dropFirst()))
        let answer = RawResponse(try await client.readToEnd())
        #expect(answer.status == 503 && answer.errorCode == "gateway_revoked", "\(answer.text)")
        #expect(proxy.simulator.requestsTotal == 0)
        #expect(try await proxy.finish().isEmpty)
    }

    @Test func saysSoToCallersAndToTheOperatorAndKeepsItsRecords() async throws {
        let log = CapturingSink()
        let proxy = try await ProxyFixture(models: ["sim-in5-out2"], log: log)
        #expect(try await proxy.chat("sim-in5-out2").status == 200)
        #expect(await proxy.store.apply(try proxy.snapshots.revocation()).accepted)
        let answer = try await proxy.chat("sim-in5-out2")
        #expect(answer.status == 503 && answer.errorCode == "gateway_revoked" && answer.header("retry-after") == nil)
        let ready = await proxy.page("/health/ready")
        #expect(
            ready.status == 503 && ready.body.contains("revoked by its control plane at 2026-09-21T14:13:20Z: it serves nothing any more"))
        #expect(await proxy.page("/metrics").body.contains("weir_proxy_revoked 1\n"))
        #expect(log.lines.contains { $0.contains("this data plane was revoked by its control plane") && $0.contains("critical") })
        #expect(try await proxy.finish().map(\.inputTokens) == [5])
    }
}
