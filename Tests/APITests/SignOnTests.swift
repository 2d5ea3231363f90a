import API
import Domain
import Foundation
import HTTPTypes
import Nouns
import Primitives
import Storage
import Synchronization
import Telemetry
import Testing

/// Signs on whoever is set; its codes are good for the attempt that they were given for.
private final class SetIdentity: IdentityProvider {
    private let state = Mutex((identity: VerifiedIdentity?.none, attempts: [String: SignOnAttempt]()))

    init(_ identity: VerifiedIdentity? = nil) { state.withLock { $0.identity = identity } }

    func set(_ subject: String, email: String? = nil, groups: [String] = []) {
        state.withLock {
            $0.identity = VerifiedIdentity(
                issuer: "https://login.example", subject: subject, name: "\(subject) <b>", email: email, groups: groups)
        }
    }

    func authorization(_ attempt: SignOnAttempt, redirect: String) async throws(SignOnRefusal) -> String {
        state.withLock { $0.attempts[attempt.state] = attempt }
        return "https://login.example/authorize?state=\(attempt.state)"
    }

    func identity(code: String, _ attempt: SignOnAttempt, redirect: String) async throws(SignOnRefusal) -> VerifiedIdentity {
        let (identity, begun) = state.withLock { ($0.identity, $0.attempts[attempt.state]) }
        guard code == "good", let identity, begun == attempt else { throw SignOnRefusal(.provider, "a bad code") }
        return identity
    }
}

@Suite("Signing on")
struct SignOnTests {
    @Test("a person who was invited signs on, changes what the role allows, and signs off", arguments: TestDatabases.all)
    func invited(kind: TestDatabase) async throws {
        let provider = SetIdentity()
        try await ControlHarness.run(on: kind, identities: provider) { h in
            let person = try await h.create("/admin/api/people", ["email": "Ada@example.org", "role": "operator"]).id
            provider.set("ada", email: "ada@example.org")
            var browser = Browser(h: h)
            let callback = try await browser.signOn()
            #expect(callback.status == 303 && callback.headers[.location] == "/admin")
            let cookie = try #require(callback.headers[values: .setCookie].first { $0.hasPrefix("weir_session=") })
            #expect(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Lax") && !cookie.contains("Secure"))
            #expect(browser.cookies.keys.sorted() == ["weir_session"])
            #expect(try await browser.who["id"] == .string(person))
            #expect(try await browser.who["role"] == "operator")
            #expect(try await browser.change(.post, "/admin/api/tenants", ["name": "Acme"]).status == 201)
            #expect(try await browser.change(.post, "/admin/api/tokens", ["name": "x", "role": "owner"]).status == 403)
            let shown = try await h.get("/admin/api/people/\(person)")
            #expect(shown.json["subject"] == "ada" && shown.json["last_sign_in_at"] != .null)
            let page = try await browser.send(.get, "/admin")
            #expect(page.text.contains("operator") && page.text.contains(browser.token ?? "none"))
            let actions = try await h.get("/admin/api/audit?actor_id=\(person)").json["items"]?.arrayValue?.compactMap {
                $0["action"]?.stringValue
            }
            #expect(actions?.contains("person.sign_on") == true && actions?.contains("tenant.create") == true)
            let stolen = browser
            #expect(try await browser.send(.post, "/admin/logout", form: "csrf_token=\(browser.token ?? "")").status == 303)
            #expect(browser.cookies.isEmpty)
            var thief = stolen
            #expect(try await thief.who == 401)
            // What is stored opens nothing.
            let digests = try await h.database.read { c in try c.query("SELECT sha256 FROM admin_sessions").count }
            #expect(digests == 0)
            #expect(!h.log.lines.joined().contains(stolen.cookies["weir_session"] ?? "none"))
        }
    }

