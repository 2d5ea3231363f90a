import API
import Domain
import Foundation
import HTTPTypes
import Nouns
import Primitives
import Storage
import Testing

/// Walks every route that is registered: one that is added without thinking of who may call it cannot slip by.
@Suite("Authorisation of every route")
struct RouteAuthorisationTests {
    static func path(_ route: APIRoute) -> String {
        route.pattern.split(separator: "/").map { segment in
            segment.hasPrefix("{") ? "ten_aaaaaaaaaaaaaaaa" : String(segment)
        }.reduce("") { "\($0)/\($1)" }
    }

    @Test("anonymous callers and forged tokens are refused everywhere but at the probes", arguments: TestDatabases.all)
    func anonymous(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let forged = VirtualKeyText.generate(prefix: "wadm", idSuffix: "aaaaaaaaaaaaaaaa").text
            let known = h.token(.owner)
            let wrongSecret = VirtualKeyText.generate(prefix: "wadm", idSuffix: String(known.dropFirst(5).prefix(16))).text
            var open: [String] = []
            for route in h.table.routes {
                let path = Self.path(route)
                if route.access == .open || route.access == .signOn {
                    open.append(path)
                    continue
                }
                for token in [nil, "", "x", forged, wrongSecret, known + "a"] {
                    let answer = try await h.send(route.method, path, as: nil, token: token)
                    #expect(answer.status == 401, "\(route.method) \(path) with \(token ?? "no token")")
                    #expect(answer.headers[.contentType] == "application/problem+json")
                    #expect(answer.headers[.wwwAuthenticate] != nil)
                }
            }
            #expect(
                open.sorted() == [
                    "/admin/callback", "/admin/login", "/admin/logout", "/health/live", "/health/ready", "/metrics",
                ])
        }
    }

    @Test("each role is let in where its permissions say, and nowhere else")
    func roles() async throws {
        let kind = try #require(TestDatabases.all.first)
        try await ControlHarness.run(on: kind) { h in
            let tenant = try await h.create("/admin/api/tenants", ["name": "Acme"]).id
            for scope in [TenantScope.all, .tenant(tenant)] {
                for role in Role.allCases {
                    let token = scope == .all ? h.token(role) : try await h.token(role, of: tenant)
                    for route in h.table.routes {
                        guard case .admin(let permission) = route.access else { continue }
                        let answer = try await h.send(route.method, Self.path(route), token: token)
                        let words = "\(route.method) \(route.pattern) as \(role) of \(scope)"
                        if permission.roles(for: scope).contains(role) {
                            #expect(answer.status != 401 && answer.status != 403, "\(words)")
                        } else {
                            #expect(answer.status == 403, "\(words)")
                            #expect(answer.json["type"] == "urn:weir:problem:forbidden")
                        }
                        #expect(answer.status < 500, "\(words): \(answer.text)")
                    }
                }
            }
        }
    }

    @Test("no change asks for reading rights only, and a viewer can change nothing")
    func changesNeedRights() async throws {
        let kind = try #require(TestDatabases.all.first)
        try await ControlHarness.run(on: kind) { h in
            for route in h.table.routes where route.method != .get {
                guard case .admin(let permission) = route.access else { continue }
                // Checking a draft, counting whom a rollout would reach and comparing an invoice change nothing.
                if ["/validate", "/preview", "/reconcile"].contains(where: route.pattern.hasSuffix) { continue }
                // Of oneself only.
                if permission == .identify { continue }
                for scope in [TenantScope.all, .tenant("ten_aaaaaaaaaaaaaaaa")] {
                    #expect(permission.roles(for: scope).isDisjoint(with: [.viewer, .auditor]), "\(route.method) \(route.pattern)")
                }
            }
        }
    }

    @Test("no route is registered twice")
    func unique() async throws {
        let kind = try #require(TestDatabases.all.first)
        try await ControlHarness.run(on: kind) { h in
            let names = h.table.routes.map { "\($0.method) \($0.pattern)" }
            #expect(Set(names).count == names.count)
        }
    }

    @Test("an administrator's token opens nothing that asks for a virtual key, and the other way round", arguments: TestDatabases.all)
    func kindsOfTokens(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            let key = try await h.create("/admin/api/keys", ["project_id": .string(c.project), "name": "k"])
            let text = try #require(key.json["key"]?.stringValue)
            #expect(try await h.get("/admin/api/tenants", as: nil, token: text).status == 401)
            for route in h.table.routes where route.access == .virtualKey {
                #expect(try await h.send(route.method, Self.path(route), as: .owner).status == 401)
            }
        }
    }
}

@Suite("The table of what each role may do")
struct PermissionDocsTests {
    @Test("the page for operators says of every permission who has it")
    func documented() throws {
        let page = try String(contentsOf: repository.appendingPathComponent("docs/administrators.md"), encoding: .utf8)
        func words(_ roles: Set<Role>) -> String {
            if roles == Set(Role.allCases) { return "everybody" }
            return roles.isEmpty ? "nobody" : roles.map(\.rawValue).sorted().joined(separator: ", ")
        }
        let rows = page.split(separator: "\n").filter { $0.hasPrefix("| `") }.map { row in
            row.split(separator: "|").map { $0.trimmingCharacters(in: CharacterSet(charactersIn: " `")) }
        }
        for permission in Permission.allCases {
            let row = rows.first { $0.first == permission.rawValue }
            let expected = [words(permission.roles(for: .all)), words(permission.roles(for: .tenant("")))]
            #expect(row.map { Array($0.suffix(2)) } == expected, "docs/administrators.md: \(permission)")
        }
        #expect(rows.count == Permission.allCases.count)
    }

    private var repository: URL {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    }
}
