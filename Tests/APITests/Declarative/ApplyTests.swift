import Domain
import HTTPTypes
import Nouns
import Primitives
import Storage
import Testing

@Suite("A document is put in force")
struct ApplyTests {
    @Test("into nothing, and again: then nothing is changed, and what is exported is what was applied", arguments: TestDatabases.all)
    func roundTrip(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let first = try await h.apply(SampleDocument.json)
            #expect(first.status == 200, "\(first.text)")
            #expect(first.counts == [SampleDocument.count, 0, 0, 0])
            let before = try await h.everything()
            let again = try await h.apply(SampleDocument.json)
            #expect(again.counts == [0, 0, 0, SampleDocument.count], "\(again.changes)")
            #expect(try await h.everything() == before)
            // With the stored secret in place of the one that a file does not hold.
            let export = try await h.export()
            #expect(export.status == 200 && export.etag == again.etag)
            for prune in [false, true] {
                let applied = try await h.apply(export.json, prune: prune)
                #expect(applied.counts == [0, 0, 0, SampleDocument.count], "\(applied.text)")
            }
            #expect(try await h.everything() == before)

            // Elsewhere it makes the same.
            try await ControlHarness.run(on: kind) { other in
                let missing = try await other.apply(export.json)
                #expect(missing.status == 400 && missing.fields == ["credentials[0].secret", "credentials[1].secret"])
                var document = export.json.objectValue ?? JSONObject()
                document["credentials"] = [
                    ["provider": "openai", "name": "main", "secret": "another-secret"],
                    ["provider": "openai", "name": "management", "purpose": "management", "secret": "yet-another"],
                ]
                let applied = try await other.apply(.object(document))
                #expect(applied.status == 200, "\(applied.text)")
                #expect(try await other.export().json == export.json)
            }
        }
    }

    @Test("every noun that is declared is in an export, and comes back as it was")
    func coverage() async throws {
        let kind = try #require(TestDatabases.all.first)
        try await ControlHarness.run(on: kind) { h in
            #expect(try await h.apply(SampleDocument.json).status == 200)
            let export = try await h.export().json
            let own: Set<ChangeCounter> = [.draft, .directory, .credentials]
            for noun in AdministeredNouns.all {
                let path = noun.words.path
                guard noun.scope.isDeclared else {
                    // Data planes are enrolled, not made; who proves itself by a key of its own is registered.
                    let others = ["data-planes", "revoked-grants", "signing-secrets"]
                    #expect(own.isDisjoint(with: noun.scope.counters) || others.contains(path), "\(path) is in no document")
                    #expect(export[path] == nil)
                    continue
                }
                #expect(export[path]?.arrayValue?.isEmpty == false, "no \(path) in SampleDocument: add one that uses each of its fields")
                let shapes = noun.shapes.filter(\.isDeclared)
                #expect(Set(shapes.map(\.declaredName)).count == shapes.count, "\(path) has two members of one name")
                #expect(!shapes.contains { $0.declaredName == "id" })
                let identity = noun.identity.compactMap { name in shapes.first { $0.name == name } }
                #expect(identity.count == noun.identity.count, "\(path): its identity names a field that it has not")
                // Each field, but secrets, is somewhere away from its default.
                let members = Set((export[path]?.arrayValue ?? []).flatMap { ($0.objectValue?.members ?? []).map(\.name) })
                let untried = shapes.filter { $0.use != .secret }.map(\.declaredName).filter { !members.contains($0) }
                #expect(untried.isEmpty, "\(path): \(untried) are not tried")
            }
            // What is left out is at its default, and no null is there.
            #expect(!export.text.contains("null") && export["models"]?[1]?["context_window"] == 128_000)
            #expect(export["keys"]?[1]?["project"] == ["tenant": "Acme", "name": "Search"])
            #expect(export["keys"]?[0]?["project"] == "Chat")
        }
    }

    @Test("only what differs is changed, and the answer says from what to what", arguments: TestDatabases.all)
    func differences(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            #expect(try await h.apply(SampleDocument.json).status == 200)
            let document = SampleDocument.with(
                "endpoints",
                [
                    [
                        "provider": "openai", "name": "eu", "credentials": ["main"], "timeouts": ["idle_ms": 7],
                        "health_check": ["interval_ms": 5000], "max_concurrent": 8, "http1_only": true,
                        "keeps_responses": true, "http2_prior_knowledge": true, "private_addresses": true,
                    ],
                    ["provider": "openai", "name": "us"],
                    ["provider": "openai", "name": "new"],
                ])
            let dry = try await h.apply(document, dryRun: true)
            #expect(dry.changes == ["updated endpoint eu", "updated endpoint us", "created endpoint new"])
            let fields = dry.json["changes"]?.arrayValue?.first { $0["name"] == "eu" }?["fields"]
            #expect(
                fields == [["path": "timeouts.idle_ms", "from": 0, "to": 7], ["path": "timeouts.total_ms", "from": 60_000, "to": 0]])
            let before = try await h.everything()
            #expect(try await h.apply(document, dryRun: true).etag == dry.etag)
            #expect(try await h.everything() == before)

            let revision = try await h.get("/admin/api/config/draft").etag
            let applied = try await h.apply(document, ifMatch: dry.etag)
            #expect(applied.counts == dry.counts && applied.etag != dry.etag)
            #expect(try await h.get("/admin/api/config/draft").etag != revision)
            let audit = try await h.get("/admin/api/audit?resource_kind=endpoint&limit=3").json["items"]?.arrayValue ?? []
            #expect(audit.compactMap { $0["action"]?.stringValue } == ["endpoint.create", "endpoint.update", "endpoint.update"])
            // It was seen before the change: another look is due.
            let stale = try await h.apply(SampleDocument.json, ifMatch: dry.etag)
            #expect(stale.status == 412)
        }
    }

    @Test("everything that is wrong is named at once, by its path, and nothing is changed", arguments: TestDatabases.all)
    func problems(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            #expect(try await h.apply(SampleDocument.json).status == 200)
            let before = try await h.everything()
            let wrong: JSONValue = [
                "format": "weir/1", "tenants": [["name": "New"], "x", ["name": "New"]],
                "projects": [["tenant": "Nobody", "name": "P"], ["tenant": "Acme", "name": "Search", "colour": "red"]],
                "keys": [["project": "Search", "name": "k"], ["project": "Chat", "name": "k", "models": ["gpt-none"]]],
                "providers": [
                    ["name": "p", "base_url": "ftp://x"], ["name": "openai", "base_url": "https://a", "timeouts": ["idle_ms": "1"]],
                ],
                "credentials": [["provider": "p", "name": "fresh"], ["provider": "p", "name": "main"]],
                "models": [
                    ["name": "a", "capabilities": ["chat"]], ["name": "b"], ["name": "c", "capabilities": ["chat"], "context_window": -1],
                ],
                "routes": [["model": "a", "name": "a", "targets": [["endpoint": "nowhere"], ["weight": 1]]]],
                "prices": [["model": "a", "input": "x", "output": 1], ["model_id": "a", "input": 1, "output": 1]],
            ]
            let answer = try await h.apply(wrong)
            #expect(answer.status == 400)
            let expected = [
                "providers[0].base_url", "providers[1].timeouts.idle_ms", "credentials[0].secret", "credentials[1].provider", "tenants[1]",
                "tenants[2]", "projects[0].tenant", "projects[1].colour", "models[1].capabilities",
                "models[2].context_window", "routes[0].targets[0].endpoint", "routes[0].targets[1].endpoint", "prices[0].input",
                "prices[1].model_id", "prices[1].model", "keys[0].project",
            ]
            #expect(answer.fields == expected, "\(answer.text)")
            let forms: [(JSONValue, [String])] = [
                ([:], ["format"]), (["format": "weir/9", "modells": []], ["format", "modells"]),
                (["format": "weir/1", "models": [:]], ["models"]),
            ]
            for (document, fields) in forms { #expect(try await h.apply(document).fields == fields) }
            for body: JSONValue in [[:], ["document": []], ["document": ["format": "weir/1"], "prun": true]] {
                #expect(try await h.post("/admin/api/apply", body).status == 400)
            }
            #expect(try await h.everything() == before)
        }
    }

    @Test("a fault of the last thing undoes all the others, whenever it is found", arguments: TestDatabases.all)
    func oneTransaction(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let cases: [(JSONValue, [String])] = [
                // When it is written: what a header cannot carry.
                (
                    SampleDocument.with(
                        "credentials",
                        [
                            ["provider": "openai", "name": "main", "secret": "a\nb"],
                            ["provider": "openai", "name": "management", "purpose": "management", "secret": "s"],
                        ]),
                    ["credentials[0].secret"]
                ),
                // Beside the others, once they are written.
                (
                    SampleDocument.with(
                        "routes",
                        [
                            ["model": "gpt-x", "name": "a", "targets": [["endpoint": "us"]]],
                            ["model": "gpt-x", "name": "b", "targets": [["endpoint": "us"]]],
                        ]), ["routes[0].model", "routes[1].model"]
                ),
                (
                    // Others name it.
                    SampleDocument.with(
                        "keys",
                        [
                            [
                                "project": ["tenant": "Acme", "name": "Search"], "name": "backend", "user": "ada", "models": ["gpt-none"],
                            ]
                        ]), ["keys[0].models[0]"]
                ),
                (SampleDocument.with("prices", [["model": "gpt-none", "input": 1, "output": 1]]), ["prices[0].model"]),
            ]
            // A token's first use is noted with it.
            _ = try await h.export()
            let before = try await h.everything()
            for (document, fields) in cases {
                let answer = try await h.apply(document)
                #expect(answer.status == 400 && answer.fields == fields, "\(answer.text)")
                #expect(try await h.everything() == before)
            }
            #expect(try await h.apply(SampleDocument.json).counts == [SampleDocument.count, 0, 0, 0])
        }
    }

    @Test("two at once make each thing once, and who had seen another state is told", arguments: TestDatabases.all)
    func concurrently(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let answers = try await withThrowingTaskGroup(of: ControlHarness.Answer.self) { group in
                for _ in 0..<4 { group.addTask { try await h.apply(SampleDocument.json) } }
                return try await group.reduce(into: [ControlHarness.Answer]()) { $0.append($1) }
            }
            #expect(answers.allSatisfy { $0.status == 200 }, "\(answers.map(\.text))")
            #expect(answers.map { $0.counts[0] }.sorted() == [0, 0, 0, SampleDocument.count])

            let seen = try #require(try await h.apply(SampleDocument.json, dryRun: true).etag)
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 0..<4 {
                    let document = SampleDocument.with("tenants", [["name": .string("T\(number)")]])
                    group.addTask { try await h.apply(document, ifMatch: seen).status }
                }
                return try await group.reduce(into: [Int]()) { $0.append($1) }
            }
            // The tenants of the sample's projects are there, if not in the list.
            #expect(statuses.sorted() == [200, 412, 412, 412])
        }
    }

    @Test("sent again under its key it is done once, and a new key's secret is in both answers", arguments: TestDatabases.all)
    func idempotencyKey(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let first = try await h.apply(SampleDocument.json, idempotencyKey: "a")
            let second = try await h.apply(SampleDocument.json, idempotencyKey: "a")
            #expect(first.status == 200 && second.text == first.text)
            let issued = (first.json["changes"]?.arrayValue ?? []).filter { $0["noun"] == "key" }.compactMap {
                $0["shown_once"]?.stringValue
            }
            #expect(issued.count == 2)
            for key in issued { #expect(try await h.services.keyAuthentication.authenticate(key).key.content.name == "backend") }
            #expect(try await h.send(.post, "/admin/api/apply", ["document": ["format": "weir/1"]], as: .viewer).status == 403)
            #expect(try await h.get("/admin/api/export", as: .viewer).json == h.export().json)
        }
    }
}
