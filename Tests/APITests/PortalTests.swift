import Domain
import HTTPTypes
import Nouns
import Primitives
import Storage
import Testing

@Suite("A tenant's own pages")
struct PortalTests {
    private static let pages = ["", "/usage", "/usage?group_by=key&window=7", "/limits", "/health", "/audit", "/keys", "/keys/new"]

    /// A browser of an administrator of the first of two tenants, each with requests, a key, a budget and a limit.
    private static func signedOn(_ h: ControlHarness, _ role: Role = .owner) async throws -> (Browser, UsageRoutesTests.Customers) {
        let customers = try await UsageRoutesTests.Customers(h)
        for (index, tenant) in customers.tenants.enumerated() {
            _ = try await h.create(
                "/admin/api/budgets",
                ["tenant_id": .string(tenant), "name": .string("budget-\(index)"), "limit": "100.00", "period": "monthly"])
            _ = try await h.create(
                "/admin/api/limits",
                [
                    "tenant_id": .string(tenant), "name": .string("limit-\(index)"), "level": "tenant", "measure": "requests", "amount": 60,
                    "window_seconds": 60,
                ])
        }
        var browser = Browser(h: h)
        let answer = try await browser.signOn(token: try await h.token(role, of: customers.tenants[0]), next: "/portal")
        #expect(answer.status == 303 && answer.headers[.location] == "/portal")
        return (browser, customers)
    }

