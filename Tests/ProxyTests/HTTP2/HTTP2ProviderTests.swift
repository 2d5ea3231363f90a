import Contract
import NIOHTTP2
import Primitives
import Simulator
import Testing

@testable import Proxy

@Suite("Providers that speak HTTP/2", .timeLimit(.minutes(5)))
struct HTTP2ProviderTests {
    private static let chunk = #"{"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"hi"}}]}"#
    private static let usage =
        #"{"object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#

    private static func proxy(
        _ providers: [FrameProvider], _ authority: TestAuthority, http1Only: Bool = false, change: (inout ProxySettings) -> Void = { _ in }
    ) async throws -> ProxyFixture {
        try await ProxyFixture(models: ["m"], endpoints: providers.map { "https://127.0.0.1:\($0.port)/v1" }, change: change) { _ in
        } adjustConfig: { config in
            for index in config.providers.indices { config.providers[index].caPem = authority.pem }
            for index in config.endpoints.indices { config.endpoints[index].http1Only = http1Only }
        }
    }

    @Test func areAskedOnOneConnection() async throws {
        let authority = try TestAuthority()
        let provider = try await FrameProvider.start(authority) { _, request in
            request.body.contains(#""stream":true"#) ? FrameProvider.events([Self.chunk, Self.usage, "[DONE]"]) : FrameProvider.good
        }
        let proxy = try await Self.proxy([provider], authority)
        let first = try await proxy.chat("m")
        #expect(first.status == 200 && first.body.contains(#""prompt_tokens":5"#), "\(first.text)")
        try await withThrowingTaskGroup { group in
            for _ in 0..<20 { group.addTask { try await proxy.chat("m", stream: true) } }
            for try await answer in group {
                #expect(answer.status == 200 && answer.isComplete && answer.body.hasSuffix("data: [DONE]\n\n"), "\(answer.text)")
            }
        }
        #expect(provider.connectionCount == 1 && provider.requests.count == 21)
        let request = try #require(provider.requests.first)
        #expect(request.fields[":method"] == "POST" && request.fields[":path"] == "/v1/chat/completions")
        #expect(request.fields[":scheme"] == "https" && request.fields[":authority"] == "127.0.0.1:\(provider.port)")
        #expect(request.fields["authorization"] == "Bearer sk-upstream-secret" && request.fields["host"] == nil)
        #expect(request.fields["content-length"] == "\(request.body.utf8.count)")
        let records = try await proxy.finish()
        #expect(records.count == 21 && records.allSatisfy { $0.status == .completed && $0.inputTokens == 5 && $0.attempts == 1 })
        await provider.stop()
    }

    @Test func areAskedWithoutTLSWhereTheEndpointSaysSo() async throws {
        let provider = try await FrameProvider.start(nil) { _, request in
            request.body.contains(#""stream":true"#) ? FrameProvider.events([Self.chunk, Self.usage, "[DONE]"]) : FrameProvider.good
        }
        let proxy = try await ProxyFixture(models: ["m"], endpoints: ["http://127.0.0.1:\(provider.port)/v1"]) { _ in
        } adjustConfig: {
            $0.endpoints[0].http2PriorKnowledge = true
        }
        // Beside each other from the first on: nothing has to be agreed on.
        try await withThrowingTaskGroup { group in
            for number in 0..<12 { group.addTask { try await proxy.chat("m", stream: number % 2 == 0) } }
            for try await answer in group { #expect(answer.status == 200, "\(answer.text)") }
        }
        #expect(provider.connectionCount == 1 && provider.requests.count == 12)
        #expect(provider.requests.allSatisfy { $0.fields[":scheme"] == "http" && $0.fields[":authority"] == "127.0.0.1:\(provider.port)" })
        #expect(try await proxy.finish().allSatisfy { $0.status == .completed && $0.inputTokens == 5 && $0.attempts == 1 })
        await provider.stop()
    }

    @Test func areAskedInHTTP1WhereTheEndpointSaysSo() async throws {
        let authority = try TestAuthority()
        let http2 = try await FrameProvider.start(authority) { _, _ in FrameProvider.good }
        let proxy = try await Self.proxy([http2], authority, http1Only: true) { $0.connectTimeout = 2000 }
        // Nothing is agreed on, and this provider understands frames alone.
        #expect(try await proxy.chat("m").status == 502)
        #expect(http2.requests.isEmpty)
        _ = try await proxy.finish()
        await http2.stop()
    }

    @Test func areSentNoMoreRequestsThanTheyAllow() async throws {
        let authority = try TestAuthority()
        let provider = try await FrameProvider.start(authority, maxStreams: 2) { index, _ in index == 0 ? FrameProvider.good : [] }
        let proxy = try await Self.proxy([provider], authority)
        #expect(try await proxy.chat("m").status == 200)
        var clients: [RawClient] = []
        for count in 1...5 {
            let client = try await RawClient.connect(port: proxy.server.port)
            try await client.send(proxy.streamRequest("m"))
            clients.append(client)
            while provider.requests.count < count + 1 { try await ProxyFixture.pause() }
        }
        // Two each on three connections: nobody waits behind another.
        #expect(provider.connectionCount == 3)
        for client in clients { await client.close() }
        while provider.resets.count < 5 { try await ProxyFixture.pause() }
        #expect(try await proxy.finish().count == 6)
        await provider.stop()
    }

    /// What a provider has refused unread is sent again, and nobody is charged or blamed for it.
    @Test(arguments: [true, false])
    func areAskedAgainForWhatTheyDidNotLookAt(byGoodbye: Bool) async throws {
        let authority = try TestAuthority()
        let provider = try await FrameProvider.start(authority) { index, request in
            guard index == 1 else { return FrameProvider.good }
            return byGoodbye ? [.goAway(request.stream - 2)] : [.reset(.refusedStream)]
        }
        let proxy = try await Self.proxy([provider], authority)
        #expect(try await proxy.chat("m").status == 200)
        #expect(try await proxy.chat("m").status == 200)
        #expect(provider.connectionCount == 2 && provider.requests.count == 3)
        let record = try #require(try await proxy.finish().first { $0.attempts == 2 })
        #expect(record.attemptList.map(\.sentUpstream) == [false, true] && record.attemptList.map(\.costNano) == [0, record.costNano])
        #expect(record.flags == 0)
        await provider.stop()
    }

    @Test func areLeftForOthersWhereTheyRefuseOnEveryConnection() async throws {
        let authority = try TestAuthority()
        let refusing = try await FrameProvider.start(authority) { _, _ in [.reset(.refusedStream)] }
        let other = try await FrameProvider.start(authority) { _, _ in FrameProvider.good }
        let proxy = try await Self.proxy([refusing, other], authority)
        #expect(try await proxy.chat("m").status == 200)
        let record = try #require(try await proxy.finish().first)
        #expect(record.attemptList.map(\.sentUpstream) == [false, true] && record.costNano > 0)
        await refusing.stop()
        await other.stop()
    }

    @Test func finishWhatTheyHaveBegunWhenTheyLeave() async throws {
        let authority = try TestAuthority()
        let provider = try await FrameProvider.start(authority) { index, request in
            index == 0 ? [.goAway(request.stream)] + FrameProvider.good : FrameProvider.good
        }
        let proxy = try await Self.proxy([provider], authority)
        for _ in 0..<2 { #expect(try await proxy.chat("m").status == 200) }
        #expect(provider.connectionCount == 2)
        #expect(try await proxy.finish().allSatisfy { $0.attempts == 1 })
        await provider.stop()
    }

    /// A reset, or a connection that ends, leaves open what the provider did: it is not asked again, and charged at worst.
    @Test(arguments: [FrameProvider.Step.reset(.internalError), .close])
    func areNotAskedAgainForWhatTheyMayHaveDone(end: FrameProvider.Step) async throws {
        let authority = try TestAuthority()
        let provider = try await FrameProvider.start(authority) { index, _ in index == 0 ? FrameProvider.good : [end] }
        let proxy = try await Self.proxy([provider], authority)
        #expect(try await proxy.chat("m").status == 200)
        let answer = try await proxy.chat("m")
        #expect(answer.status == 502 && answer.errorCode == "provider_closed" && provider.requests.count == 2)
        let record = try #require(try await proxy.finish().first { $0.status == .failed })
        #expect(record.attempts == 1 && record.costNano > 0 && record.errorOrigin == .provider)
        await provider.stop()
    }

    @Test(arguments: [FrameProvider.Step.reset(.cancel), .close])
    func areBlamedForStreamsThatBreakOff(end: FrameProvider.Step) async throws {
        let authority = try TestAuthority()
        let provider = try await FrameProvider.start(authority) { _, _ in
            FrameProvider.events([Self.chunk, Self.chunk], ends: false) + [end]
        }
        let proxy = try await Self.proxy([provider], authority)
        let answer = try await proxy.chat("m", stream: true)
        #expect(
            answer.status == 200 && answer.body.contains(#""code":"provider_died""#) && !answer.body.contains("[DONE]"), "\(answer.text)")
        let record = try #require(try await proxy.finish().first)
        #expect(record.errorOrigin == .provider && UsageFlags(rawValue: record.flags).contains(.upstreamDied))
        await provider.stop()
    }

    @Test func areToldWhenAClientLeaves() async throws {
        let authority = try TestAuthority()
        let provider = try await FrameProvider.start(authority) { index, _ in
            index == 0 ? FrameProvider.events([Self.chunk, Self.chunk], ends: false) : FrameProvider.good
        }
        let proxy = try await Self.proxy([provider], authority)
        let client = try await RawClient.connect(port: proxy.server.port)
        try await client.send(proxy.streamRequest("m"))
        try await client.receive(bytes: 300)
        await client.close()
        while provider.resets.isEmpty { try await ProxyFixture.pause() }
        #expect(provider.resets == [.cancel])
        // Others on the connection do not notice.
        #expect(try await proxy.chat("m").status == 200)
        #expect(provider.connectionCount == 1)
        let record = try #require(try await proxy.finish().first { $0.status == .failed })
        #expect(record.errorCode == "client_disconnected" && record.outputTokens > 0)
        await provider.stop()
    }

    @Test func waitForClientsThatDoNotRead() async throws {
        let authority = try TestAuthority()
        let text =
            #"{"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"\#(String(repeating: "x", count: 10_000))"}}]}"#
        let provider = try await FrameProvider.start(authority) { index, _ in
            index == 0 ? FrameProvider.events(Array(repeating: text, count: 300) + [Self.usage, "[DONE]"]) : FrameProvider.good
        }
        let proxy = try await Self.proxy([provider], authority) { $0.maxUnsentBytes = 8192 }
        let client = try await RawClient.connect(port: proxy.server.port, isDeaf: true, window: 8192)
        try await client.send(proxy.streamRequest("m").replacing("host: w", with: "host: w\r\nconnection: close"))
        while provider.requests.isEmpty { try await ProxyFixture.pause() }
        // One that reads is served meanwhile, on the same connection.
        #expect(try await proxy.chat("m").status == 200)
        #expect(provider.connectionCount == 1)
        try await client.listen()
        let answer = RawResponse(try await client.readToEnd())
        #expect(answer.isComplete && answer.body.utf8.count > 3_000_000 && answer.body.hasSuffix("data: [DONE]\n\n"))
        #expect(try await proxy.finish().allSatisfy { $0.status == .completed })
        await provider.stop()
    }

    @Test func areLetGoAfterARest() async throws {
        let authority = try TestAuthority()
        let provider = try await FrameProvider.start(authority) { _, _ in FrameProvider.good }
        let proxy = try await Self.proxy([provider], authority) { $0.upstreamKeepAlive = 100 }
        #expect(try await proxy.chat("m").status == 200)
        while provider.openConnections > 0 { try await ProxyFixture.pause() }
        #expect(try await proxy.chat("m").status == 200)
        #expect(provider.connectionCount == 2)
        _ = try await proxy.finish()
        await provider.stop()
    }

    @Test(arguments: [
        (FrameProvider.json(#"{"error":{"message":"slow down","type":"rate"}}"#, 429), 429), ([.head(503, ends: true)], 503),
        ([.head(200, [("content-type", "application/json")], ends: true)], 502),
    ])
    func tellTheirErrorsAsInHTTP1(steps: [FrameProvider.Step], status: Int) async throws {
        let authority = try TestAuthority()
        let provider = try await FrameProvider.start(authority) { _, _ in steps }
        let proxy = try await Self.proxy([provider], authority) { $0.retryPause = 0 }
        #expect(try await proxy.chat("m").status == status)
        _ = try await proxy.finish()
        await provider.stop()
    }
}
