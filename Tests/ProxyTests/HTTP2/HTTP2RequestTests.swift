import Contract
import Primitives
import Simulator
import Testing

@testable import Proxy

@Suite("Requests and answers by HTTP/2", .timeLimit(.minutes(3)))
struct HTTP2RequestTests {
    @Test func servesWhoeverSpeaksItFromTheStart() async throws {
        let proxy = try await ProxyFixture(models: ["sim-in12-out4"]) { $0.maxStreams = 17 }
        let client = try await FrameClient.connect(proxy)
        client.ask(1, "sim-in12-out4")
        let answer = try await client.answer(1)
        #expect(answer.status == 200 && answer.isWhole && answer.body.contains(#""prompt_tokens":12"#))
        #expect(answer.field("content-type") == "application/json" && answer.field("x-weir-config-version") == "1")
        #expect(answer.field("content-length") == "\(answer.body.utf8.count)" && answer.field("date") != nil)
        let settings = try #require(client.frames.first)
        #expect(settings.kind == .settings && settings.payload.prefix(6) == [0, 3, 0, 0, 0, 17])
        #expect(client.frames.contains { $0.kind == .settings && $0.flags == Frame.acknowledges })
        #expect(answer.field("x-request-id")?.hasPrefix("req_") == true)
        #expect(try await proxy.finish().map(\.inputTokens) == [12])
    }

    @Test func streamsSideBySide() async throws {
        let proxy = try await ProxyFixture(models: ["sim-chunks3", "sim-stallafter1"])
        let client = try await FrameClient.connect(proxy)
        client.ask(1, "sim-stallafter1", streaming: true)
        for stream in [3, 5, 7] as [UInt32] { client.ask(stream, "sim-chunks3", streaming: true) }
        for stream in [3, 5, 7] as [UInt32] {
            let answer = try await client.answer(stream)
            #expect(answer.status == 200 && answer.field("content-type") == "text/event-stream" && answer.field("content-length") == nil)
            #expect(answer.body.hasPrefix("data: ") && answer.body.hasSuffix("data: [DONE]\n\n") && answer.isWhole)
        }
        #expect(await proxy.server.activeRequests() == 1)
        #expect(try client.soFar(1).isWhole == false)
        await client.close()
        let records = try await proxy.finish()
        #expect(records.filter { $0.status == .completed }.map(\.outputTokens) == [3, 3, 3])
        #expect(records.filter { $0.status != .completed }.map(\.errorCode) == ["client_disconnected"])
    }

    @Test func takesBodiesInPieces() async throws {
        let proxy = try await ProxyFixture(models: ["sim-in1-out1"])
        let client = try await FrameClient.connect(proxy)
        // Longer than the window that a stream begins with, and than its double.
        let body = FrameClient.body("sim-in1-out1", extra: #","user":"\#(String(repeating: "u", count: 700_000))""#)
        client.push(.headers(1, client.head(), ends: false))
        var rest = Array(body.utf8)
        var allowed = 65_535
        var seen = 0
        while !rest.isEmpty {
            let count = min(16_384, rest.count, allowed)
            if count > 0 {
                client.push(
                    Frame(kind: .data, flags: count == rest.count ? Frame.endStream : 0, stream: 1, payload: Array(rest.prefix(count))))
                rest.removeFirst(count)
                allowed -= count
                continue
            }
            try await client.wait { $0.count { $0.kind == .windowUpdate && $0.stream == 1 } > seen }
            #expect(!client.isOver)
            let updates = client.frames.filter { $0.kind == .windowUpdate && $0.stream == 1 }
            allowed += updates.dropFirst(seen).reduce(0) { $0 + Int($1.number()) }
            seen = updates.count
        }
        #expect(try await client.answer(1).status == 200)
        #expect(try await proxy.finish().count == 1)
    }

    @Test func answersWithoutABody() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"])
        let client = try await FrameClient.connect(proxy)
        client.push(.headers(1, client.head("HEAD", "/v1/models"), ends: true), .headers(3, client.head("GET", "/v1/models"), ends: true))
        let (head, whole) = (try await client.answer(1), try await client.answer(3))
        #expect(head.status == 200 && head.body.isEmpty && head.field("content-length") == whole.field("content-length"))
        #expect(whole.body.contains("sim-ok"))
        _ = try await proxy.finish()
    }

