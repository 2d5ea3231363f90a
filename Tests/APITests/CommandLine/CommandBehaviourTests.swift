import Domain
import Foundation
import Nouns
import Primitives
import Storage
import Testing

@Suite("The weir command line: how it behaves")
struct CommandBehaviourTests {
    private static let sqlite = TestDatabases.all.prefix(1)

    @Test("exit codes tell a refusal, a wrong command line and an absent control plane apart", arguments: sqlite)
    func exitCodes(kind: TestDatabase) async throws {
        try await CommandLineHarness.run(on: kind) { h in
            let refused = try await h.weir("tenant get ten_aaaaaaaaaaaaaaaa")
            #expect(refused.status == 1 && refused.output.isEmpty && refused.error.contains("(404)"))
            for words in [
                "tenant create", "tenant create --nonsense", "tenant update ten_aaaaaaaaaaaaaaaa", "nonsense", "key create --tag x",
            ] {
                let wrong = try await h.weir(words)
                #expect(wrong.status == 2 && !wrong.error.isEmpty, "\(words)")
            }
            let unreachable = try await h.weir("tenant list", environment: ["WEIR_URL": "http://127.0.0.1:1"])
            #expect(unreachable.status == 3 && unreachable.error.contains("127.0.0.1:1"))
            #expect(try await h.weir("tenant list", environment: ["WEIR_URL": "ftp://x"]).status == 2)
            let nobody = try await h.weir("tenant list", environment: ["WEIR_TOKEN": nil])
            #expect(nobody.status == 2 && nobody.error.contains("weir login"))
            let stranger = try await h.weir("tenant list", environment: ["WEIR_TOKEN": "wadm_wrong"])
            #expect(stranger.status == 1 && stranger.error.contains("weir login"))
            #expect(!stranger.error.contains("wadm_wrong"))
        }
    }

    @Test("a refusal names each field with its remedy, for people and as JSON", arguments: sqlite)
    func problems(kind: TestDatabase) async throws {
        try await CommandLineHarness.run(on: kind) { h in
            let words = ["price", "create", "--model-id", "mdl_aaaaaaaaaaaaaaaa", "--input", "free", "--output", "1x"]
            let plain = try await h.weir(words)
            #expect(plain.status == 1)
            #expect(plain.error.contains("input: ") && plain.error.contains("output: ") && plain.error.contains("→"))
            let json = try await h.weir(words + ["--json"])
            let problem = try JSONValue(parsing: json.error)
            #expect(problem["status"] == 400 && problem["errors"]?.arrayValue?.count == 2)
            #expect(json.output.isEmpty)
        }
    }

    @Test("an invalid draft ends with 1 and names what is wrong", arguments: sqlite)
    func invalidDraft(kind: TestDatabase) async throws {
        try await CommandLineHarness.run(on: kind) { h in
            let provider = try await h.field("id", "provider create --name p --base-url http://127.0.0.1:1/v1")
            let create = "endpoint create --provider-id \(provider) --name e"
            let unsaid = try await h.weir(create)
            #expect(unsaid.status != 0 && unsaid.error.contains("--private-addresses true"), "\(unsaid.error)")
            let endpoint = try await h.field("id", "\(create) --private-addresses true")
            let model = try await h.field("id", "model create --name m --capability chat")
            try await h.succeed("route create --model-id \(model) --name r --target \(endpoint)")
            let invalid = try await h.weir("config validate")
            #expect(invalid.status == 1 && invalid.output.contains("endpoints[\(endpoint)].credential_ids"))
            let refused = try await h.weir("config publish")
            #expect(refused.status == 1 && refused.error.contains("endpoints[\(endpoint)].credential_ids"))
        }
    }

