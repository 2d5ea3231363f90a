import Formats
import Primitives
import Testing

@Suite("A stream put together to one answer")
struct StreamAssemblerTests {
    static func assemble(_ pieces: [[UInt8]]) -> Result<JSONValue, StreamAssembler.Failure> {
        var assembler = StreamAssembler()
        do throws(StreamAssembler.Failure) {
            for piece in pieces {
                // `withUnsafeBytes` throws untyped: the failure is carried out of it.
                let failure: StreamAssembler.Failure? = piece.withUnsafeBytes { bytes in
                    do throws(StreamAssembler.Failure) {
                        try assembler.append(bytes)
                        return nil
                    } catch {
                        return error
                    }
                }
                if let failure { throw failure }
            }
            let bytes = try assembler.finish()
            return .success((try? JSONValue(parsing: bytes)) ?? .null)
        } catch {
            return .failure(error)
        }
    }

    static func assemble(_ text: String) -> Result<JSONValue, StreamAssembler.Failure> { assemble([Array(text.utf8)]) }

    static let chat = """
        : ping

        data: {"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}

        data: {"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"Hello, "},"logprobs":{"content":[{"token":"Hello"}]},"finish_reason":null}]}

        data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":1,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"t","type":"function","function":{"name":"f","arguments":""}}]},"finish_reason":null}]}

        data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"world"},"logprobs":{"content":[{"token":"world"}]},"finish_reason":"stop"}]}

        data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":1,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\\"a\\""}},{"index":1,"id":"u","type":"function","function":{"name":"g","arguments":"1"}}]},"finish_reason":null}]}

        data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":1,"delta":{"reasoning_content":"hm","tool_calls":[{"index":0,"function":{"arguments":":1}"}}]},"finish_reason":"tool_calls"}],"service_tier":"default"}

        data: {"id":"c1","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}

        data: [DONE]


        """

    @Test("has every choice's text, tool calls, reasoning and log probabilities, and the usage, however it was split")
    func chat() throws {
        let expected = try JSONValue(
            parsing: #"""
                {"id":"c1","object":"chat.completion","created":7,"model":"m","service_tier":"default","choices":[
                {"index":0,"message":{"role":"assistant","content":"Hello, world"},"logprobs":{"content":[{"token":"Hello"},{"token":"world"}]},
                "finish_reason":"stop"},
                {"index":1,"message":{"role":"assistant","content":null,"tool_calls":[
                {"id":"t","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},
                {"id":"u","type":"function","function":{"name":"g","arguments":"1"}}],"reasoning_content":"hm"},"logprobs":null,
                "finish_reason":"tool_calls"}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}
                """#)
        let bytes = Array(Self.chat.utf8)
        #expect(Self.assemble([bytes]) == .success(expected))
        #expect(Self.assemble(bytes.map { [$0] }) == .success(expected))
        for end in stride(from: 1, to: bytes.count, by: 7) { #expect(Self.assemble(split(bytes, at: [end])) == .success(expected)) }
    }

    @Test("may be of completions, and end without its mark")
    func completions() throws {
        let text = #"""
            data: {"id":"a","object":"text_completion","choices":[{"index":0,"text":"one ","finish_reason":null}]}

            data: {"id":"a","object":"text_completion","choices":[{"index":0,"text":"two","finish_reason":"length"}]}
            """#
        #expect(
            Self.assemble(text)
                == .success([
                    "id": "a", "object": "text_completion",
                    "choices": [["index": 0, "text": "one two", "logprobs": nil, "finish_reason": "length"]],
                ]))
    }

    @Test("may be a Responses stream, whose last event holds the answer")
    func responses() {
        let text = """
            event: response.created
            data: {"type":"response.created","response":{"id":"r","status":"in_progress"}}

            event: response.completed
            data: {"type":"response.completed","response":{"id":"r","status":"completed"}}


            """
        #expect(Self.assemble(text) == .success(["id": "r", "status": "completed"]))
    }

    @Test("is refused when it is not all there, or no answer")
    func refused() {
        func expectFailure(_ text: String, _ failure: StreamAssembler.Failure) { #expect(Self.assemble(text) == .failure(failure)) }
        expectFailure("", .incomplete)
        expectFailure("data: [DONE]\n\n", .incomplete)
        expectFailure(#"data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"# + "\n\n", .incomplete)
        expectFailure("data: oops\n\n", .unreadable)
        expectFailure("data: {\"choices\":[7]}\n\n", .unreadable)
        expectFailure("data: {\"choices\":[{\"index\":99999999}]}\n\n", .tooLarge)
        expectFailure(
            #"data: {"error":{"message":"No capacity","code":503}}"# + "\n\n",
            .failed(ProviderError(concern: .fault, status: 503, shown: SanitisedError(message: "No capacity", code: "503"))))
    }
}
