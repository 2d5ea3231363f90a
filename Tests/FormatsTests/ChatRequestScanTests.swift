import Formats
import Primitives
import Testing

@Suite("A scanned request")
struct ChatRequestScanTests {
    static func scan(_ bytes: [UInt8], maxDepth: Int = 128) -> Result<RequestMembers, JSONViolation> {
        bytes.withUnsafeBytes { body in
            do throws(JSONViolation) {
                return .success(try ChatRequestScan.scan(body, maxDepth: maxDepth))
            } catch {
                return .failure(error)
            }
        }
    }

    @Test("gives the members that decide routing and cost")
    func members() throws {
        let text = """
            { "model" : "gpt-4o" , "messages":[{"role":"user","content":"say \\"model\\": {[é漢😀"}], "max_tokens": 12,
              "max_completion_tokens":null,"n":2, "stream":true,"stream_options":{ "include_usage" : false, "x":[] }, "temperature":0.5 }
            """
        let bytes = Array(text.utf8)
        let members = try Self.scan(bytes).get()
        #expect(members.model.map { string(bytes[$0.value]) } == "\"gpt-4o\"")
        #expect(members.model.map { string(bytes[$0.content]) } == "gpt-4o")
        #expect(members.model?.hasEscapes == false)
        #expect(members.messages.map { string(bytes[$0]).hasPrefix("[{\"role\"") } == true)
        #expect(members.maxTokens?.value == 12)
        #expect(members.maxTokens.map { string(bytes[$0.range]) } == "12")
        #expect(members.maxCompletionTokens == nil)
        #expect(members.maxCompletionTokensNull.map { string(bytes[$0]) } == "null")
        #expect(members.n?.value == 2)
        #expect(members.isStreaming && !members.includesUsage && !members.isEmpty)
        #expect(members.insertion == 1)
        let options = try #require(members.streamOptions)
        #expect(string(bytes[options.range]) == "{ \"include_usage\" : false, \"x\":[] }")
        #expect(options.includeUsageRange.map { string(bytes[$0]) } == "false")
        #expect(options.insertion == options.range.lowerBound + 1)
        #expect(!options.isEmpty)
    }

