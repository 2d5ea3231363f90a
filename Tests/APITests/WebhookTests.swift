import Crypto
import Foundation
import HTTPTypes
import Nouns
import Primitives
import Storage
import Synchronization
import Testing
import Trust

@testable import Domain

/// Alerts, from the event to what arrives.
@Suite("Webhooks", .timeLimit(.minutes(10)))
struct WebhookTests {
    /// Everybody who is called: what they were sent, and what each answers.
    private final class World: OutboundHTTP {
        private struct State {
            var received: [OutboundRequest] = []
            var answers: [String: [Int]] = [:]
        }
        private let state = Mutex(State())

        var received: [OutboundRequest] { state.withLock { $0.received } }
        func received(at url: String) -> [OutboundRequest] { received.filter { $0.url == url } }
        /// The last of them for ever; 0: it cannot be reached.
        func answer(_ url: String, _ statuses: Int...) { state.withLock { $0.answers[url] = statuses } }

        func send(_ request: OutboundRequest) async throws(OutboundFailure) -> OutboundAnswer {
            let status = state.withLock { state in
                state.received.append(request)
                let answers = state.answers[request.url] ?? [204]
                if answers.count > 1 { state.answers[request.url] = Array(answers.dropFirst()) }
                return answers[0]
            }
            if status == 0 { throw OutboundFailure(.unreachable, "10.1.2.3 says no") }
            return OutboundAnswer(status: status, headers: status == 503 ? [("retry-after", "3600")] : [])
        }
    }

    private static let url = "https://hooks.example/weir?token=x"
    private static let other = "https://other.example/"

    private func webhook(_ h: ControlHarness, _ body: JSONObject = [:]) async throws -> (id: String, secret: String) {
        var whole: JSONObject = ["name": "ops", "url": .string(Self.url)]
        for member in body.members { whole[member.name] = member.value }
        let made = try await h.create("/admin/api/webhooks", .object(whole))
        return (made.id, made.json["secret"]?.stringValue ?? "")
    }