    @Test("a change is based on what is there, or on the revision that --if-match pins", arguments: sqlite)
    func revisions(kind: TestDatabase) async throws {
        try await CommandLineHarness.run(on: kind) { h in
            let tenant = try await h.field("id", "tenant create --name a")
            let path = "/admin/api/tenants/\(tenant)"
            let seen = try #require(try await h.control.get(path).etag)
            try await h.succeed("tenant update \(tenant) --name b")
            let stale = try await h.weir("tenant update \(tenant) --name c --if-match \(seen)")
            #expect(stale.status == 1 && stale.error.contains("412"))
            let now = try #require(try await h.control.get(path).etag)
            try await h.succeed("tenant update \(tenant) --name c --if-match \(now.filter { $0 != "\"" })")
            #expect(try await h.weir("tenant delete \(tenant) --if-match \(now)").status == 1)
            try await h.succeed("tenant delete \(tenant)")
        }
    }

    @Test("secrets come from standard input, a file or the environment, never from the command line", arguments: sqlite)
    func secrets(kind: TestDatabase) async throws {
        try await CommandLineHarness.run(on: kind) { h in
            let provider = try await h.field("id", "provider create --name p --base-url http://127.0.0.1:1/v1")
            let secret = "sk-very-secret-0123456789-abcd"
            let create = "credential create --provider-id \(provider)"
            let exposed = try await h.weir("\(create) --name a --secret \(secret)")
            #expect(exposed.status == 2 && !exposed.error.contains(secret) && !exposed.output.contains(secret))
            let file = h.configuration.appendingPathComponent("secret")
            try Data((secret + "\n").utf8).write(to: file)
            for (name, words) in [("b", "--secret-file \(file.path)"), ("c", "--secret-env THE_SECRET"), ("d", "--secret -"), ("e", "")] {
                let result = try await h.weir(
                    "\(create) --name \(name) \(words)", input: ["d", "e"].contains(name) ? secret : "", environment: ["THE_SECRET": secret]
                )
                #expect(result.status == 0 && result.output.contains("abcd"), "\(words): \(result.error)")
                #expect(!result.output.contains(secret) && !result.error.contains(secret))
            }
            #expect(try await h.weir("\(create) --name f").status == 2)
            #expect(try await h.weir("\(create) --name f --secret-env NOT_SET").status == 2)
            #expect(try await h.weir("\(create) --name f --secret-file /nonexistent").status == 2)
            #expect(try await h.weir("\(create) --name f --secret - --secret-env THE_SECRET").status == 2)
        }
    }

    @Test("login keeps a token that works, for its owner's eyes, and sends it to no other address", arguments: sqlite)
    func login(kind: TestDatabase) async throws {
        try await CommandLineHarness.run(on: kind) { h in
            let bare: [String: String?] = ["WEIR_URL": nil, "WEIR_TOKEN": nil]
            let wrong = try await h.weir("login --url \(h.url)", input: "wadm_wrong\n", environment: bare)
            #expect(wrong.status == 1)
            let file = h.configuration.appendingPathComponent("weir/config.json")
            #expect(!FileManager.default.fileExists(atPath: file.path))

            let token = h.control.token(.viewer)
            let done = try await h.weir("login --url \(h.url)", input: token + "\n", environment: bare)
            #expect(done.status == 0 && !done.output.contains(token))
            let mode = try FileManager.default.attributesOfItem(atPath: file.path)[.posixPermissions] as? Int
            #expect(mode == 0o600)
            #expect(try await h.weir("tenant list", environment: bare).status == 0)
            let elsewhere = try await h.weir("tenant list --url http://127.0.0.1:1", environment: bare)
            #expect(elsewhere.status == 2 && elsewhere.error.contains("no token for"))
            #expect(try await h.weir("logout", environment: bare).status == 0)
            #expect(try await h.weir("tenant list --url \(h.url)", environment: bare).status == 2)
        }
    }

    @Test("--all follows every cursor, and a page says that there is more", arguments: sqlite)
    func pages(kind: TestDatabase) async throws {
        try await CommandLineHarness.run(on: kind) { h in
            for number in 1...7 {
                _ = try await h.control.create("/admin/api/tenants", ["name": .string("t\(number)")])
                h.control.clock.advance(milliseconds: 1)
            }
            let page = try await h.succeed("tenant list --limit 3")
            #expect(page.output.contains("--cursor"))
            let all = try await h.succeed("tenant list --limit 3 --all --json").json
            #expect(all["items"]?.arrayValue?.compactMap { $0["name"]?.stringValue } == (1...7).map { "t\($0)" })
            #expect(all["next_cursor"] == .null)
            let cursor = try await h.field("next_cursor", "tenant list --limit 3")
            #expect(try await h.succeed("tenant list --limit 3 --cursor \(cursor)").output.contains("t4"))
        }
    }

    @Test("names that could steer a terminal are shown without their power", arguments: sqlite)
    func terminals(kind: TestDatabase) async throws {
        try await CommandLineHarness.run(on: kind) { h in
            // The API refuses such a name by now; the command line does not rely on it.
            _ = try await h.control.create("/admin/api/tenants", ["name": "plain"])
            try await h.control.database.transaction { c in
                _ = try c.execute("UPDATE tenants SET name = $1", [.text("plain\u{202E}name")])
            }
            let output = try await h.succeed("tenant list").output
            #expect(output.contains("plain\u{FFFD}name"))
            #expect(!output.unicodeScalars.contains("\u{202E}"))
        }
    }

    @Test("what is no control plane is said to be none", arguments: sqlite)
    func otherServers(kind: TestDatabase) async throws {
        try await CommandLineHarness.run(on: kind) { h in
            // The path of a proxy that knows nothing of Weir: the answer is a problem of this control plane, but a 404 of its own.
            let result = try await h.weir("tenant list", environment: ["WEIR_URL": h.url + "/elsewhere"])
            #expect(result.status == 1 && result.error.contains("404"))
        }
    }
}
