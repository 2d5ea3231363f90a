import Domain
import HTTPTypes
import Nouns
import Primitives
import Storage
import Testing

@Suite("Users and apps")
struct IdentitiesTests {
    private static let day: Int64 = 86_400_000

    private func time(_ milliseconds: Int64) -> JSONValue { .string(RFC3339.string(milliseconds: milliseconds)) }

    @Test("an app is registered for its owner, listed, turned off and on, given new secrets and deleted", arguments: TestDatabases.all)
    func apps(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            #expect(try await h.post("/admin/api/users", ["oid": "ada"]).fields == ["tenant_id"], "there is no tenant")
            let tenant = try await h.create("/admin/api/tenants", ["name": "Acme"]).id
            let owner = try await h.create("/admin/api/users", ["oid": "ada"])
            #expect(owner.json["tenant_id"] == .string(tenant), "the only one there is")
            let app = try await h.create("/admin/api/apps?owner_id=ada", ["app_id": "billing", "name": "Billing", "description": "bills"])
            #expect(app.json["owner_id"] == .string(owner.id) && app.json["tenant_id"] == .string(tenant))
            let secret = try #require(app.json["secret"]?.stringValue)
            #expect(VirtualKeyText(parsing: secret, prefix: VirtualKeyText.appSecretPrefix) != nil)
            #expect(try await h.post("/admin/api/apps", ["app_id": "billing", "name": "x", "owner_id": "ada"]).status == 409)
            #expect(try await h.post("/admin/api/apps", ["app_id": "other", "name": "x"]).fields == ["owner_id"])
            #expect(try await h.post("/admin/api/apps", ["app_id": "other", "name": "x", "owner_id": "nobody"]).fields == ["owner_id"])
            for query in ["?owner_id=ada", "?owner_id=\(owner.id)", "?app_id=billing", ""] {
                let list = try await h.get("/admin/api/apps\(query)")
                #expect(list.json["items"]?.arrayValue?.compactMap { $0["app_id"]?.stringValue } == ["billing"], "\(query)")
                #expect(!list.text.contains(secret) && !list.text.contains("sha256"))
            }
            #expect(try await h.get("/admin/api/apps/billing").json["id"] == .string(app.id))
            #expect(try await h.get("/admin/api/apps/\(app.id)").json["app_id"] == "billing")
            #expect(try await h.get("/admin/api/apps/none").status == 404)

            let off = try await h.send(.patch, "/admin/api/apps/billing/toggle")
            #expect(off.status == 200 && off.json["status"] == "disabled")
            #expect(try await h.send(.patch, "/admin/api/apps/billing/toggle", ifMatch: app.etag).status == 412)
            #expect(try await h.send(.patch, "/admin/api/apps/billing/toggle", ifMatch: off.etag).json["status"] == "active")

            let rotated = try await h.post("/admin/api/apps/billing/rotate-secret", ["grace_seconds": 60])
            #expect(rotated.status == 200 && rotated.json["secret"] != .string(secret) && rotated.json["secret"] != .null)
            #expect(rotated.json["previous_secret_expires_at"] == time(h.clock.nowMilliseconds() + 60_000))
            #expect(try await h.post("/admin/api/apps/billing/rotate-secret", nil).status == 409)
            #expect(try await h.post("/admin/api/apps/billing/rotate-secret", ["force": true]).status == 200)

            // Its owner is kept as long as it is there.
            let kept = try await h.send(.delete, "/admin/api/users/ada", ifMatch: "*")
            #expect(kept.status == 409 && kept.text.contains(app.id))
            #expect(try await h.send(.delete, "/admin/api/apps/billing", ifMatch: "*").status == 204)
            #expect(try await h.get("/admin/api/apps/billing").status == 404)
            #expect(try await h.send(.delete, "/admin/api/users/ada", ifMatch: "*").status == 204)
            let audit = try await h.get("/admin/api/audit?resource_id=\(app.id)")
            let verbs = (audit.json["items"]?.arrayValue ?? []).compactMap { $0["action"]?.stringValue }
            #expect(verbs == ["app.delete", "app.rotate_secret", "app.rotate_secret", "app.toggle", "app.toggle", "app.create"])
            #expect(!audit.text.contains(secret))
            // The name is free again.
            _ = try await h.create("/admin/api/users", ["oid": "ada"])
            _ = try await h.create("/admin/api/apps", ["app_id": "billing", "name": "x", "owner_id": "ada"])
        }
    }

    @Test("with several tenants it has to be said whose is meant", arguments: TestDatabases.all)
    func tenants(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let first = try await h.create("/admin/api/tenants", ["name": "A"]).id
            let second = try await h.create("/admin/api/tenants", ["name": "B"]).id
            #expect(try await h.post("/admin/api/users", ["oid": "ada"]).fields == ["tenant_id"])
            let one = try await h.create("/admin/api/users", ["oid": "ada", "tenant_id": .string(first)])
            #expect(try await h.get("/admin/api/users/ada").json["id"] == .string(one.id))
            let other = try await h.create("/admin/api/users", ["oid": "ada", "tenant_id": .string(second)])
            #expect(try await h.post("/admin/api/users", ["oid": "ada", "tenant_id": .string(first)]).fields == ["oid"])
            #expect(try await h.get("/admin/api/users/ada").fields == ["tenant_id"])
            #expect(try await h.get("/admin/api/users/ada?tenant_id=\(second)").json["id"] == .string(other.id))
            #expect(try await h.post("/admin/api/apps", ["app_id": "x", "name": "x", "owner_id": "ada"]).fields == ["tenant_id"])
            let crossed: JSONValue = ["app_id": "x", "name": "x", "owner_id": .string(one.id), "tenant_id": .string(second)]
            #expect(try await h.post("/admin/api/apps", crossed).fields == ["owner_id"])
            let app = try await h.create(
                "/admin/api/apps", ["app_id": "x", "name": "x", "owner_id": "ada", "tenant_id": .string(second)])
            #expect(app.json["owner_id"] == .string(other.id))
            // One app id in the deployment, whoever's.
            let again: JSONValue = ["app_id": "x", "name": "y", "owner_id": .string(one.id)]
            #expect(try await h.post("/admin/api/apps", again).fields == ["app_id"])
            // A key of one tenant is no other tenant's user's.
            let project = try await h.create("/admin/api/projects", ["tenant_id": .string(first), "name": "p"]).id
            let stolen: JSONValue = ["project_id": .string(project), "name": "k", "user_id": .string(other.id)]
            #expect(try await h.post("/admin/api/keys", stolen).fields == ["user_id"])
        }
    }

    @Test("a deleted user's keys go along, each with its audit entry", arguments: TestDatabases.all)
    func deletion(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let tenant = try await h.create("/admin/api/tenants", ["name": "A"]).id
            let project = try await h.create("/admin/api/projects", ["tenant_id": .string(tenant), "name": "p"]).id
            let user = try await h.create("/admin/api/users", ["oid": "a@b+ç", "email": "ada@example.org"])
            func key(_ name: String, _ user: JSONValue) async throws -> String {
                try await h.create("/admin/api/keys", ["project_id": .string(project), "name": .string(name), "user_id": user]).id
            }
            let mine = [try await key("1", .string(user.id)), try await key("2", .string(user.id))]
            let others = try await key("3", .null)
            let listed = try await h.get("/admin/api/keys?user_id=\(user.id)").json["items"]?.arrayValue ?? []
            #expect(listed.compactMap { $0["id"]?.stringValue }.sorted() == mine.sorted())
            #expect(try await h.get("/admin/api/users/\(user.id)").json["email"] == "ada@example.org")
            #expect(try await h.send(.patch, "/admin/api/users/\(user.id)", ["email": "nowhere"], ifMatch: "*").fields == ["email"])
            #expect(try await h.send(.delete, "/admin/api/users/\(user.id)", ifMatch: "*").status == 204)
            for id in mine {
                #expect(try await h.get("/admin/api/keys/\(id)").status == 404)
                let audit = try await h.get("/admin/api/audit?resource_id=\(id)").json["items"]?.arrayValue ?? []
                #expect(audit.first?["action"] == "key.delete")
            }
            #expect(try await h.get("/admin/api/keys/\(others)").status == 200)
        }
    }

    @Test("what was paid ends with its day in UTC; synchronising notes it once, for one and for all", arguments: TestDatabases.all)
    func payment(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            _ = try await h.create("/admin/api/tenants", ["name": "A"])
            let now = h.clock.nowMilliseconds()
            let midnight = now - now % Self.day + Self.day
            // Any moment of the last day means the whole day.
            let one = try await h.create("/admin/api/users", ["oid": "one", "payment_valid_until": time(midnight - Self.day)])
            _ = try await h.create("/admin/api/users", ["oid": "two", "payment_valid_until": time(midnight - 1000)])
            _ = try await h.create("/admin/api/users", ["oid": "long", "payment_valid_until": time(midnight)])
            _ = try await h.create("/admin/api/users", ["oid": "ever"])
            let dated = try await h.create("/admin/api/users", ["oid": "dated", "payment_valid_until": "2035-12-31"])
            #expect(dated.json["payment_valid_until"] == "2035-12-31T00:00:00Z")
            func status(_ oid: String) async throws -> JSONValue? { try await h.get("/admin/api/users/\(oid)").json["payment_status"] }
            h.clock.advance(milliseconds: midnight - now - 1)
            #expect(try await status("one") == "active")
            var bulk = try await h.post("/admin/api/users/sync/bulk-expiry", nil)
            #expect(bulk.json["checked"] == 4 && bulk.json["expired"] == 0)
            h.clock.advance(milliseconds: 1)
            #expect(try await status("one") == "expired")
            let single = try await h.post("/admin/api/users/one/sync-expiry", nil)
            #expect(
                single.json == [
                    "user_oid": "one", "email": .null, "payment_valid_until": time(midnight - Self.day), "payment_status": "expired",
                    "synced": true,
                ])
            bulk = try await h.post("/admin/api/users/sync/bulk-expiry", nil)
            #expect(bulk.json == ["checked": 4, "expired": 1, "timestamp": time(midnight)], "one was noted already")
            #expect(try await h.post("/admin/api/users/sync/bulk-expiry", nil).json["expired"] == 0)
            for oid in ["long", "ever"] { #expect(try await status(oid) == "active", "\(oid)") }
            // Paid again.
            _ = try await h.send(.patch, "/admin/api/users/one", ["payment_valid_until": time(midnight + Self.day)], ifMatch: "*")
            #expect(try await status("one") == "active")
            _ = try await h.services.users.syncAll(by: .system("payments"))
            let audit = try await h.get("/admin/api/audit?resource_id=\(one.id)").json["items"]?.arrayValue ?? []
            #expect(
                audit.compactMap { $0["action"]?.stringValue } == ["user.sync_expiry", "user.update", "user.sync_expiry", "user.create"])
            #expect(try await h.post("/admin/api/users/none/sync-expiry", nil).status == 404)
        }
    }
}

