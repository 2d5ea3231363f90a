import Domain
import Foundation
import Nouns
import Primitives
import Storage
import Testing

@Suite("The weir command line: whom it speaks to, and what it asks")
struct ContextTests {
    private static let sqlite = TestDatabases.all.prefix(1)
    private static let bare: [String: String?] = ["WEIR_URL": nil, "WEIR_TOKEN": nil]

    @Test("several control planes are kept by name, and --context, WEIR_CONTEXT or the current one chooses", arguments: sqlite)
    func contexts(kind: TestDatabase) async throws {
        try await CommandLineHarness.run(on: kind) { h in
            func weir(_ words: String, input: String = "", _ more: [String: String?] = [:]) async throws -> CommandLineHarness.Result {
                try await h.weir(words, input: input, environment: Self.bare.merging(more) { _, new in new })
            }
            #expect(try await weir("context list").output.contains("weir login"))
            let first = try await weir("context add one --url \(h.url)", input: h.control.token(.owner) + "\n")
            #expect(first.status == 0 && first.output.contains("owner"), "\(first.error)")
            let second = try await weir("context add two --url \(h.url)/", input: h.control.token(.viewer) + "\n")
            #expect(second.status == 0, "\(second.error)")
            #expect(try await weir("context add two --url \(h.url)", input: "x").status == 2)
            let file = h.configuration.appendingPathComponent("weir/config.json")
            #expect(try FileManager.default.attributesOfItem(atPath: file.path)[.posixPermissions] as? Int == 0o600)

            func role(_ words: String, _ more: [String: String?] = [:]) async throws -> String {
                try await weir("whoami --field role \(words)", more).value
            }
            // The first one is the current one until another is chosen.
            #expect(try await role("") == "owner")
            #expect(try await role("--context two") == "viewer")
            #expect(try await role("", ["WEIR_CONTEXT": "two"]) == "viewer")
            #expect(try await role("--context one", ["WEIR_CONTEXT": "two"]) == "owner")
            #expect(try await weir("context use two").status == 0)
            #expect(try await role("") == "viewer")
            let list = try await weir("context list -o json").json
            #expect(list["items"]?.arrayValue?.compactMap { $0["current"] } == [false, true])
            #expect(!list.text.contains("wadm_"))
            let unknown = try await weir("tenant list --context three")
            #expect(unknown.status == 2 && unknown.error.contains("one, two"))
            #expect(try await weir("logout --context one").status == 0)
            #expect(try await weir("tenant list --context one").status == 2)
            #expect(try await weir("context delete one --yes").status == 0)
            #expect(try await weir("context use one").status == 2)
        }
    }

    @Test("what the first release's login kept is the context default", arguments: sqlite)
    func oldLogin(kind: TestDatabase) async throws {
        try await CommandLineHarness.run(on: kind) { h in
            let folder = h.configuration.appendingPathComponent("weir")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            let login: JSONValue = ["url": .string(h.url), "token": .string(h.control.token(.auditor))]
            try Data(login.bytes).write(to: folder.appendingPathComponent("config.json"))
            let who = try await h.weir("whoami", environment: Self.bare)
            #expect(who.output.contains("default") && who.output.contains("auditor") && who.output.contains("never"), "\(who.error)")
            #expect(try await h.weir("whoami --field permissions", environment: Self.bare).output.contains("readAudit"))
        }
    }

    @Test("HOME is where a login is kept when nothing else is said", arguments: sqlite)
    func home(kind: TestDatabase) async throws {
        try await CommandLineHarness.run(on: kind) { h in
            let token = h.control.token(.viewer) + "\n"
            let environment = Self.bare.merging(["XDG_CONFIG_HOME": nil]) { $1 }
            let answer = try await h.weir("login --url \(h.url)", input: token, environment: environment)
            #expect(answer.status == 0)
            #expect(FileManager.default.fileExists(atPath: h.configuration.appendingPathComponent(".config/weir/config.json").path))
        }
    }