    private func happen(_ h: ControlHarness, _ id: String, _ kind: AlertKind = .budgetNear, tenant: String = "") async throws {
        let now = h.clock.nowMilliseconds()
        _ = try await h.database.transaction { c in
            try SpendEventsTable.insert(
                c,
                SpendEventRow(
                    id: id, at: now, kind: kind.rawValue, tenantID: tenant, budgetID: nil, dataPlaneID: "dp_aaaaaaaaaaaaaaaa", occasion: id,
                    detail: #"{"limit":"10"}"#))
        }
    }

    private func deliveries(_ h: ControlHarness, _ id: String, _ query: String = "") async throws -> [JSONValue] {
        try await h.get("/admin/api/webhooks/\(id)/deliveries\(query)").json["items"]?.arrayValue ?? []
    }

    /// By the words of the specification, apart from the code that signs.
    private func isSigned(_ request: OutboundRequest, with secret: String) -> Bool {
        func header(_ name: String) -> String { request.headers.first { $0.name == name }?.value.reveal() ?? "" }
        guard secret.hasPrefix("whsec_"), let key = Data(base64Encoded: String(secret.dropFirst(6))) else { return false }
        let message = Data("\(header("webhook-id")).\(header("webhook-timestamp")).".utf8) + Data(request.body ?? [])
        return header("webhook-signature").split(separator: " ").contains { signature in
            guard signature.hasPrefix("v1,"), let code = Data(base64Encoded: String(signature.dropFirst(3))) else { return false }
            return HMAC<SHA256>.isValidAuthenticationCode(code, authenticating: message, using: SymmetricKey(data: key))
        }
    }

    @Test("An event is sent once to each webhook that wants it, signed, and to nobody else", arguments: TestDatabases.all)
    func delivery(kind: TestDatabase) async throws {
        let world = World()
        try await ControlHarness.run(on: kind, outbound: world) { h in
            let (acme, globex) = (
                try await h.create("/admin/api/tenants", ["name": "Acme"]).id,
                try await h.create("/admin/api/tenants", ["name": "Globex"]).id
            )
            try await happen(h, "evt_before", tenant: acme)
            h.clock.advance(milliseconds: 1000)
            let all = try await webhook(h)
            #expect(all.secret.hasPrefix("whsec_"))
            let shown = try await h.get("/admin/api/webhooks/\(all.id)")
            #expect(!shown.text.contains(all.secret) && shown.json["secret"] == nil && shown.json["ciphertext"] == nil)
            _ = try await webhook(
                h, ["name": "acme", "url": .string(Self.other), "tenant_id": .string(acme), "events": ["budget_near"]])
            try await happen(h, "evt_acme", tenant: acme)
            try await happen(h, "evt_globex", tenant: globex)
            try await happen(h, "evt_ours", .findingRaised)
            try await happen(h, "evt_more", .budgetExhausted, tenant: acme)
            try await h.services.webhooks.reconcile()
            try await h.services.webhooks.reconcile()
            func ids(_ url: String) -> Set<String> {
                let ids = world.received(at: url).map { $0.headers.first { $0.name == "webhook-id" }?.value.reveal() ?? "" }
                #expect(Set(ids).count == ids.count, "each once")
                return Set(ids)
            }
            #expect(ids(Self.url) == ["evt_acme", "evt_globex", "evt_ours", "evt_more"])
            #expect(ids(Self.other) == ["evt_acme"])
            let first = try #require(
                world.received(at: Self.url).first { $0.headers.contains { $0.name == "webhook-id" && $0.value.reveal() == "evt_acme" } })
            #expect(world.received(at: Self.url).allSatisfy { isSigned($0, with: all.secret) && $0.reach == .public && $0.method == .post })
            #expect(!isSigned(try #require(world.received(at: Self.other).first), with: all.secret))
            let body = try JSONValue(parsing: first.body ?? [])
            #expect(body["type"] == "budget_near" && body["data"]?["detail"]?["limit"] == "10" && body["timestamp"]?.stringValue != nil)
            #expect(body["data"]?["data_plane_id"] == "dp_aaaaaaaaaaaaaaaa")
            let tenants = try JSONValue(parsing: world.received(at: Self.other)[0].body ?? [])
            #expect(tenants["data"]?["data_plane_id"] == .null, "which data planes there are is none of a tenant's business")
            let listed = try await deliveries(h, all.id, "?limit=3")
            #expect(listed.count == 3 && listed.allSatisfy { $0["state"] == "delivered" && $0["status"] == 204 && $0["attempts"] == 1 })
            #expect(try await h.get("/admin/api/webhooks/\(all.id)").json["last_success_at"]?.stringValue != nil)
        }
    }

    @Test(
        "One that does not take a message gets it again, later each time, and then never; others notice nothing",
        arguments: TestDatabases.all)
    func retries(kind: TestDatabase) async throws {
        let world = World()
        try await ControlHarness.run(on: kind, outbound: world) { h in
            let (bad, good) = (try await webhook(h), try await webhook(h, ["name": "good", "url": .string(Self.other)]))
            world.answer(Self.url, 0, 302, 503, 500)
            try await happen(h, "evt_1")
            try await happen(h, "evt_2")
            try await h.services.webhooks.reconcile()
            #expect(world.received(at: Self.url).count == 1, "the second waits: it would fare no better")
            #expect(world.received(at: Self.other).count == 2)
            h.clock.advance(milliseconds: 7000)
            try await h.services.webhooks.reconcile()
            #expect(world.received(at: Self.url).count == 2)
            let unreachable = try await h.get("/admin/api/webhooks/\(bad.id)").json
            #expect(unreachable["failures"] == 2 && unreachable["last_error"] == "it answered 302")
            #expect(!(try await h.get("/admin/api/webhooks/\(bad.id)/deliveries").text.contains("10.1.2.3")), "no word of the network")
            // Whoever says when to come back is believed.
            h.clock.advance(milliseconds: 400_000)
            try await h.services.webhooks.reconcile()
            let waiting = try await deliveries(h, bad.id, "?state=pending").compactMap { $0["next_attempt_at"]?.stringValue }
            #expect(waiting.contains { (RFC3339.milliseconds($0) ?? 0) >= h.clock.nowMilliseconds() + 3_600_000 })
            var rounds = 0
            while try await !deliveries(h, bad.id, "?state=pending").isEmpty, rounds < 200 {
                h.clock.advance(milliseconds: 6 * 3_600_000)
                try await h.services.webhooks.reconcile()
                rounds += 1
            }
            let given = try await deliveries(h, bad.id)
            #expect(given.allSatisfy { $0["state"] == "given_up" && $0["attempts"] == 9 && $0["next_attempt_at"] == .null }, "\(given)")
            let events = try await h.get("/admin/api/spend-events?since=2020-01-01T00:00:00Z&kind=webhook_given_up").json["items"]
            #expect(events?[0]?["detail"]?["webhook_id"] == .string(bad.id))
            let told = world.received(at: Self.other).filter { String(decoding: $0.body ?? [], as: UTF8.self).contains("webhook_given_up") }
            #expect(!told.isEmpty && !given.contains { $0["kind"] == "webhook_given_up" }, "the others hear of it")
            let findings = try await h.get("/admin/api/status").json["findings"]?.arrayValue ?? []
            #expect(findings.contains { $0["code"] == "webhook_failing" && $0["command"]?.stringValue?.contains(bad.id) == true })
            #expect(try await deliveries(h, good.id, "?state=pending").isEmpty)

            // It works again: a message that was given up is sent by hand, under the identifier that it had.
            world.answer(Self.url, 200)
            let id = try #require(given[0]["id"])
            let again = try await h.post("/admin/api/webhooks/\(bad.id)/redeliver", ["delivery_id": id])
            #expect(again.status == 200 && again.json["state"] == "delivered" && again.json["event_id"] == given[0]["event_id"])
            #expect(try await h.get("/admin/api/webhooks/\(bad.id)").json["failures"] == 0)
            #expect(try await h.post("/admin/api/webhooks/\(good.id)/redeliver", ["delivery_id": id]).status == 404)
        }
    }

    @Test("What is gone is disabled; what waits for a disabled one is sent when it is active again", arguments: TestDatabases.all)
    func gone(kind: TestDatabase) async throws {
        let world = World()
        try await ControlHarness.run(on: kind, outbound: world) { h in
            let hook = try await webhook(h)
            world.answer(Self.url, 410)
            try await happen(h, "evt_1")
            try await h.services.webhooks.reconcile()
            let disabled = try await h.get("/admin/api/webhooks/\(hook.id)")
            #expect(disabled.json["status"] == "disabled" && disabled.json["last_error"] == "it answered 410")
            world.answer(Self.url, 200)
            try await happen(h, "evt_2")
            h.clock.advance(milliseconds: 120_000)
            try await h.services.webhooks.reconcile()
            #expect(world.received.count == 1)
            let path = "/admin/api/webhooks/\(hook.id)"
            #expect(try await h.send(.patch, path, ["status": "active"], ifMatch: disabled.etag).status == 200)
            try await h.services.webhooks.reconcile()
            #expect(world.received.count == 2)
            #expect(try await deliveries(h, hook.id, "?state=delivered").map { $0["event_id"] } == ["evt_2"])
            #expect(try await h.send(.delete, path, ifMatch: "*").status == 204)
            let left = try await h.database.read { c in try WebhookDeliveriesTable.pending(c, for: hook.id) }
            #expect(left == 0)
        }
    }

    @Test("A test says what became of it; after a rotation both secrets sign, for as long as was asked", arguments: TestDatabases.all)
    func secrets(kind: TestDatabase) async throws {
        let world = World()
        try await ControlHarness.run(on: kind, outbound: world) { h in
            let hook = try await webhook(h, ["status": "disabled"])
            let path = "/admin/api/webhooks/\(hook.id)"
            let first = try await h.post("\(path)/test", nil)
            #expect(first.json["state"] == "delivered" && first.json["kind"] == "test" && first.json["body"]?["type"] == "test")
            let rotated = try await h.post("\(path)/rotate", ["grace_seconds": 60])
            let next = try #require(rotated.json["secret"]?.stringValue)
            #expect(try await h.post("\(path)/rotate", nil).status == 409)
            _ = try await h.post("\(path)/test", nil)
            h.clock.advance(milliseconds: 61_000)
            _ = try await h.post("\(path)/test", nil)
            let signed = world.received.map { (isSigned($0, with: hook.secret), isSigned($0, with: next)) }
            #expect(signed.map(\.0) == [true, true, false] && signed.map(\.1) == [false, true, true])
            world.answer(Self.url, 500)
            let failed = try await h.post("\(path)/test", nil)
            #expect(failed.status == 200 && failed.json["state"] == "given_up" && failed.json["error"] == "it answered 500")
            // The master key is replaced: secrets are among what is encrypted anew.
            let (old, new) = (Array(repeating: UInt8(7), count: 32), Array(repeating: UInt8(8), count: 32))
            let cipher = try #require(AtRestCipher(masterKey: new, second: old))
            let result = try await MasterKeyRotation(h.services.domain, cipher: cipher).run(by: .system("test"))
            #expect(result.unreadable.isEmpty)
            world.answer(Self.url, 200)
            let after = WebhookService(h.services.domain, cipher: cipher.withoutSecond, http: world)
            #expect(try await after.test(WebhookID(hook.id), by: .system("test")).json["state"] == "delivered")
            #expect(isSigned(try #require(world.received.last), with: next))
        }
    }

    @Test("Addresses that are none are refused, and names are taken once a tenant")
    func problems() async throws {
        try await ControlHarness.run(on: try #require(TestDatabases.all.first)) { h in
            for url in ["ftp://x", "https://u:p@x/", "https://169.254.169.254/", "https://x/#y", "https://", "x"] {
                let answer = try await h.post("/admin/api/webhooks", ["name": "n", "url": .string(url)])
                #expect(answer.fields == ["url"], "\(url): \(answer.text)")
            }
            _ = try await webhook(h)
            #expect(try await h.post("/admin/api/webhooks", ["name": "ops", "url": "https://x.example/"]).fields == ["name"])
            #expect(
                try await h.post("/admin/api/webhooks", ["name": "o", "url": "https://x.example/", "events": ["party"]]).fields.count == 1)
        }
    }

