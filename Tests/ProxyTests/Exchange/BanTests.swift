import Contract
import Dispatch
import Foundation
import Primitives
import Simulator
import Testing
import Trust

@testable import Proxy

@Suite("Bans", .timeLimit(.minutes(10)))
struct BanTests {
    private static let shared = "the-deployment's-shared-secret-of-32-bytes-and-more"

    /// Documents of bans as the control plane signs them.
    private func document(
        _ proxy: ProxyFixture, _ version: UInt64, _ bans: [(String, Int64)], kills: [(String, Int64)] = []
    ) throws -> Weir_V1_Envelope {
        var payload = Weir_V1_BansPayload()
        payload.killSwitches = kills.map { subject, expires in
            var kill = Weir_V1_KillSwitch()
            kill.id = KillSwitchID.random().rawValue
            kill.subjectID = subject
            kill.expiresMs = expires
            return kill
        }
        payload.bans = bans.map { subject, expires in
            var ban = Weir_V1_Ban()
            ban.id = BanID.random().rawValue
            ban.subjectID = subject
            ban.expiresMs = expires
            return ban
        }
        return try proxy.snapshots.sign(
            .bans, proxy.snapshots.header(version, audience: proxy.snapshots.dataPlaneID.rawValue), payload)
    }

    private func ban(_ proxy: ProxyFixture, _ version: UInt64, _ bans: [(String, Int64)]) async throws -> Weir_V1_Acknowledgement {
        await proxy.store.bans.apply(try document(proxy, version, bans), trust: proxy.store.trusted)
    }

    private func kill(_ proxy: ProxyFixture, _ version: UInt64, _ kills: [(String, Int64)]) async throws -> Weir_V1_Acknowledgement {
        await proxy.store.bans.apply(try document(proxy, version, [], kills: kills), trust: proxy.store.trusted)
    }

    /// With an app "billing" of "ada", a user "bob", and the fixture's key as bob's.
    private func fixture(_ models: [String]) async throws -> (ProxyFixture, owner: String, user: String, app: String) {
        let proxy = try await ProxyFixture(models: models, change: { $0.gatewaySharedSecret = Self.shared })
        let (owner, app) = SnapshotFixture.caller(tenant: proxy.tenant)
        var user = SnapshotFixture.caller(tenant: proxy.tenant).user
        user.oid = "bob"
        var directory = proxy.directory
        directory.users = [owner, user]
        directory.apps = [app]
        directory.keys[0].userID = user.id
        #expect(await proxy.store.apply(try proxy.snapshots.directory(2, directory)).accepted)
        return (proxy, owner.id, user.id, app.id)
    }

    private func codes(_ proxy: ProxyFixture, _ model: String) async throws -> [String?] {
        let body = #"{"model":"\#(model)","messages":[]}"#
        let headers = ["x-gateway-secret: \(Self.shared)", "x-app-id: billing", "x-user-oid: bob", "content-type: application/json"]
        let app = try await proxy.send("POST /internal/v1/chat/completions", headers: headers, body: body, authorised: false)
        let key = try await proxy.chat(model)
        #expect([app.status, key.status].allSatisfy { [200, 403, 503].contains($0) })
        return [app.errorCode, key.errorCode]
    }

