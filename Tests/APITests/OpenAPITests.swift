import API
import Domain
import HTTPTypes
import Nouns
import Primitives
import Storage
import Testing

@Suite("The API's description")
struct OpenAPITests {
    @Test("describes every route and nothing else, with its permission, and each says what it does")
    func complete() async throws {
        let kind = try #require(TestDatabases.all.first)
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            let key = try await h.create("/admin/api/keys", ["project_id": .string(c.project), "name": "k"]).json["key"]?.stringValue
            let admin = try await h.get("/admin/api/openapi.json")
            let tenant = try await h.get("/external/v1/openapi.json", as: nil, token: key)
            #expect(admin.status == 200 && tenant.status == 200)
            #expect(admin.json["openapi"] == "3.1.0" && tenant.json["openapi"] == "3.1.0")

            var described: Set<String> = []
            for document in [admin.json, tenant.json] {
                for path in document["paths"]?.objectValue?.members ?? [] {
                    for operation in path.value.objectValue?.members ?? [] {
                        described.insert("\(operation.name.uppercased()) \(path.name)")
                        let responses = operation.value["responses"]?.objectValue?.members.map(\.name) ?? []
                        #expect(responses.contains { $0.hasPrefix("2") } && responses.contains("401"), "\(path.name)")
                    }
                }
            }
            let routed = h.table.routes.filter { $0.access != .open }.map { "\($0.method.rawValue) \($0.pattern)" }
            #expect(described == Set(routed), "\(described.symmetricDifference(routed).sorted())")
            for route in h.table.routes {
                #expect(route.docs?.summary.isEmpty == false, "\(route.method) \(route.pattern) is not described: see HandwrittenRoutes")
                if case .admin(let permission) = route.access {
                    let operation = admin.json["paths"]?[route.pattern]?[route.method.rawValue.lowercased()]
                    #expect(operation?["x-weir-permission"] == .string(permission.rawValue))
                    // What creates or acts can be sent again safely, and changes name the revision they are based on.
                    let parameters = operation?["parameters"]?.arrayValue?.compactMap { $0["name"]?.stringValue } ?? []
                    #expect(parameters.contains("Idempotency-Key") == (route.method == .post), "\(route.pattern)")
                    #expect(
                        ![.patch, .delete].contains(route.method) || parameters.contains("If-Match"), "\(route.method) \(route.pattern)")
                }
            }
        }
    }

    @Test("a noun's schema is its declaration: bounds, units, what is fixed and what is required")
    func schemas() async throws {
        let kind = try #require(TestDatabases.all.first)
        try await ControlHarness.run(on: kind) { h in
            let paths = try await h.get("/admin/api/openapi.json").json["paths"]
            func body(_ path: String, _ method: String) -> JSONValue? {
                paths?[path]?[method]?["requestBody"]?["content"]?["application/json"]?["schema"]
            }
            let provider = body("/admin/api/providers", "post")
            #expect(provider?["required"] == ["name", "base_url"])
            let timeouts = provider?["properties"]?["timeouts"]?["anyOf"]?[0]?["properties"]
            #expect(timeouts?["idle_ms"]?["maximum"] == 3_600_000)
            #expect(timeouts?["idle_ms"]?["description"]?.stringValue?.contains("milliseconds") == true)
            #expect(body("/admin/api/projects/{id}", "patch")?["required"] == nil)
            #expect(body("/admin/api/models", "post")?["properties"]?["tenant_ids"]?["oneOf"]?[1]?["minItems"] == 1)
            #expect(body("/admin/api/keys", "post")?["properties"]?["sha256"] == nil)
            let key = paths?["/admin/api/keys"]?["post"]?["responses"]?["201"]?["content"]?["application/json"]?["schema"]
            #expect(key?["required"]?.arrayValue?.contains("key") == true)
            #expect(key?["properties"]?["sha256"] == nil)
        }
    }
}

@Suite("Declarations of nouns")
struct DeclarationTests {
    @Test("nothing is forgotten of a noun: words, columns in the database, a route, a command", arguments: TestDatabases.all)
    func complete(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let patterns = Set(h.table.routes.map(\.pattern))
            for noun in AdministeredNouns.all {
                let words = noun.words
                #expect(!words.about.isEmpty && !words.createExample.isEmpty, "\(words.name)")
                #expect(patterns.contains("/admin/api/\(words.path)") && patterns.contains("/admin/api/\(words.path)/{id}"))
                // The table has a column for every field: a read and a page of it work.
                #expect(try await h.get("/admin/api/\(words.path)?limit=1").status == 200, "\(words.path)")
                let names = noun.shapes.map(\.name)
                #expect(Set(names).count == names.count, "\(words.name) has a field twice")
                for shape in noun.shapes where shape.isInput || shape.isShown {
                    #expect(!shape.about.isEmpty, "\(words.name).\(shape.name)")
                }
            }
            let commands = try await CommandDescription.all().map { $0.path.joined(separator: " ") }
            for noun in AdministeredNouns.all {
                let isThere = commands.contains {
                    $0.split(separator: " ").last.map(String.init) == noun.words.name.split(separator: " ").last.map(String.init)
                }
                #expect(isThere, "no command for \(noun.words.name): see Weir.swift")
            }
        }
    }
}