    @Test func tellsWhoAsksFirstToGoOn() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"])
        let client = try await FrameClient.connect(proxy)
        client.push(.headers(1, client.head("POST", "/v1/chat/completions", [("expect", "100-continue")]), ends: false))
        try await client.wait { $0.contains { $0.kind == .headers } }
        #expect(try client.soFar(1).interim == [100])
        client.push(.data(1, FrameClient.body("sim-ok")))
        #expect(try await client.answer(1).status == 200)
        // Whoever is refused by its head is not asked to go on, and told that the rest is not wanted.
        client.push(
            .headers(3, client.head("POST", "/v1/chat/completions", [("expect", "100-continue")], isAuthorised: false), ends: false))
        try await client.wait { $0.contains { $0.stream == 3 && $0.kind == .rstStream } }
        let refused = try client.soFar(3)
        #expect(refused.status == 401 && refused.interim.isEmpty && refused.isWhole && refused.reset == 0)
        _ = try await proxy.finish()
    }

    @Test func letsPagesOfNamedOriginsCall() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"]) { $0.crossOrigins = ["https://app.example"] }
        let client = try await FrameClient.connect(proxy)
        let preflight = [
            ("origin", "https://app.example"), ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,content-type"),
        ]
        client.push(.headers(1, client.head("OPTIONS", "/v1/chat/completions", preflight, isAuthorised: false), ends: true))
        let asked = try await client.answer(1)
        #expect(asked.status == 204 && asked.field("access-control-allow-origin") == "https://app.example")
        #expect(asked.field("access-control-allow-headers") == "authorization,content-type" && asked.field("vary") == "Origin")
        client.push(.headers(3, client.head("GET", "/v1/models", [("origin", "https://evil.example")]), ends: true))
        let other = try await client.answer(3)
        #expect(other.status == 200 && other.field("access-control-allow-origin") == nil && other.field("vary") == "Origin")
        _ = try await proxy.finish()
    }

    @Test func settlesWhatItsClientCancels() async throws {
        let proxy = try await ProxyFixture(models: ["sim-stallafter3", "sim-ok"])
        let client = try await FrameClient.connect(proxy)
        client.ask(1, "sim-stallafter3", streaming: true)
        try await client.wait { $0.contains { $0.kind == .data && $0.stream == 1 } }
        client.push(.reset(1))
        while await proxy.server.activeRequests() > 0 { try await ProxyFixture.pause() }
        // The connection serves on.
        client.ask(3, "sim-ok")
        #expect(try await client.answer(3).status == 200)
        #expect(await proxy.server.sums().metrics.http2Resets == 1)
        await client.close()
        let records = try await proxy.finish()
        let cancelled = try #require(records.first { $0.status == .failed })
        #expect(records.count == 2 && cancelled.errorOrigin == .client && cancelled.errorCode == "client_disconnected")
        #expect(cancelled.outputTokens > 0)
    }

    @Test func doesNotAskAProviderForWhatWasCancelledBefore() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"])
        let client = try await FrameClient.connect(proxy)
        client.push(.headers(1, client.head(), ends: false), .data(1, FrameClient.body("sim-ok")), .reset(1))
        client.ask(3, "sim-ok")
        #expect(try await client.answer(3).status == 200)
        #expect(proxy.simulator.requestsTotal == 1)
        #expect(try await proxy.finish().count == 1)
    }

    @Test func resetsAnAnswerThatIsNotWhole() async throws {
        let proxy = try await ProxyFixture(models: ["sim-gigabyte"]) { $0.maxResponseBytes = 60_000 }
        let client = try await FrameClient.connect(proxy)
        client.ask(1, "sim-gigabyte")
        let answer = try await client.answer(1)
        #expect(!answer.isWhole && (answer.reset == 2 || answer.status == 502), "\(answer)")
        #expect(try await proxy.finish().map(\.errorCode) == ["response_too_large"])
    }

    @Test func refusesWhatHasABoundInHTTP1() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"]) {
            $0.maxHeadBytes = 2048
            $0.maxHeaderFields = 20
            $0.maxBodyBytes = 4096
        }
        let client = try await FrameClient.connect(proxy)
        client.push(.headers(1, client.head("GET", "/v1/models", [("x-long", String(repeating: "a", count: 3000))]), ends: true))
        client.push(.headers(3, client.head("GET", "/v1/models", (0..<30).map { ("x-\($0)", "1") }), ends: true))
        client.push(.headers(5, client.head(), ends: false), .data(5, String(repeating: " ", count: 5000), ends: false))
        client.push(.headers(7, client.head("POST", "/v1/chat/completions", [("content-length", "5000")]), ends: false))
        client.push(.headers(9, client.head("GET", "/v1/models"), ends: true))
        #expect(try await client.answer(1).status == 431)
        #expect(try await client.answer(3).status == 431)
        #expect(try await client.answer(5).status == 413)
        #expect(try await client.answer(7).status == 413)
        #expect(try await client.answer(9).status == 200)
        _ = try await proxy.finish()
    }

    @Test func waitsForABodyForSoLong() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"]) { $0.bodyTimeout = 200 }
        let client = try await FrameClient.connect(proxy)
        client.push(.headers(1, client.head(), ends: false), .data(1, "{", ends: false))
        let answer = try await client.answer(1)
        #expect(answer.status == 408 && answer.errorCode == "request_timeout")
        _ = try await proxy.finish()
    }

    @Test(arguments: [0, 1])
    func waitsForARequestForSoLong(requests: UInt32) async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"]) {
            $0.headTimeout = requests == 0 ? 200 : 60_000
            $0.keepAliveTimeout = requests == 0 ? 60_000 : 200
        }
        let client = try await FrameClient.connect(proxy)
        if requests > 0 { client.push(.headers(1, client.head("GET", "/v1/models"), ends: true)) }
        try await client.waitForEnd()
        #expect(client.frames.last { $0.kind == .goAway }?.number(at: 4) == 0)
        #expect(await proxy.server.sums().connections == 0)
        _ = try await proxy.finish()
    }
}
