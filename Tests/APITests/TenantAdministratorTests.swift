import API
import Domain
import HTTPTypes
import Nouns
import Primitives
import Storage
import Testing

/// A tenant with one of everything that can be its.
struct Household: Sendable {
    let tenant: String
    /// Identifiers by prefix.
    let ids: [String: String]
    /// Texts that nobody else may see.
    let words: [String]
    /// Bodies that make another one of each, by path.
    let bodies: [String: JSONObject]

    static let dids = [
        "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp", "did:key:z6MkjchhfUsD6mmvni8mCdXHw216Xrm9bQe2mBH1P5RDjVJG",
        "did:key:z6MknGc3ocHs3zdPiJbnaaqDi58NGb4pk1Sp9WxWufuXSdxf",
    ]

    init(_ h: ControlHarness, _ name: String, did: String) async throws {
        let tenant = try await h.create("/admin/api/tenants", ["name": .string(name)]).id
        var ids = [TenantKind.prefix: tenant]
        var bodies: [String: JSONObject] = [:]
        func make(_ path: String, _ body: JSONObject, _ change: (inout JSONObject) -> Void = { _ in }) async throws -> String {
            let id = try await h.create("/admin/api/\(path)", .object(body)).id
            ids[id.prefix { $0 != "_" } + "_"] = id
            var again = body
            change(&again)
            bodies["/admin/api/\(path)"] = again
            return id
        }
        let word = name.lowercased()
        let project = try await make("projects", ["tenant_id": .string(tenant), "name": .string(word + "-project")]) {
            $0["name"] = "again"
        }
        let user = try await make("users", ["tenant_id": .string(tenant), "oid": .string(word + "-user")]) { $0["oid"] = "again" }
        let key = try await make(
            "keys", ["project_id": .string(project), "user_id": .string(user), "name": .string(word + "-key")])
        _ = try await make(
            "apps", ["app_id": .string(word + "-app"), "name": .string(word + "-app"), "owner_id": .string(user)]
        ) { $0["app_id"] = .string(word + "-again") }
        let registered = try await make(
            "dids", ["tenant_id": .string(tenant), "did": .string(did), "user_id": .string(user)]
        ) { $0["did"] = .string(Self.dids[2]) }
        _ = try await make("revoked-grants", ["did_id": .string(registered), "grant_id": .string(word + "-grant")]) { $0["grant_id"] = "g" }
        _ = try await make("signing-secrets", ["key_id": .string(key)])
        let banned = try await h.create("/admin/api/users", ["tenant_id": .string(tenant), "oid": .string(word + "-banned")]).id
        _ = try await make("bans", ["subject_id": .string(banned), "reason": .string(word + "-reason")]) {
            $0["subject_id"] = .string(user)
        }
        _ = try await make("tokens", ["tenant_id": .string(tenant), "name": .string(word + "-token"), "role": "viewer"]) {
            $0["name"] = "x"
        }
        _ = try await make(
            "people", ["tenant_id": .string(tenant), "email": .string(word + "@example.org"), "role": "viewer"]
        ) { $0["email"] = "again@example.org" }
        _ = try await make(
            "group-roles", ["tenant_id": .string(tenant), "group": .string(word + "-group"), "role": "viewer"]
        ) { $0["group"] = "again" }
        _ = try await make(
            "webhooks", ["tenant_id": .string(tenant), "name": .string(word + "-hook"), "url": .string("https://hooks.example/\(word)")]
        ) { $0["name"] = "again" }
        // What the operator bounds it by is its to see.
        ids["bgt_"] = try await h.create(
            "/admin/api/budgets", ["tenant_id": .string(tenant), "name": .string(word + "-budget"), "limit": "10"]
        ).id
        self.tenant = tenant
        self.ids = ids
        self.bodies = bodies
        words = [name, word, did] + ids.values
    }
}

