import Domain
import HTTPTypes
import Primitives
import Storage
import Testing

@Suite("Lifecycle of what administrators edit")
struct NounLifecycleTests {
    @Test("each is created, read, listed, changed under its ETag, and its audit entries tell the story", arguments: TestDatabases.all)
    func lifecycle(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            for path in c.paths {
                let read = try await h.get(path)
                #expect(read.status == 200)
                let etag = try #require(read.etag)
                let collection = String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)])
                let list = try await h.get(collection)
                #expect(list.json["items"]?.arrayValue?.contains(read.json) == true)
                #expect(list.json["next_cursor"] == .null)

                let change: JSONValue = path.contains("prices") ? ["input": "3"] : ["name": "renamed"]
                #expect(try await h.send(.patch, path, change).status == 428)
                let stale = try await h.send(.patch, path, change, ifMatch: "\"999\"")
                #expect(stale.status == 412)
                #expect(stale.fields == ["If-Match"])
                #expect(try await h.send(.patch, path, change, ifMatch: "W/\(etag)").status == 412)
                h.clock.advance(milliseconds: 1000)
                let changed = try await h.send(.patch, path, change, ifMatch: etag)
                #expect(changed.status == 200, "\(path): \(changed.text)")
                #expect(changed.etag != etag)
                #expect(changed.json["updated_at"] != read.json["updated_at"])
                #expect(changed.json["created_at"] == read.json["created_at"])
                #expect(try await h.get(path).json == changed.json)
                #expect(try await h.send(.patch, path, change, ifMatch: etag).status == 412)
                #expect(try await h.send(.delete, path).status == 428)
                #expect(try await h.send(.delete, path, ifMatch: etag).status == 412)

                let audit = try await h.get("/admin/api/audit?resource_id=\(read.id)")
                let entries = try #require(audit.json["items"]?.arrayValue)
                #expect(entries.compactMap { $0["action"]?.stringValue?.split(separator: ".").last } == ["update", "create"])
                #expect(entries.first?["before"] == read.json)
                #expect(entries.first?["after"] == changed.json)
                #expect(entries.first?["actor"]?["role"] == "owner")
            }
        }
    }

    @Test("what others refer to is not deleted, and the answer names them", arguments: TestDatabases.all)
    func referrers(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            let used = [c.tenant: c.project, c.provider: c.endpoint, c.credential: c.endpoint, c.endpoint: c.route, c.model: c.route]
            for path in c.paths {
                let id = String(path.split(separator: "/").last ?? "")
                guard let referrer = used[id] else { continue }
                let answer = try await h.send(.delete, path, ifMatch: "*")
                #expect(answer.status == 409, "\(path)")
                #expect(answer.text.contains(referrer), "\(answer.text)")
            }
            // From the leaves to the roots everything goes.
            for id in [c.price, c.route, c.endpoint, c.credential, c.provider, c.model, c.project, c.tenant] {
                let path = try #require(c.paths.first { $0.hasSuffix(id) })
                #expect(try await h.send(.delete, path, ifMatch: "*").status == 204, "\(path)")
                #expect(try await h.get(path).status == 404)
                #expect(try await h.send(.delete, path, ifMatch: "*").status == 404)
            }
            // A name is free again once its owner is gone.
            #expect(try await h.post("/admin/api/tenants", ["name": "Acme"]).status == 201)
        }
    }

    @Test("names are taken once", arguments: TestDatabases.all)
    func uniqueness(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            let seconds: [(String, JSONValue)] = [
                ("/admin/api/tenants", ["name": "Acme"]), ("/admin/api/projects", ["tenant_id": .string(c.tenant), "name": "Chatbot"]),
                ("/admin/api/providers", ["name": "openai", "base_url": "https://b.example"]),
                ("/admin/api/endpoints", ["provider_id": .string(c.provider), "name": "openai-1"]),
                ("/admin/api/models", ["name": "gpt-x", "capabilities": ["chat"]]),
                ("/admin/api/credentials", ["provider_id": .string(c.provider), "name": "main", "secret": "another-secret"]),
                (
                    "/admin/api/routes",
                    [
                        "model_id": .string(c.model), "name": "gpt-x", "disabled": true, "targets": [["endpoint_id": .string(c.endpoint)]],
                    ]
                ),
                ("/admin/api/tokens", ["name": "viewer", "role": "viewer"]),
            ]
            for (path, body) in seconds {
                let answer = try await h.post(path, body)
                #expect(answer.status == 409, "\(path): \(answer.text)")
                #expect(answer.fields == ["name"], "\(path)")
            }
            let price = try await h.post("/admin/api/prices", ["model_id": .string(c.model), "input": "1", "output": "1"])
            #expect(price.status == 409)
            #expect(price.fields == ["effective_from"])
            // Another tenant may call its project the same.
            let other = try await h.create("/admin/api/tenants", ["name": "Other"])
            #expect(try await h.post("/admin/api/projects", ["tenant_id": .string(other.id), "name": "Chatbot"]).status == 201)
        }
    }

    @Test("two who edit the same thing at once: one wins, the other is told", arguments: TestDatabases.all)
    func concurrentEdits(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let tenant = try await h.create("/admin/api/tenants", ["name": "T"])
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 0..<8 {
                    group.addTask {
                        try await h.send(
                            .patch, "/admin/api/tenants/\(tenant.id)", ["name": .string("T\(number)")], ifMatch: tenant.etag
                        ).status
                    }
                }
                return try await group.reduce(into: [Int]()) { $0.append($1) }
            }
            #expect(statuses.filter { $0 == 200 }.count == 1)
            #expect(statuses.filter { $0 == 412 }.count == 7)
        }
    }

    @Test("pages neither repeat nor lose what was there while others insert", arguments: TestDatabases.all)
    func pagination(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            var expected: [String] = []
            for number in 0..<25 {
                expected.append(try await h.create("/admin/api/tenants", ["name": .string("before \(number)")]).id)
                if number % 5 == 0 { h.clock.advance(milliseconds: 1) }
            }
            var seen: [String] = []
            var cursor = ""
            var pages = 0
            repeat {
                let page = try await h.get("/admin/api/tenants?limit=4&cursor=\(cursor)")
                #expect(page.status == 200)
                seen += (page.json["items"]?.arrayValue ?? []).compactMap { $0["id"]?.stringValue }
                cursor = page.json["next_cursor"]?.stringValue ?? ""
                pages += 1
                if pages < 5 {
                    await withTaskGroup(of: Void.self) { group in
                        for extra in 0..<4 {
                            group.addTask { [pages] in
                                _ = try? await h.create("/admin/api/tenants", ["name": .string("during \(pages) \(extra)")])
                            }
                        }
                    }
                }
            } while !cursor.isEmpty && pages < 100
            #expect(Set(seen).count == seen.count)
            #expect(Set(expected).isSubset(of: Set(seen)))

            let foreign = Cursor(list: "projects/created_at", time: 0, id: "prj_a").text
            for bad in [foreign, "x", "%00", "AAAA"] {
                let answer = try await h.get("/admin/api/tenants?cursor=\(bad)")
                #expect(answer.status == 400, "\(bad)")
            }
            for limit in ["0", "-1", "201", "abc", "99999999999999999999"] {
                #expect(try await h.get("/admin/api/tenants?limit=\(limit)").fields == ["limit"])
            }
        }
    }

    @Test("lists are sorted by time or name, either way, page by page", arguments: TestDatabases.all)
    func sorting(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            for name in ["b", "d e", "a", "c"] {
                _ = try await h.create("/admin/api/tenants", ["name": .string(name)])
                h.clock.advance(milliseconds: 1)
            }
            for (sort, expected) in [
                ("created_at", ["b", "d e", "a", "c"]), ("-created_at", ["c", "a", "d e", "b"]), ("name", ["a", "b", "c", "d e"]),
                ("-name", ["d e", "c", "b", "a"]),
            ] {
                var seen: [String] = []
                var cursor = ""
                repeat {
                    let page = try await h.get("/admin/api/tenants?limit=1&sort=\(sort)&cursor=\(cursor)")
                    seen += (page.json["items"]?.arrayValue ?? []).compactMap { $0["name"]?.stringValue }
                    cursor = page.json["next_cursor"]?.stringValue ?? ""
                } while !cursor.isEmpty && seen.count < 10
                #expect(seen == expected, "\(sort)")
            }
            #expect(try await h.get("/admin/api/tenants?sort=status").fields == ["sort"])
            // A cursor goes on in its own order only.
            let cursor = try await h.get("/admin/api/tenants?limit=1&sort=name").json["next_cursor"]?.stringValue ?? ""
            #expect(try await h.get("/admin/api/tenants?sort=-name&cursor=\(cursor)").fields == ["cursor"])
        }
    }

    @Test("lists narrow by what they belong to", arguments: TestDatabases.all)
    func filters(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            let other = try await h.create("/admin/api/tenants", ["name": "Other"])
            let project = try await h.create("/admin/api/projects", ["tenant_id": .string(other.id), "name": "P"])
            _ = try await h.create("/admin/api/keys", ["project_id": .string(c.project), "name": "a"])
            _ = try await h.create("/admin/api/keys", ["project_id": .string(project.id), "name": "b"])
            func names(_ path: String) async throws -> [String] {
                (try await h.get(path).json["items"]?.arrayValue ?? []).compactMap { $0["name"]?.stringValue }
            }
            #expect(try await names("/admin/api/projects?tenant_id=\(other.id)") == ["P"])
            #expect(try await names("/admin/api/keys?tenant_id=\(c.tenant)") == ["a"])
            #expect(try await names("/admin/api/keys?project_id=\(project.id)") == ["b"])
            #expect(try await names("/admin/api/keys?project_id=\(project.id)&tenant_id=\(c.tenant)") == [])
            #expect(try await names("/admin/api/endpoints?provider_id=\(c.provider)") == ["openai-1"])
            #expect(try await h.get("/admin/api/keys?tenant=\(c.tenant)").fields == ["tenant"])
            #expect(try await h.get("/admin/api/keys?tenant_id=nonsense").fields == ["tenant_id"])
        }
    }
}
