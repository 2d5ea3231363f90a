import Formats
import Primitives
import Testing

@Suite("The meter of a body")
struct BodyUsageMeterTests {
    static func meter(_ pieces: [[UInt8]]) -> BodyUsageMeter {
        var meter = BodyUsageMeter()
        for piece in pieces { piece.withUnsafeBytes { meter.consume($0) } }
        meter.finish()
        return meter
    }

    struct Case: Sendable {
        let text: String
        var input: Int64 = 0
        var output: Int64 = 0
        var content: Int64 = 0
        var error = false
        var flags: UsageReading.Flags = []
    }

    static let unknown: UsageReading.Flags = [.inputUnknown, .outputUnknown]

    @Test(
        "finds the top-level usage and nothing else, however the body is split",
        arguments: [
            Case(
                text: #"""
                    {"id":"a","choices":[{"message":{"role":"assistant","content":"say \"usage\": {\\","refusal":null,"tool_calls":[{"function":
                    {"name":"f","arguments":"{}"}}]}}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7},"x":1}
                    """#, input: 3, output: 4, content: 20),
            Case(text: #"{"usage" : { "prompt_tokens" : 3 , "total_tokens" : 3 } }"#, input: 3),
            Case(text: #"{"us\u0061ge":{"prompt_tokens":3,"completion_tokens":4}}"#, input: 3, output: 4),
            Case(
                text: #"{"data":[{"embedding":[0.1,-0.2,1e-5],"usage":{"prompt_tokens":9}}],"usage":{"prompt_tokens":3,"total_tokens":3}}"#,
                input: 3),
            Case(text: #"{"a":{"usage":{"prompt_tokens":9}},"b":["usage",{"usage":1}]}"#, flags: [.absent, .inputUnknown, .outputUnknown]),
            Case(text: #"[{"usage":{"prompt_tokens":9}}]"#, flags: [.absent, .inputUnknown, .outputUnknown]),
            Case(
                text: #"{"choices":[{"index":0,"message":{"content":"abcd"},"usage":{"prompt_tokens":100,"completion_tokens":50}}]}"#,
                input: 100, output: 50, content: 4),
            Case(
                text:
                    #"{"choices":[{"usage":{"prompt_tokens":1,"completion_tokens":5}},{"usage":{"prompt_tokens":1,"completion_tokens":5}}]}"#,
                input: 1, output: 5),
            Case(text: #"{"x_groq":{"id":"a","usage":{"prompt_tokens":100,"completion_tokens":50}}}"#, input: 100, output: 50),
            Case(
                text: #"{"x_groq":{"usage":{"prompt_tokens":3,"completion_tokens":4}},"usage":{"prompt_tokens":3,"completion_tokens":4}}"#,
                input: 3, output: 4),
            Case(
                text:
                    #"{"usage":{"prompt_tokens":3,"completion_tokens":4},"choices":[{"usage":{"prompt_tokens":9,"completion_tokens":9}}]}"#,
                input: 3, output: 4, flags: .duplicate),
            Case(
                text: #"{"choices":[[{"usage":{"prompt_tokens":9}}],{"message":{"usage":{"prompt_tokens":9}}}],"x_a":[{"usage":{}}]}"#,
                flags: [.absent, .inputUnknown, .outputUnknown]),
            Case(
                text: #"{"metadata":{"usage":{"prompt_tokens":9,"completion_tokens":1}},"choices":[{"usage":7},{"usage":{}}]}"#,
                flags: [.absent, .inputUnknown, .outputUnknown]),
            Case(
                text: #"{"choices":[{"text":"ab"}],"usage":{"prompt_tokens":0,"completion_tokens":1}}"#, output: 1, content: 2,
                flags: .inputUnknown),
            Case(
                text: #"{"choices":[{"text":"ab"}],"usage":{"prompt_tokens":1,"completion_tokens":0}}"#, input: 1, content: 2,
                flags: .outputUnknown),
            Case(text: #"{"choices":[{"text":""}],"usage":{"prompt_tokens":1,"completion_tokens":0}}"#, input: 1),
            Case(text: #"{"usage":null}"#, flags: [.absent, .inputUnknown, .outputUnknown]),
            Case(text: #"{"usage":null,"usage":{"prompt_tokens":1,"completion_tokens":1}}"#, input: 1, output: 1, flags: .duplicate),
            Case(
                text: #"{"usage":{"prompt_tokens":1,"completion_tokens":1},"usage":{"prompt_tokens":2,"completion_tokens":2}}"#, input: 2,
                output: 2,
                flags: .duplicate),
            Case(text: #"{"usage":"lots\"}"}"#, flags: [.invalid, .inputUnknown, .outputUnknown]),
            Case(text: #"{"usage":12,"a":1}"#, flags: [.invalid, .inputUnknown, .outputUnknown]),
            Case(text: #"{"usage":[{"a":[]}]}"#, flags: [.invalid, .inputUnknown, .outputUnknown]),
            Case(text: #"{"usage":{"prompt_tokens":1,"#, input: 1, flags: [.invalid, .outputUnknown]),
            Case(text: #"{"usage":{"prompt_tokens":1"}"#, input: 1, flags: [.invalid, .outputUnknown]),
            Case(text: #"{"error":{"message":"text"}}"#, error: true, flags: [.absent, .inputUnknown, .outputUnknown]),
            Case(text: #"{"error":null,"text":"abc"}"#, content: 3, flags: [.absent, .inputUnknown, .outputUnknown]),
            Case(
                text: #"{"choices":[{"text":"a\u00e9","content":["x"],"text" : "\\"}]}"#, content: 9,
                flags: [.absent, .inputUnknown, .outputUnknown]),
            Case(text: "<html>\"usage\":{\"prompt_tokens\":1}</html>", flags: [.absent, .inputUnknown, .outputUnknown]),
            Case(text: #"}}]]{"usage":{"prompt_tokens":1}}"#, flags: [.absent, .inputUnknown, .outputUnknown]),
            Case(text: #"{"a":1}{"usage":{"prompt_tokens":1}}"#, flags: [.absent, .inputUnknown, .outputUnknown]),
            Case(text: "", flags: [.absent, .inputUnknown, .outputUnknown]),
        ])
    func table(_ expected: Case) {
        let bytes = Array(expected.text.utf8)
        for pieces in [[bytes], bytes.map { [$0] }] + (0..<bytes.count).map({ split(bytes, at: [$0]) }) {
            let meter = Self.meter(pieces)
            #expect(meter.totalBytes == Int64(bytes.count))
            #expect(meter.reading.inputTokens == expected.input)
            #expect(meter.reading.outputTokens == expected.output)
            #expect(meter.contentBytes == expected.content)
            #expect(meter.sawError == expected.error)
            #expect(meter.reading.flags == expected.flags, "\(meter.reading.flags.rawValue), first piece \(pieces.first?.count ?? 0)")
        }
    }

    @Test(
        "sees an error where it says something",
        arguments: [
            ("{ }", false), ("[ ]", false), (#""""#, false), ("false", false), ("0", false), ("null", false), (#"{"a":1}"#, true),
            (#"[{}]"#, true), (#""no""#, true), ("true", true), (#"{"message":""}"#, true),
        ])
    func errors(value: String, expected: Bool) {
        let bytes = Array(#"{"a":{"error":{"b":1}},"error":\#(value),"choices":[{"message":{"error":"x"}}]}"#.utf8)
        for pieces in [[bytes]] + (0..<bytes.count).map({ split(bytes, at: [$0]) }) {
            #expect(Self.meter(pieces).sawError == expected)
        }
        #expect(Self.meter([Array(#"{"choices":[{"error":\#(value)}]}"#.utf8)]).sawError == expected)
    }

    @Test("says whether the whole of it came", arguments: [("{}", true), (#"{"a":[1]} "#, true), (#"{"a":["#, false), ("x", false)])
    func ended(text: String, hasEnded: Bool) {
        #expect(Self.meter([Array(text.utf8)]).hasEnded == hasEnded)
    }

    @Test("keeps no more of a usage than is sensible")
    func oversize() {
        let bytes =
            Array(#"{"usage":{"a":""#.utf8) + [UInt8](repeating: 0x78, count: 20_000) + Array(#"","prompt_tokens":1},"error":1}"#.utf8)
        for pieces in [[bytes], split(bytes, at: Array(stride(from: 7, to: bytes.count, by: 997)))] {
            let meter = Self.meter(pieces)
            #expect(meter.reading.flags == [.oversize, .invalid, .inputUnknown, .outputUnknown])
            #expect(meter.sawError)
        }
    }

    @Test("agrees with a parser on random bodies in random pieces", arguments: 1...8 as ClosedRange<UInt64>)
    func differential(seed: UInt64) {
        var json = RandomJSON(random: SeededGenerator(seed: seed))
        for round in 0..<200 {
            let usage = #"{"prompt_tokens":\#(round),"completion_tokens":\#(round * 2),"note":\#(json.value(depth: 2))}"#
            var bytes = Array(json.object(depth: 3).utf8)
            if bytes.count > 2, bytes.first == 0x7B, round % 2 == 0 {
                let separator = (try? JSONValue(parsing: bytes)) == .object([:]) ? "" : ","
                bytes = Array(#"{"usage":"#.utf8) + Array(usage.utf8) + Array(separator.utf8) + bytes.dropFirst()
            }
            let isDamaged = Int.random(in: 0..<4, using: &json.random) == 0
            if isDamaged { bytes = json.damage(bytes) }
            let whole = Self.meter([bytes])
            let pieces = Self.meter(split(bytes, at: randomEnds(bytes.count, using: &json.random)))
            #expect(
                whole.reading == pieces.reading && whole.contentBytes == pieces.contentBytes && whole.sawError == pieces.sawError,
                "seed \(seed)")
            if !isDamaged, case .object(let object)? = try? JSONValue(parsing: bytes) {
                if object["usage"] != nil, round % 2 == 0 {
                    #expect(whole.reading.inputTokens == Int64(round) && whole.reading.outputTokens == Int64(round * 2), "seed \(seed)")
                }
            }
        }
    }
}
