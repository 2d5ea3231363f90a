import Formats
import Foundation
import Primitives
import Testing

@Suite("The meter of a stream")
struct StreamUsageMeterTests {
    struct Report: Equatable {
        var reading: UsageReading
        var events: Int64
        var contentBytes: Int64
        var done: Bool
        var finish: Bool
        var error: Bool
        var oversize: Bool
        var output: [UInt8]
    }

    static func run(_ mode: StreamUsageMeter.Mode, _ pieces: [[UInt8]]) -> Report {
        var meter = StreamUsageMeter(mode: mode)
        var output: [UInt8] = []
        for piece in pieces {
            piece.withUnsafeBytes { bytes in
                switch mode {
                case .observe: meter.observe(bytes)
                case .strip: meter.relay(bytes) { output.append(contentsOf: $0) }
                }
            }
        }
        meter.finish { output.append(contentsOf: $0) }
        return Report(
            reading: meter.reading, events: meter.events, contentBytes: meter.contentBytes, done: meter.sawDone,
            finish: meter.sawFinishReason,
            error: meter.sawError, oversize: meter.sawOversize, output: output)
    }

    @Test("reads and strips each fixture, however it is split", arguments: Fixtures.cases("streams"))
    func fixtures(name: String) throws {
        let input = try Fixtures.bytes("streams/\(name).in.sse")
        let expected = try Fixtures.bytes("streams/\(name).out.sse")
        let report = try JSONValue(parsing: Fixtures.bytes("streams/\(name).out.json"))
        guard case .object(let facts) = report else { return #expect(Bool(false), "\(name).out.json") }

        let stripped = Self.run(.strip, [input])
        #expect(string(stripped.output) == string(expected))
        #expect(facts["input"] == .int(stripped.reading.inputTokens))
        #expect(facts["output"] == .int(stripped.reading.outputTokens))
        #expect(facts["cached"] == .int(stripped.reading.cachedInputTokens))
        #expect(facts["reasoning"] == .int(stripped.reading.reasoningTokens))
        #expect(facts["events"] == .int(stripped.events))
        #expect(facts["content_bytes"] == .int(stripped.contentBytes))
        #expect(facts["done"] == .bool(stripped.done))
        #expect(facts["finish"] == .bool(stripped.finish))
        #expect(facts["error"] == .bool(stripped.error))
        #expect(facts["flags"] == .strings(Self.names(stripped.reading.flags)))

        var observed = Self.run(.observe, [input])
        #expect(observed.output.isEmpty)
        observed.output = stripped.output
        #expect(observed == stripped, "observing learns what stripping learns")

        for pieces in [input.map { [$0] }] + (1..<max(1, input.count)).map({ split(input, at: [$0]) }) {
            #expect(Self.run(.strip, pieces) == stripped, "first piece \(pieces.first?.count ?? 0)")
            var again = Self.run(.observe, pieces)
            again.output = stripped.output
            #expect(again == stripped, "first piece \(pieces.first?.count ?? 0)")
        }
    }

    private static func names(_ flags: UsageReading.Flags) -> [String] {
        let all: [(UsageReading.Flags, String)] = [
            (.absent, "absent"), (.duplicate, "duplicate"), (.inconsistent, "inconsistent"), (.inputUnknown, "input_unknown"),
            (.invalid, "invalid"),
            (.outputUnknown, "output_unknown"), (.totalMismatch, "total_mismatch"),
        ]
        return all.filter { flags.contains($0.0) }.map(\.1)
    }

    @Test("gives back untouched what holds no usage, in any pieces", arguments: 1...8 as ClosedRange<UInt64>)
    func faithful(seed: UInt64) {
        var json = RandomJSON(random: SeededGenerator(seed: seed))
        for _ in 0..<100 {
            var bytes: [UInt8] = []
            for _ in 0..<Int.random(in: 0...6, using: &json.random) {
                let end = ["\n", "\r\n", "\r"].randomElement(using: &json.random) ?? "\n"
                switch Int.random(in: 0..<5, using: &json.random) {
                case 0: bytes += Array(": comment\(end)\(end)".utf8)
                case 1: bytes += Array("event: x\(end)data:\(json.object(depth: 2).filter { !$0.isNewline })\(end)\(end)".utf8)
                case 2: bytes += Array("data: \(json.object(depth: 2))\(end)\(end)".utf8)
                case 3: bytes += json.damage(Array("data: \(json.object(depth: 2))\(end)\(end)".utf8))
                default: bytes += Array("data: [DONE]\(end)\(end)".utf8)
                }
            }
            // What is damaged may have lost its blank line.
            bytes += Array(": end\n\n".utf8)
            guard !string(bytes).contains("usage") else { continue }
            let whole = Self.run(.strip, [bytes])
            #expect(whole.output == bytes, "seed \(seed)")
            for _ in 0..<5 {
                #expect(Self.run(.strip, split(bytes, at: randomEnds(bytes.count, using: &json.random))) == whole, "seed \(seed)")
            }
        }
    }

    @Test("strips random chunks as a parser would, in any pieces", arguments: 1...8 as ClosedRange<UInt64>)
    func stripsRandom(seed: UInt64) throws {
        var json = RandomJSON(random: SeededGenerator(seed: seed))
        for _ in 0..<200 {
            var random = json.random
            let usage = Bool.random(using: &random) ? "null" : #"{"prompt_tokens":3,"completion_tokens":4}"#
            json.random = random
            var text = json.object(depth: 3, names: ["choices"]).filter { !$0.isNewline }
            guard case .object(var object)? = try? JSONValue(parsing: text), object["usage"] == nil, object["error"] == nil else {
                continue
            }
            // The member goes first or last.
            let isEmpty = object.members.isEmpty
            if Bool.random(using: &json.random) {
                text = "{\"usage\":\(usage)\(isEmpty ? "" : ",")" + text.dropFirst()
            } else {
                text = text.dropLast() + "\(isEmpty ? "" : ",")\"usage\": \(usage)}"
            }
            let bytes = Array("data: \(text)\r\n\r\n".utf8)
            let result = Self.run(.strip, [bytes])
            #expect(Self.run(.strip, split(bytes, at: randomEnds(bytes.count, using: &json.random))) == result, "seed \(seed)")
            #expect(result.reading.present == (usage != "null"))
            object["usage"] = nil
            let hasNoChoices = object["choices"] == nil || object["choices"] == .null || object["choices"] == .array([])
            if usage != "null" && hasNoChoices {
                #expect(result.output.isEmpty, "seed \(seed): \(text)")
            } else {
                let output = string(result.output)
                #expect(output.hasPrefix("data: ") && output.hasSuffix("\r\n\r\n"))
                #expect(try JSONValue(parsing: String(output.dropFirst(6))) == .object(object), "seed \(seed): \(text)")
            }
        }
    }

    @Test("lets an event pass unread that is larger than it keeps")
    func oversize() {
        let big =
            Array("data: {\"usage\":null,\"choices\":[],\"x\":\"".utf8)
            + [UInt8](repeating: 0x78, count: StreamUsageMeter.maxEventBytes + 200_000)
        let bytes =
            Array("data: a\n\n".utf8) + big
            + Array("\"}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\ndata: [DONE]\n\n".utf8)
        let pieces = split(bytes, at: Array(stride(from: 5_000, to: bytes.count, by: 65_536)))
        let result = Self.run(.strip, pieces)
        #expect(result.oversize && result.done)
        #expect(result.reading.inputTokens == 1)
        #expect(result.output == Array("data: a\n\n".utf8) + big + Array("\"}\n\ndata: [DONE]\n\n".utf8))
    }

    @Test("relays whole events only, so that what is said when a stream dies is an event of its own", arguments: Fixtures.cases("streams"))
    func relaysWhole(name: String) throws {
        let input = try Fixtures.bytes("streams/\(name).in.sse")
        guard !input.contains(0x0D) else { return }
        for end in 1..<max(2, input.count) {
            var meter = StreamUsageMeter(mode: .observe)
            var output: [UInt8] = []
            input[..<end].withUnsafeBytes { bytes in meter.relay(bytes) { output.append(contentsOf: $0) } }
            #expect(output.isEmpty || output.suffix(2) == [0x0A, 0x0A], "cut at \(end)")
            #expect(
                meter.heldBytes == end
                    - (string(input[..<end]).range(of: "\n\n", options: .backwards).map { range in
                        string(input[..<end]).utf8.distance(from: string(input[..<end]).startIndex, to: range.upperBound)
                    } ?? 0), "cut at \(end)")
            #expect(!meter.isInsideSentEvent)
            let sent = output.count
            meter.finish { output.append(contentsOf: $0) }
            #expect(output.count - sent >= meter.heldBytes)
        }
    }

