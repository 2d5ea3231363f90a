import Primitives
import Testing

@testable import Formats

@Suite("Identifiers of responses")
struct ResponseIDsTests {
    @Test func ofADocumentAreFoundWhereverTheyStand() {
        for (document, ids) in [
            (#"{"id":"resp_1","object":"response","previous_response_id":"resp_0"}"#, ["resp_1", "resp_0"]),
            (#" {"previous_response_id" : "resp_0", "output":[{"id":"msg_1"}], "id": "resp_1"} "#, ["resp_0", "resp_1"]),
            (#"{"id":"resp_1","previous_response_id":null}"#, ["resp_1"]), (#"{"object":"list","data":[{"id":"m"}]}"#, []),
            (#"[{"id":"resp_1"}]"#, []), (#"{"id":"resp_1""#, []), ("", []),
        ] as [(String, [String])] {
            let bytes = Array(document.utf8)
            #expect(ResponseIDs.places(in: bytes).map { string(Array(bytes[$0])) } == ids, "\(document)")
        }
    }

    @Test(
        "An item that stands for one that is kept is found",
        arguments: [
            (#""Hello""#, nil), ("[]", nil), (#"[{"role":"user","content":"x"}]"#, nil), (#"[{"type":"item_reference","id":"msg_1"}]"#, 0),
            (#"[{"role":"user","content":"x"},{"id":"msg_1"}]"#, 1), (#"[ {"id":"msg_1","type":null} ]"#, 0),
            (#"[{"id":"msg_1","type":"message","role":"assistant","content":[]}]"#, nil),
            (#"[{"id":"msg_1","role":"assistant","content":"x"}]"#, nil),
            (#"[{"type":"function_call_output","call_id":"c","output":""}]"#, nil),
            (#"[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"x"}]"#, nil),
            (#"[{"\u0069d":"msg_1"}]"#, 0), (#"[{"t\u0079pe":"item\u005freference","id":"msg_1"}]"#, 0),
            (#"[[{"id":"msg_1"}],3,{"role":"user","content":[{"type":"item_reference","id":"x"}]}]"#, nil),
        ] as [(String, Int?)])
    func references(input: String, index: Int?) {
        #expect(Array(input.utf8).withUnsafeBytes { ResponseIDs.reference(in: $0) } == index)
    }

    /// The id is learnt from the first event, however that is cut, also where the event is too large to be held.
    @Test func ofAStreamIsLearntFromItsFirstEvent() {
        func stream(_ instructions: String) -> [UInt8] {
            Array(
                (#"event: response.created"# + "\n"
                    + #"data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","instructions":"\#(instructions)"}}"#
                    + "\n\n" + #"data: {"type":"response.output_text.delta","delta":"resp_2"}"# + "\n\n").utf8)
        }
        let small = stream("x")
        for end in small.indices {
            var meter = StreamUsageMeter(.responses, mode: .observe, learnsID: true)
            for piece in split(small, at: [end]) { piece.withUnsafeBytes { meter.relay($0) { _ in } } }
            #expect(meter.responseID.map { string($0) } == "resp_1", "cut at \(end)")
        }
        let large = stream(String(repeating: "y", count: StreamUsageMeter.maxEventBytes + 100_000))
        for piece in [large.count - 100, 65_536] {
            var meter = StreamUsageMeter(.responses, mode: .observe, learnsID: true)
            for start in stride(from: 0, to: large.count, by: piece) {
                large[start..<min(start + piece, large.count)].withUnsafeBytes { meter.relay($0) { _ in } }
            }
            // In one piece it need not be held.
            #expect(meter.sawOversize == (piece < large.count) && meter.responseID.map { string($0) } == "resp_1")
        }
        var plain = StreamUsageMeter(.responses, mode: .observe)
        small.withUnsafeBytes { plain.relay($0) { _ in } }
        #expect(plain.responseID == nil)
    }

    @Test func anotherTextTakesTheirPlaceHoweverTheyAreCut() throws {
        let text = Array(#"{"id":"resp_1","x":"resp_12","y":"\"resp_1\"","z":"resp_1"}"#.utf8)
        let expected = #"{"id":"resp_w1-long","x":"resp_12","y":"\"resp_1\"","z":"resp_w1-long"}"#
        let pattern = try #require(SecretPattern(bytes: Array(#""resp_1""#.utf8)))
        for first in text.indices {
            for second in [first, min(first + 3, text.count)] {
                var keeper = SecretGuard(pattern, replacement: Array(#""resp_w1-long""#.utf8))
                var output: [UInt8] = []
                for piece in split(text, at: [first, second]) {
                    piece.withUnsafeBytes { keeper.pass($0) { output.append(contentsOf: $0) } }
                }
                keeper.finish { output.append(contentsOf: $0) }
                #expect(string(output) == expected, "cut at \(first) and \(second)")
            }
        }
    }
}
