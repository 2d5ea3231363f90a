import Formats
import Primitives
import Testing

@Suite("An error")
struct ErrorTests {
    @Test("has OpenAI's shape, whatever its text")
    func shape() throws {
        let message = "a \"b\" \\ \n\t\u{1}\u{7F} é漢😀"
        let bytes = OpenAIErrors.body(message: message, type: "invalid_request_error", param: "model", code: nil)
        let expected: JSONValue = ["error": ["message": .string(message), "type": "invalid_request_error", "param": "model", "code": nil]]
        #expect(try JSONValue(parsing: bytes) == expected)
        let event = string(OpenAIErrors.event(message: message, type: "server_error", code: "x"))
        #expect(event.hasPrefix("data: {") && event.hasSuffix("}\n\n") && !event.dropLast(2).contains("\n"))
        #expect(string(OpenAIErrors.body(message: "", type: "a")) == #"{"error":{"message":"","type":"a","param":null,"code":null}}"#)
    }

    @Test("text that is not UTF-8 is written as UTF-8")
    func replacement() {
        var output: [UInt8] = []
        ([0x61, 0xFF, 0xC3, 0xA9, 0xED, 0xA0, 0x80, 0xF0, 0x9F] as [UInt8]).withUnsafeBytes { JSONText.appendQuoted($0, to: &output) }
        #expect(string(output) == "\"a\u{FFFD}é\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}\"")
        #expect(String(validating: output, as: UTF8.self) != nil)
    }

    static func sanitise(_ text: String) -> SanitisedError? {
        Array(text.utf8).withUnsafeBytes { ProviderErrorSanitiser.sanitise($0) }
    }