    @Test("show what is the tenant's, and nothing of another one", arguments: TestDatabases.all)
    func own(_ kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            var (browser, customers) = try await Self.signedOn(h)
            for path in Self.pages {
                let page = try await browser.send(.get, "/portal\(path)")
                #expect(page.status == 200, "\(path): \(page.text.prefix(3000))")
                #expect(page.text.contains("</html>") && !page.text.contains("{{") && page.text.utf8.count < 100_000, "\(path)")
                #expect(page.text.contains("class=\"brand\" href=\"/portal\""))
                for other in [customers.tenants[1], customers.projects[1], customers.keyIDs[1], "Globex", "budget-1", "limit-1"] {
                    #expect(!page.text.contains(other), "\(path) shows \(other)")
                }
                #expect(
                    page.headers[Browser.fields(["content-security-policy": ""]).first?.name ?? .date]?.contains("script-src 'self'")
                        == true)
            }
            let overview = try await browser.send(.get, "/portal").text
            #expect(overview.contains("Acme") && overview.contains("$7.50") && overview.contains("budget-0"))
            #expect(try await browser.send(.get, "/portal/limits").text.contains("limit-0"))
            #expect(try await browser.send(.get, "/portal/audit").text.contains("request.serve"))
            #expect(try await browser.send(.get, "/portal/").headers[.location] == "/portal")
        }
    }

    @Test(
        "are shown to an operator as the tenant's people see them: marked, unchangeable, and in the tenant's audit trail",
        arguments: TestDatabases.all)
    func looking(_ kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            var (tenantsOwn, customers) = try await Self.signedOn(h)
            let base = "/portal/of/\(customers.tenants[0])"
            var browser = Browser(h: h)
            _ = try await browser.signOn(token: try await h.token(.operator))
            for path in Self.pages where path != "/keys/new" {
                let page = try await browser.send(.get, base + path)
                #expect(page.status == 200, "\(path): \(page.text.prefix(3000))")
                #expect(
                    page.text.contains("You are looking at the pages of <a href=\"/admin/tenants/\(customers.tenants[0])\">Acme"), "\(path)"
                )
                for other in [customers.tenants[1], customers.projects[1], customers.keyIDs[1], "Globex", "budget-1", "limit-1"] {
                    #expect(!page.text.contains(other), "\(path) shows \(other)")
                }
                // Nothing leads to a form, to the operator's own downloads, or out of these pages but by name.
                for wrong in ["href=\"/portal/", "href=\"/portal\"", "/admin/api/", "/rotate", "/revoke", "/keys/new"] {
                    #expect(!page.text.replacing("href=\"\(base)", with: "").contains(wrong), "\(path): \(wrong)")
                }
            }
            #expect(try await browser.send(.get, base + "/keys/new").status == 404)
            #expect(try await browser.submit(base + "/keys/new", ["name": "x"]).status >= 400)
            #expect(try await browser.send(.get, "/portal/of/ten_aaaaaaaaaaaaaaaa").status == 404)
            #expect(try await browser.send(.get, "/portal/of/x").status == 404)
            #expect(try await browser.send(.get, "/admin/tenants/\(customers.tenants[0])").text.contains("href=\"\(base)\""))
            // The tenant reads of it, and does not learn who it was.
            let entries = try await h.get(
                "/admin/api/audit?action=tenant.look", token: try await h.token(.auditor, of: customers.tenants[0]))
            let found = entries.json["items"]?.arrayValue ?? []
            #expect(found.count == Self.pages.count - 1 && found.allSatisfy { $0["actor"]?["name"] == "operator" })
            #expect(found.contains { $0["after"]?["page"] == "/portal/limits" })
            // Its people have no such pages, not even of their own; and a role sees no more than it does there.
            #expect(try await tenantsOwn.send(.get, base).status == 403)
            var viewer = Browser(h: h)
            _ = try await viewer.signOn(token: try await h.token(.viewer))
            #expect(try await viewer.send(.get, base).status == 200)
            #expect(try await viewer.send(.get, base + "/audit").status == 403)
        }
    }

    @Test("take no other tenant's id, wherever it is put", arguments: TestDatabases.all)
    func hostile(_ kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            var (browser, customers) = try await Self.signedOn(h)
            let (theirs, key, project) = (customers.tenants[1], customers.keyIDs[1], customers.projects[1])
            for path in [
                "?tenant_id=\(theirs)", "/usage?tenant_id=\(theirs)", "/usage?group_by=tenant", "/usage?group_by=provider",
                "/limits?tenant_id=\(theirs)",
                "/keys?project_id=\(project)", "/health?tenant_id=\(theirs)", "/audit?tenant_id=\(theirs)",
            ] {
                #expect(try await browser.send(.get, "/portal\(path)").status == 400, "\(path)")
            }
            for path in ["/audit?key_id=\(key)", "/audit?resource_id=\(project)", "/audit?text=\(theirs)"] {
                let page = try await browser.send(.get, "/portal\(path)")
                #expect(page.status == 200 && page.text.contains("There is no such entry."), "\(path)")
            }
            for verb in ["rotate", "revoke"] {
                for id in [key, theirs, "key_", "..", "%2e%2e", "<script>".replacing("<", with: "%3C").replacing(">", with: "%3E")] {
                    #expect(try await browser.send(.get, "/portal/keys/\(id)/\(verb)").status >= 400, "\(verb) \(id)")
                    #expect(try await browser.submit("/portal/keys/\(id)/\(verb)", ["revision": "1"]).status >= 400, "\(verb) \(id)")
                }
            }
            #expect(try await browser.submit("/portal/keys/new", ["name": "x", "project_id": project]).status >= 400)
            #expect(try await h.get("/admin/api/keys/\(key)").json["status"] == "active")
            let all = try await h.get("/admin/api/keys?project_id=\(project)").json["items"]?.arrayValue
            #expect(all?.count == 1)
            // A name is a text, whatever stands in it.
            let name = "<img src=x onerror=alert(1)>\u{202E}"
            #expect(try await browser.submit("/portal/keys/new", ["name": name, "project_id": customers.projects[0]]).status < 500)
            #expect(try await !browser.send(.get, "/portal/keys").text.contains("<img"))
        }
    }

    @Test("let those who may make, rotate and revoke keys, and nobody else", arguments: TestDatabases.all)
    func keys(_ kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            var (browser, customers) = try await Self.signedOn(h)
            let made = try await browser.submit("/portal/keys/new", ["name": "portal-made", "project_id": customers.projects[0]])
            #expect(made.status == 200 && made.text.contains("weir_") && made.text.contains("never again"), "\(made.text.prefix(2000))")
            let id = try #require(
                try await h.get("/admin/api/keys?limit=200").json["items"]?.arrayValue?.first { $0["name"] == "portal-made" }?["id"]?
                    .stringValue)
            let rotated = try await browser.submit("/portal/keys/\(id)/rotate", ["revision": "1"])
            #expect(rotated.status == 200 && rotated.text.contains("weir_"), "\(rotated.text.prefix(2000))")
            #expect(try await browser.submit("/portal/keys/\(id)/revoke", ["revision": "1"]).status == 412)
            let revision = try await h.get("/admin/api/keys/\(id)").etag?.filter(\.isNumber) ?? ""
            #expect(try await browser.submit("/portal/keys/\(id)/revoke", ["revision": revision]).status == 303)
            #expect(try await h.get("/admin/api/keys/\(id)").json["status"] == "revoked")
            // Another site's form, or none of ours.
            #expect(try await browser.send(.post, "/portal/keys/new", form: "name=x&csrf_token=wrong").status == 403)

            var viewer = Browser(h: h)
            _ = try await viewer.signOn(token: try await h.token(.viewer, of: customers.tenants[0]), next: "/portal/keys")
            let list = try await viewer.send(.get, "/portal/keys")
            #expect(list.status == 200 && !list.text.contains("/portal/keys/new") && !list.text.contains("/rotate"))
            #expect(try await viewer.submit("/portal/keys/new", ["name": "y", "project_id": customers.projects[0]]).status == 403)
            #expect(try await viewer.send(.get, "/portal/audit").status == 403)
            // Nobody in particular, and nobody at all.
            var everywhere = Browser(h: h)
            _ = try await everywhere.signOn(token: h.token(.owner))
            let refused = try await everywhere.send(.get, "/portal")
            #expect(refused.status == 403 && refused.text.contains("/admin"))
            var nobody = Browser(h: h)
            #expect(try await nobody.send(.get, "/portal/keys").headers[.location] == "/admin/sign-in?next=%2Fportal%2Fkeys")
        }
    }
}