    @Test("a change with a cookie needs the page's token, and comes from no other site", arguments: TestDatabases.all)
    func forgery(kind: TestDatabase) async throws {
        let provider = SetIdentity()
        try await ControlHarness.run(on: kind, identities: provider) { h in
            _ = try await h.create("/admin/api/people", ["email": "ada@example.org", "role": "owner"])
            provider.set("ada", email: "ada@example.org")
            var browser = Browser(h: h)
            _ = try await browser.signOn()
            let token = try #require(browser.token)
            for headers in [
                [:], ["x-csrf-token": ""], ["x-csrf-token": token + "0"], ["x-csrf-token": token, "origin": "https://evil.example"],
                ["x-csrf-token": token, "origin": "null"], ["x-csrf-token": token, "sec-fetch-site": "cross-site"],
                ["x-csrf-token": token, "sec-fetch-site": "same-site"],
            ] {
                let answer = try await browser.send(.post, "/admin/api/tenants", ["name": "Acme"], headers: Browser.fields(headers))
                #expect(answer.status == 403, "\(headers)")
            }
            let good = Browser.fields(["x-csrf-token": token, "origin": "http://127.0.0.1:7080", "sec-fetch-site": "same-origin"])
            #expect(try await browser.send(.post, "/admin/api/tenants", ["name": "Acme"], headers: good).status == 201)
            #expect(try await browser.send(.post, "/admin/logout").status == 403)
            #expect(try await browser.send(.post, "/admin/logout", form: "csrf_token=x").status == 403)
            // Two cookies of one name: somebody else has set one.
            let two = Browser.fields(["cookie": "weir_session=a; weir_session=\(browser.cookies["weir_session"] ?? "")"])
            #expect(try await h.send(.get, "/admin/api/whoami", as: nil, headers: two).status == 401)
        }
    }

    @Test("a sign-on that another browser began, that is old, or that the provider refuses, is none", arguments: TestDatabases.all)
    func attempts(kind: TestDatabase) async throws {
        let provider = SetIdentity()
        try await ControlHarness.run(on: kind, identities: provider) { h in
            provider.set("ada", email: "ada@example.org")
            var browser = Browser(h: h)
            // Known, and without a role.
            #expect(try await browser.signOn().status == 403)
            _ = try await h.create("/admin/api/people", ["email": "ada@example.org", "role": "viewer"])
            #expect(try await browser.signOn(code: "bad").status == 502)
            var other = Browser(h: h)
            let login = try await browser.send(.get, "/admin/login")
            let state = login.headers[.location]?.split(separator: "=").last.map(String.init) ?? ""
            #expect(try await other.send(.get, "/admin/callback?code=good&state=\(state)").status == 400)
            #expect(try await browser.send(.get, "/admin/callback?code=good&state=\(state)x").status == 400)
            // The attempt is over with the first answer.
            #expect(try await browser.send(.get, "/admin/callback?code=good&state=\(state)").status == 400)
            _ = try await browser.send(.get, "/admin/login")
            h.clock.advance(milliseconds: 601_000)
            #expect(try await browser.signOn().status == 303)
            let refused = try await browser.send(.get, "/admin/login")
            let again = refused.headers[.location]?.split(separator: "=").last.map(String.init) ?? ""
            #expect(try await browser.send(.get, "/admin/callback?error=access_denied&state=\(again)").status == 403)
            #expect(try await h.send(.get, "/admin/callback?code=good&state=x", as: nil).status == 400)
        }
    }

    @Test("a session ends by disuse, by age, and with its person's role, status or being there", arguments: TestDatabases.all)
    func ends(kind: TestDatabase) async throws {
        let provider = SetIdentity()
        try await ControlHarness.run(on: kind, identities: provider) { h in
            let person = try await h.create("/admin/api/people", ["email": "ada@example.org", "role": "operator"]).id
            provider.set("ada", email: "ada@example.org")
            var browser = Browser(h: h)
            func signedOn() async throws -> Bool {
                var copy = browser
                return try await copy.who["id"] == .string(person)
            }
            _ = try await browser.signOn()
            h.clock.advance(milliseconds: 29 * 60_000)
            #expect(try await signedOn())
            h.clock.advance(milliseconds: 29 * 60_000)
            #expect(try await signedOn())
            h.clock.advance(milliseconds: 30 * 60_000)
            #expect(try await !signedOn())
            _ = try await browser.signOn()
            for _ in 0..<35 {
                h.clock.advance(milliseconds: 20 * 60_000)
                #expect(try await signedOn())
            }
            h.clock.advance(milliseconds: 20 * 60_000)
            #expect(try await !signedOn())
            let path = "/admin/api/people/\(person)"
            for change: JSONValue in [["role": "viewer"], ["status": "disabled"]] {
                _ = try await browser.signOn()
                #expect(try await signedOn())
                #expect(try await h.send(.patch, path, change, ifMatch: "*").status == 200)
                #expect(try await !signedOn(), "\(change.text)")
            }
            // Who is disabled does not sign on.
            #expect(try await browser.signOn().status == 403)
            #expect(try await h.send(.patch, path, ["status": "active"], ifMatch: "*").status == 200)
            _ = try await browser.signOn()
            #expect(try await h.send(.patch, path, ["name": "Ada"], ifMatch: "*").status == 200)
            #expect(try await signedOn())
            #expect(try await h.send(.delete, path, ifMatch: "*").status == 204)
            #expect(try await !signedOn())
            #expect(try await browser.signOn().status == 403)
        }
    }