@Suite("Administrators of one tenant")
struct TenantAdministratorTests {
    /// Everything that some administrator of a tenant may call. A route that is opened to them has to be written down here.
    private static let open: Set<String> = {
        let nouns = [
            "projects", "keys", "users", "apps", "dids", "revoked-grants", "signing-secrets", "bans", "tokens", "people", "group-roles",
            "webhooks",
        ]
        let made = nouns.flatMap { noun in
            ["GET /admin/api/\(noun)", "POST /admin/api/\(noun)", "GET /admin/api/\(noun)/{id}", "DELETE /admin/api/\(noun)/{id}"]
        }
        let changed = nouns.filter { !["revoked-grants", "signing-secrets"].contains($0) }.map { "PATCH /admin/api/\($0)/{id}" }
        return Set(
            made + changed + [
                "GET /admin/api/tenants", "GET /admin/api/tenants/{id}", "GET /admin/api/whoami", "GET /admin/api/whoami/tokens",
                "POST /admin/api/whoami/tokens", "DELETE /admin/api/whoami/tokens/{id}", "GET /admin/api/names",
                "GET /admin/api/audit", "GET /admin/api/audit/export",
                "GET /admin/api/usage", "GET /admin/api/usage/latencies", "GET /admin/api/limits/{id}/state",
                "GET /admin/api/usage/records", "GET /admin/api/usage/records/{id}",
                "POST /admin/api/keys/{id}/rotate", "POST /admin/api/keys/{id}/revoke", "POST /admin/api/apps/{id}/rotate-secret",
                "PATCH /admin/api/apps/{id}/toggle", "POST /admin/api/signing-secrets/{id}/rotate",
                "POST /admin/api/users/{id}/sync-expiry", "POST /admin/api/dids/{id}/resolve",
                "POST /admin/api/users/sync/bulk-expiry",
                "GET /admin/api/billing", "GET /admin/api/billing/entries", "GET /admin/api/billing/balance",
                "GET /admin/api/billing/statement", "GET /admin/api/billing/invoice", "GET /admin/api/billing/keys",
                "GET /admin/api/budgets", "GET /admin/api/budgets/{id}",
                "POST /admin/api/webhooks/{id}/rotate", "POST /admin/api/webhooks/{id}/test", "POST /admin/api/webhooks/{id}/redeliver",
                "GET /admin/api/webhooks/{id}/deliveries",
                "GET /admin/api/budgets/{id}/state", "GET /admin/api/spend-events",
            ])
    }()

    private static func isOpen(_ route: APIRoute) -> Bool {
        guard case .admin(let permission) = route.access else { return false }
        return !permission.roles(for: .tenant("ten_aaaaaaaaaaaaaaaa")).isEmpty
    }

    @Test("what they may call is written down; all else is refused before anything is looked at")
    func written() async throws {
        try await ControlHarness.run(on: try #require(TestDatabases.all.first)) { h in
            let found = Set(h.table.routes.filter(Self.isOpen).map { "\($0.method) \($0.pattern)" })
            #expect(found.subtracting(Self.open) == [], "opened to administrators of tenants")
            #expect(Self.open.subtracting(found) == [])
        }
    }

    /// An answer without what differs by request and by the identifier that was asked for.
    private static func told(_ answer: ControlHarness.Answer, about id: String) -> String {
        var text = answer.text.replacing(id, with: "{id}")
        if let request = answer.json["request_id"]?.stringValue { text = text.replacing(request, with: "{request}") }
        if let instance = answer.json["instance"]?.stringValue { text = text.replacing(instance, with: "{instance}") }
        return "\(answer.status) \(text)"
    }

    /// What is tried where an identifier of this kind belongs: that of the other tenant's, and one of another kind.
    private static func tried(at prefix: String?, of other: Household) -> [String] {
        Set([prefix ?? UserKind.prefix, TenantKind.prefix]).sorted().compactMap { other.ids[$0] }
    }

