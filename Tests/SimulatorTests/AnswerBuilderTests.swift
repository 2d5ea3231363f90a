import NIOCore
import Testing

@testable import Simulator

@Suite("The simulator's answers deviate as real providers do")
struct AnswerBuilderTests {
    static func build(_ model: String, stream: Bool, usage: Bool = true, credential: String = "") throws -> Answer {
        var builder = AnswerBuilder(
            script: try #require(Script(model: model)), model: model,
            key: AnswerKey(operation: .chat, stream: stream, includesUsage: stream && usage))
        builder.credential = credential
        return builder.build()
    }

    static func text(_ answer: Answer) -> String { answer.joined(includingHead: true).map { String(buffer: $0) } ?? "" }

    struct Case: Sendable, CustomTestStringConvertible {
        let model: String
        var stream = true
        var usage = true
        let holds: String
        /// Input and output that an exact reader arrives at; nil: nothing is stated exactly.
        var stated: (Int64, Int64)?
        var testDescription: String { model }
    }

    @Test(
        "in where and how they state usage",
        arguments: [
            Case(
                model: "sim-in100-out50-usageinchoice", usage: false, holds: #""finish_reason":"stop","usage":{"prompt_tokens":100"#,
                stated: (100, 50)),
            Case(
                model: "sim-in100-out50-usageinchoice", stream: false, holds: #""finish_reason":"stop","usage":{"prompt_tokens":100"#,
                stated: (100, 50)),
            Case(
                model: "sim-in100-out50-usagevendor", usage: false, holds: #""x_groq":{"id":"req_simulator","usage":{"prompt_tokens":100"#,
                stated: (100, 50)),
            Case(
                model: "sim-in361-out12-cached216-usagedeepseek",
                holds: #""total_tokens":373,"prompt_cache_hit_tokens":216,"prompt_cache_miss_tokens":145}"#, stated: (361, 12)),
            Case(model: "sim-in9-out5-cached4-usagetopcached", holds: #""total_tokens":14,"cached_tokens":4}"#, stated: (9, 5)),
            Case(
                model: "sim-in100-out50-reasoning30-usagexai", holds: #""completion_tokens":20,"total_tokens":150"#, stated: (100, 50)),
            Case(model: "sim-in100-out50-usagezeroprompt", holds: #""prompt_tokens":0,"completion_tokens":50"#),
            Case(model: "sim-choicesnull", holds: #""choices":null,"usage":{"prompt_tokens":9"#, stated: (9, 8)),
            Case(model: "sim-in50-out60-usageafterdone", holds: #""late""#, stated: (50, 60)),
        ])
    func usage(_ expected: Case) throws {
        let answer = try Self.build(expected.model, stream: expected.stream, usage: expected.usage)
        #expect(Self.text(answer).contains(expected.holds))
        #expect(answer.stated?.input == expected.stated?.0 && answer.stated?.output == expected.stated?.1)
    }

    @Test(
        "in their labels, errors and ends",
        arguments: [
            Case(model: "sim-typendjson", holds: "content-type: application/x-ndjson\r\n"),
            Case(model: "sim-gzip", holds: "content-encoding: gzip\r\n"),
            Case(model: "sim-errorfirst", holds: "\r\ndata: {\"error\":{\"message\":\"The simulated provider's rate limit is reached.\""),
            Case(model: "sim-errorfirst503", stream: false, holds: "HTTP/1.1 200 OK"),
            Case(model: "sim-empty", holds: "\r\n\r\n0\r\n\r\n"),
            Case(model: "sim-empty", stream: false, holds: "content-length: 0\r\n"),
            Case(model: "sim-html", holds: "content-type: text/html\r\n"),
            Case(model: "sim-status204", holds: "HTTP/1.1 204 No Content\r\nopenai"),
            Case(
                model: "sim-interim2",
                holds: "HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\nHTTP/1.1 200"),
            Case(model: "sim-status402", holds: "insufficient_credits"),
            Case(model: "sim-status429-quota", holds: #""code":"insufficient_quota""#),
            Case(model: "sim-status403-moderation", holds: #""flagged_input""#),
            Case(model: "sim-status401-scope", holds: "Missing scopes"),
            Case(model: "sim-noopts400", holds: "HTTP/1.1 400 Bad Request"),
            Case(model: "sim-noopts422", holds: #""loc":["body","stream_options"]"#),
            Case(model: "sim-noopts422", usage: false, holds: "HTTP/1.1 200 OK"),
            Case(model: "sim-status503-retrydec15", holds: "retry-after: 1.5\r\n"),
            Case(model: "sim-status503-retryms2500", holds: "retry-after-ms: 2500\r\n"),
            Case(model: "sim-status503-retrydate60", holds: "retry-after: Sun, 15 Jun 2025 15:07:40 GMT\r\n"),
            Case(model: "sim-alwaysstream", stream: false, holds: "text/event-stream"),
            Case(model: "sim-dieinside2", holds: "\r\ndata: {\"id\":\"chatcmpl-simulator\""),
        ])
    func deviations(_ expected: Case) throws {
        #expect(Self.text(try Self.build(expected.model, stream: expected.stream, usage: expected.usage)).contains(expected.holds))
    }

    @Test("in what they name in an error", arguments: ["sim-status400-leak", "sim-errorfirst-leak", "sim-errormid-leak"])
    func leaks(model: String) throws {
        let text = Self.text(try Self.build(model, stream: true, credential: "k1"))
        #expect(text.contains("(http://10.1.2.3:8000/v1 at gpu-3.internal, key k1)"))
    }

    @Test("by staying connected, and by hanging up")
    func ends() throws {
        let open = try Self.build("sim-staysopen", stream: true)
        #expect(open.end == .stall && Self.text(open).hasSuffix("data: [DONE]\n\n\r\n"))
        let hungUp = try Self.build("sim-delay2s-hangup", stream: true)
        #expect(hungUp.end == .close && hungUp.status == 0 && hungUp.delayMicroseconds == 2_000_000 && Self.text(hungUp).isEmpty)
    }

    @Test("Only the first requests to a model fail")
    func firstRequests() async throws {
        let server = try await SimulatorServer.start()
        var settings = try LoadSettings(
            url: "http://127.0.0.1:\(server.port)/v1/chat/completions", method: nil, headers: [],
            body: Array(#"{"model":"sim-status401-first3","messages":[]}"#.utf8))
        settings.connections = 2
        settings.rate = 400
        settings.seconds = 0.05
        settings.warmupSeconds = 0
        settings.graceSeconds = 120
        let report = try await LoadClient.run(settings)
        try await server.shutdown()
        #expect(report.statuses[401] == 3)
        #expect((report.statuses[200] ?? 0) > 3)
    }
}
