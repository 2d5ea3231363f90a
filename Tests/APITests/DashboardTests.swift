import API
import Domain
import Foundation
import HTTPTypes
import Nouns
import Primitives
import Storage
import Testing

@testable import Dashboard

@Suite("The console")
struct DashboardTests {
    private static let database = TestDatabases.all.prefix(1)

    /// Every link of the navigation.
    private static func links(_ page: String) -> [String] {
        page.components(of: "<li><a href=\"").dropFirst().map { String($0.prefix { $0 != "\"" }) }
    }

    /// The value of a hidden field.
    private static func hidden(_ name: String, _ page: String) -> String? {
        page.components(of: "name=\"\(name)\" value=\"").dropFirst().first.map { String($0.prefix { $0 != "\"" }) }
    }

    @Test("nobody sees a page without signing on, and comes back to it after", arguments: TestDatabases.all)
    func signingOn(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            var browser = Browser(h: h)
            let away = try await browser.send(.get, "/admin/keys?sort=name")
            #expect(away.status == 303 && away.headers[.location] == "/admin/sign-in?next=%2Fadmin%2Fkeys%3Fsort%3Dname")
            #expect(try await browser.send(.get, "/admin/").headers[.location] == "/admin")
            let wrong = try await browser.signOn(token: "wadm_nothing")
            #expect(wrong.status == 403 && wrong.text.contains("The token is not valid") && browser.cookies.isEmpty)
            for elsewhere in ["//evil.example", "https://evil.example", "/admin/../x", "/admin/api/whoami", "/admin/%5C", "/adminx"] {
                var other = Browser(h: h)
                let answer = try await other.signOn(token: h.token(.viewer), next: elsewhere)
                let location = answer.headers[.location] ?? ""
                #expect(
                    location == "/admin" || location.hasPrefix("/admin/") && !location.hasPrefix("/admin/api"), "\(elsewhere): \(location)")
            }
            let answer = try await browser.signOn(token: h.token(.owner), next: "/admin/keys")
            #expect(answer.status == 303 && answer.headers[.location] == "/admin/keys")
            let page = try await browser.send(.get, "/admin/keys")
            #expect(page.status == 200 && page.text.contains("Signed on as <strong>owner</strong>"))
            #expect(page.headers[.contentType] == "text/html; charset=utf-8")
            // The session ends with the token, at once.
            let viewer = try await h.create("/admin/api/tokens", ["name": "of a browser", "role": "viewer"])
            var other = Browser(h: h)
            _ = try await other.signOn(token: viewer.json["token"]?.stringValue ?? "")
            #expect(try await other.send(.get, "/admin/keys").status == 200)
            #expect(try await h.send(.delete, "/admin/api/tokens/\(viewer.id)", ifMatch: "*").status == 204)
            #expect(try await other.send(.get, "/admin/keys").status == 303)
        }
    }

    @Test("every page of the navigation opens, for each role that it is shown to", arguments: database)
    func pages(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            var seen: [Role: Set<String>] = [:]
            for role in Role.allCases {
                var browser = Browser(h: h)
                _ = try await browser.signOn(token: h.token(role))
                let links = Self.links(try await browser.send(.get, "/admin").text)
                seen[role] = Set(links)
                for link in links {
                    let page = try await browser.send(.get, link)
                    #expect(page.status == 200, "\(role) \(link): \(page.text.prefix(2000))")
                    #expect(page.text.utf8.count < 100_000, "\(link)")
                    #expect(page.text.contains("</html>") && !page.text.contains("{{"))
                }
            }
            #expect(seen[.owner]?.isSuperset(of: ["/admin", "/admin/tenants", "/admin/config", "/admin/billing", "/admin/audit"]) == true)
            #expect(seen[.viewer]?.contains("/admin/audit") == false)
            // One tenant's administrator is shown what is that tenant's.
            var browser = Browser(h: h)
            _ = try await browser.signOn(token: try await h.token(.owner, of: c.tenant))
            let links = Self.links(try await browser.send(.get, "/admin").text)
            #expect(!links.contains("/admin/providers") && links.contains("/admin/keys"))
            for link in links { #expect(try await browser.send(.get, link).status == 200, "\(link)") }
            #expect(try await browser.send(.get, "/admin/providers").status == 403)
            // Each thing that there is has a page, and a form.
            var owner = Browser(h: h)
            _ = try await owner.signOn(token: h.token(.owner))
            for path in c.paths {
                let page = path.replacing("/admin/api", with: "/admin")
                for suffix in ["", "/edit"] {
                    let answer = try await owner.send(.get, page + suffix)
                    #expect(answer.status == 200, "\(page)\(suffix): \(answer.text.prefix(500))")
                }
            }
        }
    }

    @Test("each page that no noun's declaration makes is one that is tried in a browser", arguments: database)
    func known(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .appendingPathComponent("Clients/console_pages.txt")
            let listed = try String(contentsOf: file, encoding: .utf8).split(separator: "\n").map(String.init)
            // Neither pages nor made by hand: what others load, what leads elsewhere, and what console_test.py derives from the API's description.
            let others = ["/admin/assets/", "/admin/api/", "/admin/login", "/admin/callback"]
            let nouns = NounPages.subjects.flatMap { subject in
                let verbs = ["rotate", "rotate-secret", "revoke", "promote", "abort", "resolve", "test", "toggle", "edit", "delete"]
                return ["", "/export.csv", "/new", "/{id}"].map { subject.page + $0 } + verbs.map { "\(subject.page)/{id}/\($0)" }
            }
            let pages = h.routes.routes.filter { $0.method == .get }.map(\.pattern).filter { pattern in
                ["/admin", "/portal", "/docs"].contains { pattern == $0 || pattern.hasPrefix($0 + "/") } && !pattern.hasSuffix("/")
                    && !pattern.hasSuffix("/live") && !nouns.contains(pattern) && !others.contains { pattern.hasPrefix($0) }
            }
            #expect(Set(pages) == Set(listed), "Tests/Clients/console_pages.txt lists them, and console_test.py says where they are")
        }
    }

    @Test("a page's own sorting is one order, also of what is a number here and a word there")
    func sorting() {
        let sorting = Sorting(columns: [("user", .name)], standard: "")
        let words = ["1a", "10", "9", "b", "A"]
        func users(_ order: String, _ start: Int) -> [String?] {
            let turned = words[start...] + words[..<start]
            return sorting.sorted(turned.map { ["user": .string($0)] } + [["user": .null]], by: order).map { $0["user"]?.stringValue }
        }
        for start in words.indices {
            #expect(users("user", start) == ["9", "10", "1a", "A", "b", nil])
            #expect(users("-user", start) == ["b", "A", "1a", "10", "9", nil])
        }
    }

    @Test("things are made, changed and deleted by forms, and two who edit one learn of each other", arguments: TestDatabases.all)
    func forms(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            var browser = Browser(h: h)
            _ = try await browser.signOn(token: h.token(.owner))
            #expect(try await browser.send(.get, "/admin/tenants/new").text.contains("name=\"name\""))
            let name = "Acme <script>alert(1)</script> & \"Söhne\""
            let made = try await browser.submit("/admin/tenants/new", ["name": name])
            let place = try #require(made.headers[.location])
            #expect(made.status == 303 && place.hasPrefix("/admin/tenants/"))
            let shown = try await browser.send(.get, place)
            #expect(shown.text.contains("Acme &lt;script&gt;") && !shown.text.contains("<script>alert"))
            let first = try #require(Self.hidden("revision", try await browser.send(.get, "\(place)/edit").text))
            #expect(try await browser.submit("\(place)/edit", ["name": "Acme", "revision": first]).status == 303)
            let late = try await browser.submit("\(place)/edit", ["name": "Acme & Sons", "revision": first])
            #expect(late.status == 412 && late.text.contains("value=\"Acme &amp; Sons\"") && late.text.contains("As it is now"))
            let second = try #require(Self.hidden("revision", late.text))
            #expect(second != first)
            #expect(try await browser.submit("\(place)/edit", ["name": "Acme & Sons", "revision": second]).status == 303)
            let bad = try await browser.submit("/admin/tenants/new", ["name": ""])
            #expect(bad.status == 400 && bad.text.contains("aria-invalid=\"true\""))
            // Without the page's token nothing happens.
            let token = browser.token
            browser.token = "wrong"
            #expect(try await browser.submit("/admin/tenants/new", ["name": "forged"]).status == 403)
            browser.token = token
            #expect(try await h.get("/admin/api/tenants").json["items"]?.arrayValue?.count == 1)

            let tenant = String(place.split(separator: "/").last ?? "")
            let project = try await browser.submit("/admin/projects/new", ["name": "Chat", "tenant_id": tenant])
            let projectID = String(project.headers[.location]?.split(separator: "/").last ?? "")
            let key = try await browser.submit(
                "/admin/keys/new", ["name": "k", "project_id": projectID, "models": "all", "tags": "team=search\r\nenv=prod"])
            #expect(key.status == 200 && key.text.contains("value=\"weir_"), "\(key.text)")
            let keyID = try #require((try await h.get("/admin/api/keys").json["items"]?.arrayValue ?? []).first?["id"]?.stringValue)
            let stored = try await h.get("/admin/api/keys/\(keyID)").json
            #expect(stored["tags"] == ["env": "prod", "team": "search"] && stored["models"] == "all")
            let asked = try await browser.send(.get, "/admin/keys/\(keyID)/revoke")
            let revision = try #require(Self.hidden("revision", asked.text))
            #expect(try await browser.submit("/admin/keys/\(keyID)/revoke", ["revision": revision]).status == 303)
            #expect(try await h.get("/admin/api/keys/\(keyID)").json["status"] == "revoked")
            // What others depend on is not deleted, and the page says why.
            let standing = try #require(Self.hidden("revision", try await browser.send(.get, "\(place)/delete").text))
            let refused = try await browser.submit("\(place)/delete", ["revision": standing])
            #expect(refused.status == 409 && refused.text.contains("role=\"alert\""))
            let audit = try await browser.send(.get, "/admin/audit?resource_id=\(keyID)")
            #expect(audit.text.contains("key.revoke") && audit.text.contains("key.create"))
            #expect(try await browser.send(.get, "/admin/keys/export.csv").text.contains(keyID))
        }
    }

    @Test("a list that is put in rows of a form comes back as it was", arguments: database)
    func rows(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            var browser = Browser(h: h)
            _ = try await browser.signOn(token: h.token(.owner))
            let page = try await browser.send(.get, "/admin/routes/\(c.route)/edit")
            let before = try await h.get("/admin/api/routes/\(c.route)").json["targets"]?.arrayValue ?? []
            let target = try #require(before.first)
            #expect(page.text.contains("name=\"targets.0.endpoint_id\""))
            let answer = try await browser.submit(
                "/admin/routes/\(c.route)/edit",
                [
                    "revision": try #require(Self.hidden("revision", page.text)),
                    "targets.0.endpoint_id": target["endpoint_id"]?.stringValue ?? "",
                    "targets.0.weight": "7", "targets.1.endpoint_id": "", "targets.1.weight": "",
                ])
            #expect(answer.status == 303, "\(answer.text)")
            let after = try await h.get("/admin/api/routes/\(c.route)").json["targets"]?.arrayValue ?? []
            #expect(after.count == 1 && after.first?["weight"] == 7)
        }
    }

    @Test("the draft is published and a rollout is made of it", arguments: database)
    func publishing(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            _ = try await Catalogue(h)
            var browser = Browser(h: h)
            _ = try await browser.signOn(token: h.token(.owner))
            #expect(try await browser.send(.get, "/admin/config").text.contains("/admin/config/publish"))
            let form = try await browser.send(.get, "/admin/config/publish")
            let answer = try await browser.submit(
                "/admin/config/publish", ["note": "the first", "revision": try #require(Self.hidden("revision", form.text))])
            #expect(answer.headers[.location] == "/admin/rollouts/new?version=1", "\(answer.text)")
            let rollout = try await browser.submit("/admin/rollouts/new", ["version": "1", "percentage": "100"])
            #expect(rollout.status == 303, "\(rollout.text)")
            #expect(try await h.get("/admin/api/rollouts/status").json["candidate"] != nil)
        }
    }

    @Test("adding a model goes on from a candidate that was not promoted, and says which one is in the way", arguments: database)
    func unpromoted(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            var browser = Browser(h: h)
            _ = try await browser.signOn(token: h.token(.owner))
            let entered = [
                "provider.name": "P", "provider.base_url": "https://api.example.com/v1", "model": "gpt-new",
                "reach": "candidate", "percentage": "100",
            ]
            let candidate = try await browser.submit("/admin/add-model", entered)
            #expect(candidate.status == 200, "\(candidate.text.suffix(3000))")
            let standing = try await h.get("/admin/api/rollouts/status").json
            let (rollout, version) = (standing["candidate"]?["id"]?.stringValue ?? "", standing["candidate"]?["version"]?.intValue ?? 0)
            func id(_ path: String) async throws -> String {
                try await h.get("/admin/api/\(path)").json["items"]?[0]?["id"]?.stringValue ?? ""
            }
            var made = entered
            for step in ["provider", "endpoint", "model", "route"] { made["made.\(step)"] = try await id(step + "s") }
            // Of another version: it stops, and leads there.
            made["made.version"] = String(version + 1)
            let stopped = try await browser.submit("/admin/add-model", made.merging(["reach": "all"]) { $1 })
            #expect(stopped.status == 409 && stopped.text.contains("href=\"/admin/rollouts/\(rollout)\""), "\(stopped.text.suffix(3000))")
            // Of this one: it is promoted, and no second rollout is begun. Once more changes nothing.
            made["made.version"] = String(version)
            for _ in 0..<2 {
                let done = try await browser.submit("/admin/add-model", made.merging(["reach": "all", "go": "on"]) { $1 })
                #expect(done.status == 200, "\(done.text.suffix(3000))")
            }
            let after = try await h.get("/admin/api/rollouts/status").json
            #expect(after["candidate"] == .null && after["baseline_version"]?.intValue == version)
            #expect(try await h.get("/admin/api/rollouts").json["items"]?.arrayValue?.count == 1)
        }
    }

    @Test("adding a model on this machine says so: without that the endpoint's step stops, and goes on with it", arguments: database)
    func insideModel(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            var browser = Browser(h: h)
            _ = try await browser.signOn(token: h.token(.owner))
            var entered = ["provider.name": "P", "provider.base_url": "http://127.0.0.1:9100/v1", "model": "local", "reach": "draft"]
            let stopped = try await browser.submit("/admin/add-model", entered)
            #expect(stopped.status == 409 && stopped.text.contains("Set private_addresses to true"), "\(stopped.text.suffix(3000))")
            entered["made.provider"] = try await h.get("/admin/api/providers").json["items"]?[0]?["id"]?.stringValue
            entered["provider.private_addresses"] = "true"
            let done = try await browser.submit("/admin/add-model", entered)
            #expect(done.status == 200, "\(done.text.suffix(3000))")
            #expect(try await h.get("/admin/api/endpoints").json["items"]?[0]?["private_addresses"] == true)
        }
    }

    @Test("the API is documented for who has no session, route by route", arguments: database)
    func docs(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            var browser = Browser(h: h)
            let page = try await browser.send(.get, "/docs")
            #expect(page.status == 200 && page.text.contains("</html>"))
            for route in h.table.routes where route.docs != nil {
                #expect(page.text.contains("<code>\(route.method.rawValue) \(route.pattern)</code>"), "\(route.pattern)")
            }
            #expect(try await browser.send(.get, "/docs/").headers[.location] == "/docs")
        }
    }

    @Test("a form with a file is read as it is sent, and what is broken off is none")
    func multipart() {
        let type = "multipart/form-data; boundary=\"--x\""
        func part(_ name: String, _ content: String, file: Bool = false) -> String {
            let more = file ? "; filename=\"a;b.json\"\r\nContent-Type: application/json" : ""
            return "----x\r\nContent-Disposition: form-data; name=\"\(name)\"\(more)\r\n\r\n\(content)\r\n"
        }
        let body = part("a", "1") + part("file", "{\"x\":\r\n1}", file: true) + part("a", "2") + part("empty", "") + "----x--\r\n"
        #expect(MultipartForm.parse(Array(body.utf8), contentType: type) == ["a": "1", "file": "{\"x\":\r\n1}", "empty": ""])
        for cut in 1..<body.utf8.count - 3 {
            #expect(MultipartForm.parse(Array(body.utf8.prefix(cut)), contentType: type) == nil, "\(cut)")
        }
        #expect(MultipartForm.parse(Array(body.utf8), contentType: "multipart/form-data") == nil)
        #expect(MultipartForm.parse(Array(body.utf8), contentType: "text/plain; boundary=\"--x\"") == nil)
        #expect(MultipartForm.parse(Array(body.utf8), contentType: "multipart/form-data; boundary=other") == nil)
        // Every line of what is sent is data: none begins a field or another event.
        #expect(LivePages.event("a\r\nevent: x\n\nb") == Array("data: a\ndata: event: x\ndata: \ndata: b\n\n".utf8))
    }

    @Test("every template is one")
    func templates() { #expect(Set(Templates.compiled.keys) == Set(Templates.all.keys)) }

    @Test("amounts, numbers and times are written for people")
    func values() {
        #expect(Rendering.dollars("1234567.5") == "$1\u{202F}234\u{202F}567.50")
        #expect(Rendering.dollars("-0.000000001") == "−$0.000000001")
        #expect(Rendering.dollars("2.500000000") == "$2.50")
        #expect(Rendering.grouped(-1234) == "−1\u{202F}234")
        #expect(Rendering.time("2026-11-26T04:05:06.123Z") == "2026-11-26 04:05:06 UTC")
        #expect(Rendering.label("payment_valid_until") == "Payment valid until")
        let row: JSONValue = ["a": "=1+1", "b": "a,\"b\"", "c": "-5", "d": ["x": 1, "y": "z"]]
        let line = UsageFormat.csv.lines([row], columns: ["a", "b", "c", "d"], withTitles: false)
        #expect(String(decoding: line, as: UTF8.self) == "'=1+1,\"a,\"\"b\"\"\",-5,\"{\"\"x\"\":1,\"\"y\"\":\"\"z\"\"}\"\r\n")
        #expect(FormBody.parse(Array("a=1+2&b=%C3%A9&c&a=3&%zz=%".utf8)) == ["a": "3", "b": "é", "c": "", "%zz": "%"])
    }
}

extension String {
    fileprivate func components(of separator: String) -> [Substring] {
        var (parts, rest): ([Substring], Substring) = ([], self[...])
        while let range = rest.firstRange(of: separator) {
            parts.append(rest[..<range.lowerBound])
            rest = rest[range.upperBound...]
        }
        return parts + [rest]
    }
}