    @Test(
        "An hour that costs several times the usual is told once a day, of the tenant and of the key; a busy hour that is usual is not",
        arguments: TestDatabases.all)
    func rises(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let tenant = try await h.create("/admin/api/tenants", ["name": "Acme"]).id
            let key = KeyID.random().rawValue
            /// What the day has cost so far, in cents.
            func spend(_ cents: Int64) async throws {
                let day = h.clock.nowMilliseconds() / 86_400_000
                try await h.database.transaction { c in
                    try c.execute("DELETE FROM usage_daily WHERE day = $1", [.int(day)])
                    try c.execute(
                        """
                        INSERT INTO usage_daily (day, tenant_id, project_id, key_id, model, status, data_plane_id, requests, estimated, mismatches,
                            input_tokens, output_tokens, cached_input_tokens, cache_write_tokens, reasoning_tokens, cost_nano,
                            rerated_cost_nano)
                        VALUES ($1, $2, 'prj_a', $3, 'm', 1, 'dp_a', 1, 0, 0, 1, 1, 0, 0, 0, $4, $4)
                        """, [.int(day), .text(tenant), .text(key), .int(cents * 10_000_000)])
                }
                try await h.services.spendRises.look()
            }
            func events() async throws -> [JSONValue] {
                try await h.get("/admin/api/spend-events?since=2020-01-01T00:00:00Z&kind=sudden_rise").json["items"]?.arrayValue ?? []
            }
            // Two days: ten cents an hour, and each day an hour of three dollars.
            h.clock.advance(milliseconds: 86_400_000 - h.clock.nowMilliseconds() % 86_400_000)
            for _ in 0..<2 {
                var sum: Int64 = 0
                for hour in 0..<24 {
                    sum += hour == 3 ? 300 : 10
                    try await spend(sum)
                    h.clock.advance(milliseconds: 3_600_000)
                }
            }
            var sum: Int64 = 0
            for hour in 0..<6 {
                sum += hour == 3 ? 310 : 10
                try await spend(sum)
                h.clock.advance(milliseconds: 3_600_000)
            }
            #expect(try await events().isEmpty, "what comes every day is no rise")
            try await spend(sum + 400)
            try await spend(sum + 500)
            let found = try await events()
            #expect(found.count == 2, "\(found)")
            #expect(found.contains { $0["detail"]?["key_id"] == .string(key) } && found.contains { $0["detail"]?["key_id"] == nil })
            #expect(
                found.allSatisfy { $0["tenant_id"] == .string(tenant) && $0["detail"]?["this_hour"]?.stringValue?.hasPrefix("4") == true },
                "\(found)")
            // Nobody has looked for a while: what was spent meanwhile is no hour's.
            h.clock.advance(milliseconds: 5 * 3_600_000)
            try await spend(sum + 5000)
            #expect(try await events().count == 2)
        }
    }

    @Test("What the doctor finds is told when it has been there for two looks, and when it is gone for two", arguments: TestDatabases.all)
    func findings(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let alerts = FindingAlerts(StatusService(h.services, fleet: h.fleet))
            func kinds() async throws -> [String] {
                (try await h.get("/admin/api/spend-events?since=2020-01-01T00:00:00Z").json["items"]?.arrayValue ?? [])
                    .filter { $0["detail"]?["code"] == "operator_warning" }.compactMap { $0["kind"]?.stringValue }
            }
            func look() async throws {
                h.clock.advance(milliseconds: 60_000)
                try await alerts.look()
            }
            h.services.domain.warnings.set("credential", "it cannot be decrypted")
            try await look()
            #expect(try await kinds().isEmpty)
            try await look()
            try await look()
            #expect(try await kinds() == ["finding_raised"])
            h.services.domain.warnings.set("credential", nil)
            try await look()
            #expect(try await kinds() == ["finding_raised"])
            try await look()
            try await look()
            #expect(try await kinds() == ["finding_raised", "finding_cleared"])
        }
    }
}
