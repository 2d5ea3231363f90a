import Primitives
import Testing

@testable import Simulator

@Suite("What the simulated Anthropic refuses")
struct MessagesRequestTests {
    private static let tool = #"{"name":"f","input_schema":{"type":"object"}}"#
    private static let called =
        #"{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"f","input":{}}]}"#

    private static func refusal(_ body: String, counts: Bool = false) -> String? {
        do throws(MessagesRefusal) {
            _ = try MessagesRequest(Array(body.utf8), counts: counts)
            return nil
        } catch {
            return error.message
        }
    }

    private static func messages(_ messages: String, _ more: String = "") -> String {
        #"{"model":"m","max_tokens":2000,"messages":[\#(messages)]\#(more)}"#
    }

    @Test(
        "a member, a role or an order that its API does not take",
        arguments: [
            (#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#, "max_tokens: Field required"),
            (messages(#"{"role":"system","content":"x"}"#), "Unexpected role"),
            (messages(#"{"role":"assistant","content":"x"}"#), "first message"),
            (messages(#"{"role":"user","content":""}"#), "non-empty"),
            (messages(#"{"role":"user","content":[{"type":"text","text":" "}]}"#), "non-whitespace"),
            (messages(#"{"role":"user","content":"x"}"#, #","n":2"#), "n: Extra inputs"),
            (messages(called), "`tool_use` ids were found without `tool_result`"),
            (messages(called + #",{"role":"user","content":"y"}"#), "`tool_use` ids were found without `tool_result`"),
            (
                messages(called + #",{"role":"user","content":[{"type":"tool_result","tool_use_id":"t2","content":"y"}]}"#),
                "unexpected `tool_use_id`"
            ),
            (
                messages(called + #",{"role":"user","content":[{"type":"text","text":"y"},{"type":"tool_result","tool_use_id":"t1"}]}"#),
                "must come first"
            ),
            (messages(#"{"role":"user","content":"x"}"#, #","tools":[{"name":"a b","input_schema":{"type":"object"}}]"#), "pattern"),
            (messages(#"{"role":"user","content":"x"}"#, #","tool_choice":{"type":"any"}"#), "while providing tools"),
            (messages(#"{"role":"user","content":"x"}"#, #","thinking":{"type":"enabled","budget_tokens":100}"#), "1024"),
            (
                messages(#"{"role":"user","content":"x"}"#, #","thinking":{"type":"enabled","budget_tokens":1500},"temperature":0.5"#),
                "temperature"
            ),
            (
                messages(
                    #"{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"thinking","thinking":"a","signature":"b"}]}"#),
                "Invalid `signature`"
            ),
        ])
    func refused(body: String, words: String) throws {
        let refusal = try #require(Self.refusal(body))
        #expect(refusal.contains(words))
    }

    @Test("what it takes")
    func taken() {
        let answered =
            Self.called
            + #",{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"y"},{"type":"text","text":"z"}]}"#
        #expect(Self.refusal(Self.messages(answered, #","tools":[\#(Self.tool)],"stream":true"#)) == nil)
        #expect(Self.refusal(#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#, counts: true) == nil)
        #expect(Self.refusal(Self.messages(#"{"role":"user","content":"x"}"#), counts: true)?.hasPrefix("max_tokens") == true)
    }
}
