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
            let routed = h.table.routes.filter { $0.access != .open && $0.access != .signOn }.map { "\($0.method.rawValue) \($0.pattern)" }
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
    /// The last word of its command, where that is not the noun's own.
    private static let commands = ["data plane": "fleet"]

    /// What a noun lacks of everything that makes one whole.
    private static func forgotten(of noun: any Administered.Type, _ h: ControlHarness, commands: [String]) async throws -> [String] {
        let words = noun.words
        var forgotten: [String] = []
        func expect(_ isThere: Bool, _ what: String) { if !isThere { forgotten.append(what) } }
        expect(DeclaredNouns.all.contains { $0.idPrefix == noun.idPrefix }, "a line in DeclaredNouns")
        expect(!words.about.isEmpty, "words")
        let routes = h.table.routes.filter { $0.pattern.hasPrefix("/admin/api/\(words.path)") }
        expect(Set(routes.map(\.pattern)).isSuperset(of: ["/admin/api/\(words.path)", "/admin/api/\(words.path)/{id}"]), "routes")
        let isMade = routes.contains { $0.method == .post && $0.pattern == "/admin/api/\(words.path)" }
        expect(!isMade || !words.createExample.isEmpty, "an example of creating one")
        expect(routes.isEmpty || words.createExample.isEmpty || isMade, "a route that creates one")
        // The table has a column for every field: a page of it works, whichever field it is narrowed by.
        let table = noun.table
        let columns: [String?] = [nil] + noun.shapes.filter(\.isFilter).map { noun.column(of: $0) }
        for column in columns {
            let page = try? await h.database.read { c in
                let filters: [(column: String, value: SQLValue)] = column.map { [(column: $0, value: SQLValue.null)] } ?? []
                return try table.list(c, matching: filters, limit: 1).count
            }
            expect(page != nil, column.map { "the column \($0)" } ?? "a table with its columns")
        }
        let names = noun.shapes.map(\.name)
        expect(Set(names).count == names.count, "another name for a field that is there twice")
        for shape in noun.shapes where shape.isInput || shape.isShown { expect(!shape.about.isEmpty, "words for \(shape.name)") }
        let own = [Self.commands[words.name] ?? words.name, words.name.split(separator: " ").last.map(String.init) ?? ""]
        let accepted = Set(own.map { String($0.map { $0 == " " ? "-" : $0 }) })
        expect(commands.contains { accepted.contains($0.split(separator: " ").last.map(String.init) ?? "") }, "a command in Weir.swift")
        return forgotten
    }

    @Test("nothing is forgotten of a noun: words, columns in the database, routes, a command", arguments: TestDatabases.all)
    func complete(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let commands = try await CommandDescription.all().map { $0.path.joined(separator: " ") }
            for noun in AdministeredNouns.all {
                let forgotten = try await Self.forgotten(of: noun, h, commands: commands)
                #expect(forgotten.isEmpty, "\(noun.words.name): \(forgotten)")
                #expect(try await h.get("/admin/api/\(noun.words.path)?limit=1").status == 200, "\(noun.words.path)")
            }
            #expect(AdministeredNouns.all.count == DeclaredNouns.all.count, "a noun without its scope: see Administered")
        }
    }

    @Test("of a noun that is declared and nothing more, everything else is asked for")
    func incomplete() async throws {
        let kind = try #require(TestDatabases.all.first)
        try await ControlHarness.run(on: kind) { h in
            let forgotten = try await Self.forgotten(of: GadgetContent.self, h, commands: [])
            #expect(
                forgotten == [
                    "a line in DeclaredNouns", "routes", "a table with its columns", "the column name", "words for colour",
                    "a command in Weir.swift",
                ])
        }
    }
}

private enum GadgetKind: IdentifierKind { static let prefix = "gad_" }

/// A noun that somebody has begun.
private struct GadgetContent: Administered {
    typealias Kind = GadgetKind

    var name = ""
    var colour = ""

    static let words = NounWords("gadget", path: "gadgets", "Things.", create: "--name a", update: "")
    static let fields: [Field<Self>] = [.name(\.name), Field("colour", \.colour, .token, "")]
    static var scope: NounScope { .administration }
    var title: String { name }
}