    @Test("groups make people, give them their roles, and take them again", arguments: TestDatabases.all)
    func groups(kind: TestDatabase) async throws {
        let provider = SetIdentity()
        try await ControlHarness.run(on: kind, identities: provider) { h in
            let tenant = try await h.create("/admin/api/tenants", ["name": "Acme"]).id
            _ = try await h.create("/admin/api/group-roles", ["group": "platform", "role": "operator"])
            _ = try await h.create("/admin/api/group-roles", ["group": "staff", "role": "viewer"])
            let acme = try await h.create("/admin/api/group-roles", ["group": "acme", "role": "owner", "tenant_id": .string(tenant)]).id
            var browser = Browser(h: h)
            provider.set("ada", email: "ada@example.org", groups: ["staff", "platform", "others"])
            #expect(try await browser.signOn().status == 303)
            #expect(try await browser.who["role"] == "operator")
            #expect(try await browser.who["tenant_id"] == .null)
            provider.set("ada", email: "ada@example.org", groups: ["staff"])
            var second = Browser(h: h)
            _ = try await second.signOn()
            #expect(try await second.who["role"] == "viewer")
            // The other session had another role.
            #expect(try await browser.who == 401)
            provider.set("ada", groups: ["acme"])
            _ = try await browser.signOn()
            #expect(try await browser.who["tenant_id"] == .string(tenant))
            #expect(try await second.who == 401)
            #expect(try await browser.send(.get, "/admin/api/config/draft").status == 403)
            #expect(try await h.send(.delete, "/admin/api/group-roles/\(acme)", ifMatch: "*").status == 204)
            #expect(try await browser.who == 401)
            #expect(try await browser.signOn().status == 403)
            #expect(try await h.get("/admin/api/people").json["items"] == [])
            // A role that was given by hand is not the groups' to take.
            let person = try await h.create("/admin/api/people", ["email": "ada@example.org", "role": "auditor"]).id
            provider.set("ada", email: "ada@example.org", groups: ["platform"])
            _ = try await browser.signOn()
            #expect(try await browser.who["id"] == .string(person))
            #expect(try await browser.who["role"] == "auditor")
        }
    }

    @Test("where people are made by hand only, no group makes one; an unverified address is nobody's", arguments: TestDatabases.all)
    func newcomers(kind: TestDatabase) async throws {
        let provider = SetIdentity()
        try await ControlHarness.run(on: kind, identities: provider, signOn: SignOnPolicy(newcomers: .none)) { h in
            _ = try await h.create("/admin/api/group-roles", ["group": "*", "role": "owner"])
            _ = try await h.create("/admin/api/people", ["email": "ada@example.org", "role": "viewer"])
            var browser = Browser(h: h)
            provider.set("eve", email: "eve@example.org", groups: ["platform"])
            #expect(try await browser.signOn().status == 403)
            provider.set("eve", email: nil)
            #expect(try await browser.signOn().status == 403)
            provider.set("ada", email: "ada@example.org")
            #expect(try await browser.signOn().status == 303)
            // Another identity with that address is somebody else.
            provider.set("eve", email: "ada@example.org")
            var other = Browser(h: h)
            #expect(try await other.signOn().status == 403)
        }
    }

    @Test("over TLS, cookies go over TLS and to this host only")
    func secure() async throws {
        let provider = SetIdentity()
        let policy = SignOnPolicy(origin: "https://weir.example")
        try await ControlHarness.run(on: try #require(TestDatabases.all.first), identities: provider, signOn: policy) { h in
            _ = try await h.create("/admin/api/people", ["email": "ada@example.org", "role": "viewer"])
            provider.set("ada", email: "ada@example.org")
            var browser = Browser(h: h)
            let cookie = try #require(try await browser.signOn().headers[values: .setCookie].first { $0.contains("weir_session=") })
            #expect(cookie.hasPrefix("__Host-weir_session=") && cookie.contains("; Path=/;") && cookie.hasSuffix("; Secure"))
            #expect(!cookie.contains("Domain"))
        }
    }

