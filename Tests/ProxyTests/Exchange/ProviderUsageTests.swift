import Contract
import Foundation
import Primitives
import Simulator
import Testing

@testable import Proxy

/// Usage as real providers state it, through the whole data plane; the numbers are those of the list the cases were collected in.
@Suite("What an answer costs", .timeLimit(.minutes(10)))
struct ProviderUsageTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let row: String
        let model: String
        var stream = true
        let input: Int64
        let output: Int64
        var cached: Int64 = 0
        var reasoning: Int64 = 0
        var flags: UsageFlags = []
        /// What the client receives, which did not ask for usage.
        var holds = ""
        var lacks = "\"choices\":[],"
        var testDescription: String { "\(row) \(model) \(stream ? "streamed" : "whole")" }
    }

    @Test(
        "is read wherever a provider states it",
        arguments: [
            Case(row: "U1", model: "sim-in100-out50-usageinchoice", input: 100, output: 50),
            Case(row: "U1", model: "sim-in100-out50-usageinchoice", stream: false, input: 100, output: 50),
            Case(row: "U1", model: "sim-in100-out50-usagevendor", input: 100, output: 50),
            Case(row: "U1", model: "sim-in100-out50-usagevendor", stream: false, input: 100, output: 50),
            Case(row: "U2", model: "sim-in36100-out1200-cached21600-usagedeepseek", input: 36_100, output: 1200, cached: 21_600),
            Case(
                row: "U2", model: "sim-in36100-out1200-cached21600-usagedeepseek", stream: false, input: 36_100, output: 1200,
                cached: 21_600
            ),
            Case(row: "U2", model: "sim-in9-out5-cached4-usagetopcached", input: 9, output: 5, cached: 4),
            Case(
                row: "U3", model: "sim-in10120-out4308-reasoning2809-cached128-usagexai", input: 10_120, output: 4308, cached: 128,
                reasoning: 2809),
            Case(row: "U5", model: "sim-in100-out50-choicesnull", input: 100, output: 50, lacks: "\"choices\":null"),
            Case(row: "8", model: "sim-in50-out60-usageafterdone", input: 50, output: 60, flags: .duplicateUsage, holds: "late"),
            Case(row: "U6", model: "sim-in100-out50-typejson", input: 100, output: 50, holds: "alpha"),
            Case(row: "U6", model: "sim-in100-out50-typendjson", input: 100, output: 50, holds: "alpha"),
            Case(row: "U6", model: "sim-in100-out50-typeplain", input: 100, output: 50, holds: "alpha"),
            Case(row: "U6", model: "sim-in100-out50-typenone", input: 100, output: 50, holds: "alpha"),
            Case(row: "U6", model: "sim-in100-out50-typenone", stream: false, input: 100, output: 50, holds: "alpha"),
            Case(row: "U8", model: "sim-in100-out50-gzip", input: 100, output: 50, holds: "alpha"),
            Case(row: "U8", model: "sim-in100-out50-gzip", stream: false, input: 100, output: 50, holds: "alpha"),
            Case(row: "U8", model: "sim-in100-out50-deflate", input: 100, output: 50, holds: "alpha"),
            Case(row: "U8", model: "sim-in100-out50-deflate-split", stream: false, input: 100, output: 50, holds: "alpha"),
        ])
    func read(_ expected: Case) async throws {
        let proxy = try await ProxyFixture(models: [expected.model])
        let response = try await proxy.chat(expected.model, stream: expected.stream)
        #expect(response.status == 200 && response.header("content-encoding") == nil)
        if expected.stream {
            #expect(response.header("content-type")?.hasPrefix("text/event-stream") == true && response.isComplete)
        }
        #expect(expected.holds.isEmpty || response.body.contains(expected.holds), "\(response.text.suffix(500))")
        #expect(!response.body.contains(expected.lacks) || !expected.stream, "\(response.text.suffix(500))")
        let record = try #require(try await proxy.finish().first)
        #expect((record.inputTokens, record.outputTokens) == (expected.input, expected.output))
        #expect((record.cachedInputTokens, record.reasoningTokens) == (expected.cached, expected.reasoning))
        #expect(UsageFlags(rawValue: record.flags) == expected.flags && record.status == .completed)
    }

    @Test("is estimated where a chat with text had no prompt", arguments: [true, false])
    func zeroPrompt(stream: Bool) async throws {
        // U4.
        let proxy = try await ProxyFixture(models: ["sim-out50-usagezeroprompt"])
        #expect(try await proxy.chat("sim-out50-usagezeroprompt", stream: stream).status == 200)
        let record = try #require(try await proxy.finish().first)
        #expect(record.inputTokens > 0 && record.outputTokens == 50 && UsageFlags(rawValue: record.flags).contains(.estimated))
    }

    @Test("of an image without usage is a figure of images, and the same when nobody waits for the answer", arguments: [false, true])
    func image(leaves: Bool) async throws {
        // U7: 1.2 MB of base64 were 300,037 tokens; a tenth of it would be 30,000.
        let model = leaves ? "sim-stall" : "sim-nousage-out4"
        let proxy = try await ProxyFixture(models: [model], change: { if leaves { $0.firstByteTimeout = 200 } })
        let base64 = String(repeating: "QUJDRA==", count: 15_000)
        let content = #"[{"type":"text","text":"hi"},{"type":"image_url","image_url":{"url":"data:image/png;base64,\#(base64)"}}]"#
        let body = #"{"model":"\#(model)","messages":[{"role":"user","content":\#(content)}]}"#
        let response = try await proxy.send("POST /v1/chat/completions", body: body)
        #expect(response.status == (leaves ? 504 : 200))
        let record = try #require(try await proxy.finish().first)
        #expect((1_105..<1_200).contains(record.inputTokens) && UsageFlags(rawValue: record.flags).contains(.estimated))
    }

    @Test("is nothing for what is compressed in a way that cannot be undone")
    func unknownCoding() async throws {
        let provider = try await RawProvider.start(
            .raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: br\r\ncontent-length: 4\r\n\r\nabcd"))
        let damaged = try await RawProvider.start(
            .raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nabcd"))
        let good = try await RawProvider.start(.good)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [provider.url, damaged.url, good.url])
        let response = try await proxy.chat("m")
        #expect(response.status == 200 && response.body.contains("hi"), "\(response.text)")
        let record = try #require(try await proxy.finish().first)
        #expect(record.attempts == 3 && (record.inputTokens, record.outputTokens, record.flags) == (5, 2, 0))
    }
}

