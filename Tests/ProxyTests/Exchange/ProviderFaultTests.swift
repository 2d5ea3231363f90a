import Contract
import Foundation
import NIOCore
import Primitives
import Telemetry
import Testing

@testable import Proxy

/// What real providers send; the numbers are those of the list the cases were collected in.
@Suite("Answers of providers that are none", .timeLimit(.minutes(10)))
struct ProviderFaultTests {
    typealias Answer = RawProvider.Answer

    static let rateLimited = #"{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}"#
    static let noAnswers: [(String, Answer, stream: Bool)] = [
        ("E1: the first event is an error", .stream([rateLimited]), true),
        ("E1: a body of 200 is an error", .json(200, rateLimited), false),
        ("E2: a stream without an event", .stream([]), true),
        ("E2: a stream of [DONE] alone", .stream(["[DONE]"]), true),
        ("E3: a stream that nobody asked for, and that is none", .stream(["not even JSON"]), false),
        ("E8: no such model", .json(404, #"{"error":{"message":"The model 'x' does not exist","code":"model_not_found"}}"#), false),
        ("E8: failed dependency", .json(424, "{}"), false),
        ("9: HTML", .raw("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<html></html>"), false),
        ("9: half of a JSON document", .json(200, #"{"object":"chat.completion","choices":[{"#), false),
        ("8: 204", .raw("HTTP/1.1 204 No Content\r\n\r\n"), false),
        (
            "8: endless interim answers", .raw(String(repeating: "HTTP/1.1 103 Early Hints\r\n\r\n", count: 50) + "HTTP/1.1 200 OK\r\n"),
            false
        ),
        ("E4: payment required", .json(402, "{}"), false),
        (
            "E4: no quota",
            .json(429, #"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#), false
        ),
        ("E5: forbidden", .json(403, "{}"), false),
        ("a bad gateway", .raw("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"), true),
        ("9: JSON without a member of an answer", .json(200, #"{"base_resp":{"status_code":1004,"status_msg":"no"}}"#), false),
        ("a part of an answer", .raw(Answer.good.bytes.replacing("HTTP/1.1 200", with: "HTTP/1.1 206")), false),
        ("nothing, with a body", .raw(Answer.good.bytes.replacing("HTTP/1.1 200", with: "HTTP/1.1 205")), false),
        ("accepted, to be asked for again", .json(202, #"{"id":"r1","status":"queued"}"#), false),
    ]

    @Test(arguments: noAnswers.indices)
    func goOnToTheNextEndpointAndCostNothing(index: Int) async throws {
        let (name, answer, stream) = Self.noAnswers[index]
        let first = try await RawProvider.start(answer)
        let second = try await RawProvider.start(stream ? .goodStream : .good)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [first.url, second.url])
        let response = try await proxy.chat("m", stream: stream)
        #expect(response.status == 200 && response.body.contains("hi") && response.errorCode == nil, "\(name): \(response.text)")
        let record = try #require(try await proxy.finish().first)
        #expect(record.status == .completed && record.attempts == 2 && record.endpointID == "ep_1", "\(name)")
        #expect((record.inputTokens, record.outputTokens, record.flags) == (5, 2, 0), "\(name)")
        #expect(record.costNano == 5 * 2500 + 2 * 10_000, "\(name)")
        #expect(first.requests.count == 1 && second.requests.count == 1)
        // Why the first was left stands beside what the second came to.
        #expect(record.attemptList.map(\.endpointID) == ["ep_0", "ep_1"] && record.attemptList.map(\.costNano) == [0, record.costNano])
        #expect(record.attemptList.first?.errorCode.isEmpty == false && record.attemptList.last?.errorCode == "")
    }

    @Test(arguments: [
        (0, 429, "provider_rate_limit"), (1, 429, "provider_rate_limit"), (2, 502, "provider_bad_response"),
        (4, 502, "provider_bad_response"), (5, 502, "provider_misconfigured"), (7, 502, "provider_bad_response"),
        (8, 502, "provider_bad_response"), (9, 502, "provider_bad_response"), (10, 502, "provider_bad_response"),
        (11, 503, "provider_account_exhausted"), (12, 503, "provider_account_exhausted"), (13, 502, "provider_refused"),
        (15, 502, "provider_bad_response"),
    ])
    func areTheCallersErrorWhereNoEndpointIsLeft(index: Int, status: Int, code: String) async throws {
        let (name, answer, stream) = Self.noAnswers[index]
        let provider = try await RawProvider.start(answer)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [provider.url])
        let response = try await proxy.chat("m", stream: stream)
        #expect(response.status == status && response.errorCode == code, "\(name): \(response.text)")
        // What only the operator can change is not tried again by the SDKs.
        let isPermanent = ["provider_misconfigured", "provider_account_exhausted", "provider_refused"].contains(code)
        #expect(response.header("x-should-retry") == (isPermanent ? "false" : nil), "\(name)")
        let record = try #require(try await proxy.finish().first)
        #expect(record.status == .failed && record.costNano == 0 && record.inputTokens == 0 && record.errorCode == code, "\(name)")
        #expect(provider.requests.count == 1)
    }

    @Test func tellTheCallerOfItsOwnMistakesInTheProvidersWords() async throws {
        let body = #"{"error":{"code":403,"message":"Your input was flagged by moderation","metadata":{"reasons":["x"]}}}"#
        let provider = try await RawProvider.start(.json(403, body))
        let spare = try await RawProvider.start(.good)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [provider.url, spare.url])
        let response = try await proxy.chat("m")
        #expect(response.status == 403 && response.field("message")?.contains("flagged") == true, "\(response.text)")
        #expect(spare.requests.isEmpty)
        #expect(try await proxy.finish().map(\.errorOrigin) == [.client])
    }

    @Test func putAStreamTogetherThatNobodyAskedFor() async throws {
        // E3: one document was asked for.
        let provider = try await RawProvider.start(.goodStream)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [provider.url])
        let response = try await proxy.chat("m")
        #expect(response.status == 200 && response.header("content-type") == "application/json")
        #expect(response.body.contains(#""content":"hi""#) && !response.body.contains("data:"), "\(response.text)")
        let record = try #require(try await proxy.finish().first)
        #expect((record.inputTokens, record.outputTokens) == (5, 2) && record.status == .completed)
    }

    @Test func sendTheCallersOwnBytesWhereAnEndpointDoesNotTakeWhatWasAdded() async throws {
        // E7: the second request does not ask again.
        let refusal = #"{"error":{"message":"Unknown parameter: 'stream_options'.","param":"stream_options"}}"#
        let provider = try await RawProvider.start { $0 == 0 ? .json(400, refusal) : .goodStream }
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [provider.url])
        for _ in 0..<2 { #expect(try await proxy.chat("m", stream: true).status == 200) }
        #expect(provider.requests.map { $0.contains("stream_options") } == [true, false, false])
        #expect(try await proxy.finish().map(\.status) == [.completed, .completed])
    }

    @Test func asksForUsageAgainWhereTheComplaintWasOfTheCallersOwnWords() async throws {
        let refusal = #"{"error":{"message":"Invalid value: 'stream_options'. Supported: 'user'.","code":"invalid_value"}}"#
        let provider = try await RawProvider.start { $0 < 2 ? .json(400, refusal) : .goodStream }
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [provider.url])
        #expect(try await proxy.chat("m", stream: true).status == 400)
        #expect(try await proxy.chat("m", stream: true).status == 200)
        #expect(provider.requests.map { $0.contains("stream_options") } == [true, false, true])
        _ = try await proxy.finish()
    }

    @Test func tryARefusedCredentialLastAndNotNever() async throws {
        // E6: a single 401 from the only credential of the only endpoint.
        let provider = try await RawProvider.start { $0 == 0 ? .json(401, "{}") : .good }
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [provider.url])
        let refused = try await proxy.chat("m")
        #expect(refused.status == 502 && refused.errorCode == "provider_credential_refused")
        #expect(try await proxy.chat("m").status == 200)
        _ = try await proxy.finish()
    }

    static let echoes: [Answer] = [
        .json(400, #"{"error":{"message":"Bad role: incorrect api key"}}"#),
        .json(403, #"{"error":{"message":"We do not answer incorrect api key here"}}"#),
        .json(403, #"{"error":{"message":"missing scope, you say?"}}"#),
        .json(400, #"{"error":{"message":"No such role: out of credit, unknown model"}}"#),
        .json(422, #"{"detail":"not a role: unknown model"}"#),
        .json(429, #"{"error":{"message":"Too long: insufficient balance"}}"#),
        .json(200, #"{"error":{"message":"What is this: incorrect api key"}}"#),
    ]

    @Test(arguments: echoes.indices)
    func believeNothingOfACredentialThatACallerMayHaveWritten(index: Int) async throws {
        let first = try await RawProvider.start { $0 == 0 ? Self.echoes[index] : .good }
        let second = try await RawProvider.start(.good)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [first.url, second.url])
        #expect(try await proxy.chat("m").status == 200 && second.requests.count == 1)
        // Another tenant's goes where it would have gone.
        let body = #"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#
        let answer = try await proxy.send(
            "POST /v1/chat/completions", headers: ["authorization: Bearer \(proxy.neighbour)"], body: body, authorised: false)
        #expect(answer.status == 200 && first.requests.count == 2 && second.requests.count == 1)
        #expect(!(await proxy.page("/health/ready").body).contains("refuses credential"))
        _ = try await proxy.finish()
    }

    @Test func believeAMessageOfACredentialWhereTheSameBytesPassWithAnother() async throws {
        // xAI's: a status of 400, and nothing but words.
        let refusal = #"{"code":"Client specified an invalid argument","error":"Incorrect API key provided: sk-***."}"#
        let provider = try await RawProvider.start { $0 == 0 ? .json(400, refusal) : .good }
        let log = CapturingSink()
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [provider.url], log: log) { _ in
        } adjustConfig: {
            $0.endpoints[0].credentialIds = ["cred_a", "cred_b"]
        }
        var secrets = Weir_V1_SealedSecrets()
        secrets.secrets = [try proxy.snapshots.sealed("sk-upstream-secret"), try proxy.snapshots.sealed("sk-two", id: "cred_b")]
        await proxy.store.apply(secrets)
        try await proxy.server.contexts[0].eventLoop.submit {}.get()
        for _ in 0..<12 { #expect(try await proxy.chat("m").status == 200) }
        let refused = provider.requests[0].contains("sk-two") ? "sk-two" : "sk-upstream-secret"
        #expect(provider.requests.count == 13 && provider.requests.count { $0.contains(refused) } == 1)
        #expect(log.lines.count { $0.contains("a provider refuses a credential") } == 1)
        _ = try await proxy.finish()
    }

    @Test(
        arguments: [
            ("retry-after: 7\r\n", "7", nil), ("retry-after: 1.5\r\n", "2", "1500"), ("retry-after-ms: 2500\r\n", "3", "2500"),
            ("retry-after: 7200\r\n", "7200", nil), ("retry-after: Fri, 20 Nov 2026 00:02:00 GMT\r\n", "120", nil), ("", nil, nil),
        ] as [(String, String?, String?)])
    func keepTheProvidersHintWhenToComeBack(fields: String, seconds: String?, milliseconds: String?) async throws {
        for status in [429, 503] {
            let provider = try await RawProvider.start(.json(status, "{}", fields: fields))
            let proxy = try await ProxyFixture(models: ["m"], endpoints: [provider.url])
            proxy.snapshots.clock.set(milliseconds: 1_795_132_800_000)  // 2026-11-20T00:00:00Z
            let response = try await proxy.chat("m")
            #expect(response.status == status)
            #expect(response.header("retry-after") == seconds, "\(fields)")
            #expect(response.header("retry-after-ms") == milliseconds, "\(fields)")
            _ = try await proxy.finish()
        }
    }

    @Test func countWhatComesAfterDone() async throws {
        // 8: more text and the usage after [DONE]; the connection stays open.
        let provider = try await RawProvider.start(
            .stream(
                [
                    #"{"choices":[{"index":0,"delta":{"content":"hi"}}]}"#, "[DONE]",
                    #"{"choices":[],"usage":{"prompt_tokens":50,"completion_tokens":60,"total_tokens":110}}"#,
                ], end: .silence))
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [provider.url])
        let response = try await proxy.chat("m", stream: true)
        #expect(response.isComplete && response.body.contains("[DONE]"))
        let record = try #require(try await proxy.finish().first)
        #expect((record.inputTokens, record.outputTokens, record.flags) == (50, 60, 0) && record.status == .completed)
    }

    @Test(arguments: ["", #","stream_options":{"include_usage":true}"#])
    func leaveNoHalfEventWhereAStreamDies(extra: String) async throws {
        // E10: the connection ends inside the second event.
        let first = #"data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}"#
        let bytes = first + "\n\n" + first.prefix(30)
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        let provider = try await RawProvider.start(
            .raw(head + String(bytes.utf8.count, radix: 16) + "\r\n" + bytes + "\r\n", end: .close))
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [provider.url])
        let events = try await proxy.chat("m", stream: true, extra: extra).body.components(separatedBy: "\n\n")
        #expect(events.count == 3 && events.first == first && events.last == "", "\(events)")
        #expect(events.dropFirst().first?.contains(#""code":"provider_died""#) == true)
        #expect(try await proxy.finish().map(\.errorCode) == ["provider_died"])
    }

    @Test func doNotLookWholeWhereAStreamEndsWithoutAnythingLikeAnEnd() async throws {
        let first = #"{"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}"#
        let provider = try await RawProvider.start(.stream([first, #"{"choi"#]))
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [provider.url])
        let events = try await proxy.chat("m", stream: true).body.components(separatedBy: "\n\n")
        #expect(events.first == "data: \(first)" && events.dropLast().last?.contains(#""code":"provider_died""#) == true, "\(events)")
        let record = try #require(try await proxy.finish().first)
        #expect(record.status == .failed && record.errorCode == "provider_died" && record.outputTokens > 0)
    }

    @Test func becomeAStreamWhereAWholeAnswerComesInItsPlace() async throws {
        let body =
            #"{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"#
            + #""usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#
        let provider = try await RawProvider.start(.json(200, body))
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [provider.url])
        let response = try await proxy.chat("m", stream: true)
        #expect(response.header("content-type")?.hasPrefix("text/event-stream") == true, "\(response.text)")
        #expect(response.body.contains(#""delta":{"content":"hi"}"#) && response.body.hasSuffix("data: [DONE]\n\n"), "\(response.body)")
        #expect(!response.body.contains("usage"))
        let record = try #require(try await proxy.finish().first)
        #expect(record.status == .completed && (record.inputTokens, record.outputTokens, record.flags) == (5, 2, 0))
    }

    @Test func leaveNoConnectionForTheNextRequestWhereTheBodyWasNotTaken() async throws {
        let refusal = RawProvider.Answer.json(413, #"{"error":{"message":"too large"}}"#)
        let provider = try await RawProvider.start(readsBodies: false) { _ in refusal }
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [provider.url])
        let large = #"{"model":"m","messages":[],"user":"\#(String(repeating: "u", count: 8 << 20))"}"#
        for _ in 0..<2 {
            let response = try await proxy.send("POST /v1/chat/completions", body: large)
            #expect(response.status == 413 && response.field("message") == "too large", "\(response.text.prefix(500))")
        }
        #expect(provider.connectionCount == 2)
        _ = try await proxy.finish()
    }

    @Test func areNotRepeatedWhereTheOutcomeIsUnknown() async throws {
        // 4: the first request of a connection is answered, the second gets the connection closed after it was read.
        for end in [Answer.End.close, .reset] {
            let first = try await RawProvider.start { $0 == 0 ? .good : .raw("", end: end) }
            let second = try await RawProvider.start(.good)
            let proxy = try await ProxyFixture(models: ["m"], endpoints: [first.url, second.url])
            #expect(try await proxy.chat("m").status == 200)
            let response = try await proxy.chat("m")
            #expect(response.status == 502 && response.errorCode == "provider_closed")
            #expect(first.requests.count == 2 && second.requests.isEmpty)
            let record = try #require(try await proxy.finish().first { $0.status == .failed })
            #expect(record.attempts == 1 && record.inputTokens > 0 && UsageFlags(rawValue: record.flags).contains(.estimated))
            #expect(record.costNano > 0)
        }
    }

    @Test func areRepeatedWhereTheRouteSaysSoAndPaidForTwice() async throws {
        for end in [Answer.End.close, .reset] {
            let first = try await RawProvider.start { $0 == 0 ? .good : .raw("", end: end) }
            let second = try await RawProvider.start(.good)
            let proxy = try await ProxyFixture(
                models: ["m"], endpoints: [first.url, second.url],
                adjustConfig: { config in
                    for index in config.routes.indices { config.routes[index].repeatUnknownOutcomes = true }
                })
            #expect(try await proxy.chat("m").status == 200)
            #expect(try await proxy.chat("m").status == 200)
            #expect(first.requests.count == 2 && second.requests.count == 1)
            let record = try #require(try await proxy.finish().first { $0.attempts == 2 })
            #expect(record.status == .completed && record.attemptList.map(\.endpointID) == ["ep_0", "ep_1"])
            // What may have been served is charged as estimated, beside what was.
            let costs = record.attemptList.map(\.costNano)
            #expect(costs.allSatisfy { $0 > 0 } && record.costNano == costs.reduce(0, +))
            #expect(UsageFlags(rawValue: record.flags).contains(.estimated))
        }
    }
}
