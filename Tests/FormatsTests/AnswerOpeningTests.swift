import Formats
import Testing

@Suite("The beginning of an answer")
struct AnswerOpeningTests {
    static func read(_ text: String, isEnd: Bool = false) -> AnswerOpening {
        Array(text.utf8).withUnsafeBytes { AnswerOpening.read($0, isEnd: isEnd) }
    }

    static func failed(_ status: Int, _ concern: ProviderError.Concern, _ message: String?, type: String? = nil, code: String? = nil)
        -> AnswerOpening
    {
        .error(
            ProviderError(
                concern: concern, status: status, shown: message.map { SanitisedError(message: $0, type: type, code: code) }))
    }

    @Test(
        "tells what the body is, whatever its label says",
        arguments: [
            ("data: {}", .eventStream), ("\u{FEFF}\r\n data:", .eventStream), ("event: x", .eventStream), ("id:1", .eventStream),
            ("retry: 5", .eventStream), (": ping", .eventStream), (":", .eventStream), ("{", .json), ("\u{FEFF} \n[", .json),
            ("<html>", .other), ("dat", .needMore), ("dax", .other), ("", .needMore), (" \n", .needMore), ("\"text\"", .other),
            ("datax: 1", .other), ("upstream error", .other),
        ] as [(String, BodyKind)])
    func kind(text: String, expected: BodyKind) {
        #expect(Array(text.utf8).withUnsafeBytes { BodyKind.sniff($0) } == expected)
        let bytes = Array(text.utf8)
        for end in 0..<bytes.count {
            let part = bytes[..<end].withUnsafeBytes { BodyKind.sniff($0) }
            #expect(part == .needMore || part == expected, "\(end) bytes say something else than all")
        }
    }

    @Test(
        "is the answer, an error, or nothing",
        arguments: [
            (#"data: {"choices":[{"delta":{}}]}"# + "\n\n", AnswerOpening.answer(.eventStream)),
            (": ping\n\nevent: x\ndata: {\"choices\":[],\"error\":null}\n\n", .answer(.eventStream)),
            (#"data: {"choices":[{"error":{"a":1}}]}"# + "\n\n", .answer(.eventStream)),
            (
                ": ping\n\ndata: {\"error\":{\"message\":\"Too many requests\",\"code\":429}}\n\n",
                failed(429, .rateLimit, "Too many requests", code: "429")
            ),
            (
                "event: error\ndata: {\"message\":\"Overloaded\",\"type\":\"overloaded_error\"}\n\n",
                failed(503, .fault, "Overloaded", type: "overloaded_error")
            ),
            (#"data: {"error":"something broke"}"# + "\n\n", failed(502, .fault, "something broke")),
            ("data: oops\n\n", .unreadable), ("data: {\"a\"\n\n", .unreadable),
            (#"{"id":"a","object":"chat.completion","choices":[]}"#, .answer(.json)),
            (#"{"object":"list","data":[]}"#, .answer(.json)),
            (#"{"message":"m","choices":[]}"#, .answer(.json)), (#"{"error":null,"choices":[]}"#, .answer(.json)),
            (
                #"{"error":{"message":"No capacity","type":"server_error","code":null}}"#,
                failed(502, .fault, "No capacity", type: "server_error")
            ),
            (
                #"{"object":"error","message":"Bad value","type":"BadRequestError","code":400}"#,
                failed(400, .request, "Bad value", type: "BadRequestError", code: "400")
            ),
            (#"{"detail":"Not Found"}"#, failed(502, .fault, "Not Found")),
            (#"[{"error":{"message":"Bad","code":400}}]"#, failed(400, .request, "Bad", code: "400")),
            (
                #"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#,
                failed(429, .account, "You exceeded your current quota", code: "insufficient_quota")
            ),
            ("<html>502</html>", .unreadable), ("upstream connect error", .unreadable), (#"{"a":tru}"#, .unreadable),
        ])
    func verdict(text: String, expected: AnswerOpening) {
        #expect(Self.read(text, isEnd: true) == expected)
        // Whatever has come so far says the same or nothing.
        let bytes = Array(text.utf8)
        for end in 0...bytes.count {
            let part = bytes[..<end].withUnsafeBytes { AnswerOpening.read($0, isEnd: false) }
            #expect(part == .needMore || part == expected, "after \(end) bytes: \(part)")
        }
    }

    @Test(
        "is none when it holds nothing that any answer has, as with errors of a provider's own form",
        arguments: [
            "{}", "[]", #"{"code":1001,"msg":"no","data":null}"#, #"{"base_resp":{"status_code":1004},"choices":null,"usage":null}"#,
        ])
    func noAnswer(text: String) { verdict(text: text, expected: .unreadable) }

    @Test("a response that failed is an error, and one that did not is none")
    func response() {
        let begin = #"{"id":"r","object":"response","status":"#
        verdict(
            text: begin + #""failed","error":{"code":"rate_limit_exceeded","message":"Too many requests"},"output":[],"usage":null}"#,
            expected: Self.failed(429, .rateLimit, "Too many requests", code: "rate_limit_exceeded"))
        verdict(text: begin + #""completed","error":null,"output":[]}"#, expected: .answer(.json))
        verdict(text: begin + #""queued","error":null}"#, expected: .answer(.json))
    }

    @Test("a choice that ended for an error is an error, whatever else is there")
    func failedChoice() {
        let choice = #"{"id":"x","object":"chat.completion","choices":[{"message":{"content":""},"finish_reason":"#
        verdict(
            text: choice + #""error","error":{"code":503,"message":"Overloaded"}}],"usage":{"prompt_tokens":1}}"#,
            expected: Self.failed(503, .fault, "Overloaded", code: "503"))
        verdict(text: choice + #""stop","error":{"code":503}}]}"#, expected: .answer(.json))
        verdict(text: choice + #""error","error":null}]}"#, expected: .answer(.json))
    }

    @Test("is one when it is as small as answers are", arguments: [#"{"input_tokens":5}"#, #"{"text":""}"#, #"{"results":[]}"#])
    func smallAnswer(text: String) { verdict(text: text, expected: .answer(.json)) }

    @Test("an error that says nothing is none", arguments: ["{ }", #""""#, "false", "0", "[]", "null"])
    func emptyError(error: String) {
        verdict(text: #"{"error":"# + error + #","choices":[]}"#, expected: .answer(.json))
        verdict(text: #"data: {"choices":[],"error":"# + error + "}\n\n", expected: .answer(.eventStream))
    }

    @Test("is empty when nothing came", arguments: ["", " \n", ": ping\n\n", "data: [DONE]\n\n", "event: x\n\n", "\u{FEFF}:\n\n"])
    func empty(text: String) {
        #expect(Self.read(text, isEnd: true) == .empty)
    }

    @Test("is taken for the answer when its first event is not whole at the end, if it is JSON so far as it goes")
    func unfinished() {
        #expect(Self.read(#"data: {"choices":[]}"#, isEnd: true) == .answer(.eventStream))
        #expect(Self.read(#"data: {"choices":["#, isEnd: true) == .unreadable)
    }

    @Test("is not held for ever")
    func bounded() {
        let long = String(repeating: "x", count: AnswerOpening.maxHeldBytes)
        #expect(Self.read("data: {\"a\":\"\(long)") == .answer(.eventStream))
        #expect(Self.read("{\"a\":\"\(long)") == .answer(.json))
        #expect(Self.read(String(repeating: " ", count: AnswerOpening.maxHeldBytes)) == .unreadable)
        #expect(Self.read(String(repeating: ": ping\n\n", count: 10_000)) == .answer(.eventStream))
    }
}