    static func cleaned(_ message: String) -> String? {
        var bytes: [UInt8] = Array(#"{"error":{"message":"#.utf8)
        JSONText.appendQuoted(message, to: &bytes)
        bytes += Array("}}".utf8)
        return bytes.withUnsafeBytes { ProviderErrorSanitiser.sanitise($0) }?.message
    }

    @Test(
        "of a provider loses what its caller must not see",
        arguments: [
            (
                "Incorrect API key provided: sk-abcd***********wxyz. You can find your API key at https://platform.openai.com/account/api-keys.",
                "Incorrect API key provided: [redacted]. You can find your API key at [url]."
            ),
            ("Bad header Authorization: Bearer abcdef123", "Bad header Authorization: Bearer [redacted]"),
            ("key=sk-proj-ABCDEFGHIJ1234567890", "key=[redacted]"),
            ("{\"api_key\": \"hunter2000\"}", "{\"api_key\": \"[redacted]\"}"),
            ("prompt is too long: 208310 tokens > 200000 maximum", "prompt is too long: 208310 tokens > 200000 maximum"),
            ("max_tokens: 200000 > 64000, at most", "max_tokens: 200000 > 64000, at most"),
            ("bad tokens: sk-proj-ABCDEFGHIJ1234567890", "bad tokens: [redacted]"),
            ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc failed", "token [redacted] failed"),
            ("request d41d8cd98f00b204e9800998ecf8427e failed", "request [redacted] failed"),
            ("id 123e4567-e89b-12d3-a456-426614174000 gone", "id [redacted] gone"),
            ("blob QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo5ODc2NTQzMjEw== bad", "blob [redacted]== bad"),
            ("connect to 10.1.2.3:8080 refused", "connect to [address] refused"),
            ("connect to 10.1.2.3, refused", "connect to [address], refused"),
            ("connect to [fe80::1%eth0] or ::1 refused", "connect to [fe80::1%eth0] or [address] refused"),
            ("upstream vllm-7:8000 is down", "upstream [address] is down"),
            ("no route to gpu-3.internal.example.com.", "no route to [host]."),
            ("dial tcp localhost refused by db.svc.cluster.local", "dial tcp [host] refused by [host]"),
            ("mail admin@corp.example", "mail [host]"),
            ("Incorrect API key provided: k1.", "Incorrect API key provided: [redacted]."),
            ("Incorrect API key provided: abc", "Incorrect API key provided: [redacted]"),
            ("key abc***xyz is unknown", "key [redacted] is unknown"),
            ("open /usr/lib/python3/site.py failed", "open [path] failed"),
            ("open C:\\secret\\x failed", "open [path] failed"),
            ("Oops\nTraceback (most recent call last):\n  File \"/srv/app.py\", line 3", "Oops"),
            ("Boom\n    at Object.<anonymous> (/srv/x.js:1:2)", "Boom"),
            ("tabs\tand\n\nlines\u{200B}\u{1}", "tabs and lines"),
            // What helps stays.
            (
                "This model's maximum context length is 8192 tokens, you asked for 9000 (8000 in the messages).",
                "This model's maximum context length is 8192 tokens, you asked for 9000 (8000 in the messages)."
            ),
            ("The model `gpt-4o-2024-08-06` does not exist", "The model `gpt-4o-2024-08-06` does not exist"),
            (
                "claude-3-5-sonnet-20241022 and meta-llama/Llama-3.1-70B-Instruct are fine",
                "claude-3-5-sonnet-20241022 and meta-llama/Llama-3.1-70B-Instruct are fine"
            ),
            (
                "Invalid value for 'messages[0].content' (e.g. temperature=0.5)",
                "Invalid value for 'messages[0].content' (e.g. temperature=0.5)"
            ),
            ("Unknown path /v1/chat/completions/x", "Unknown path /v1/chat/completions/x"),
            ("无效的参数：温度", "无效的参数：温度"),
        ])
    func sanitises(message: String, expected: String) {
        #expect(Self.cleaned(message) == expected)
    }

    @Test(
        "of a provider loses what is known to be secret, whatever it looks like",
        arguments: [
            ("your key k1 is bad, k10 is not", "your key [redacted] is bad, k10 is not"),
            ("longsecretx in xlongsecretxx", "[redacted] in x[redacted]x"),
            ("host GPU-3 at gpu-3:8000 and gpu-30", "host [host] at [address] and gpu-30"),
            ("the vllm model is overloaded", "the vllm model is overloaded"),
        ])
    func hides(message: String, expected: String) {
        let hidden = HiddenTexts(secrets: ["k1", "longsecretx", ""], hosts: ["gpu-3", "vllm"])
        var bytes: [UInt8] = Array(#"{"error":{"message":"#.utf8)
        JSONText.appendQuoted(message, to: &bytes)
        bytes += Array("}}".utf8)
        #expect(bytes.withUnsafeBytes { ProviderErrorSanitiser.sanitise($0, hiding: hidden) }?.message == expected)
    }

    @Test("of a provider is understood in its common shapes")
    func shapes() {
        #expect(
            Self.sanitise(#"{"error":{"message":"Bad.","type":"invalid_request_error","param":"messages[0].content","code":"bad_value"}}"#)
                == SanitisedError(message: "Bad.", type: "invalid_request_error", param: "messages[0].content", code: "bad_value"))
        #expect(Self.sanitise(#"{"error":{"message":"Bad","code":429,"type":null}}"#) == SanitisedError(message: "Bad", code: "429"))
        #expect(Self.sanitise(#"{"error":"Bad"}"#) == SanitisedError(message: "Bad"))
        #expect(Self.sanitise(#"{"object":"error","message":"Bad","type":"X"}"#) == SanitisedError(message: "Bad", type: "X"))
        #expect(Self.sanitise(#"{"detail":"Bad"}"#) == SanitisedError(message: "Bad"))
        #expect(
            Self.sanitise(#"{"detail":[{"loc":["body"],"msg":"field required","type":"missing"}]}"#)
                == SanitisedError(message: "field required", type: "missing"))
        #expect(Self.sanitise(#"[{"error":{"message":"Bad"}}]"#) == SanitisedError(message: "Bad"))
        #expect(
            Self.sanitise(#"{"error":{"message":"Bad","type":"a b","param":"sk-abcdefghijkl","code":"host.example.com"}}"#)
                == SanitisedError(message: "Bad"))
    }

    @Test("of a provider that says nothing useful is nothing")
    func nothing() {
        for text in [
            "", "<html>502 Bad Gateway</html>", "{}", "[]", "null", #"{"error":{}}"#, #"{"error":{"message":5}}"#,
            #"{"error":{"message":" "}}"#, #"{"error":null}"#,
        ] {
            #expect(Self.sanitise(text) == nil, "\(text)")
        }
        #expect(Self.sanitise(#"{"error":"\#(String(repeating: "a", count: 70_000))"}"#) == nil)
    }

    @Test("of a provider is bounded")
    func bounded() throws {
        let long = try #require(Self.cleaned(String(repeating: "word漢 ", count: 5_000)))
        #expect(long.utf8.count <= ProviderErrorSanitiser.maxMessageBytes && long.hasSuffix("…"))
        _ = Self.cleaned(String(repeating: "a", count: 60_000))
        _ = Self.cleaned(String(repeating: ".", count: 60_000))
    }
}