    /// An identifier of the same kind that nobody has.
    private static func nobody(_ id: String) -> String { id.prefix { $0 != "_" } + "_aaaaaaaaaaaaaaaa" }

    @Test("on every route another tenant's things are answered as if they were not there", arguments: TestDatabases.all)
    func others(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let other = try await Household(h, "Otherone", did: Household.dids[0])
            let mine = try await Household(h, "Mine", did: Household.dids[1])
            let token = try await h.token(.owner, of: mine.tenant)
            func everything() async throws -> [String] {
                var texts: [String] = []
                for path in other.bodies.keys.sorted() where path != "/admin/api/tokens" {
                    texts.append(try await h.get("\(path)?limit=200").text)
                }
                return texts
            }
            let before = try await everything()
            var tried = 0
            for route in h.table.routes where Self.isOpen(route) && route.pattern.contains("{id}") {
                let noun = DeclaredNouns.all.first { route.pattern.hasPrefix("/admin/api/\($0.words.path)/") }
                for id in Self.tried(at: noun?.idPrefix, of: other) {
                    func ask(_ id: String) async throws -> String {
                        let path = route.pattern.replacing("{id}", with: id)
                        return Self.told(try await h.send(route.method, path, token: token, ifMatch: "*"), about: id)
                    }
                    let answer = try await ask(id)
                    #expect(answer.hasPrefix("404") || answer.hasPrefix("403"), "\(route.method) \(route.pattern) with \(id): \(answer)")
                    #expect(answer == (try await ask(Self.nobody(id))), "\(route.method) \(route.pattern) with \(id)")
                    tried += 1
                }
            }
            #expect(tried >= 80)
            #expect(try await everything() == before)
        }
    }

    @Test("no list, report, name or filter shows another tenant", arguments: TestDatabases.all)
    func lists(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let other = try await Household(h, "Otherone", did: Household.dids[0])
            let mine = try await Household(h, "Mine", did: Household.dids[1])
            let token = try await h.token(.owner, of: mine.tenant)
            for route in h.table.routes where route.method == .get && Self.isOpen(route) && !route.pattern.contains("{id}") {
                let month =
                    ["/admin/api/billing", "/admin/api/billing/statement", "/admin/api/billing/invoice"].contains(route.pattern)
                    ? "?month=2026-11" : ""
                let answer = try await h.get(route.pattern + month, token: token)
                #expect(answer.status == 200, "\(route.pattern): \(answer.text)")
                for word in other.words { #expect(!answer.text.contains(word), "\(route.pattern) tells \(word)") }
                // A filter that names another's is as one that names nobody's.
                for shape in route.docs?.query ?? [] {
                    let ids = Self.tried(at: shape.kind.references.first, of: other)
                    for id in ids where !["limit", "cursor", "sort"].contains(shape.name) {
                        func ask(_ id: String) async throws -> String {
                            Self.told(try await h.get("\(route.pattern)?\(shape.name)=\(id)", token: token), about: id)
                        }
                        #expect(try await ask(id) == (try await ask(Self.nobody(id))), "\(route.pattern)?\(shape.name)=\(id)")
                    }
                }
            }
            let names = try await h.get("/admin/api/names?ids=\(other.ids.values.joined(separator: ","))", token: token)
            #expect(names.json["items"] == [])
            #expect(try await h.get("/admin/api/names?ids=\(mine.tenant)", token: token).json["items"]?.arrayValue?.count == 1)
        }
    }

    @Test("nothing is made or changed that names another tenant's things", arguments: TestDatabases.all)
    func references(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let other = try await Household(h, "Otherone", did: Household.dids[0])
            let mine = try await Household(h, "Mine", did: Household.dids[1])
            let token = try await h.token(.owner, of: mine.tenant)
            var tried = 0
            for (path, body) in mine.bodies {
                for member in body.members {
                    guard let own = member.value.stringValue, let foreign = other.ids[own.prefix { $0 != "_" } + "_"] else { continue }
                    func ask(_ id: String) async throws -> String {
                        var changed = body
                        changed[member.name] = .string(id)
                        return Self.told(try await h.send(.post, path, .object(changed), token: token), about: id)
                    }
                    let answer = try await ask(foreign)
                    #expect(answer.hasPrefix("4"), "\(path) with another's \(member.name): \(answer)")
                    #expect(answer == (try await ask(Self.nobody(foreign))), "\(path) with another's \(member.name)")
                    tried += 1
                }
            }
            #expect(tried >= 10)
            for (path, name) in [("apps/\(mine.ids["app_"] ?? "")", "owner_id"), ("dids/\(mine.ids["did_"] ?? "")", "user_id")] {
                func ask(_ id: String) async throws -> String {
                    let answer = try await h.send(.patch, "/admin/api/\(path)", [name: .string(id)], token: token, ifMatch: "*")
                    return Self.told(answer, about: id)
                }
                let foreign = try #require(other.ids["usr_"])
                let answer = try await ask(foreign)
                #expect(answer.hasPrefix("4"), "\(path): \(answer)")
                #expect(answer == (try await ask(Self.nobody(foreign))), "\(path)")
            }
        }
    }

    @Test("they make, change and delete what is their tenant's, and need not name it", arguments: TestDatabases.all)
    func own(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let mine = try await Household(h, "Mine", did: Household.dids[1])
            let token = try await h.token(.owner, of: mine.tenant)
            for path in mine.bodies.keys.sorted() {
                var body = try #require(mine.bodies[path])
                if ["/admin/api/users", "/admin/api/tokens", "/admin/api/people", "/admin/api/group-roles", "/admin/api/webhooks"]
                    .contains(path)
                {
                    body["tenant_id"] = nil
                }
                // A key has one signing secret.
                if path.hasSuffix("signing-secrets") {
                    let key = try await h.send(
                        .post, "/admin/api/keys", .object(try #require(mine.bodies["/admin/api/keys"])), token: token)
                    body["key_id"] = .string(key.id)
                }
                let made = try await h.send(.post, path, .object(body), token: token)
                #expect(made.status == 201, "\(path): \(made.text)")
                if made.json["tenant_id"] != nil { #expect(made.json["tenant_id"] == .string(mine.tenant), "\(path)") }
                let deleted = try await h.send(.delete, "\(path)/\(made.id)", token: token, ifMatch: "*")
                #expect(deleted.status == 204, "\(path): \(deleted.text)")
            }
            let who = try await h.get("/admin/api/whoami", token: token)
            #expect(who.json["tenant_id"] == .string(mine.tenant))
            #expect(who.json["permissions"]?.arrayValue?.contains("operate") == false)
        }
    }

    @Test("a ban of the operator's, and the tenant itself, are not theirs to lift or shut out", arguments: TestDatabases.all)
    func bans(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let mine = try await Household(h, "Mine", did: Household.dids[1])
            let token = try await h.token(.owner, of: mine.tenant)
            let ban = "/admin/api/bans/\(mine.ids["ban_"] ?? "")"
            #expect(try await h.get(ban, token: token).json["by_tenant"] == false)
            #expect(try await h.send(.delete, ban, token: token, ifMatch: "*").status == 409)
            #expect(try await h.send(.patch, ban, ["expires_at": "2027-03-01T00:00:00Z"], token: token, ifMatch: "*").status == 409)
            let itself = try await h.send(.post, "/admin/api/bans", ["subject_id": .string(mine.tenant)], token: token)
            #expect(itself.fields == ["subject_id"])
            let own = try await h.send(.post, "/admin/api/bans", ["subject_id": .string(mine.ids["usr_"] ?? "")], token: token)
            #expect(own.json["by_tenant"] == true)
            #expect(try await h.get("/admin/api/bans/\(own.id)", token: token).json["data_planes"] == [])
            #expect(try await h.send(.delete, "/admin/api/bans/\(own.id)", ifMatch: "*").status == 204)
        }
    }

    @Test("what the operator did with what is theirs they see, and not who it was", arguments: TestDatabases.all)
    func audit(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let mine = try await Household(h, "Mine", did: Household.dids[1])
            let token = try await h.token(.auditor, of: mine.tenant)
            let owner = try await h.token(.owner, of: mine.tenant)
            let project = "/admin/api/projects/\(mine.ids["prj_"] ?? "")"
            #expect(try await h.send(.patch, project, ["name": "renamed"], token: owner, ifMatch: "*").status == 200)
            #expect(try await h.send(.delete, project, token: owner, ifMatch: "\"1\"").status == 412)
            let entries = try await h.get("/admin/api/audit?limit=100", token: token).json["items"]?.arrayValue ?? []
            let theirs = entries.first { $0["action"] == "project.update" }
            #expect(theirs?["actor"]?["name"]?.stringValue?.hasPrefix("owner") == true)
            #expect(entries.contains { $0["action"] == "request.refuse" })
            let operators = try #require(entries.first { $0["action"] == "project.create" })
            #expect(operators["actor"] == ["id": "operator", "name": "operator", "role": "operator"])
            #expect(operators["remote_address"] == "")
            let all = try await h.get("/admin/api/audit?limit=100").json["items"]?.arrayValue ?? []
            let known = try #require(all.first { $0["action"] == "project.create" }?["actor"]?["id"]?.stringValue)
            #expect(known.hasPrefix("tok_"))
            #expect(try await h.get("/admin/api/audit?actor_id=\(known)", token: token).json["items"] == [])
        }
    }

    @Test("a model of the draft, or of another tenant, is no model to them", arguments: TestDatabases.all)
    func models(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            let token = try await h.token(.operator, of: c.tenant)
            func limited(to model: String) async throws -> ControlHarness.Answer {
                try await h.send(
                    .post, "/admin/api/keys", ["project_id": .string(c.project), "name": "k", "models": [.string(model)]], token: token)
            }
            #expect(try await limited(to: "gpt-x").fields == ["models[0]"])
            #expect(
                try await h.create("/admin/api/keys", ["project_id": .string(c.project), "name": "k", "models": ["gpt-x"]]).status == 201)
        }
    }

    @Test("which credentials a key uses is the operator's to say", arguments: TestDatabases.all)
    func credentials(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            let body: JSONValue = ["project_id": .string(c.project), "name": "k", "credential_ids": [.string(c.credential)]]
            let made = try await h.create("/admin/api/keys", body)
            let token = try await h.token(.operator, of: c.tenant)
            let refused = try await h.send(.post, "/admin/api/keys", body, token: token)
            #expect(refused.status == 400 && refused.fields == ["credential_ids"], "\(refused.text)")
            // What the operator said stays when something else is changed.
            let path = "/admin/api/keys/\(made.id)"
            let renamed = try await h.send(.patch, path, ["name": "other"], token: token, ifMatch: made.etag)
            #expect(renamed.status == 200, "\(renamed.text)")
            let changed = try await h.send(.patch, path, ["credential_ids": []], token: token, ifMatch: renamed.etag)
            #expect(changed.status == 400 && changed.fields == ["credential_ids"], "\(changed.text)")
        }
    }

    @Test("a release that knows no such tokens takes none for one of the whole deployment")
    func tokens() async throws {
        try await ControlHarness.run(on: try #require(TestDatabases.all.first)) { h in
            let tenant = try await h.create("/admin/api/tenants", ["name": "Acme"]).id
            let token = try await h.token(.owner, of: tenant)
            #expect(VirtualKeyText(parsing: token, prefix: "wadm") == nil)
            #expect(VirtualKeyText(parsing: h.token(.owner), prefix: "wadm") != nil)
            // A tenant with administrators is not deleted under them.
            #expect(try await h.send(.delete, "/admin/api/tenants/\(tenant)", ifMatch: "*").status == 409)
        }
    }
}
