import Formats
import Foundation
import Primitives
import Testing

/// A case is a pair of files in Fixtures/Dialects: `NAME.FROM-to-TO.KIND.in.json|sse` and `….out.json|sse`. For a request FROM is the
/// caller's dialect, for an answer the provider's. `NAME.FROM-to-TO.client.json` is the request that an answer belongs to, where it matters.
@Suite("Translation between dialects")
struct DialectTests {
    static func options(_ provider: Dialect) -> TranslationOptions {
        var options = TranslationOptions(model: "up-model")
        options.outputBound = 4000
        options.boundName = provider == .responses ? "max_output_tokens" : "max_completion_tokens"
        options.createdSeconds = 1_700_000_000
        return options
    }

    static func translate(_ body: [UInt8], _ caller: Dialect, _ provider: Dialect) throws(TranslationRefusal) -> TranslatedRequest {
        guard let translation = Translation(from: caller, to: provider) else { throw TranslationRefusal("", "no such pair") }
        return try translation.request(body, options(provider))
    }

    static func cases(_ kind: String) -> [String] { Fixtures.cases("Dialects").filter { $0.hasSuffix(".\(kind)") } }

    static func dialects(_ name: String) throws -> (from: Dialect, to: Dialect) {
        let pair = try #require(name.split(separator: ".").dropFirst().first).components(separatedBy: "-to-")
        func dialect(_ name: String) throws -> Dialect {
            name == "chat" ? .openAI : try #require(Dialect.allCases.first { "\($0)" == name })
        }
        return (try dialect(pair[0]), try dialect(pair[1]))
    }

