import Contract
import Primitives
import Simulator
import Testing

@testable import Proxy

@Suite("An exchange through the data plane", .timeLimit(.minutes(10)))
struct ExchangeTests {
    @Test func answersAndRecordsWhatTheProviderStated() async throws {
        let proxy = try await ProxyFixture(models: ["sim-in120-out64"])
        let answer = try await proxy.chat("sim-in120-out64")
        #expect(answer.status == 200)
        #expect(answer.header("x-weir-config-version") == "1")
        let id = try #require(answer.header("x-request-id"))
        #expect(answer.body.contains(#""prompt_tokens":120"#))
        let records = try await proxy.finish()
        #expect(records.count == 1)
        let record = try #require(records.first)
        #expect(RequestID(bytes: Array(record.requestID))?.text == id)
        #expect(record.tenantID == proxy.tenant.rawValue && record.projectID == proxy.project.rawValue)
        #expect((record.inputTokens, record.outputTokens, record.flags) == (120, 64, 0))
        // 120 × 2.50 $ + 64 × 10 $ a million tokens.
        #expect(record.costNano == 120 * 2500 + 64 * 10_000)
        #expect((record.status, record.httpStatus, record.upstreamStatus) == (.completed, 200, 200))
        #expect(record.configVersion == 1 && record.priceID == "price_sim-in120-out64" && record.sentUpstream)
    }