    @Test("names stand beside ids, and a name that several have is refused with all of them", arguments: sqlite)
    func names(kind: TestDatabase) async throws {
        try await CommandLineHarness.run(on: kind) { h in
            let acme = try await h.field("id", "tenant create --name Acme")
            let other = try await h.field("id", "tenant create --name Other")
            let first = try await h.field("id", "project create --tenant-id Acme --name search")
            let second = try await h.field("id", "project create --tenant-id Other --name search")
            #expect(try await h.succeed("project list").output.contains("Acme (\(acme))"))
            #expect(try await h.succeed("project get \(first)").output.contains("tenant_id:   Acme (\(acme))"))
            let ambiguous = try await h.weir("project get search")
            #expect(ambiguous.status == 2)
            for words in [first, second, "Acme (\(acme))", "Other (\(other))"] {
                #expect(ambiguous.error.contains(words), "\(ambiguous.error)")
            }
            // An auditor may not read administrators, nor their names.
            let token = try #require(try await h.succeed("token list -o name").output.split(separator: "\n").first)
            let path = "/admin/api/names?ids=\(token),\(acme),nonsense"
            #expect(try await h.control.get(path).json["items"]?.arrayValue?.count == 2)
            #expect(try await h.control.get(path, as: .auditor).json["items"]?.arrayValue?.compactMap { $0["name"] } == ["Acme"])
        }
    }

    @Test("words stand for null and zero in both directions", arguments: sqlite)
    func words(kind: TestDatabase) async throws {
        try await CommandLineHarness.run(on: kind) { h in
            let provider = try await h.field("id", "provider create --name p --base-url http://127.0.0.1:1/v1 --auth none --idle-ms 5")
            #expect(try await h.succeed("provider update p --idle-ms default").output.contains("timeouts.idle_ms:"))
            #expect(try await h.field("timeouts.idle_ms", "provider get p") == "0")
            #expect(try await h.succeed("provider get \(provider)").output.contains("default"))
            let tenant = try await h.field("id", "tenant create --name t")
            let project = try await h.field("id", "project create --tenant-id \(tenant) --name x")
            let key = try await h.field("id", "key create --project-id \(project) --name k --expires-at 2030-01-31")
            #expect(try await h.field("expires_at", "key update \(key) --expires-at never") == "null")
            #expect(try await h.succeed("key list").output.contains("never"))
            // Keys have names, too.
            #expect(try await h.field("id", "key get k") == key)
            #expect(try await h.succeed("key list --name k -o name").value == key)
            #expect(try await h.weir("key get other").error.contains("no key is called"))
        }
    }

    @Test("what destroys is asked for at a terminal, and never in a pipe", arguments: sqlite)
    func confirmations(kind: TestDatabase) async throws {
        try await CommandLineHarness.run(on: kind) { h in
            let tenant = try await h.field("id", "tenant create --name Acme")
            let refused = try await h.weirAtTerminal("tenant delete \(tenant)", typing: "n\n")
            #expect(refused.status == 2 && refused.output.contains("Delete the tenant Acme (\(tenant))? [y/N]"), "\(refused.output)")
            #expect(try await h.weirAtTerminal("tenant delete \(tenant)", typing: "y\n").status == 0)
            let second = try await h.field("id", "tenant create --name Acme")
            #expect(try await h.weirAtTerminal("tenant delete \(second) --yes", typing: "").status == 0)
            let third = try await h.field("id", "tenant create --name Acme")
            #expect(try await h.weir("tenant delete \(third)").error.isEmpty)
            let project = try await h.control.create("/admin/api/tenants", ["name": "x"]).id
            let p = try await h.field("id", "project create --tenant-id \(project) --name x")
            let key = try await h.field("id", "key create --project-id \(p) --name k")
            #expect(try await h.weirAtTerminal("key revoke \(key)", typing: "\n").output.contains("End the key k (\(key))"))
            #expect(try await h.field("status", "key get \(key)") == "active")
        }
    }
}
