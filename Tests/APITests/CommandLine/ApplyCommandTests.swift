import Domain
import Foundation
import Primitives
import Storage
import Testing

@Suite("weir export and weir apply")
struct ApplyCommandTests {
    private static let sqlite = TestDatabases.all.prefix(1)

    private static let file = """
        # A comment.
        format: weir/1
        tenants:
          - name: Acme
        projects:
          - tenant: Acme
            name: Search & Find
        keys:
          - {project: Search & Find, name: "a *star", tags: {team: 'x'}}
        providers:
          - name: openai
            base_url: http://127.0.0.1:9/v1
            ca_pem: |
              -----BEGIN CERTIFICATE-----
              MIIB
              -----END CERTIFICATE-----
        credentials:
          - provider: openai
            name: main
            secret_env: THE_SECRET
        models:
          - name: gpt-4o-mini
            capabilities: [chat]
        prices:
          - model: gpt-4o-mini
            input: 0.150
            output: 1
        """

    @Test("a file is compared, applied and found again; a secret comes from the environment or a file", arguments: sqlite)
    func roundTrip(kind: TestDatabase) async throws {
        try await CommandLineHarness.run(on: kind) { h in
            let environment: [String: String?] = ["THE_SECRET": Catalogue.secret]
            let starred = try await h.weir("apply -f -", input: Self.file, environment: environment)
            #expect(starred.status == 1 && starred.error.contains("line 9") && starred.error.contains("x2A"))
            let file = Self.file.replacing("*", with: "\\x2A")
            let unset = try await h.weir("apply -f -", input: file)
            #expect(unset.status == 1 && unset.error.contains("THE_SECRET is not set"))

            let dry = try await h.weir("apply -f - --dry-run", input: file, environment: environment)
            #expect(dry.status == 2, "\(dry.error)")
            for line in ["+ tenant Acme", "+ key Acme/Search & Find/a *star", "    input: \"0.15\"", "    secret: set", "7 to be created"] {
                #expect(dry.output.contains(line), "\(line) in \(dry.output)")
            }
            #expect(!dry.output.contains("\u{1B}") && !dry.output.contains("weir_"))
            #expect(try await h.succeed("tenant list").output == "Nothing there.\n")

            let applied = try await h.weir("apply -f -", input: file, environment: environment)
            #expect(applied.status == 0 && applied.output.contains("key Acme/Search & Find/a *star: weir_"), "\(applied.error)")
            #expect(applied.error.contains("+ tenant Acme"))
            let again = try await h.weir("apply -f -", input: file, environment: environment)
            #expect(again.status == 0 && again.output == "Nothing to change.\n")

            let exported = h.configuration.appendingPathComponent("weir.yaml")
            let export = try await h.succeed("export").output
            #expect(export.hasPrefix("format: weir/1\n\n") && export.contains("\n\ntenants:\n  - name: Acme\n\n"))
            #expect(export.contains("ca_pem: |\n") && export.contains("- gpt-4o-mini") || export.contains("name: gpt-4o-mini"))
            for text in ["null", "secret", Catalogue.secret, "weir_"] { #expect(!export.contains(text), "\(text)") }
            try Data(export.utf8).write(to: exported)
            for words in [["--dry-run"], ["--prune"]] {
                let nothing = try await h.weir(["apply", "-f", exported.path] + words)
                #expect(nothing.status == 0 && nothing.output == "Nothing to change.\n", "\(nothing.output)\(nothing.error)")
            }
            #expect(try await h.succeed("export --only tenants,models -o json").json["keys"] == nil)
            #expect(try await h.weir("export --only nonsense").status == 1)

            // From a file beside the file.
            try Data("sk-other-secret-of-some-length\n".utf8).write(to: h.configuration.appendingPathComponent("key.txt"))
            try Data(file.replacing("secret_env: THE_SECRET", with: "secret_file: key.txt").utf8).write(to: exported)
            let rotated = try await h.weir(["apply", "-f", exported.path, "--json"])
            #expect(rotated.status == 0 && rotated.json["updated"] == 1, "\(rotated.error)")
            #expect(try await h.weir(["apply", "-f", exported.path]).output == "Nothing to change.\n")
            let gone = try await h.weir("apply -f - --prune", input: "format: weir/1\nprices: []\nmodels: []\n")
            #expect(gone.status == 0 && gone.output.contains("Applied: 2 deleted"), "\(gone.error)")
        }
    }

    @Test("what a file can hold against its reader is refused with its line, at once, and shows no secret")
    func hostile() async throws {
        let laughs = (1..<30).map { "a\($0): &a\($0) [*a\($0 - 1), *a\($0 - 1)]\n" }.joined()
        let deep = (0..<900).map { "\(String(repeating: " ", count: $0))a:\n" }.joined()
        let texts: [(String, String, String)] = [
            ("aliases", "a0: &a0 [x, x]\n\(laughs)", "line 2: aliases"),
            ("an alias after a line break of Unicode's", "a: &b [x]\nc:\u{2028}*b\n", "aliases"),
            ("deep lists", String(repeating: "[", count: 200_000), "nesting"),
            ("deep lists on one line", String(repeating: "- ", count: 100_000), "nesting"),
            ("deep objects", deep, "nested"),
            ("a name twice", "format: weir/1\nsecret: S3CRET\nsecret: S3CRET\n", "\"secret\" is there twice"),
            ("a tab", "format: weir/1\ntenants:\n\t- name: S3CRET\n", "line 3: is not YAML"),
            ("a zero byte", "format: weir/1\nname: S3CRET\u{0}\n", "is not YAML"),
            ("two documents", "format: weir/1\n---\nsecret: S3CRET\n", "another document"),
            ("a tag", "format: !!binary aGk=\n", "tags"), ("nothing", "", "is empty"), ("a list", "- a\n", "format: weir/1"),
            ("an open quote", "format: \"S3CRET\nx: 1", "is not YAML"), ("a name that is no text", "? [a]\n: b\n", "no text"),
            ("too many bytes", String(repeating: " ", count: 4_194_305), "more than 4194304 bytes"),
            ("too many values", String(repeating: "- \n", count: 300_000), "more than 500000 values"),
        ]
        let others: [(String, [UInt8], String)] = [
            ("no UTF-8", [0x66, 0xFF, 0xFE, 0x80], "is not text in UTF-8"), ("UTF-16", [0xFF, 0xFE, 0x66, 0x00], "is not text in UTF-8"),
        ]
        let cases = texts.map { ($0.0, Array($0.1.utf8), $0.2) } + others
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("weir-yaml-\(Hex.encode(SecureRandom.bytes(8)))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appendingPathComponent("weir.yaml")
        for (name, bytes, words) in cases {
            try Data(bytes).write(to: file)
            let environment = ["WEIR_URL": "http://127.0.0.1:1", "WEIR_TOKEN": "x", "HOME": folder.path]
            let result = try await CommandLineHarness.execute(["apply", "-f", file.path], input: "", environment: environment)
            #expect(
                result.status == 1 && result.error.hasPrefix("error: ") && result.error.contains(words),
                "\(name): \(result.status) \(result.error.prefix(300))")
            #expect(!result.error.contains("S3CRET") && result.error.utf8.count < 500, "\(name)")
        }
        let missing = try await CommandLineHarness.execute(
            ["apply", "-f", "/nowhere/x.yaml"], input: "",
            environment: ["WEIR_URL": "http://127.0.0.1:1", "WEIR_TOKEN": "x", "HOME": folder.path])
        #expect(missing.status == 1 && missing.error.contains("cannot be read"))
    }
}
