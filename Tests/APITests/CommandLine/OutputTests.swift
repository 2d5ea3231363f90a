import Foundation
import Primitives
import Storage
import Testing

@testable import weir

@Suite("The weir command line: how answers are printed")
struct OutputTests {
    private static let now: Int64 = 1_800_000_000_000
    private static let items: [JSONValue] = [
        [
            "id": "prj_aaaaaaaaaaaaaaaa", "tenant_id": "ten_aaaaaaaaaaaaaaaa", "name": "Search", "models": "all", "limit": 0,
            "expires_at": .null, "created_at": "2027-01-15T07:57:00Z",
        ],
        [
            "id": "prj_bbbbbbbbbbbbbbbb", "tenant_id": "ten_bbbbbbbbbbbbbbbb", "name": "a name that is rather long",
            "models": ["m1", "m2"],
            "limit": 7, "expires_at": "2027-01-16T08:00:00Z", "created_at": "2026-01-15T08:00:00Z",
        ],
    ]
    private static let columns: [Column] = [
        .id, Column("TENANT", "tenant_id", .reference), .name, Column("MODELS", "models"), Column("LIMIT", "limit", .number, zero: "all"),
        Column("EXPIRES", "expires_at", .time, null: "never"), .created,
    ]
    private static let rendering = Rendering(now: now, names: ["ten_aaaaaaaaaaaaaaaa": "Acme"])

    @Test("a table shows names beside ids, words for nothing, and times from now")
    func table() {
        let expected = """
            ID                    TENANT                       NAME                        MODELS  LIMIT  EXPIRES  CREATED
            prj_aaaaaaaaaaaaaaaa  Acme (ten_aaaaaaaaaaaaaaaa)  Search                      all       all  never    3 min ago
            prj_bbbbbbbbbbbbbbbb  ten_bbbbbbbbbbbbbbbb         a name that is rather long  m1, m2      7  in 24 h  2026-01-15
            """
        #expect(Table.render(Self.columns, Self.items, Self.rendering, width: nil) == expected)
    }

    @Test("where the terminal is narrow, ids beside names go first, then long texts are shortened; ids and numbers stay whole")
    func narrow() {
        let lines = Table.render(Self.columns, Self.items, Self.rendering, width: 96).split(separator: "\n")
        #expect(lines.allSatisfy { $0.count <= 96 })
        #expect(lines[1].contains("prj_aaaaaaaaaaaaaaaa  Acme ") && lines[2].contains("…") && lines[2].contains("prj_bbbbbbbbbbbbbbbb"))
    }

    @Test("one object shows times exactly and from now, and the words for null and zero")
    func details() {
        let words = ["limit": Column("", "", zero: "all"), "expires_at": Column("", "", null: "never")]
        #expect(
            Table.details(Self.items[0], words: words, Self.rendering) == """
                id:          prj_aaaaaaaaaaaaaaaa
                tenant_id:   Acme (ten_aaaaaaaaaaaaaaaa)
                name:        Search
                models:      all
                limit:       all
                expires_at:  never
                created_at:  2027-01-15T07:57:00Z (3 min ago)
                """)
    }

    @Test("json is the API's text, yaml and name are made of it")
    func formats() {
        let answer = Answer(["items": .array(Self.items), "next_cursor": .null])
        #expect(answer.printed(as: .json) { "" } == answer.text)
        #expect(answer.printed(as: .name) { "" } == "prj_aaaaaaaaaaaaaaaa\nprj_bbbbbbbbbbbbbbbb")
        let yaml = answer.printed(as: .yaml) { "" }
        #expect(yaml.hasPrefix("items:\n"))
        for line in ["name: Search", "limit: 7", "expires_at: null"] { #expect(yaml.contains(line), "\(line) in \(yaml)") }
        // A time is text, also to who reads YAML 1.1.
        #expect(yaml.contains("\"2027-01-15T07:57:00Z\"") || yaml.contains("'2027-01-15T07:57:00Z'"))
    }

    @Test(
        "times are told as people do",
        arguments: [
            ("2027-01-15T08:00:00Z", "now"), ("2027-01-15T07:59:30Z", "30 s ago"), ("2027-01-15T08:03:00Z", "in 3 min"),
            ("2027-01-15T05:00:00Z", "3 h ago"), ("2027-01-11T08:00:00Z", "4 days ago"), ("2025-01-11T08:00:00Z", "2025-01-11"),
            ("soon", "soon"),
        ])
    func relative(text: String, words: String) {
        #expect(Self.rendering.relative(text) == words)
    }

    @Test("a refusal says its sentence once")
    func refusals() throws {
        func message(_ problem: JSONValue, _ status: Int = 400) -> String {
            Failure.refused(status: status, problem: problem, text: problem.text).message(json: false)
        }
        let one: JSONValue = [
            "title": "The request is not valid", "detail": "name is empty",
            "errors": [["field": "name", "message": "is empty", "remedy": "Give it a name."]],
        ]
        #expect(message(one) == "error: name: is empty (400)\n  → Give it a name.")
        let two: JSONValue = [
            "title": "The request is not valid", "detail": "name is empty; input is wrong",
            "errors": [
                ["field": "name", "message": "is empty", "remedy": "Give it a name."],
                ["field": "input", "message": "is wrong", "remedy": "Right it."],
            ],
        ]
        #expect(
            message(two)
                == "error: The request is not valid (400)\n  name: is empty\n    → Give it a name.\n  input: is wrong\n    → Right it.")
        #expect(message(["title": "Not found", "detail": "There is no tenant x."], 404) == "error: There is no tenant x (404)")
        #expect(message(["title": "It was changed", "detail": "The revision given in If-Match …"], 412).contains("repeat the command"))
    }
}
