import Domain
import HTTPTypes
import Nouns
import Primitives
import Storage
import Telemetry
import Testing

@Suite("A document is put in force: secrets, pruning, size")
struct ApplyEdgeTests {
    @Test("a secret is set, left, replaced and recognised, and is nowhere to be read", arguments: TestDatabases.all)
    func secrets(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            func credential(_ answer: ControlHarness.Answer) -> JSONValue? {
                answer.json["changes"]?.arrayValue?.first { $0["noun"] == "credential" }
            }
            func stored() async throws -> String {
                let items = try await h.get("/admin/api/credentials?name=main").json["items"]?.arrayValue ?? []
                let id = try #require(items.first?["id"]?.stringValue)
                return try await h.services.credentials.decrypt(CredentialID(id)).secret.reveal()
            }
            var texts = [try await h.apply(SampleDocument.json, dryRun: true).text]
            #expect(!texts[0].contains("weir_"))
            #expect(try await h.apply(SampleDocument.json).status == 200)
            #expect(try await stored() == SampleDocument.secret)
            let same = try await h.apply(SampleDocument.json)
            #expect(credential(same)?["change"] == "unchanged" && credential(same)?["secret"] == "unchanged")
            let left = try await h.apply(SampleDocument.with("credentials", [["provider": "openai", "name": "main"]]))
            #expect(left.counts[1] == 0)
            let other = "sk-ANOTHER-SECRET-THAT-IS-LONG-ENOUGH-9876"
            let replaced = try await h.apply(
                SampleDocument.with("credentials", [["provider": "openai", "name": "main", "secret": .string(other)]]))
            #expect(replaced.changes == ["updated credential main"] && credential(replaced)?["secret"] == "set")
            #expect(try await stored() == other)

            for path in ["export", "audit?limit=200", "credentials", "config/draft"] {
                texts.append(try await h.get("/admin/api/\(path)").text)
            }
            let audit = try await h.get("/admin/api/audit?resource_kind=credential").json["items"]?.arrayValue ?? []
            #expect(audit.compactMap { $0["action"]?.stringValue } == ["credential.rotate", "credential.create", "credential.create"])
            texts += [same, left, replaced].map(\.text) + h.log.lines
            for text in texts { #expect(!text.contains("THIS-IS-A-SECRET") && !text.contains("ANOTHER-SECRET")) }
            // Nor is a key's, but in the answer that made it.
            let exported = try await h.export().text
            #expect(!exported.contains("weir_") && !same.text.contains("weir_"))
        }
    }

    @Test(
        "what a document does not name is deleted only when asked for, and only where the document speaks of it",
        arguments: TestDatabases.all)
    func prune(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            #expect(try await h.apply(SampleDocument.json).status == 200)
            // Lists that are missing, and tenants that are not named, are nobody's business.
            let acme: JSONValue = [
                "format": "weir/1", "tenants": [SampleDocument.json["tenants"]?[0] ?? .null],
                "projects": [["tenant": "Acme", "name": "Search"]],
                "keys": [["project": ["tenant": "Acme", "name": "Search"], "name": "second"]],
            ]
            let kept = try await h.apply(acme, dryRun: true)
            #expect(kept.counts[2] == 0)
            let pruned = try await h.apply(acme, prune: true)
            #expect(
                pruned.changes == [
                    "deleted project Acme/Chat", "created key Acme/Search/second", "deleted key Acme/Chat/backend",
                    "deleted key Acme/Search/ada/backend",
                ], "\(pruned.text)")
            #expect(try await h.export().json["projects"]?.arrayValue?.count == 2)
            #expect(try await h.export().json["tenants"]?.arrayValue?.count == 2)

