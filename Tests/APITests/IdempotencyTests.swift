import API
import Domain
import HTTPTypes
import Nouns
import Primitives
import Storage
import Testing

@Suite("A request that comes again")
struct IdempotencyTests {
    @Test("is done once and answered alike, its secret included, for a day", arguments: TestDatabases.all)
    func replay(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            let body: JSONValue = ["project_id": .string(c.project), "name": "k"]
            let first = try await h.send(.post, "/admin/api/keys", body, idempotencyKey: "a-1")
            #expect(first.status == 201)
            let again = try await h.send(.post, "/admin/api/keys", body, idempotencyKey: "a-1")
            #expect(again.status == 201 && again.text == first.text && again.etag == first.etag)
            #expect(try await h.get("/admin/api/keys").json["items"]?.arrayValue?.count == 1)
            // What is kept of it cannot be read without the master key.
            let secret = try #require(first.json["key"]?.stringValue)
            let kept = try await h.database.read { c in try c.query("SELECT answer FROM idempotency_keys", []).map { try $0.blob("answer") }
            }
            #expect(kept.count == 1 && !kept.contains { String(decoding: $0, as: UTF8.self).contains(secret) })

            let path = "/admin/api/keys/\(first.id)/rotate"
            let rotated = try await h.send(.post, path, ["grace_seconds": 60], idempotencyKey: "a-2")
            let repeated = try await h.send(.post, path, ["grace_seconds": 60], idempotencyKey: "a-2")
            #expect(rotated.json["key"] != nil && repeated.json["key"] == rotated.json["key"])
            // The first secret still works, as was promised: nothing was rotated twice.
            #expect(try await h.services.keyAuthentication.authenticate(secret).keyID.rawValue == first.id)

            h.clock.advance(milliseconds: IdempotencyService.retentionMilliseconds + 1)
            #expect(try await h.send(.post, "/admin/api/keys", body, idempotencyKey: "a-1").id != first.id)
        }
    }

    @Test("another request under the same key is refused, another administrator's key is another key", arguments: TestDatabases.all)
    func reuse(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let first = try await h.send(.post, "/admin/api/tenants", ["name": "A"], idempotencyKey: "k")
            #expect(first.status == 201)
            for (path, body) in [("tenants", ["name": "B"]), ("providers", ["name": "A"])] as [(String, JSONValue)] {
                let other = try await h.send(.post, "/admin/api/\(path)", body, idempotencyKey: "k")
                #expect(other.status == 422 && other.fields == ["Idempotency-Key"], "\(other.text)")
                #expect(other.json["type"] == "urn:weir:problem:idempotency_key_reused")
            }
            #expect(try await h.send(.post, "/admin/api/tenants", ["name": "C"], as: .operator, idempotencyKey: "k").status == 201)
            for bad in [String(repeating: "x", count: 256), "a b"] {
                let answer = try await h.send(.post, "/admin/api/tenants", ["name": "D"], idempotencyKey: bad)
                #expect(answer.status == 400 && answer.fields == ["Idempotency-Key"])
            }
        }
    }

    @Test("what was refused is not remembered: corrected, it may come under the same key", arguments: TestDatabases.all)
    func refused(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            #expect(try await h.send(.post, "/admin/api/tenants", ["name": ""], idempotencyKey: "k").status == 400)
            #expect(try await h.send(.post, "/admin/api/tenants", ["name": "A"], idempotencyKey: "k").status == 201)
            #expect(try await h.send(.post, "/admin/api/tenants", ["name": "A"], idempotencyKey: "l").status == 409)
            _ = try await h.send(.patch, "/admin/api/tenants/\(try await h.firstTenant())", ["name": "B"], ifMatch: "*")
            #expect(try await h.send(.post, "/admin/api/tenants", ["name": "A"], idempotencyKey: "l").status == 201)
        }
    }

    @Test("sent many times at once, it is done once", arguments: TestDatabases.all)
    func concurrent(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<8 {
                    group.addTask { try await h.send(.post, "/admin/api/tenants", ["name": "A"], idempotencyKey: "k").status }
                }
                return try await group.reduce(into: [Int]()) { $0.append($1) }
            }
            #expect(statuses.allSatisfy { $0 == 201 || $0 == 409 } && statuses.contains(201), "\(statuses)")
            #expect(try await h.get("/admin/api/tenants").json["items"]?.arrayValue?.count == 1)
        }
    }

    @Test("an attempt whose process died is taken over, and can commit nothing any more", arguments: TestDatabases.all)
    func takenOver(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let actor = Actor(id: "tok_a", name: "a", role: .owner, scope: .all)
            let request = Array("POST /x".utf8)
            guard case .attempt(let dead) = try await h.services.idempotency.begin(actor, key: "k", request: request) else {
                Issue.record("not begun")
                return
            }
            guard case .underWay = try await h.services.idempotency.begin(actor, key: "k", request: request) else {
                Issue.record("not under way")
                return
            }
            h.clock.advance(milliseconds: 200_000)
            guard case .attempt(let second) = try await h.services.idempotency.begin(actor, key: "k", request: request) else {
                Issue.record("not taken over")
                return
            }
            await #expect(throws: DomainError.self) {
                try await IdempotentAttempt.$current.withValue(dead) {
                    _ = try await h.services.tenants.create(TenantContent { $0.name = "late" }, by: actor)
                }
            }
            #expect(try await h.get("/admin/api/tenants").json["items"] == [])
            // The change stands and its answer is lost: who asks again is told so, and nothing is made twice.
            try await IdempotentAttempt.$current.withValue(second) {
                _ = try await h.services.tenants.create(TenantContent { $0.name = "once" }, by: actor)
            }
            h.clock.advance(milliseconds: 200_000)
            guard case .answerLost = try await h.services.idempotency.begin(actor, key: "k", request: request) else {
                Issue.record("not told that the answer is lost")
                return
            }
        }
    }
}

extension ControlHarness {
    fileprivate func firstTenant() async throws -> String {
        try await get("/admin/api/tenants").json["items"]?[0]?["id"]?.stringValue ?? ""
    }
}
