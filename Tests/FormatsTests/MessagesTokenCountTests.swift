import Primitives
import Testing

@testable import Formats

@Suite("Tokens of a Messages request, counted without a tokenizer")
struct MessagesTokenCountTests {
    private func count(_ body: String) throws -> Int64 {
        let bytes = Array(body.utf8)
        return try MessagesTokenCount.estimate(bytes.withUnsafeBytes { try ChatRequestScan.scan($0) }, of: bytes)
    }

    private func count(content: String) throws -> Int64 {
        // What stands around one message.
        try count(#"{"model":"m","messages":[{"role":"user","content":\#(content)}]}"#) - 3 - MessagesTokenCount.perMessage
    }

    @Test("does not guess at what a thread holds that the provider keeps")
    func threads() {
        #expect(throws: TranslationRefusal.self) { try count(#"{"model":"m","thread":{"id":"t"},"messages":[]}"#) }
        #expect(throws: Never.self) { try count(#"{"model":"m","thread":null,"messages":[]}"#) }
    }

    /// Beside what o200k_base, the tokenizer of OpenAI's models since GPT-4o, makes of the same text.
    @Test(arguments: [
        (
            "The data plane decides about a request locally, and waits for the control plane only for more of a budget. Whoever asks for more "
                + "than is left is refused, and told when the budget begins anew.", 40
        ),
        (
            "def total(items):\n    \"\"\"Sums prices of items, in cents.\"\"\"\n    return sum(item[\"price\"] * item.get(\"count\", 1) "
                + "for item in items if item[\"price\"] > 0)\n", 44
        ),
        ("Größere Änderungen werden überprüft, bevor sie ausgerollt werden; wer sie nicht bestätigt, behält die alte Fassung.", 29),
        ("今天天气很好，我们一起去公园散步吧。", 13),
    ])
    func isCloseToATokenizer(text: String, tokens: Int64) throws {
        let counted = try count(content: JSONValue.string(text).text)
        #expect(counted * 10 >= tokens * 7 && counted * 10 <= tokens * 15, "\(counted) of \(tokens)")
        // As a block, in a result and as instructions it is the same text.
        let quoted = JSONValue.string(text).text
        #expect(try count(content: #"[{"type":"text","text":\#(quoted)}]"#) == counted)
        let result = #"[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":\#(quoted)}]}]"#
        #expect(try count(content: result) == counted + MessagesTokenCount.perMessage)
        let system = try count(#"{"system":\#(quoted),"messages":[{"role":"user","content":"x"}]}"#)
        #expect(system == 3 + MessagesTokenCount.perMessage + 1 + counted)
    }

    @Test func whatIsNoTextCountsByItsKind() throws {
        let data = String(repeating: "A", count: 60_000)
        #expect(
            try count(content: #"[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"\#(data)"}}]"#)
                == MediaScan.imageTokens)
        #expect(try count(content: #"[{"type":"image","source":{"type":"url","url":"https://e.com/a.png"}}]"#) == MediaScan.imageTokens)
        let document = try count(content: #"[{"type":"document","source":{"type":"base64","data":"\#(data)"}}]"#)
        #expect(document > 500 && document < 1_000)
        #expect(
            try count(content: #"[{"type":"document","source":{"type":"file","file_id":"f"}}]"#) == MessagesTokenCount.namedDocument)
        #expect(try count(content: #"[{"type":"thinking","thinking":"I think","signature":"\#(data)"}]"#) == 0)
        let tool = #"{"name":"weather","description":"The weather","input_schema":{"type":"object"}}"#
        let one = try count(#"{"tools":[\#(tool)],"messages":[]}"#)
        #expect(one > 3 + MessagesTokenCount.perTool)
        #expect(try count(#"{"tools":[\#(tool),\#(tool)],"messages":[]}"#) == 2 * one - 3)
    }

    @Test func whatIsHugeOrNonsenseIsCountedAllTheSame() throws {
        let huge = String(repeating: "word ", count: 1_000_000)
        let counted = try count(#"{"messages":[{"role":"user","content":"\#(huge)"}]}"#)
        #expect(counted > 900_000 && counted < 1_500_000)
        for body in [
            "{}", #"{"messages":3}"#, #"{"messages":[3,[],"x",{"content":{}},{"content":[1,{"type":3},{"type":"other","x":"y"}]}]}"#,
            #"{"system":[],"tools":{},"messages":[{"content":"\\u12"}]}"#, #"{"messages":[{"content":[{"type":"document","source":7}]}]}"#,
        ] {
            #expect(try count(body) > 0)
        }
    }
}
