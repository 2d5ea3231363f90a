import Formats
import Primitives
import Testing

/// Streams whose events say their type: Anthropic's Messages and OpenAI's Responses.
@Suite("Streams of Messages and Responses")
struct TypedStreamTests {
    private static func events(_ lines: [(String, String)]) -> [UInt8] {
        Array(lines.map { "event: \($0.0)\ndata: \($0.1)\n\n" }.joined().utf8)
    }

    private static let start =
        #"{"type":"message_start","message":{"id":"m","usage":{"input_tokens":10,"cache_creation_input_tokens":30,"cache_read_input_tokens":60,"#
        + #""cache_creation":{"ephemeral_5m_input_tokens":20,"ephemeral_1h_input_tokens":10},"output_tokens":1}}}"#

    static func message(_ end: [(String, String)]) -> [UInt8] {
        events(
            [
                ("message_start", start), ("ping", #"{"type": "ping"}"#),
                (
                    "content_block_start",
                    #"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#
                ),
                ("content_block_delta", #"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}}"#),
                ("content_block_delta", #"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hello"}}"#),
                (
                    "content_block_delta",
                    #"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a"}}"#
                ),
            ] + end)
    }

    private static let closing: [(String, String)] = [
        ("message_delta", #"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":null,"output_tokens":20}}"#),
        ("message_delta", #"{"type":"message_delta","delta":{},"usage":{"output_tokens":25}}"#),
        ("message_stop", #"{"type":"message_stop"}"#),
    ]

    private func run(_ dialect: Dialect, _ pieces: [[UInt8]], relays: Bool = true) -> (meter: StreamUsageMeter, output: [UInt8]) {
        var meter = StreamUsageMeter(dialect, mode: .observe)
        var output: [UInt8] = []
        for piece in pieces {
            piece.withUnsafeBytes { bytes in
                if relays { meter.relay(bytes) { output.append(contentsOf: $0) } } else { meter.observe(bytes) }
            }
        }
        meter.finish { output.append(contentsOf: $0) }
        return (meter, output)
    }

    @Test("a message's usage is merged by its parts, and its bytes pass, however they are cut")
    func messages() {
        let input = Self.message(Self.closing)
        for cut in 0...input.count {
            let (meter, output) = run(.messages, split(input, at: [cut]))
            guard output == input else { return #expect(string(output) == string(input), "cut at \(cut)") }
            let reading = meter.reading
            #expect(reading.isComplete && meter.sawDone && !meter.lacksEnd && !meter.sawError)
            #expect(reading.inputTokens == 100 && reading.outputTokens == 25)
            #expect(reading.cachedInputTokens == 60 && reading.cacheWriteTokens == 30 && reading.cacheWriteHourTokens == 10)
            #expect(meter.contentBytes == 3 + 5 + 4)
        }
    }

    @Test("what a message that broke off had until then is known in part, and it does not look whole")
    func cutMessage() {
        let (meter, _) = run(.messages, [Self.message([])])
        #expect(meter.lacksEnd && meter.isTelling)
        #expect(meter.reading.inputTokens == 100 && meter.reading.outputTokens == 1)
        #expect(meter.reading.flags == [.outputUnknown])
        #expect(run(.messages, [Self.events([("message_start", Self.start)])]).meter.isTelling == false)
    }

    @Test("zeros at a message's end do not overrule the input of its begin, and zero for a text is not known")
    func zeros() {
        let zeros =
            #"{"type":"message_delta","delta":{},"usage":{"input_tokens":0,"cache_read_input_tokens":0,"cache_creation_input_tokens":0,"#
            + #""output_tokens":25}}"#
        let reading = run(.messages, [Self.message([("message_delta", zeros)])]).meter.reading
        #expect(reading.inputTokens == 100 && reading.cachedInputTokens == 60 && reading.cacheWriteHourTokens == 10)
        #expect(reading.outputTokens == 25 && reading.isComplete)
        let nothing = #"{"type":"message_start","message":{"usage":{"input_tokens":0,"output_tokens":0}}}"#
        let text = #"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#
        let end = #"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":0}}"#
        for (middle, flags) in [([("content_block_delta", text)], [.inputUnknown, .outputUnknown]), ([], [])]
            as [([(String, String)], UsageReading.Flags)]
        {
            let stream = Self.events([("message_start", nothing)] + middle + [("message_delta", end)])
            #expect(run(.messages, [stream]).meter.reading.flags == flags)
        }
    }

    @Test("an error within a message is told in words that a caller may see")
    func messageError() {
        let error = #"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded at http://10.0.0.1/x"},"request_id":"r"}"#
        let (meter, output) = run(.messages, [Self.message([("error", error)])])
        #expect(meter.sawError && meter.sawDone)
        let last = string(output).split(separator: "\n").last ?? ""
        #expect(last.contains(#""type":"overloaded_error""#) && !last.contains("10.0.0.1") && last.hasPrefix(#"data: {"type":"error""#))
    }

    @Test("a message's usage is read in a document, too")
    func document() {
        var meter = BodyUsageMeter(.messages)
        let body =
            #"{"type":"message","content":[{"type":"thinking","thinking":"Hm."},{"type":"text","text":"Hello"}],"usage":{"input_tokens":10,"#
            + #""cache_read_input_tokens":60,"cache_creation_input_tokens":30,"output_tokens":7}}"#
        Array(body.utf8).withUnsafeBytes { meter.consume($0) }
        meter.finish()
        #expect(meter.reading.inputTokens == 100 && meter.reading.cachedInputTokens == 60 && meter.reading.cacheWriteTokens == 30)
        #expect(meter.reading.outputTokens == 7 && meter.reading.isComplete && meter.contentBytes == 8)
    }

    @Test("absurd counts of a message are no counts")
    func absurd() {
        let usage = Array(#"{"input_tokens":-1,"cache_read_input_tokens":99999999999999999999,"output_tokens":"7x"}"#.utf8)
        let reading = usage.withUnsafeBytes { UsageParser.parseMessages($0) }
        #expect(reading?.flags.isSuperset(of: [.invalid, .inputUnknown, .outputUnknown]) == true)
        #expect(reading?.inputTokens == 0)
        #expect(Array("null".utf8).withUnsafeBytes { UsageParser.parseMessages($0) } == nil)
    }

    @Test("what a message opens with may still be followed by an error: the next endpoint is asked then")
    func opening() {
        func judge(_ lines: [(String, String)], isEnd: Bool = false) -> AnswerOpening {
            Self.events(lines).withUnsafeBytes { AnswerOpening.read($0, isEnd: isEnd, in: .messages) }
        }
        let begin = [("message_start", Self.start), ("ping", #"{"type": "ping"}"#)]
        #expect(judge(begin) == .needMore)
        #expect(judge(begin, isEnd: true) == .empty)
        #expect(judge(begin + [("content_block_start", #"{"type":"content_block_start","index":0}"#)]) == .answer(.eventStream))
        let error = ("error", #"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#)
        guard case .error(let told) = judge(begin + [error]) else { return #expect(Bool(false), "an error") }
        #expect(told.concern == .fault && told.status == 503)
    }

    @Test("a stream that was not asked for is put together to the message")
    func assembled() throws {
        let stream = Self.events([
            (
                "message_start",
                #"{"type":"message_start","message":{"id":"m","type":"message","content":[],"stop_reason":null,"usage":{"input_tokens":3,"output_tokens":1}}}"#
            ),
            (
                "content_block_start",
                #"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#
            ),
            ("content_block_delta", #"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm"}}"#),
            ("content_block_delta", #"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}}"#),
            (
                "content_block_start",
                #"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#
            ),
            (
                "content_block_delta",
                #"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}"#
            ),
            ("content_block_delta", #"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"1}"}}"#),
            ("message_delta", #"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":9}}"#),
            ("message_stop", #"{"type":"message_stop"}"#),
        ])
        var assembler = StreamAssembler(.messages)
        for piece in split(stream, at: [40, 300]) { try piece.withUnsafeBytes { try assembler.append($0) } }
        #expect(
            string(try assembler.finish())
                == #"{"id":"m","type":"message","content":[{"type":"thinking","thinking":"Hm","signature":"s"},"#
                + #"{"type":"tool_use","id":"t","name":"f","input":{"a":1}}],"stop_reason":"tool_use","usage":{"input_tokens":3,"output_tokens":9}}"#
        )
        var half = StreamAssembler(.messages)
        let last = Self.events([("message_stop", #"{"type":"message_stop"}"#)])
        try Array(stream.dropLast(last.count)).withUnsafeBytes { try half.append($0) }
        #expect(throws: StreamAssembler.Failure.incomplete) { try half.finish() }
    }

    @Test("a response's usage stands in its last event, and a failed one's error is cleaned")
    func responses() {
        func stream(_ last: String, _ data: String) -> [UInt8] {
            Self.events([
                ("response.created", #"{"type":"response.created","response":{"usage":null},"sequence_number":0}"#),
                ("response.output_text.delta", #"{"type":"response.output_text.delta","delta":"Hello","sequence_number":1}"#), (last, data),
            ])
        }
        let usage =
            #"{"input_tokens":12,"input_tokens_details":{"cached_tokens":4},"output_tokens":7,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":19}"#
        for end in ["completed", "incomplete"] {
            let input = stream("response.\(end)", #"{"type":"response.\#(end)","response":{"id":"r","usage":\#(usage)}}"#)
            let (meter, output) = run(.responses, split(input, at: [130]))
            #expect(output == input && meter.sawDone && !meter.sawError && meter.contentBytes == 5)
            #expect(meter.reading.inputTokens == 12 && meter.reading.cachedInputTokens == 4 && meter.reading.reasoningTokens == 3)
        }
        let failed =
            #"{"type":"response.failed","response":{"error":{"code":"server_error","message":"at http://10.1.1.1/"},"usage":\#(usage)}}"#
        let (meter, output) = run(.responses, [stream("response.failed", failed)])
        #expect(meter.sawError && meter.sawDone && meter.reading.outputTokens == 7)
        #expect(!string(output).contains("10.1.1.1") && string(output).contains(#""code":"server_error""#))
    }
}