    @Test(arguments: ["/v1/chat/completions", "/external/v1/chat/completions", "/chat/completions"])
    func servesTheSamePathsWithAndWithoutPrefix(path: String) async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"])
        #expect(try await proxy.chat("sim-ok", path: path).status == 200)
        let records = try await proxy.finish()
        #expect(records.map(\.channel) == [path.hasPrefix("/external") ? "external" : "default"])
    }

    @Test func streamsWithoutUsageToWhoDidNotAskAndMetersItAllTheSame() async throws {
        let proxy = try await ProxyFixture(models: ["sim-chunks16-in30"])
        let plain = try await proxy.chat("sim-chunks16-in30", stream: true)
        #expect(plain.status == 200 && plain.isComplete)
        #expect(!plain.body.contains("usage"))
        #expect(plain.body.hasSuffix("data: [DONE]\n\n"))
        let asked = try await proxy.chat("sim-chunks16-in30", stream: true, extra: #","stream_options":{"include_usage":true}"#)
        #expect(asked.body.contains(#""prompt_tokens":30"#) && asked.body.contains(#""usage":null"#))
        let declined = try await proxy.chat("sim-chunks16-in30", stream: true, extra: #","stream_options":{"include_usage":false}"#)
        #expect(!declined.body.contains("usage") && declined.body == plain.body)
        let records = try await proxy.finish()
        #expect(records.count == 3)
        #expect(records.allSatisfy { $0.inputTokens == 30 && $0.outputTokens == 16 && $0.flags == 0 && $0.streaming })
    }

    @Test func namesTheModelAsTheProviderKnowsIt() async throws {
        let proxy = try await ProxyFixture(models: ["house \"best\" model"], upstreamModel: "sim-in7-out3")
        let body = #"{"messages":[],"model":"house \"best\" model","n":1}"#
        let answer = try await proxy.send("POST /v1/chat/completions", body: body)
        #expect(answer.status == 200)
        let records = try await proxy.finish()
        #expect(records.map(\.upstreamModel) == ["sim-in7-out3"])
        #expect(records.map(\.model) == [#"house "best" model"#])
        #expect(records.map(\.inputTokens) == [7])
    }

    @Test func goesOnToTheNextEndpointBeforeTheFirstByte() async throws {
        let dead = "http://127.0.0.1:9/v1"
        let proxy = try await ProxyFixture(models: ["sim-in5-out2"], endpoints: [dead, "http://SIMULATOR/v1"])
        let answer = try await proxy.chat("sim-in5-out2")
        #expect(answer.status == 200)
        let records = try await proxy.finish()
        #expect(records.count == 1)
        #expect(records.first?.endpointID == "ep_1" && records.first?.attempts == 2 && records.first?.inputTokens == 5)
    }

    @Test(arguments: [
        ("sim-status500", 502, "provider_error"), ("sim-status503", 503, "provider_error"),
        ("sim-status429-retry3", 429, "provider_rate_limit"),
        ("sim-status401", 502, "provider_credential_refused"), ("sim-badhead", 502, "provider_bad_response"),
        ("sim-reset", 502, "provider_closed"),
    ])
    func tellsWhoseFaultItWas(model: String, status: Int, code: String) async throws {
        let proxy = try await ProxyFixture(models: [model])
        let answer = try await proxy.chat(model)
        #expect(answer.status == status)
        #expect(answer.errorCode == code)
        #expect(!answer.text.contains("sk-upstream-secret"))
        if status == 429 { #expect(answer.header("retry-after") == "3") }
        let records = try await proxy.finish()
        #expect(records.count == 1)
        let record = try #require(records.first)
        #expect(record.status == .failed && record.errorOrigin == .provider)
        // What was no answer costs nothing; what became of a request without one is not known.
        #expect((record.costNano == 0) == (code != "provider_closed"))
        #expect(UsageFlags(rawValue: record.flags).contains(.estimated) == (code == "provider_closed"))
        #expect(records.first?.errorCode == code && records.first?.httpStatus == UInt32(status))
    }

    @Test func handsOnTheCallersOwnMistakes() async throws {
        let proxy = try await ProxyFixture(models: ["sim-status400"])
        let answer = try await proxy.chat("sim-status400")
        #expect(answer.status == 400 && answer.field("message")?.contains("refuses") == true)
        #expect(try await proxy.finish().map(\.errorOrigin) == [.client])
    }

    @Test func endsABrokenStreamWithAnErrorEvent() async throws {
        let proxy = try await ProxyFixture(models: ["sim-die10"])
        let answer = try await proxy.chat("sim-die10", stream: true)
        #expect(answer.status == 200 && answer.isComplete)
        #expect(answer.body.contains(#""code":"provider_died""#) && !answer.body.contains("[DONE]"))
        let record = try #require(try await proxy.finish().first)
        #expect(UsageFlags(rawValue: record.flags).isSuperset(of: [.estimated, .upstreamDied]))
        #expect(record.status == .failed && record.outputTokens > 0)
    }

    @Test(
        arguments: [
            ("sim-usageneg", UsageFlags.invalidUsage), ("sim-usagehuge", .invalidUsage), ("sim-usagetext", .invalidUsage),
            ("sim-usagenull", [.usageAbsent, .estimated]), ("sim-nousage", [.usageAbsent, .estimated]), ("sim-usagetwice", .duplicateUsage),
            ("sim-usagefloat", .invalidUsage),
        ] as [(String, UsageFlags)])
    func flagsUsageThatCannotBeBelieved(model: String, flags: UsageFlags) async throws {
        let proxy = try await ProxyFixture(models: [model])
        #expect(try await proxy.chat(model).status == 200)
        #expect(try await proxy.chat(model, stream: true).status == 200)
        let records = try await proxy.finish()
        #expect(records.count == 2)
        for record in records {
            #expect(UsageFlags(rawValue: record.flags).isSuperset(of: flags), "\(model): \(UsageFlags(rawValue: record.flags).words)")
            #expect(record.inputTokens >= 0 && record.outputTokens >= 0 && record.costNano >= 0)
        }
    }

    @Test func timesOutAProviderThatNeverAnswers() async throws {
        let proxy = try await ProxyFixture(models: ["sim-stall"]) { $0.firstByteTimeout = 200 }
        let answer = try await proxy.chat("sim-stall")
        #expect(answer.status == 504 && answer.errorCode == "provider_timeout")
        #expect(try await proxy.finish().map(\.status) == [.failed])
    }

    @Test func cutsAStreamThatStalls() async throws {
        let proxy = try await ProxyFixture(models: ["sim-stallafter3"]) { $0.upstreamIdleTimeout = 200 }
        let answer = try await proxy.chat("sim-stallafter3", stream: true)
        #expect(answer.body.contains(#""code":"provider_timeout""#) && answer.isComplete)
        let record = try #require(try await proxy.finish().first)
        #expect(UsageFlags(rawValue: record.flags).contains(.cutByLimit))
    }

    @Test func cutsAnAnswerThatNeverEnds() async throws {
        let proxy = try await ProxyFixture(models: ["sim-endless"]) { $0.maxResponseBytes = 300_000 }
        let answer = try await proxy.chat("sim-endless", stream: true)
        #expect(answer.text.utf8.count < 2_000_000)
        let record = try #require(try await proxy.finish().first)
        #expect(UsageFlags(rawValue: record.flags).contains(.cutByLimit) && record.errorCode == "response_too_large")
    }

    @Test func recordsAClientThatLeaves() async throws {
        let proxy = try await ProxyFixture(models: ["sim-chunks10000-pace5ms"])
        let client = try await RawClient.connect(port: proxy.server.port)
        let body = #"{"model":"sim-chunks10000-pace5ms","messages":[],"stream":true}"#
        try await client.send(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(proxy.key)\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)"
        )
        while proxy.simulator.requestsTotal == 0 { try await ProxyFixture.pause() }
        await client.close()
        while await proxy.server.activeRequests() > 0 { try await ProxyFixture.pause() }
        #expect(await proxy.server.sums().metrics.clientDisconnects == 1)
        let record = try #require(try await proxy.finish().first)
        #expect(UsageFlags(rawValue: record.flags).isSuperset(of: [.clientDisconnected, .estimated]))
        #expect(record.errorOrigin == .client && record.status == .failed)
    }

    @Test func refusesAServiceTierThatCostsMoreThanItsPrice() async throws {
        let proxy = try await ProxyFixture(models: ["sim-in5-out1"])
        let refused = try await proxy.chat("sim-in5-out1", extra: #","service_tier":"priority""#)
        #expect(refused.status == 400 && refused.text.contains("unsupported_service_tier"), "\(refused.text)")
        for tier in [#""auto""#, #""default""#, #""flex""#, "null"] {
            #expect(try await proxy.chat("sim-in5-out1", extra: #","service_tier":\#(tier)"#).status == 200, "\(tier)")
        }
        #expect(try await proxy.finish().count == 4)
        // Where the provider's own word for the cost counts, it does of this tier, too.
        let stated = try await ProxyFixture(models: ["sim-in5-out1"], adjustConfig: { $0.prices[0].providerCost = true })
        #expect(try await stated.chat("sim-in5-out1", extra: #","service_tier":"priority""#).status == 200)
        _ = try await stated.finish()
    }

    /// A provider that stops when it notices has made some more by then: what was on its way counts, and no more than that.
    @Test(arguments: ["pace2ms", "pace20ms"])
    func countsWhatTheProviderMadeUntilItNoticed(_ pace: String) async throws {
        let proxy = try await ProxyFixture(models: ["sim-chunks10000-\(pace)"])
        let client = try await RawClient.connect(port: proxy.server.port)
        try await client.send(proxy.streamRequest("sim-chunks10000-\(pace)"))
        try await client.receive(bytes: 1000)
        await client.close()
        while await proxy.server.activeRequests() > 0 { try await ProxyFixture.pause() }
        #expect(await proxy.server.sums().metrics.clientDisconnects == 1)
        let record = try #require(try await proxy.finish().first)
        let made = try #require(proxy.simulator.ledger.entries.first)
        #expect(made.outcome == .abandoned && made.events > 1)
        #expect(record.outputTokens == Int64(made.events))
        #expect(record.errorCode == "client_disconnected" && record.upstreamStatus == 200)
    }

    @Test("A provider that takes no notice of a client that left is cut off", arguments: [true, false])
    func cutsOffAProviderThatTakesNoNotice(_ usesTLS: Bool) async throws {
        let authority = try TestAuthority()
        let text = #"{"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"hello world and more"}}]}"#
        let provider = try await RawProvider.start(tls: usesTLS ? try authority.server() : nil, heedsEnds: false) { _ in
            .stream([text], end: .silence)
        }
        let url = usesTLS ? provider.url.replacing("http:", with: "https:") : provider.url
        let proxy = try await ProxyFixture(
            models: ["m"], endpoints: [url],
            adjustConfig: { if usesTLS { $0.providers[0].caPem = authority.pem } })
        let client = try await RawClient.connect(port: proxy.server.port)
        try await client.send(proxy.streamRequest("m"))
        try await client.receive(bytes: 200)
        await client.close()
        while await proxy.server.activeRequests() > 0 { try await ProxyFixture.pause() }
        let record = try #require(try await proxy.finish().first)
        #expect(record.outputTokens == 5 && record.errorCode == "client_disconnected")
        await provider.stop()
    }

    @Test func takesLittleForAClientThatNeverReads() async throws {
        let proxy = try await ProxyFixture(models: ["sim-endless"]) { $0.writeTimeout = 300 }
        let client = try await RawClient.connect(port: proxy.server.port, isDeaf: true)
        let body = #"{"model":"sim-endless","messages":[],"stream":true}"#
        try await client.send(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(proxy.key)\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)"
        )
        while await proxy.server.activeRequests() == 0 { try await ProxyFixture.pause() }
        while await proxy.server.activeRequests() > 0 { try await ProxyFixture.pause() }
        let record = try #require(try await proxy.finish().first)
        #expect(record.errorCode == "client_stalled" && UsageFlags(rawValue: record.flags).contains(.cutByLimit))
        // The client's window, what may wait in the kernel, and NIO's own buffer; without the bound it would be the kernel's megabytes.
        #expect((1..<1_500_000).contains(record.responseBytes))
        await client.close()
    }

    @Test func waitsForTheDiskWhenAskedTo() async throws {
        let proxy = try await ProxyFixture(models: ["sim-in3-out3"]) { $0.durability = .power }
        #expect(try await proxy.chat("sim-in3-out3").status == 200)
        #expect(try await proxy.chat("sim-in3-out3", stream: true).isComplete)
        #expect(try await proxy.finish().map(\.inputTokens) == [3, 3])
    }

    @Test func listsWhatTheKeyMayUse() async throws {
        let proxy = try await ProxyFixture(models: ["sim-a", "sim-b"]) { _ in
        } adjustKey: {
            $0.models = ["sim-b"]
        }
        let list = try await proxy.send("GET /v1/models")
        #expect(list.status == 200 && list.body.contains("sim-b") && !list.body.contains("sim-a"))
        #expect(try await proxy.send("GET /v1/models/sim-b").status == 200)
        #expect(try await proxy.send("GET /v1/models/sim-a").status == 404)
        #expect(try await proxy.chat("sim-a").status == 403)
        #expect(try await proxy.finish().isEmpty)
    }
}