    @Test("Who is linked follows: a tenant's all, a user's keys and requests, an owner's apps; when it is lifted or over they are back")
    func linkage() async throws {
        let model = "sim-in10-out5"
        let (proxy, owner, user, app) = try await fixture([model])
        let key = proxy.directory.keys[0].id
        let now = proxy.snapshots.clock.nowMilliseconds()
        let cases: [(String, [String?])] = [
            (proxy.tenant.rawValue, ["banned", "banned"]), (user, ["banned", "banned"]), (owner, ["banned", nil]), (app, ["banned", nil]),
            (key, [nil, "banned"]), (UserID.random().rawValue, [nil, nil]), ("did_aaaaaaaaaaaaaaaa", [nil, nil]), ("???", [nil, nil]),
        ]
        var version: UInt64 = 0
        for (subject, expected) in cases {
            version += 1
            #expect(try await ban(proxy, version, [(subject, 0)]).accepted)
            #expect(try await codes(proxy, model) == expected, "\(subject)")
        }
        version += 1
        #expect(try await ban(proxy, version, [(key, now + 1000)]).accepted)
        #expect(try await codes(proxy, model) == [nil, "banned"])
        proxy.snapshots.clock.advance(milliseconds: 1000)
        #expect(try await codes(proxy, model) == [nil, nil])
        version += 1
        #expect(try await ban(proxy, version, []).accepted && proxy.store.bans.current.isEmpty)
        _ = try await proxy.finish()
    }

    @Test("A running stream ends with an error event, and its record says why and what it cost", arguments: [true, false])
    func running(isApp: Bool) async throws {
        let model = "sim-chunks10000-pace5ms"
        let (proxy, owner, user, _) = try await fixture([model])
        let client = try await RawClient.connect(port: proxy.server.port)
        let body = #"{"model":"\#(model)","messages":[],"stream":true}"#
        let head =
            isApp
            ? "POST /internal/v1/chat/completions HTTP/1.1\r\nx-gateway-secret: \(Self.shared)\r\nx-app-id: billing\r\nx-user-oid: bob\r\n"
            : "POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer \(proxy.key)\r\n"
        try await client.send(head + "host: w\r\nconnection: close\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)")
        while proxy.simulator.requestsTotal == 0 { try await ProxyFixture.pause() }
        #expect(try await ban(proxy, 1, [(isApp ? owner : user, 0)]).accepted)
        let answer = RawResponse(try await client.readToEnd())
        if answer.status == 200 {
            #expect(answer.body.contains(#""code":"banned""#) && answer.isComplete && !answer.body.contains("[DONE]"))
        } else {
            #expect(answer.errorCode == "banned")
        }
        let record = try #require(try await proxy.finish().first)
        #expect(record.errorCode == "banned" && record.status == .failed && record.errorOrigin == .client)
        #expect(record.inputTokens > 0 && UsageFlags(rawValue: record.flags).contains(.estimated))
    }

    @Test("A kill switch stops a tenant, project, key, app, model or the world with a code of its own, and says not to try again")
    func kills() async throws {
        let model = "sim-in10-out5"
        let (proxy, _, user, app) = try await fixture([model, "sim-in1-out1"])
        let key = proxy.directory.keys[0]
        let stopped = "stopped_by_operator"
        let now = proxy.snapshots.clock.nowMilliseconds()
        let modelID = try #require(proxy.store.current.configs.values.first?.model(named: model)?.id)
        let cases: [(String, [String?])] = [
            ("world", [stopped, stopped]), (proxy.tenant.rawValue, [stopped, stopped]), (app, [stopped, nil]), (key.id, [nil, stopped]),
            (key.projectID, [nil, stopped]), (modelID, [stopped, stopped]), (user, [nil, nil]), (TenantID.random().rawValue, [nil, nil]),
            ("what a later release knows", [nil, nil]),
        ]
        var version: UInt64 = 0
        for (subject, expected) in cases {
            version += 1
            #expect(try await kill(proxy, version, [(subject, 0)]).accepted)
            #expect(try await codes(proxy, model) == expected, "\(subject)")
        }
        version += 1
        #expect(try await kill(proxy, version, [(modelID, now + 1000)]).accepted)
        let refused = try await proxy.chat(model)
        #expect(refused.status == 503 && refused.header("x-should-retry") == "false" && refused.header("retry-after") == nil)
        #expect(try await proxy.chat("sim-in1-out1").status == 200, "another model")
        proxy.snapshots.clock.advance(milliseconds: 1000)
        #expect(try await codes(proxy, model) == [nil, nil])
        version += 1
        #expect(try await kill(proxy, version, [("world", 0)]).accepted)
        let booted = try proxy.snapshots.store(proxy.local)
        #expect(!booted.bans.current.isEmpty, "it holds after a restart")
        _ = try await proxy.finish()
    }

