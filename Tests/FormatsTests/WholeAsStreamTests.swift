import Formats
import Primitives
import Testing

@Suite("A whole answer as a stream")
struct WholeAsStreamTests {
    static let documents: [(Dialect, String)] = [
        (
            .openAI,
            #"{"id":"c1","object":"chat.completion","created":7,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello","#
                + #""tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},"finish_reason":"tool_calls"}],"#
                + #""usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#
        ),
        (
            .messages,
            #"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"thinking","thinking":"hm","signature":"s"},"#
                + #"{"type":"text","text":"Hello"},{"type":"tool_use","id":"t","name":"f","input":{"a":1}}],"stop_reason":"tool_use","#
                + #""stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":4}}"#
        ),
        (
            .responses,
            #"{"id":"resp_1","object":"response","created_at":7,"status":"completed","model":"m","output":[{"type":"message","id":"i","role":"#
                + #""assistant","status":"completed","content":[{"type":"output_text","text":"Hello","annotations":[]}]},{"type":"function_call","#
                + #""id":"fc","call_id":"t","name":"f","arguments":"{\"a\":1}","status":"completed"}],"usage":{"input_tokens":3,"#
                + #""output_tokens":4,"total_tokens":7}}"#
        ),
    ]

    @Test("comes to the same answer, and costs the same, in its own dialect", arguments: [0, 1, 2])
    func same(index: Int) throws {
        let (dialect, document) = Self.documents[index]
        let stream = try AnswerTranslation(in: dialect, wantsUsage: true, createdSeconds: 9).streamed(Array(document.utf8))
        var assembler = StreamAssembler(dialect)
        try stream.withUnsafeBytes { try assembler.append($0) }
        let whole = try assembler.finish()
        let id = ["\"c1\"", "\"msg_1\"", "\"resp_1\""][index]
        for text in ["Hello", "\"t\"", "\"f\"", id] { #expect(string(whole).contains(text), "\(string(whole))") }
        #expect(string(whole).contains(dialect == .messages ? #""input":{"a":1}"# : #""arguments":"{\"a\":1}""#), "\(string(whole))")
        var meter = StreamUsageMeter(dialect, mode: .observe)
        stream.withUnsafeBytes { meter.observe($0) }
        #expect(meter.reading.inputTokens == 3 && meter.reading.outputTokens == 4 && meter.sawDone && !meter.lacksEnd)
    }

    @Test("tells usage where it was asked for, and is none for what has several choices or none")
    func bounds() throws {
        let chat = Array(Self.documents[0].1.utf8)
        let silent = AnswerTranslation(in: .openAI, wantsUsage: false, createdSeconds: 9)
        #expect(try !string(silent.streamed(chat)).contains("usage"))
        for body in [#"{"choices":[]}"#, #"{"choices":[{"message":{"content":"a"}},{"message":{"content":"b"}}]}"#, "{}", "[]", "{"] {
            #expect(throws: StreamError.self, "\(body)") { try silent.streamed(Array(body.utf8)) }
        }
    }
}