    @Test(
        "ends an event that lacks its blank line, and leaves out a piece of one",
        arguments: [
            (#"data: {"choices":[{"finish_reason":"stop"}]}"#, #"data: {"choices":[{"finish_reason":"stop"}]}"# + "\n\n"),
            ("data: [DONE]\n", "data: [DONE]\n\n"), ("data: {}\r\n", "data: {}\r\n\n"), (#"data: {"choices":[{"del"#, ""), ("data: ", ""),
            (#"data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#, ""), (": pi", ""),
        ])
    func unfinishedEnd(text: String, expected: String) {
        let begin = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"
        let report = Self.run(.strip, [Array((begin + text).utf8)])
        #expect(string(report.output) == begin + expected)
    }

    @Test("an error that its name alone calls so becomes one that clients of this dialect see")
    func namedError() {
        for words in [#"{"message":"boom at http://10.0.0.1/v1"}"#, #"{"error":{"message":"boom at http://10.0.0.1/v1"}}"#] {
            let report = Self.run(.strip, [Array("data: {\"choices\":[]}\n\nevent: error\ndata: \(words)\n\n".utf8)])
            #expect(report.error)
            let error = #"{"message":"boom at [url]","type":"upstream_error","param":null,"code":null}"#
            #expect(string(report.output) == "data: {\"choices\":[]}\n\nevent: error\ndata: {\"error\":\(error)}\n\n")
        }
        let other = Self.run(.strip, [Array("event: errors\ndata: {\"choices\":[],\"error\":false}\n\n".utf8)])
        #expect(!other.error && string(other.output) == "event: errors\ndata: {\"choices\":[],\"error\":false}\n\n")
    }

    @Test(
        "looks cut short when nothing in it is like an end",
        arguments: [
            ("", true), ("data: [DONE]\n\n", false), (#"data: {"choices":[{"finish_reason":"stop"}]}"#, false),
            (#"data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#, false),
            (#"data: {"error":{"message":"m"}}"#, false),
        ])
    func cutShort(end: String, expected: Bool) {
        var meter = StreamUsageMeter(mode: .strip)
        Array("data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}],\"usage\":null}\n\n\(end)".utf8).withUnsafeBytes
        {
            meter.relay($0) { _ in }
        }
        meter.finish { _ in }
        #expect(meter.isCutShort == expected)
    }

    @Test("zeros behind counts do not overrule them")
    func zerosBehind() {
        let usage = #"data: {"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":50}}"#
        let zeros = #"data: {"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}"#
        let reading = Self.run(.strip, [Array("\(usage)\n\n\(zeros)\n\n".utf8)]).reading
        #expect(reading.inputTokens == 100 && reading.outputTokens == 50 && reading.flags.isEmpty)
    }

    @Test("says that part of an event has gone out, when it was too large to hold")
    func insideSentEvent() {
        var meter = StreamUsageMeter(mode: .observe)
        var count = 0
        let big = Array("data: ".utf8) + [UInt8](repeating: 0x78, count: StreamUsageMeter.maxEventBytes)
        big.withUnsafeBytes { meter.relay($0) { count += $0.count } }
        #expect(meter.isInsideSentEvent && count == big.count && meter.heldBytes == 0)
        Array("\n\n".utf8).withUnsafeBytes { meter.relay($0) { count += $0.count } }
        #expect(!meter.isInsideSentEvent)
    }

    @Test("hides in an error what is known of the endpoint, whatever it looks like")
    func hides() {
        let hidden = HiddenTexts(secrets: ["k1"], hosts: ["gpu-box"])
        var meter = StreamUsageMeter(mode: .observe, hidden: hidden)
        var output: [UInt8] = []
        Array((#"data: {"error":{"message":"GPU-box refused k1","code":"k1"}}"# + "\n\n").utf8).withUnsafeBytes { bytes in
            meter.relay(bytes) { output.append(contentsOf: $0) }
        }
        #expect(
            string(output)
                == "data: "
                + #"{"error":{"message":"[host] refused [redacted]","type":"upstream_error","param":null,"code":null}}"# + "\n\n")
    }

    @Test("holds an event back only until its end has come")
    func holdsBack() {
        var meter = StreamUsageMeter(mode: .strip)
        func feed(_ text: String) -> String {
            var output: [UInt8] = []
            Array(text.utf8).withUnsafeBytes { bytes in meter.relay(bytes) { output.append(contentsOf: $0) } }
            return string(output)
        }
        #expect(feed("data: {}\n\ndata: {\"a\"") == "data: {}\n\n")
        #expect(feed(":1}\n") == "")
        #expect(feed("\n: ping\n\n") == "data: {\"a\":1}\n\n: ping\n\n")
        #expect(feed("data: {}\r\n\r") == "data: {}\r\n\r")
        #expect(feed("\ndata: {}\n\n") == "\ndata: {}\n\n")
    }
}
