import API
import Domain
import HTTPTypes
import Nouns
import Primitives
import Storage
import Telemetry
import Testing

@Suite("Keys, credentials and administrators")
struct KeysAndSecretsTests {
    private func works(_ h: ControlHarness, _ key: String) async -> Bool {
        (try? await h.services.keyAuthentication.authenticate(key)) != nil
    }

    @Test("a rotated key works with both secrets until the grace period ends", arguments: TestDatabases.all)
    func rotation(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            let key = try await h.create("/admin/api/keys", ["project_id": .string(c.project), "name": "k"])
            let first = try #require(key.json["key"]?.stringValue)
            #expect(first.hasPrefix("weir_\(key.id.dropFirst(4))_"))
            #expect(try await h.get("/admin/api/keys/\(key.id)").json["key"] == nil)
            #expect(await works(h, first))

            let rotated = try await h.post("/admin/api/keys/\(key.id)/rotate", ["grace_seconds": 60])
            #expect(rotated.status == 200)
            let second = try #require(rotated.json["key"]?.stringValue)
            #expect(second != first)
            #expect(rotated.json["previous_secret_expires_at"] != .null)
            h.clock.advance(milliseconds: 59_999)
            #expect(await works(h, first))
            #expect(await works(h, second))
            h.clock.advance(milliseconds: 1)
            #expect(await !works(h, first))
            #expect(await works(h, second))

            // Without grace the old one is out at once.
            let third = try #require(
                try await h.post("/admin/api/keys/\(key.id)/rotate", ["grace_seconds": 0]).json["key"]?.stringValue)
            #expect(await !works(h, second))
            #expect(await works(h, third))
            #expect(try await h.post("/admin/api/keys/\(key.id)/rotate", ["grace_seconds": -1]).fields == ["grace_seconds"])
        }
    }

    @Test("a second rotation within the grace is refused unless it is meant: the first secret was promised", arguments: TestDatabases.all)
    func rotatedTwice(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            let key = try await h.create("/admin/api/keys", ["project_id": .string(c.project), "name": "k"])
            let first = try #require(key.json["key"]?.stringValue)
            let path = "/admin/api/keys/\(key.id)/rotate"
            let rotated = try await h.post(path, nil)
            let again = try await h.post(path, nil)
            #expect(again.status == 409 && again.text.contains("force"))
            let until = try #require(rotated.json["previous_secret_expires_at"]?.stringValue)
            #expect(again.text.contains(until))
            #expect(await works(h, first))
            let second = try #require(rotated.json["key"]?.stringValue)
            #expect(await works(h, second))
            // A stale revision is refused, whatever is forced.
            #expect(try await h.send(.post, path, ["force": true], ifMatch: key.etag).status == 412)
            let third = try #require(try await h.post(path, ["force": true]).json["key"]?.stringValue)
            #expect(await !works(h, first))
            #expect(await works(h, second))
            #expect(await works(h, third))
            h.clock.advance(milliseconds: VirtualKeyService.defaultGraceSeconds * 1000)
            #expect(try await h.post(path, nil).status == 200)
        }
    }

    @Test("a key is limited to models that there are", arguments: TestDatabases.all)
    func modelsOfKeys(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            func create(_ models: JSONValue) async throws -> ControlHarness.Answer {
                try await h.post("/admin/api/keys", ["project_id": .string(c.project), "name": "k", "models": models])
            }
            #expect(try await create(["gpt-x", "no-such-model"]).fields == ["models[1]"])
            let key = try await create(["gpt-x"])
            #expect(key.status == 201)
            // What it was limited to before may stay, whatever became of it.
            for path in [c.route, c.price].enumerated().map({ ["/admin/api/routes/", "/admin/api/prices/"][$0] + $1 }) + [c.paths[5]] {
                #expect(try await h.send(.delete, path, ifMatch: "*").status == 204)
            }
            #expect(try await h.send(.patch, "/admin/api/keys/\(key.id)", ["name": "other"], ifMatch: "*").status == 200)
            #expect(try await create(["gpt-x"]).fields == ["models[0]"])
        }
    }

    @Test("revoked, expired, deleted and disabled: none of them works", arguments: TestDatabases.all)
    func endings(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            func make(_ more: JSONValue = [:]) async throws -> (id: String, key: String) {
                var body: JSONObject = ["project_id": .string(c.project), "name": "k"]
                for member in more.objectValue?.members ?? [] { body[member.name] = member.value }
                let answer = try await h.create("/admin/api/keys", .object(body))
                return (answer.id, answer.json["key"]?.stringValue ?? "")
            }
            let revoked = try await make()
            _ = try await h.post("/admin/api/keys/\(revoked.id)/rotate", ["grace_seconds": 600])
            let answer = try await h.post("/admin/api/keys/\(revoked.id)/revoke", nil)
            #expect(answer.json["status"] == "revoked")
            #expect(await !works(h, revoked.key))
            #expect(try await h.post("/admin/api/keys/\(revoked.id)/revoke", [:]).status == 200)
            #expect(try await h.post("/admin/api/keys/\(revoked.id)/rotate", nil).status == 409)

            let expiring = try await make(["expires_at": .time(h.clock.nowMilliseconds() + 1000)])
            #expect(await works(h, expiring.key))
            h.clock.advance(milliseconds: 1000)
            #expect(await !works(h, expiring.key))
            #expect(try await h.get("/admin/api/keys/\(expiring.id)").json["status"] == "expired")

            let deleted = try await make()
            #expect(try await h.send(.delete, "/admin/api/keys/\(deleted.id)", ifMatch: "*").status == 204)
            #expect(await !works(h, deleted.key))

            let other = try await make()
            #expect(await works(h, other.key))
            _ = try await h.send(.patch, "/admin/api/projects/\(c.project)", ["status": "disabled"], ifMatch: "*")
            #expect(await !works(h, other.key))
            _ = try await h.send(.patch, "/admin/api/projects/\(c.project)", ["status": "active"], ifMatch: "*")
            _ = try await h.send(.patch, "/admin/api/tenants/\(c.tenant)", ["status": "disabled"], ifMatch: "*")
            #expect(await !works(h, other.key))
        }
    }

    @Test("a project with working keys stays; its revoked keys go with it", arguments: TestDatabases.all)
    func projectWithKeys(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            let key = try await h.create("/admin/api/keys", ["project_id": .string(c.project), "name": "k"])
            #expect(try await h.send(.delete, "/admin/api/projects/\(c.project)", ifMatch: "*").status == 409)
            _ = try await h.post("/admin/api/keys/\(key.id)/revoke", nil)
            #expect(try await h.send(.delete, "/admin/api/projects/\(c.project)", ifMatch: "*").status == 204)
            #expect(try await h.get("/admin/api/keys/\(key.id)").status == 404)
        }
    }

    @Test("no secret is in any answer, the audit log, the process log, the metrics or the database", arguments: TestDatabases.all)
    func nothingLeaks(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            let rotatedSecret = "sk-proj-SECOND-SECRET-9876543210-abcd"
            let rotated = try await h.post("/admin/api/credentials/\(c.credential)/rotate", ["secret": .string(rotatedSecret)])
            #expect(rotated.status == 200)
            #expect(rotated.json["secret_hint"] == "abcd")
            let key = try await h.create("/admin/api/keys", ["project_id": .string(c.project), "name": "k"])
            let token = try await h.create("/admin/api/tokens", ["name": "t", "role": "viewer"])
            // Mistakes are answered without repeating what was sent.
            let wrong = try await h.post(
                "/admin/api/credentials", ["provider_id": .string(c.provider), "name": "x", "secret": [.string(Catalogue.secret)]])
            #expect(wrong.status == 400)
            _ = try await h.post(
                "/admin/api/credentials", ["provider_id": .string(c.provider), "name": "x", "secret": .string("a\nb-\(rotatedSecret)")])
            _ = try await h.get("/admin/api/tenants?cursor=\(Catalogue.secret)")

            let secrets = [
                Catalogue.secret, rotatedSecret, key.json["key"]?.stringValue ?? "?", token.json["token"]?.stringValue ?? "?",
                h.token(.owner),
            ]
            var shown = wrong.text + rotated.text + h.log.lines.joined() + h.metrics.text
            for route in h.table.routes where route.method == .get {
                guard !route.pattern.contains("{"), route.access != .virtualKey else { continue }
                shown += try await h.get(route.pattern).text
            }
            for path in c.paths { shown += try await h.get(path).text }
            let tables = try await h.database.read { c in
                try ["audit_log", "credentials", "virtual_keys", "admin_tokens"].map { table in
                    try c.query("SELECT * FROM \(table)", []).map { row in
                        row.values.map { value in
                            if case .blob(let bytes) = value { String(decoding: bytes, as: UTF8.self) } else { "\(value)" }
                        }.joined()
                    }.joined()
                }.joined()
            }
            for secret in secrets {
                #expect(!shown.contains(secret))
                #expect(!tables.contains(secret))
                // Not even a good part of it.
                #expect(!shown.contains(secret.dropFirst(8).prefix(20)))
            }
        }
    }

    @Test("a secret that cannot be a header, or of the wrong shape, is refused", arguments: TestDatabases.all)
    func secretsAreChecked(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            for bad in ["", "a\r\nX-Injected: 1", " padded", "padded ", "schlüssel", String(repeating: "x", count: 8193)] {
                let answer = try await h.post(
                    "/admin/api/credentials", ["provider_id": .string(c.provider), "name": "bad", "secret": .string(bad)])
                #expect(answer.status == 400, "\(bad)")
                #expect(answer.fields == ["secret"], "\(bad)")
            }
            let basic = try await h.create(
                "/admin/api/providers", ["name": "basic", "base_url": "http://h", "auth": ["scheme": "basic"]])
            let answer = try await h.post(
                "/admin/api/credentials", ["provider_id": .string(basic.id), "name": "b", "secret": "nocolon"])
            #expect(answer.fields == ["secret"])
            // One provider's secret is not sent to another.
            let foreign = try await h.post(
                "/admin/api/endpoints", ["provider_id": .string(basic.id), "name": "e", "credential_ids": [.string(c.credential)]])
            #expect(foreign.fields == ["credential_ids[0]"])
            let moved = try await h.send(
                .patch, "/admin/api/credentials/\(c.credential)", ["provider_id": .string(basic.id)], ifMatch: "*")
            #expect(moved.fields == ["provider_id"])
        }
    }

    @Test("a credential that data planes use just now is not deleted, whatever the draft says", arguments: TestDatabases.all)
    func credentialInForce(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            #expect(try await h.send(.post, "/admin/api/config/versions", ["note": "first"], ifMatch: "*").status == 201)
            let rollout = try await h.create("/admin/api/rollouts", ["version": 1])
            let endpoint = "/admin/api/endpoints/\(c.endpoint)"
            let credential = "/admin/api/credentials/\(c.credential)"
            #expect(try await h.send(.patch, endpoint, ["credential_ids": []], ifMatch: "*").status == 200)
            #expect(try await h.send(.delete, credential, ifMatch: "*").text.contains("version 1, which is in force"))
            #expect(try await h.post("/admin/api/rollouts/\(rollout.id)/promote", nil).status == 200)
            #expect(try await h.send(.delete, credential, ifMatch: "*").status == 409)

            let other = try await h.create(
                "/admin/api/credentials", ["provider_id": .string(c.provider), "name": "other", "secret": "sk-other-secret"])
            #expect(try await h.send(.patch, endpoint, ["credential_ids": [.string(other.id)]], ifMatch: "*").status == 200)
            #expect(try await h.send(.post, "/admin/api/config/versions", ["note": "second"], ifMatch: "*").status == 201)
            let second = try await h.create("/admin/api/rollouts", ["version": 2])
            #expect(try await h.send(.delete, credential, ifMatch: "*").status == 409)
            #expect(try await h.post("/admin/api/rollouts/\(second.id)/promote", nil).status == 200)
            // A rollback would return to it; once it would not, it may go.
            #expect(try await h.send(.delete, credential, ifMatch: "*").text.contains("version 1, which a rollback returns to"))
            #expect(try await h.post("/admin/api/config/versions", ["restore": 2]).status == 201)
            let third = try await h.create("/admin/api/rollouts", ["version": 3])
            #expect(try await h.post("/admin/api/rollouts/\(third.id)/promote", nil).status == 200)
            #expect(try await h.send(.delete, credential, ifMatch: "*").status == 204)
        }
    }

    @Test("the last owner stays, and an expired token is refused", arguments: TestDatabases.all)
    func administrators(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let list = try await h.get("/admin/api/tokens").json["items"]?.arrayValue ?? []
            let owner = try #require(list.first { $0["role"] == "owner" }?["id"]?.stringValue)
            #expect(try await h.send(.delete, "/admin/api/tokens/\(owner)", ifMatch: "*").status == 409)
            #expect(try await h.send(.patch, "/admin/api/tokens/\(owner)", ["role": "viewer"], ifMatch: "*").status == 409)

            let temporary = try await h.create(
                "/admin/api/tokens", ["name": "temporary", "role": "owner", "expires_at": .time(h.clock.nowMilliseconds() + 1000)])
            let text = try #require(temporary.json["token"]?.stringValue)
            // One that will run out does not count as another owner.
            #expect(try await h.send(.delete, "/admin/api/tokens/\(owner)", ifMatch: "*").status == 409)
            #expect(try await h.get("/admin/api/tenants", as: nil, token: text).status == 200)
            h.clock.advance(milliseconds: 1000)
            #expect(try await h.get("/admin/api/tenants", as: nil, token: text).status == 401)
            // A token that is deleted is out at once.
            let second = try await h.create("/admin/api/tokens", ["name": "second", "role": "owner"])
            #expect(try await h.send(.delete, "/admin/api/tokens/\(owner)", ifMatch: "*").status == 204)
            #expect(try await h.get("/admin/api/tenants").status == 401)
            #expect(try await h.get("/admin/api/tenants", as: nil, token: second.json["token"]?.stringValue).status == 200)
        }
    }
}
