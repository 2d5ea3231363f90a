import Testing

@testable import Simulator

@Suite("A model's name says what the simulator does")
struct ScriptTests {
    @Test(
        "Words combine, with dashes and with dots",
        arguments: ["sim-in120-out64-cached7", "sim.in120.out64.cached7", "sim-in120.out64-cached7"])
    func combines(_ model: String) throws {
        let script = try #require(Script(model: model))
        #expect(script.inputTokens == 120)
        #expect(script.outputTokens == 64)
        #expect(script.cachedTokens == 7)
        #expect(script.chunks == 64)
    }

    @Test(
        "Durations have units",
        arguments: [("sim-pace5ms", 5000), ("sim-pace5", 5000), ("sim-pace200us", 200), ("sim-pace2s", 2_000_000)])
    func durations(_ model: String, _ microseconds: Int64) throws {
        #expect(try #require(Script(model: model)).paceMicroseconds == microseconds)
    }

    @Test("Chunks alone mean as many tokens, and the error comes half-way")
    func chunks() throws {
        let script = try #require(Script(model: "sim-chunks64-errormid"))
        #expect(script.outputTokens == 64)
        #expect(script.errorMidAfter == 32)
        #expect(try #require(Script(model: "sim-chunks64-out5")).outputTokens == 5)
    }

    @Test(
        "Other names are no models",
        arguments: [
            "", "sim", "sim-", "gpt-4o", "sim-nonsense", "sim-in", "sim-in-5", "sim-ok5", "sim-in99999999999", "sim-status999", "sim-in5x",
            "sim-chunks2000000", "simok", "sim--ok",
        ])
    func refuses(_ model: String) {
        #expect(Script(model: model) == nil)
    }

    @Test("A caller's own limit shortens the answer")
    func limits() throws {
        let script = try #require(Script(model: "sim-out64-reasoning20"))
        #expect(script.limited(toOutputTokens: 10).outputTokens == 10)
        #expect(script.limited(toOutputTokens: 10).reasoningTokens == 10)
        #expect(script.limited(toOutputTokens: 100) == script)
    }
}

@Suite("The simulator reads requests strictly")
struct RequestBodyTests {
    private func read(_ text: String) -> RequestBody? {
        Array(text.utf8).withUnsafeBytes { RequestBody($0) }
    }

    @Test("It finds what matters wherever it stands")
    func members() throws {
        let text =
            #" {"stream_options":{"x":[1,{"include_usage":false}],"include_usage":true},"n":1.5e3,"#
            + #""stream":true,"model":"a","max_tokens":7} "#
        let body = try #require(read(text))
        #expect(body.stream && body.includesUsage)
        #expect(body.maximumTokens == 7)
        let model = try #require(body.model)
        #expect(String(decoding: Array(text.utf8)[model], as: UTF8.self) == "a")
    }

    @Test("It counts the words of a prompt")
    func words() throws {
        let text = #"{"messages":[{"role":"user","content":"one two\nthree"},{"role":"user","content":[{"type":"text","text":" four "}]}]}"#
        #expect(try #require(read(text)).words == 4)
    }

    @Test("It counts inputs", arguments: [(#""a""#, 1), (#"["a","b"]"#, 2), ("[1,2,3]", 1), ("[[1],[2],[3]]", 3), ("[]", 1)])
    func inputs(_ input: String, _ count: Int) throws {
        #expect(try #require(read(#"{"input":\#(input)}"#)).inputs == count)
    }

    @Test(
        "What is not one JSON object is refused",
        arguments: [
            "", "[]", "{", "{}x", #"{"a"}"#, #"{"a":}"#, #"{"a":01}"#, #"{"a":1,}"#, #"{"a":"\q"}"#, #"{"a":"\u12g4"}"#, "{\"a\":\"\n\"}",
            #"{"a":tru}"#, #"{"a":-}"#, #"{"a":1.}"#, #"{"a":[1,]}"#, #"{"a":"b}"#, #"{"a":nul"#,
        ])
    func refuses(_ text: String) {
        #expect(read(text) == nil)
    }

    @Test("Deep nesting is refused and does not overflow the stack")
    func depth() {
        #expect(read(#"{"a":"# + String(repeating: "[", count: 100_000) + "}") == nil)
        #expect(read(#"{"a":"# + String(repeating: #"{"a":"#, count: 100_000)) == nil)
    }
}

@Suite("Latency histogram")
struct LatencyHistogramTests {
    @Test("Percentiles are right to a hundredth")
    func percentiles() {
        var histogram = LatencyHistogram()
        for value in 1...100_000 { histogram.record(nanoseconds: Int64(value) * 1000) }
        for percent in [1.0, 50, 90, 99, 99.9, 100] {
            let exact = percent * 1_000_000
            #expect(abs(Double(histogram.percentile(percent)) - exact) / exact < 0.01)
        }
        #expect(histogram.maximumNanoseconds == 100_000_000)
    }

    @Test("The ends of the range are no traps")
    func ends() {
        var histogram = LatencyHistogram()
        histogram.record(nanoseconds: .min)
        histogram.record(nanoseconds: 0)
        histogram.record(nanoseconds: .max)
        #expect(histogram.percentile(50) == 0)
        #expect(histogram.percentile(100) == .max)
        #expect(LatencyHistogram().percentile(50) == 0)
    }
}