    @Test("A running stream of a model that is stopped ends with an error event; nobody but the gateway is blamed")
    func stoppedModel() async throws {
        let model = "sim-chunks10000-pace5ms"
        let (proxy, _, _, _) = try await fixture([model])
        let client = try await RawClient.connect(port: proxy.server.port)
        let body = #"{"model":"\#(model)","messages":[],"stream":true}"#
        let head = "POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer \(proxy.key)\r\n"
        try await client.send(head + "host: w\r\nconnection: close\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)")
        while proxy.simulator.requestsTotal == 0 { try await ProxyFixture.pause() }
        let modelID = try #require(proxy.store.current.configs.values.first?.model(named: model)?.id)
        #expect(try await kill(proxy, 1, [(modelID, 0)]).accepted)
        let answer = RawResponse(try await client.readToEnd())
        if answer.status == 200 {
            #expect(answer.body.contains(#""code":"stopped_by_operator""#) && answer.isComplete && !answer.body.contains("[DONE]"))
        } else {
            #expect(answer.errorCode == "stopped_by_operator")
        }
        let record = try #require(try await proxy.finish().first)
        #expect(record.errorCode == "stopped_by_operator" && record.status == .failed && record.errorOrigin == .weir)
        #expect(record.inputTokens > 0 && UsageFlags(rawValue: record.flags).contains(.estimated))
    }

    @Test("A ban waits for no document that is being read, and holds after a restart without the control plane")
    func lane() async throws {
        let model = "sim-in10-out5"
        let (proxy, _, user, _) = try await fixture([model])
        let busy = DispatchSemaphore(value: 0)
        proxy.store.worker.async { _ = busy.wait(timeout: .now() + .seconds(30)) }
        #expect(try await ban(proxy, 3, [(user, 0)]).accepted)
        #expect(try await codes(proxy, model) == ["banned", "banned"])
        busy.signal()
        let booted = try proxy.snapshots.store(proxy.local)
        #expect(booted.bans.current.count == 1 && booted.bans.mark?.version == 3)
        _ = try await proxy.finish()
    }

    @Test("What is not the control plane's word, is older, or says two things, changes nothing")
    func judged() async throws {
        let (proxy, _, user, _) = try await fixture(["sim-in10-out5"])
        let good = try document(proxy, 5, [(user, 0)])
        #expect(await proxy.store.bans.apply(good, trust: proxy.store.trusted).accepted)
        #expect(await proxy.store.bans.apply(good, trust: proxy.store.trusted).accepted, "the same again")
        func reason(_ envelope: Weir_V1_Envelope) async -> String {
            let answer = await proxy.store.bans.apply(envelope, trust: proxy.store.trusted)
            #expect(!answer.accepted && proxy.store.bans.current.count == 1)
            return answer.reason
        }
        var forged = try document(proxy, 6, [])
        forged.payload = Data([1])
        #expect(await reason(forged) == "bad_digest")
        #expect(await reason(try document(proxy, 4, [])) == "older_version")
        #expect(await reason(try document(proxy, 5, [])) == "equivocation")
        let everyones = try proxy.snapshots.sign(.bans, proxy.snapshots.header(7), Weir_V1_BansPayload())
        #expect(await reason(everyones) == "wrong_audience")
        #expect(await reason(try proxy.snapshots.config(9)) == "unknown_kind")
        let stranger = try proxy.snapshots.sign(
            .bans, proxy.snapshots.header(8, audience: proxy.snapshots.dataPlaneID.rawValue), Weir_V1_BansPayload(), with: SigningKey())
        #expect(await reason(stranger) == "unknown_key")
        #expect(await proxy.store.apply(good).reason == "unknown_kind", "nor do they come with the other documents")
        _ = try await proxy.finish()
    }
}
