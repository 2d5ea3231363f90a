import Primitives
import Testing

@testable import Contract

@Suite("Expressions")
struct ExpressionTests {
    private struct Scope: ExpressionScope {
        func value(of root: ExpressionRoot, _ name: String) -> JSONValue {
            switch (root, name) {
            case (.caller, "user_id"): "usr_1"
            case (.caller, "tags"): ["team": "search"]
            case (.headers, "x-team"): "Blue"
            case (.request, "temperature"): .number("0.5")
            case (.request, "stop"): ["a", "b"]
            case (.request, "big"): .int(.max)
            case (.steps, "plan"): ["name": "gold", "limits": [1, 2, 3]]
            default: .null
            }
        }
    }

    private func value(_ text: String) throws -> JSONValue {
        var work = ExpressionWork()
        return try Expression(parsing: text).value(in: Scope(), &work)
    }

    /// With their values as JSON.
    private static let values: [(String, String)] = [
        ("1 + 2 * 3", "7"), ("(1 + 2) * 3", "9"), ("7 / 2", "3.5"), ("8 / 2", "4"), ("7 % 4", "3"),
        ("-request.temperature * 2", "-1"), ("1 / 0", "null"), ("1 % 0", "null"), ("request.big + 1", "null"),
        ("-request.big - 2", "null"), ("1 + 'a'", "null"), (#""a" + 'b'"#, #""ab""#), ("request.none.more[3].what", "null"),
        ("steps.plan.limits[2]", "3"), ("steps.plan.limits[9]", "null"), (#"steps["plan"].name"#, #""gold""#),
        (#"headers["X-Team"]"#, #""Blue""#), ("caller.tags.team", #""search""#), ("1 < 2 && 2 <= 2 && !(3 > 4)", "true"),
        ("'a' < 'b'", "true"), ("'a' < 1", "null"), ("1 == 1.0", "true"), ("null == request.x", "true"), ("'a' in request.stop", "true"),
        ("'c' in request.stop", "false"), ("'team' in caller.tags", "true"), ("request.x ? 1 : 2", "2"),
        ("true ? false ? 1 : 2 : 3", "2"), ("default(request.x, null, caller.user_id)", #""usr_1""#),
        ("lower(headers['x-team'])", #""blue""#), ("length('äb')", "2"), ("length(request.stop)", "2"),
        ("join(request.stop, '-')", #""a-b""#), ("replace('a.b.c', '.', '')", #""abc""#), ("replace('abc', '', 'x')", "null"),
        ("starts_with('abc', 'ab')", "true"), ("min(3, 1, 2)", "1"), ("max('a', 'b')", #""b""#), ("max(1, 'b')", "null"),
        ("number('12')", "12"), ("string(1)", #""1""#), (#"{a: 1, "b": [true, null]}"#, #"{"a":1,"b":[true,null]}"#), ("[]", "[]"),
        ("sha256('')", #""e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855""#),
    ]

    @Test(arguments: values)
    func haveAValue(_ text: String, _ expected: String) throws {
        #expect(try value(text).text == expected)
    }

    @Test(arguments: [
        "", "1 +", "(1", "1 2", "foo", "foo(1)", "caller", "caller.password", "headers[1]", "lower()", "lower(1, 2)", "'a", "'\\q'", "01",
        "a.b",
        "{a: 1, a: 2}", "1 ? 2", "steps", "@", "while(true)", String(repeating: "(", count: 60) + "1" + String(repeating: ")", count: 60),
        String(repeating: "!", count: 200) + "true", Array(repeating: "1", count: 60).joined(separator: "+"),
        "caller.tags" + String(repeating: ".a", count: 60), "'" + String(repeating: "a", count: 5000) + "'",
    ])
    func areRefusedWithAPlace(_ text: String) {
        #expect(throws: ExpressionError.self) { try Expression(parsing: text) }
    }

    @Test("the work and the size of every evaluation are bounded")
    func bounded() throws {
        let doubled =
            "replace(replace(replace(replace('aaaaaaaaaaaaaaaa', 'a', '\(String(repeating: "a", count: 60))'), 'a', 'aaaaaaaa'), "
            + "'a', 'aaaaaaaa'), 'a', 'aaaaaaaa')"
        #expect(throws: ExpressionOverrun.self) { try self.value(doubled) }
        var little = ExpressionWork(3)
        #expect(throws: ExpressionOverrun.self) { try Expression(parsing: "1 + 1 + 1").value(in: Scope(), &little) }
    }

    @Test("a template that is one expression has its value, any other is a text")
    func templates() throws {
        func value(_ text: String) throws -> JSONValue {
            var work = ExpressionWork()
            return try TemplateText(parsing: text).value(in: Scope(), &work)
        }
        #expect(try value("{{ 1 + 1 }}") == 2)
        #expect(try value("{{ {a: {b: '}}'}} }}") == ["a": ["b": "}}"]])
        #expect(try value("Team {{ headers[\"x-team\"] }}, {{ request.none }}{{ request.stop }}!") == "Team Blue, [\"a\",\"b\"]!")
        #expect(try value("no { braces }") == "no { braces }")
        #expect(try value("") == "")
        #expect(throws: ExpressionError.self) { try TemplateText(parsing: "a {{ 1 ") }
        #expect(throws: ExpressionError.self) { try TemplateText(parsing: "a {{ 1 2 }}") }
    }

    @Test("whatever is parsed ends, in a value or an error")
    func anything() {
        var generator = SeededGenerator(seed: 7)
        let pieces = [
            "1", "'a'", "+", "-", "*", "/", "%", "(", ")", "[", "]", "{", "}", ",", ":", "?", ".", "!", "==", "<", "in", "caller", ".tags",
            "steps", ".plan", "default(", "join(", "null", "true", "&&", "||", "request.stop", " ", "\"", "9223372036854775807", "é",
        ]
        for _ in 0..<3_000 {
            let count = Int.random(in: 1...14, using: &generator)
            let text = (0..<count).map { _ in pieces[Int.random(in: 0..<pieces.count, using: &generator)] }.joined()
            guard let expression = try? Expression(parsing: text) else { continue }
            var work = ExpressionWork()
            _ = try? expression.value(in: Scope(), &work)
        }
    }
}

private struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ (state >> 29)
    }
}