            // A price goes with its model; what is still referred to stays, and the answer names who refers.
            let models: JSONValue = ["format": "weir/1", "models": [["name": "gpt-private", "capabilities": ["chat"]]], "prices": []]
            let used = try await h.apply(models, prune: true)
            #expect(used.status == 409 && used.fields == ["models[\"gpt-x\"]", "models[\"gpt-x\"]"], "\(used.text)")
            #expect(used.text.contains("(default)") && used.text.contains("(later)"), "\(used.text)")
            var whole = models.objectValue ?? JSONObject()
            whole["routes"] = []
            let gone = try await h.apply(.object(whole), prune: true)
            #expect(gone.counts[2] == 5, "\(gone.text)")
            // Administrators are of no document.
            #expect(try await h.get("/admin/api/tokens").json["items"]?.arrayValue?.count == 5)
        }
    }

    @Test("a credential that a version in force needs is not pruned", arguments: TestDatabases.all)
    func running(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            var sample = SampleDocument.json.objectValue ?? JSONObject()
            // A key that uses the credential would keep it, too.
            for list in ["keys", "budgets", "limits"] { sample[list] = [] }
            #expect(try await h.apply(.object(sample)).status == 200)
            let version = try await h.send(.post, "/admin/api/config/versions", ["note": "v"], ifMatch: "*").json["version"] ?? .null
            let rollout = try await h.create("/admin/api/rollouts", ["version": version])
            #expect(try await h.post("/admin/api/rollouts/\(rollout.id)/promote", nil).status == 200)
            let document: JSONValue = [
                "format": "weir/1", "credentials": [],
                "endpoints": [["provider": "openai", "name": "eu"], ["provider": "openai", "name": "us"]],
            ]
            let before = try await h.everything()
            let answer = try await h.apply(document, prune: true)
            #expect(
                answer.status == 409 && answer.fields.contains("credentials[\"main\"]") && answer.text.contains("is in force"),
                "\(answer.text)")
            #expect(try await h.everything() == before)
        }
    }

    @Test("two keys of one name are told apart by their identifiers; one that was revoked is in no document", arguments: TestDatabases.all)
    func sameNames(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            #expect(try await h.apply(SampleDocument.json).status == 200)
            let project = try #require(try await h.get("/admin/api/projects?name=Chat").json["items"]?[0]?["id"])
            let twin = try await h.create("/admin/api/keys", ["project_id": project, "name": "backend"])
            let ended = try await h.create("/admin/api/keys", ["project_id": project, "name": "ended"])
            #expect(try await h.post("/admin/api/keys/\(ended.id)/revoke", nil).status == 200)
            let export = try await h.export().json
            let ids = (export["keys"]?.arrayValue ?? []).compactMap { $0["id"]?.stringValue }
            #expect(ids.count == 2 && ids.contains(twin.id))
            #expect(try await h.apply(export, prune: true).counts == [0, 0, 0, SampleDocument.count + 1])
            let unclear = try await h.apply(SampleDocument.json)
            #expect(unclear.fields == ["keys[1]"], "\(unclear.text)")
            // An identifier also gives another name.
            let renamed = try await h.apply(["format": "weir/1", "keys": [["id": .string(twin.id), "project": "Chat", "name": "twin"]]])
            #expect(renamed.changes == ["updated key Acme/Chat/twin"])
            #expect(try await h.apply(SampleDocument.json).counts == [0, 0, 0, SampleDocument.count])
            let stranger = try await h.apply([
                "format": "weir/1", "keys": [["id": "key_aaaaaaaaaaaaaaaa", "project": "Chat", "name": "x"]],
            ])
            #expect(stranger.fields == ["keys[0].id"])
        }
    }

    @Test(
        "a thousand things are applied, compared and exported; more bytes than are taken are refused with what to do",
        arguments: TestDatabases.all)
    func size(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            var keys = (0..<982).map { number -> JSONValue in
                ["project": "Chat", "name": .string("key \(number)"), "models": ["gpt-x"], "tags": ["number": .string("\(number)")]]
            }
            func sample(_ keys: [JSONValue]) -> JSONValue {
                var object = SampleDocument.json.objectValue ?? JSONObject()
                // Without the budgets and limits of the keys that it had.
                (object["keys"], object["budgets"], object["limits"]) = (.array(keys), [], [])
                return .object(object)
            }
            let document = sample(keys)
            let total = Int64((document.objectValue?.members ?? []).reduce(0) { $0 + ($1.value.arrayValue?.count ?? 0) })
            let applied = try await h.apply(document)
            #expect(applied.counts == [total, 0, 0, 0], "\(applied.text.prefix(500))")
            #expect(try await h.apply(document).counts == [0, 0, 0, total])
            let export = try await h.export()
            #expect(export.json["keys"]?.arrayValue?.count == 982)
            keys.removeLast()
            #expect(try await h.apply(sample(keys), prune: true).changes == ["deleted key Acme/Chat/key 981"])

            let large: JSONValue = ["document": ["format": .string(String(repeating: "x", count: 4 << 20))]]
            let refused = try await h.post("/admin/api/apply", large)
            #expect(refused.status == 413 && refused.fields == ["body"] && refused.text.contains("in parts"))
        }
    }
}