@Suite("A stream that dies", .timeLimit(.minutes(10)))
struct DyingStreamTests {
    @Test(
        "inside an event is ended by an error event of its own, which an SDK can read",
        arguments: ["", #","stream_options":{"include_usage":true}"#])
    func insideAnEvent(extra: String) async throws {
        // E10: the error event was glued to the half line.
        let proxy = try await ProxyFixture(models: ["sim-chunks5-dieinside2"])
        let response = try await proxy.chat("sim-chunks5-dieinside2", stream: true, extra: extra)
        let events = response.body.components(separatedBy: "\n\n").filter { !$0.isEmpty }
        #expect(events.count == 4, "the role, two chunks and the error: \(response.body)")
        for event in events {
            #expect(event.hasPrefix("data: ") && (try? JSONValue(parsing: String(event.dropFirst(6)))) != nil, "\(event)")
        }
        #expect(try JSONValue(parsing: String(events.last?.dropFirst(6) ?? ""))["error"]?["code"] == "provider_died")
        let record = try #require(try await proxy.finish().first)
        #expect(record.status == .failed && record.errorCode == "provider_died" && record.outputTokens > 0)
    }
}

@Suite("What a provider says of itself", .timeLimit(.minutes(10)))
struct ProviderLeakTests {
    @Test(
        "does not reach the caller in an error, wherever that stands",
        arguments: [
            ("sim-status400-leak", false), ("sim-status429-leak", false), ("sim-errorfirst400-leak", true),
            ("sim-errorfirst400-leak", false), ("sim-errormid2-leak", true),
        ])
    func errors(model: String, stream: Bool) async throws {
        let proxy = try await ProxyFixture(models: [model])
        let response = try await proxy.chat(model, stream: stream)
        for secret in ["sk-upstream-secret", "10.1.2.3", "gpu-3", "127.0.0.1"] {
            #expect(!response.text.contains(secret), "\(response.text)")
        }
        #expect(response.body.contains("error"))
        _ = try await proxy.finish()
    }

    @Test("does not reach the caller in an answer, where it is the credential, and changes nothing else", arguments: [true, false])
    func answers(stream: Bool) async throws {
        let text = "my key is sk-upstream-secret, at http://10.1.2.3:8000/ of gpu-3.internal"
        let answer: RawProvider.Answer =
            stream
            ? .stream([#"{"choices":[{"index":0,"delta":{"content":"\#(text)"}}]}"#, "[DONE]"])
            : .json(200, #"{"choices":[{"index":0,"message":{"content":"\#(text)"}}]}"#)
        let provider = try await RawProvider.start(answer)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [provider.url])
        let response = try await proxy.chat("m", stream: stream)
        // What the model wrote is the model's, but for the credential.
        #expect(response.body.contains(text.replacing("sk-upstream-secret", with: String(repeating: "*", count: 18))), "\(response.text)")
        _ = try await proxy.finish()
    }
}
