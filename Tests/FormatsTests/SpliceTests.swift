import Formats
import Primitives
import Testing

@Suite("An upstream body")
struct SpliceTests {
    private func upstream(_ text: String, _ change: (inout UpstreamEdits) -> Void) throws -> String {
        let bytes = Array(text.utf8)
        let members = try ChatRequestScanTests.scan(bytes).get()
        var edits = UpstreamEdits(members)
        change(&edits)
        var output: [UInt8] = []
        #expect(bytes.withUnsafeBytes { Splice.append(edits.sorted(), to: $0, into: &output) })
        #expect(bytes.withUnsafeBytes { Splice.length(of: $0, edits: edits.sorted()) } == output.count)
        #expect((try? JSONValue(parsing: output)) != nil, "\(string(output))")
        return string(output)
    }

    @Test("differs from the client's only where it must")
    func edits() throws {
        let all: (inout UpstreamEdits) -> Void = { edits in
            edits.setModel("up/\"x\"")
            _ = edits.askForUsage()
            edits.limitOutput(to: 100)
        }
        #expect(
            try upstream(#"{ "model":"a", "stream":true,"messages":[] }"#, all)
                == #"{"stream_options":{"include_usage":true},"max_tokens":100, "model":"up/\"x\"", "stream":true,"messages":[] }"#)
        #expect(
            try upstream(#"{"stream_options":{},"model":"a","max_tokens":500}"#, all)
                == #"{"stream_options":{"include_usage":true},"model":"up/\"x\"","max_tokens":100}"#)
        let unnamed: (inout UpstreamEdits) -> Void = { edits in
            _ = edits.askForUsage()
            edits.limitOutput(to: 100)
        }
        #expect(
            try upstream(#"{"stream_options":{ "x":1},"max_completion_tokens":50,"max_tokens":500}"#, unnamed)
                == #"{"stream_options":{"include_usage":true, "x":1},"max_completion_tokens":50,"max_tokens":100}"#)
        #expect(
            try upstream(#"{"stream_options":null,"max_completion_tokens":null}"#, unnamed)
                == #"{"stream_options":{"include_usage":true},"max_completion_tokens":100}"#)
        #expect(
            try upstream(#"{"stream_options":{"include_usage":false},"max_tokens":null,"n":1}"#, unnamed)
                == #"{"stream_options":{"include_usage":true},"max_tokens":100,"n":1}"#)
        #expect(try upstream("{}", unnamed) == #"{"stream_options":{"include_usage":true},"max_tokens":100}"#)
        #expect(try upstream(" { } ", unnamed) == #" {"stream_options":{"include_usage":true},"max_tokens":100 } "#)
        // A request for a route's default model names none: the provider is told which.
        #expect(try upstream(#"{"n":1}"#) { $0.setModel("m") } == #"{"model":"m","n":1}"#)
    }

    @Test("says whether the client had asked for usage itself")
    func asks() throws {
        func asked(_ text: String) throws -> Bool {
            var edits = UpstreamEdits(try ChatRequestScanTests.scan(Array(text.utf8)).get())
            return edits.askForUsage()
        }
        #expect(try asked(#"{"stream_options":{"include_usage":true}}"#) == false)
        #expect(try asked(#"{"stream_options":{"include_usage":false}}"#))
        #expect(try asked(#"{"stream_options":{"include_usage":null}}"#))
        #expect(try asked(#"{"stream":true}"#))
    }

    @Test("is not made of edits that overlap or lie outside")
    func refusesBadEdits() {
        let body = Array("0123456789".utf8)
        func result(_ edits: [SpliceEdit]) -> String? {
            var output: [UInt8] = []
            return body.withUnsafeBytes { Splice.append(edits, to: $0, into: &output) } ? string(output) : nil
        }
        let x = Array("x".utf8)
        #expect(result([]) == "0123456789")
        #expect(
            result([.init(range: 0..<0, replacement: x), .init(range: 2..<4, replacement: []), .init(range: 10..<10, replacement: x)])
                == "x01456789x")
        #expect(result([.init(range: 2..<4, replacement: x), .init(range: 3..<5, replacement: x)]) == nil)
        #expect(result([.init(range: 4..<5, replacement: x), .init(range: 2..<3, replacement: x)]) == nil)
        #expect(result([.init(range: 9..<11, replacement: x)]) == nil)
        #expect(result([.init(range: -1..<1, replacement: x)]) == nil)
    }
}