    /// How the answers of a request are translated: of the case's own, or of a small one that asks for usage.
    static func answers(_ name: String) throws -> AnswerTranslation {
        let (provider, client) = try dialects(name)
        let stem = name.split(separator: ".").dropLast().joined(separator: ".")
        let request: [UInt8] =
            if let own = try? Fixtures.bytes("Dialects/\(stem).client.json") {
                own
            } else {
                switch client {
                case .openAI:
                    Array(#"{"model":"m","messages":[{"role":"user","content":"x"}],"stream_options":{"include_usage":true}}"#.utf8)
                case .messages: Array(#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#.utf8)
                case .responses: Array(#"{"model":"m","input":"x"}"#.utf8)
                }
            }
        return try translate(request, client, provider).answers
    }

    static func stream(_ answers: AnswerTranslation, _ pieces: [[UInt8]]) -> [UInt8] {
        var stream = answers.stream()
        var output: [UInt8] = []
        for piece in pieces { output += piece.withUnsafeBytes { stream.consume($0) } }
        return output + stream.finish()
    }

    @Test("writes each request as its fixture has it, and the same again byte for byte", arguments: cases("request"))
    func requests(name: String) throws {
        let (from, to) = try Self.dialects(name)
        let input = try Fixtures.bytes("Dialects/\(name).in.json")
        let written = try Self.translate(input, from, to).body
        #expect(string(written) + "\n" == string(try Fixtures.bytes("Dialects/\(name).out.json")))
        #expect(try Self.translate(input, from, to).body == written)
    }

    @Test("refuses what it cannot carry, by the member's name", arguments: cases("refused"))
    func refusals(name: String) throws {
        let (from, to) = try Self.dialects(name)
        let input = try Fixtures.bytes("Dialects/\(name).in.json")
        let expected = try JSONValue(parsing: Fixtures.bytes("Dialects/\(name).out.json"))
        do {
            let written = try Self.translate(input, from, to)
            Issue.record("\(string(written.body))")
        } catch {
            #expect(error.param == expected["param"]?.stringValue)
            #expect(error.message == expected["message"]?.stringValue)
        }
    }

    @Test("writes each answer as its fixture has it", arguments: cases("answer"))
    func answers(name: String) throws {
        let written = try Self.answers(name).document(Fixtures.bytes("Dialects/\(name).in.json"))
        #expect(string(written) + "\n" == string(try Fixtures.bytes("Dialects/\(name).out.json")))
    }

    @Test("writes each stream as its fixture has it, cut at every byte", arguments: cases("stream"))
    func streams(name: String) throws {
        let answers = try Self.answers(name)
        let input = try Fixtures.bytes("Dialects/\(name).in.sse")
        let whole = Self.stream(answers, [input])
        #expect(string(whole) == string(try Fixtures.bytes("Dialects/\(name).out.sse")))
        #expect(Self.stream(answers, input.map { [$0] }) == whole, "byte by byte")
        // At every byte of the short ones; of the long ones at some of each line.
        for end in stride(from: 1, to: max(2, input.count), by: input.count < 2500 ? 1 : 11) {
            #expect(Self.stream(answers, split(input, at: [end])) == whole, "cut at \(end)")
        }
    }

    /// What is left of a stream after any cut must not look like its end, in any dialect.
    @Test("never ends a stream that broke off as if it were whole", arguments: cases("stream"))
    func broken(name: String) throws {
        let answers = try Self.answers(name)
        let input = try Fixtures.bytes("Dialects/\(name).in.sse")
        for end in stride(from: 0, to: input.count, by: input.count < 2500 ? 3 : 23) {
            let cut = string(Self.stream(answers, [Array(input[..<end])]))
            let looksWhole = ["data: [DONE]", "event: message_stop", "event: response.completed", "event: response.incomplete"]
                .contains { cut.contains($0) }
            guard looksWhole else { continue }
            // The provider had said why its answer ended.
            let given = string(input[..<end])
            let isWhole = [
                #""finish_reason": ""#, #""finish_reason":""#, "message_stop", "event: response.completed", "event: response.incomplete",
            ]
            .contains { given.contains($0) }
            #expect(isWhole, "cut at \(end)")
        }
    }

    /// What each of Anthropic's models would refuse is not sent to it. The expected text stands in the request, or does not where it begins with `!`.
    @Test(
        "says to each of Anthropic's models what it takes",
        arguments: [
            ("claude-3-5-haiku-20241022", #""temperature":0.5,"top_p":0.9,"top_k":5"#),
            ("claude-opus-4-20250514", #""temperature":0.5,"top_p":0.9"#),
            ("claude-sonnet-4-5@20250929", #""temperature":0.5,"top_k":5"#),
            ("anthropic/claude-opus-4.6", #""temperature":0.5,"top_k":5"#),
            ("eu.anthropic.claude-opus-4-7-v1:0", "!temperature"), ("claude-opus-4-8", "!top_"), ("claude-sonnet-5", "!temperature"),
            ("claude-fable-5-1", "!temperature"), ("claude-mythos-preview", "!top_"),
            ("deepseek-chat", #""temperature":0.5,"top_p":0.9,"top_k":5"#),
        ])
    func sampling(model: String, expected: String) throws {
        try expect(#"{"model":"m","messages":[{"role":"user","content":"x"}],"temperature":0.5,"top_p":0.9,"top_k":5}"#, model, expected)
    }

    @Test(
        "tells each of Anthropic's models how much to think in words that it knows",
        arguments: [
            ("none", "claude-sonnet-4-5", "!thinking"), ("none", "claude-opus-4-8", "!thinking"),
            ("none", "claude-opus-5", #""thinking":{"type":"disabled"}"#), ("none", "claude-haiku-5-5", #""thinking":{"type":"disabled"}"#),
            ("none", "claude-fable-5", #""output_config":{"effort":"low"}"#),
            ("none", "claude-opus-5-5", #""output_config":{"effort":"low"}"#),
            ("none", "some-alias", #""thinking":{"type":"disabled"}"#),
            ("high", "claude-3-7-sonnet-20250219", #""thinking":{"type":"enabled","budget_tokens":7200}"#),
            ("high", "claude-haiku-4-5", #""thinking":{"type":"enabled","budget_tokens":7200}"#),
            ("high", "claude-opus-4-6", #""thinking":{"type":"adaptive"},"output_config":{"effort":"high"}"#),
            ("xhigh", "claude-sonnet-4-6", #""output_config":{"effort":"max"}"#),
            ("xhigh", "claude-opus-4-7", #""output_config":{"effort":"xhigh"}"#),
            ("max", "some-alias", #""output_config":{"effort":"max"}"#),
        ])
    func efforts(effort: String, model: String, expected: String) throws {
        let request = #"{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":9000,"reasoning_effort":"\#(effort)"}"#
        try expect(request, model, expected)
    }

    @Test("shows thinking to who asks to see it, where a model hides it unasked")
    func shownThinking() throws {
        let asked = #"{"model":"m","input":"x","max_output_tokens":9000,"reasoning":{"effort":"high","summary":"auto"}}"#
        let shown = #""thinking":{"type":"adaptive","display":"summarized"}"#
        try expect(asked, "claude-opus-4-8", shown, from: .responses)
        try expect(asked, "claude-opus-4-6", "!display", from: .responses)
        try expect(asked.replacing(#","summary":"auto""#, with: #","summary":null"#), "claude-opus-4-8", "!display", from: .responses)
        try expect(#"{"model":"m","messages":[{"role":"user","content":"x"}],"reasoning":{"effort":"low"}}"#, "claude-sonnet-5", shown)
        try expect(#"{"model":"m","messages":[{"role":"user","content":"x"}],"reasoning_effort":"low"}"#, "claude-sonnet-5", "!display")
    }

    @Test("sends OpenRouter what others have no place for: signed thinking, and marks for the cache")
    func openRouter() throws {
        let request =
            #"{"model":"m","max_tokens":9,"system":[{"type":"text","text":"S","cache_control":{"type":"ephemeral","ttl":"1h"}}],"messages":["#
            + #"{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"SIG"},"#
            + #"{"type":"redacted_thinking","data":"D"},{"type":"tool_use","id":"toolu_1","name":"f","input":{}}]},{"role":"user","content":["#
            + #"{"type":"tool_result","tool_use_id":"toolu_1","content":"r","cache_control":{"type":"ephemeral"}}]}]}"#
        var options = Self.options(.openAI)
        let translation = try #require(Translation(from: .messages, to: .openAI))
        let plain = string(try translation.request(Array(request.utf8), options).body)
        #expect(!plain.contains("SIG") && !plain.contains("cache_control") && !plain.contains("reasoning"))
        options.isOpenRouter = true
        let body = string(try translation.request(Array(request.utf8), options).body)
        #expect(body.contains(#"[{"type":"text","text":"S","cache_control":{"type":"ephemeral","ttl":"1h"}}]"#))
        #expect(body.contains(#"{"type":"reasoning.text","text":"t","signature":"SIG","format":"anthropic-claude-v1","index":0}"#))
        #expect(body.contains(#"{"type":"reasoning.encrypted","data":"D","format":"anthropic-claude-v1","index":1}"#))
        let result = #""tool_call_id":"toolu_1","content":[{"type":"text","text":"r","cache_control":{"type":"ephemeral"}}]"#
        #expect(body.contains(result), "\(body)")
    }

    private func expect(_ request: String, _ model: String, _ expected: String, from caller: Dialect = .openAI) throws {
        var options = Self.options(.messages)
        options.model = model
        let body = string(try #require(Translation(from: caller, to: .messages)).request(Array(request.utf8), options).body)
        if expected.hasPrefix("!") { #expect(!body.contains(expected.dropFirst())) } else { #expect(body.contains(expected), "\(body)") }
    }

    @Test("traps on nothing, whatever is sent", arguments: 1...12 as ClosedRange<UInt64>)
    func damaged(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let names = Fixtures.cases("Dialects")
        for _ in 0..<150 {
            let name = try #require(names.randomElement(using: &random))
            let isStream = name.hasSuffix(".stream")
            var bytes = try Fixtures.bytes("Dialects/\(name).in.\(isStream ? "sse" : "json")")
            for _ in 0..<Int.random(in: 1...6, using: &random) where !bytes.isEmpty {
                let at = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1...20, using: &random)))
                case 2:
                    let other = Int.random(in: 0..<bytes.count, using: &random)
                    bytes.insert(contentsOf: bytes[min(at, other)..<max(at, other)].prefix(200), at: at)
                default:
                    let words = ["null", "{}", "[]", "-1e999", "\"\\ud800\"", "9223372036854775808", "\"\"", "true"]
                    bytes.replaceSubrange(at..<at, with: Array((words.randomElement(using: &random) ?? "").utf8))
                }
            }
            let (from, to) = try Self.dialects(name)
            if isStream {
                let written = Self.stream(try Self.answers(name), split(bytes, at: randomEnds(bytes.count, using: &random)))
                #expect(written == Self.stream(try Self.answers(name), [bytes]))
            } else if name.hasSuffix(".answer") {
                if let written = try? Self.answers(name).document(bytes) { #expect(throws: Never.self) { try JSONView(checking: written) } }
            } else if let written = try? Self.translate(bytes, from, to) {
                #expect(throws: Never.self) { try JSONView(checking: written.body) }
            }
        }
    }

    @Test("refuses what is nested too deeply, and streams whose events are too large")
    func bounds() throws {
        let deep = #"{"model":"m","messages":"# + String(repeating: "[", count: 200) + String(repeating: "]", count: 200) + "}"
        #expect(throws: TranslationRefusal.self) {
            try Self.translate(Array(deep.utf8), .openAI, .messages)
        }
        let answers = try Self.answers("x.messages-to-chat.stream")
        var stream = answers.stream()
        let piece = [UInt8](repeating: UInt8(ascii: "a"), count: 1 << 20)
        var output: [UInt8] = []
        for _ in 0..<17 { output += piece.withUnsafeBytes { stream.consume($0) } }
        #expect(stream.sawError)
        #expect(string(output).contains("larger than what can be translated"))
    }

    /// The tables of the documentation are those that requests are read by.
    @Test("docs/dialects.md shows the rules of each pair", arguments: Dialect.allCases)
    func documented(source: Dialect) throws {
        let file = Fixtures.folder.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("docs/dialects.md")
        let page = try String(contentsOf: file, encoding: .utf8)
        for target in Dialect.allCases {
            guard let rules = MemberRules.rules(from: source, to: target) else { continue }
            let rows = rules.map { rule in
                switch rule.fate {
                case .carried(let other): "| `\(rule.name)` | \(other) |"
                case .dropped(let why): "| `\(rule.name)` | dropped: \(why) |"
                case .refused(let why, let harmless):
                    "| `\(rule.name)` | **400**: \(why)"
                        + (harmless.isEmpty ? "" : " (unless " + harmless.map { "`\($0)`" }.joined(separator: " or ") + ")") + " |"
                }
            }
            let table =
                "### From \(source.name) to \(target.name)\n\n| member | becomes |\n|---|---|\n" + rows.joined(separator: "\n") + "\n"
            #expect(page.contains(table), "should hold:\n\(table)")
        }
    }
}