@Suite("Bans as they are administered")
struct BanRoutesTests {
    @Test(
        "anybody there is can be banned once; it says whose it is, how far it has come, and ends when it is lifted",
        arguments: TestDatabases.all)
    func bans(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let tenant = try await h.create("/admin/api/tenants", ["name": "A"]).id
            let project = try await h.create("/admin/api/projects", ["tenant_id": .string(tenant), "name": "p"]).id
            let user = try await h.create("/admin/api/users", ["oid": "ada"]).id
            let app = try await h.create("/admin/api/apps", ["app_id": "x", "name": "x", "owner_id": "ada"]).id
            let key = try await h.create("/admin/api/keys", ["project_id": .string(project), "name": "k"]).id
            for (subject, kind) in [(tenant, "tenant"), (user, "user"), (app, "app"), (key, "key")] {
                let ban = try await h.create("/admin/api/bans", ["subject_id": .string(subject), "reason": "fraud"])
                #expect(ban.json["kind"] == .string(kind) && ban.json["tenant_id"] == .string(tenant))
                let read = try await h.get("/admin/api/bans/\(ban.id)")
                #expect(read.json["data_planes"] == .array([]) && read.etag == ban.etag)
                #expect(try await h.post("/admin/api/bans", ["subject_id": .string(subject)]).status == 409)
                let listed = try await h.get("/admin/api/bans?subject_id=\(subject)").json["items"]?.arrayValue ?? []
                #expect(listed.compactMap { $0["id"]?.stringValue } == [ban.id])
                #expect(try await h.send(.delete, "/admin/api/bans/\(ban.id)", ifMatch: "*").status == 204)
                #expect(try await h.post("/admin/api/bans", ["subject_id": .string(subject)]).status == 201, "and again")
            }
            for subject in [project, "usr_aaaaaaaaaaaaaaaa", "ada", "usr", ""] {
                #expect(try await h.post("/admin/api/bans", ["subject_id": .string(subject)]).fields == ["subject_id"], "\(subject)")
            }
            let model = try await h.create("/admin/api/models", ["name": "m", "capabilities": ["chat"]]).id
            for (subject, kind) in [
                (tenant, "tenant"), (project, "project"), (app, "app"), (key, "key"), (model, "model"), ("world", "world"),
            ] {
                let kill = try await h.create("/admin/api/kill-switches", ["subject_id": .string(subject), "reason": "runaway"])
                #expect(kill.json["kind"] == .string(kind))
                #expect(kill.json["tenant_id"] == (["model", "world"].contains(kind) ? .null : .string(tenant)))
                #expect(try await h.get("/admin/api/kill-switches/\(kill.id)").json["data_planes"] == .array([]))
                #expect(try await h.post("/admin/api/kill-switches", ["subject_id": .string(subject)]).status == 409)
                #expect(try await h.send(.delete, "/admin/api/kill-switches/\(kill.id)", ifMatch: "*").status == 204)
            }
            for subject in [user, "mdl_aaaaaaaaaaaaaaaa", "everything", ""] {
                #expect(
                    try await h.post("/admin/api/kill-switches", ["subject_id": .string(subject)]).fields == ["subject_id"], "\(subject)")
            }
            let past = try await h.post(
                "/admin/api/bans", ["subject_id": .string(key), "expires_at": .string(RFC3339.string(milliseconds: 1000))])
            #expect(past.fields == ["expires_at"])
        }
    }
}