    @Test("a token of one's own may do what its person may at the time, and no more than it was made for", arguments: TestDatabases.all)
    func ownTokens(kind: TestDatabase) async throws {
        let provider = SetIdentity()
        try await ControlHarness.run(on: kind, identities: provider) { h in
            let person = try await h.create("/admin/api/people", ["email": "ada@example.org", "role": "operator"]).id
            provider.set("ada", email: "ada@example.org")
            var browser = Browser(h: h)
            _ = try await browser.signOn()
            let path = "/admin/api/whoami/tokens"
            let full = try await browser.change(.post, path, ["name": "cli"])
            let narrow = try await browser.change(.post, path, ["name": "dashboard", "role": "viewer"])
            #expect(full.status == 201 && narrow.status == 201)
            let tokens = try [full, narrow].map { try #require($0.json["token"]?.stringValue) }
            #expect(tokens.allSatisfy { $0.hasPrefix("wads_") })
            func makes(_ token: String, _ name: String) async throws -> Int {
                try await h.send(.post, "/admin/api/tenants", ["name": .string(name)], token: token).status
            }
            #expect(try await makes(tokens[0], "A") == 201)
            #expect(try await makes(tokens[1], "B") == 403)
            // One token makes no other.
            #expect(try await h.send(.post, path, ["name": "x"], token: tokens[0]).status == 409)
            #expect(try await h.send(.post, path, ["name": "x"]).status == 409)
            #expect(try await h.send(.patch, "/admin/api/people/\(person)", ["role": "billing"], ifMatch: "*").status == 200)
            #expect(try await makes(tokens[0], "C") == 403)
            _ = try await browser.signOn()
            #expect(try await browser.send(.get, path).json["items"]?.arrayValue?.count == 2)
            #expect(try await browser.change(.delete, "\(path)/\(narrow.id)").status == 204)
            #expect(try await h.get("/admin/api/whoami", token: tokens[1]).status == 401)
            #expect(try await h.send(.patch, "/admin/api/people/\(person)", ["status": "disabled"], ifMatch: "*").status == 200)
            #expect(try await h.get("/admin/api/whoami", token: tokens[0]).status == 401)
            #expect(try await h.send(.delete, "/admin/api/people/\(person)", ifMatch: "*").status == 204)
            #expect(try await h.get("/admin/api/tokens/\(full.id)").status == 404)
        }
    }

    @Test("the last owner whose right does not end stays: a token, or a person who has signed on", arguments: TestDatabases.all)
    func lastOwner(kind: TestDatabase) async throws {
        let provider = SetIdentity()
        try await ControlHarness.run(on: kind, identities: provider) { h in
            let tokens = try await h.get("/admin/api/tokens").json["items"]?.arrayValue ?? []
            let owner = try #require(tokens.first { $0["role"] == "owner" }?["id"]?.stringValue)
            let person = try await h.create("/admin/api/people", ["email": "ada@example.org", "role": "owner"]).id
            // Nobody knows whether an invited one will ever sign on.
            #expect(try await h.send(.delete, "/admin/api/tokens/\(owner)", ifMatch: "*").status == 409)
            provider.set("ada", email: "ada@example.org")
            var browser = Browser(h: h)
            _ = try await browser.signOn()
            #expect(try await browser.change(.delete, "/admin/api/tokens/\(owner)").status == 204)
            #expect(try await browser.change(.delete, "/admin/api/people/\(person)").status == 409)
            #expect(try await browser.change(.patch, "/admin/api/people/\(person)", ["role": "viewer"]).status == 409)
            #expect(try await browser.change(.patch, "/admin/api/people/\(person)", ["status": "disabled"]).status == 409)
            #expect(try await browser.who["role"] == "owner")
        }
    }

    @Test("an emergency's token ends, is told of, and cannot be prolonged", arguments: TestDatabases.all)
    func breakGlass(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let plaintext = Mutex("")
            let token = try await h.services.adminTokens.breakGlass(reason: "provider is down", lifetime: 3_600_000) { secret in
                plaintext.withLock { $0 = secret.reveal() }
            }
            func findings() async throws -> [String] {
                let items = try await h.get("/admin/api/status", as: .viewer).json["findings"]?.arrayValue ?? []
                return items.filter { $0["code"] == "break_glass" }.compactMap { $0["message"]?.stringValue }
            }
            #expect(try await findings().first?.contains("never used") == true)
            let secret = plaintext.withLock { $0 }
            #expect(try await h.get("/admin/api/tokens", token: secret).status == 200)
            #expect(try await findings().first?.contains("was used last") == true)
            let path = "/admin/api/tokens/\(token.id)"
            #expect(try await h.send(.patch, path, ["expires_at": nil], token: secret, ifMatch: "*").status == 400)
            let actions = try await h.get("/admin/api/audit?resource_id=\(token.id)").json["items"]?.arrayValue?.compactMap {
                $0["action"]?.stringValue
            }
            #expect(actions?.contains("token.break_glass_use") == true && actions?.contains("token.create") == true)
            h.clock.advance(milliseconds: 3_600_000)
            #expect(try await h.get("/admin/api/tokens", token: secret).status == 401)
            #expect(try await findings().count == 1)
            #expect(try await h.send(.delete, path, ifMatch: "*").status == 204)
            #expect(try await findings().isEmpty)
        }
    }
}