    @Test("knows a member however its name is written")
    func escapedNames() throws {
        let bytes = Array(#"{"mod\u0065l":"a\u002fb","\u0073tream":true,"stream_options":{"include\u005fusage":true}}"#.utf8)
        let members = try Self.scan(bytes).get()
        #expect(members.isStreaming && members.includesUsage)
        let model = try #require(members.model)
        #expect(model.hasEscapes)
        #expect(bytes.withUnsafeBytes { JSONText.unescape($0, model.content) } == Array("a/b".utf8))
    }

    struct Refused: Sendable {
        let text: String
        let violation: JSONViolation
    }

    @Test(
        "is refused with the member at fault",
        arguments: [
            Refused(text: #"{"model":"a","model":"b"}"#, violation: .duplicate(.model)),
            Refused(text: #"{"model":"a","mod\u0065l":"b"}"#, violation: .duplicate(.model)),
            Refused(text: #"{"\u006d\u006F\u0064\u0065\u006c":"a","model":"b"}"#, violation: .duplicate(.model)),
            Refused(text: #"{"stream":true,"stream":false}"#, violation: .duplicate(.stream)),
            Refused(text: #"{"stream":null,"stream":null}"#, violation: .duplicate(.stream)),
            Refused(text: #"{"stream_options":{},"stream_options":{}}"#, violation: .duplicate(.streamOptions)),
            Refused(text: #"{"stream_options":{"include_usage":true,"include_usage":false}}"#, violation: .duplicate(.includeUsage)),
            Refused(text: #"{"max_tokens":1,"max_tokens":2}"#, violation: .duplicate(.maxTokens)),
            Refused(text: #"{"max_completion_tokens":1,"max_completion_tokens":2}"#, violation: .duplicate(.maxCompletionTokens)),
            Refused(text: #"{"n":1,"n":1}"#, violation: .duplicate(.n)),
            Refused(text: #"{"messages":[],"messages":[]}"#, violation: .duplicate(.messages)),
            Refused(text: #"{"model":"a","Model":"b"}"#, violation: .ambiguous(.model)),
            Refused(text: #"{"MODEL":"b"}"#, violation: .ambiguous(.model)),
            Refused(text: #"{"\u004dodel":"b"}"#, violation: .ambiguous(.model)),
            Refused(text: #"{"max_to\u212Aens":9}"#, violation: .ambiguous(.maxTokens)),
            Refused(text: "{\"\u{17F}tream\":true}", violation: .ambiguous(.stream)),
            Refused(text: "{\"max_to\u{212A}ens\":9}", violation: .ambiguous(.maxTokens)),
            Refused(text: #"{"stream_options":{"Include_Usage":false}}"#, violation: .ambiguous(.includeUsage)),
            Refused(text: #"{"model\u0000":"b"}"#, violation: .nulInName(offset: 2)),
            Refused(text: #"{"a\\\u0000":"b"}"#, violation: .nulInName(offset: 2)),
            Refused(text: #"{"model":1}"#, violation: .wrongType(.model)),
            Refused(text: #"{"model":null}"#, violation: .wrongType(.model)),
            Refused(text: #"{"model":["a"]}"#, violation: .wrongType(.model)),
            Refused(text: #"{"stream":"true"}"#, violation: .wrongType(.stream)),
            Refused(text: #"{"stream":1}"#, violation: .wrongType(.stream)),
            Refused(text: #"{"stream_options":true}"#, violation: .wrongType(.streamOptions)),
            Refused(text: #"{"stream_options":{"include_usage":1}}"#, violation: .wrongType(.includeUsage)),
            Refused(text: #"{"max_tokens":1.0}"#, violation: .wrongType(.maxTokens)),
            Refused(text: #"{"max_tokens":1e3}"#, violation: .wrongType(.maxTokens)),
            Refused(text: #"{"max_tokens":"5"}"#, violation: .wrongType(.maxTokens)),
            Refused(text: #"{"n":9223372036854775808}"#, violation: .outOfRange(.n)),
            Refused(text: #"{"n":-9223372036854775809}"#, violation: .outOfRange(.n)),
            Refused(text: "[1]", violation: .notAnObject),
            Refused(text: "null", violation: .notAnObject),
            Refused(text: "", violation: .malformed(offset: 0)),
            Refused(text: "{", violation: .malformed(offset: 1)),
            Refused(text: "{}x", violation: .malformed(offset: 2)),
            Refused(text: "{}{}", violation: .malformed(offset: 2)),
            Refused(text: "{,}", violation: .malformed(offset: 1)),
            Refused(text: #"{"a":1,}"#, violation: .malformed(offset: 7)),
            Refused(text: #"{"a":01}"#, violation: .malformed(offset: 6)),
            Refused(text: #"{"a":+1}"#, violation: .malformed(offset: 5)),
            Refused(text: #"{"a":NaN}"#, violation: .malformed(offset: 5)),
            Refused(text: #"{'a':1}"#, violation: .malformed(offset: 1)),
            Refused(text: #"{"a":1 /* c */}"#, violation: .malformed(offset: 7)),
            Refused(text: "{\"a\":\"\u{1}\"}", violation: .malformed(offset: 6)),
            Refused(text: "{\"a\":\"b\nc\"}", violation: .malformed(offset: 7)),
            Refused(text: "\u{FEFF}{}", violation: .malformed(offset: 0)),
            Refused(text: #"{"a":"\x"}"#, violation: .malformed(offset: 6)),
            Refused(text: #"{"a":"\u12G4"}"#, violation: .malformed(offset: 6)),
        ])
    func refuses(_ refused: Refused) {
        #expect(Self.scan(Array(refused.text.utf8)) == .failure(refused.violation))
        #expect(!refused.violation.reason.isEmpty)
    }

    @Test(
        "is refused when a string is not UTF-8, wherever it lies",
        arguments: [
            [0x80], [0xC0, 0x80], [0xC1, 0xBF], [0xC3], [0xC3, 0x28], [0xE0, 0x80, 0x80], [0xE2, 0x82], [0xED, 0xA0, 0x80],
            [0xF0, 0x80, 0x80, 0x80],
            [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xFF], [0xF0, 0x9F, 0x98],
        ] as [[UInt8]])
    func invalidUTF8(_ sequence: [UInt8]) {
        for padding in 0..<40 {
            let bytes =
                Array(#"{"a":""#.utf8) + [UInt8](repeating: 0x78, count: padding) + sequence + Array(#"xxxxxxxxxxxxxxxxxxxxxxxx"}"#.utf8)
            #expect(Self.scan(bytes) == .failure(.invalidUTF8(offset: 6 + padding)), "\(sequence) behind \(padding)")
        }
    }

    @Test("may be nested as deep as allowed and no deeper")
    func depth() {
        func nested(_ depth: Int, _ open: String, _ close: String) -> [UInt8] {
            Array((#"{"a":"# + String(repeating: open, count: depth - 1) + "1" + String(repeating: close, count: depth - 1) + "}").utf8)
        }
        for (open, close) in [("[", "]"), (#"{"b":"#, "}")] {
            #expect((try? Self.scan(nested(128, open, close)).get()) != nil)
            #expect((try? Self.scan(nested(129, open, close)).get()) == nil)
            #expect((try? Self.scan(nested(4, open, close), maxDepth: 4).get()) != nil)
            #expect((try? Self.scan(nested(5, open, close), maxDepth: 4).get()) == nil)
            #expect((try? Self.scan(nested(100_000, open, close)).get()) == nil)
        }
        let options = Array(
            (#"{"stream_options":{"a":"# + String(repeating: "[", count: 126) + String(repeating: "]", count: 126) + "}}").utf8)
        #expect((try? Self.scan(options).get()) != nil)
        #expect((try? Self.scan(Array(string(options).replacing("[]", with: "[[]]").utf8)).get()) == nil)
    }

    @Test("is JSON exactly when a plain reader says so", arguments: 1...16 as ClosedRange<UInt64>)
    func differential(seed: UInt64) {
        var json = RandomJSON(random: SeededGenerator(seed: seed))
        for _ in 0..<400 {
            var bytes = Array((json.space() + json.object(depth: 4) + json.space()).utf8)
            if Bool.random(using: &json.random) { bytes = json.damage(bytes) }
            let accepted: Bool
            switch Self.scan(bytes) {
            case .success: accepted = true
            case .failure(let violation):
                // These are about what the JSON says.
                switch violation {
                case .malformed, .invalidUTF8, .tooDeep: accepted = false
                case .notAnObject: accepted = true
                default: continue
                }
            }
            #expect(accepted == PlainJSON.accepts(bytes), "seed \(seed): \(string(bytes))")
        }
    }

    @Test("finds in random objects what a parser finds", arguments: 1...8 as ClosedRange<UInt64>)
    func differentialMembers(seed: UInt64) throws {
        var json = RandomJSON(random: SeededGenerator(seed: seed))
        for _ in 0..<200 {
            let bytes = Array(json.object(depth: 3, names: ["model", "stream", "n"].filter { _ in Bool.random(using: &json.random) }).utf8)
            guard case .object(let object)? = try? JSONValue(parsing: bytes) else { continue }
            switch Self.scan(bytes) {
            case .success(let members):
                if case .string(let model)? = object["model"] {
                    let found = try #require(members.model)
                    #expect(bytes.withUnsafeBytes { JSONText.unescape($0, found.content) } == Array(model.utf8))
                } else {
                    #expect(members.model == nil && object["model"] == nil)
                }
                if case .bool(let stream)? = object["stream"] { #expect(members.stream?.value == stream) }
                if case .int(let n)? = object["n"] { #expect(members.n?.value == n) }
            case .failure(let violation):
                #expect(violation.member != nil, "seed \(seed): \(string(bytes))")
            }
        }
    }
}
