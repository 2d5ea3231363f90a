import Contract
import NIOCore
import Primitives
import Simulator
import Testing

@testable import Proxy

@Suite("HTTP/2 clients that hold much, read little, or stay too long", .timeLimit(.minutes(5)))
struct HTTP2PressureTests {
    @Test func sendsNoMoreThanAClientsWindows() async throws {
        let proxy = try await ProxyFixture(models: ["sim-endless", "sim-ok"]) { $0.writeTimeout = 60_000 }
        let client = try await FrameClient.connect(proxy, settings: [(4, 5_000)])
        client.ask(1, "sim-endless", streaming: true)
        let taken = { client.frames.filter { $0.kind == .data && $0.stream == 1 }.reduce(0) { $0 + $1.payload.count } }
        try await client.wait { _ in taken() == 5_000 }
        // Its provider is not read on: what is held for it does not grow, and the connection serves others.
        client.ask(3, "sim-ok")
        #expect(try await client.answer(3).status == 200 && taken() == 5_000)
        client.push(.window(1, by: 3_000))
        try await client.wait { _ in taken() == 8_000 }
        let loop = proxy.server.contexts[0]
        let held = try await loop.eventLoop.submit { loop.http2Fronts.items.map(\.pending).reduce(0, +) }.get()
        #expect(held < 1 << 20, "\(held)")
        client.push(.reset(1))
        while await proxy.server.activeRequests() > 0 { try await ProxyFixture.pause() }
        await client.close()
        let record = try #require(try await proxy.finish().first { $0.status == .failed })
        #expect(record.errorOrigin == .client && record.errorCode == "client_disconnected" && record.outputTokens > 0)
    }

    @Test func givesUpAStreamThatTakesNothing() async throws {
        let proxy = try await ProxyFixture(models: ["sim-endless", "sim-ok"]) { $0.writeTimeout = 300 }
        let client = try await FrameClient.connect(proxy, settings: [(4, 5_000)])
        client.ask(1, "sim-endless", streaming: true)
        let answer = try await client.answer(1)
        #expect(!answer.isWhole && answer.reset == HTTP2ConformanceTests.Code.cancel)
        client.ask(3, "sim-ok")
        #expect(try await client.answer(3).status == 200)
        await client.close()
        let record = try #require(try await proxy.finish().first { $0.status == .failed })
        #expect(record.errorOrigin == .client && record.errorCode == "client_stalled")
    }

    @Test func givesUpAConnectionThatTakesNothing() async throws {
        let proxy = try await ProxyFixture(models: ["sim-endless"]) {
            $0.writeTimeout = 300
            $0.maxUnsentBytes = 8192
        }
        let client = try await FrameClient.connect(proxy, settings: [(4, 0x7FFF_FFFF)], isDeaf: true, window: 8192)
        client.push(.window(0, by: 0x7000_0000))
        for stream in [1, 3, 5] as [UInt32] { client.ask(stream, "sim-endless", streaming: true) }
        while await proxy.server.sums().metrics.deadlinesPassed < 3 { try await ProxyFixture.pause() }
        while await proxy.server.activeRequests() > 0 { try await ProxyFixture.pause() }
        await client.close()
        #expect(try await proxy.finish().map(\.errorCode) == ["client_stalled", "client_stalled", "client_stalled"])
    }

    @Test func countsWhatStreamsHoldAsConnectionsDo() async throws {
        let proxy = try await ProxyFixture(models: ["sim-stall", "sim-ok"]) {
            $0.maxConnections = 4
            $0.maxStreams = 8
        }
        let client = try await FrameClient.connect(proxy)
        for stream in [1, 3, 5, 7] as [UInt32] { client.ask(stream, "sim-stall") }
        client.ask(9, "sim-ok")
        client.push(.headers(11, client.head("GET", "/health/live", isAuthorised: false), ends: true))
        let full = try await client.answer(9)
        #expect(full.status == 503 && full.errorCode == "overloaded" && full.field("retry-after") != nil)
        #expect(try await client.answer(11).status == 200)
        // A connection finds no place either; and one is free again when a stream ends.
        #expect(try await proxy.send("GET /v1/models").errorCode == "overloaded")
        client.push(.reset(1))
        while await proxy.server.activeRequests() > 3 { try await ProxyFixture.pause() }
        client.ask(13, "sim-ok")
        #expect(try await client.answer(13).status == 200)
        await client.close()
        while await proxy.server.sums().connections > 0 { try await ProxyFixture.pause() }
        #expect(try await proxy.send("GET /v1/models").status == 200)
        _ = try await proxy.finish()
    }

    @Test func refusesStreamsAboveItsSetting() async throws {
        let proxy = try await ProxyFixture(models: ["sim-stall", "sim-ok"]) { $0.maxStreams = 2 }
        let client = try await FrameClient.connect(proxy)
        for stream in [1, 3] as [UInt32] { client.ask(stream, "sim-stall") }
        // Their bodies are on the way when they are refused.
        for index in 0..<60 as Range<UInt32> { client.push(.headers(5 + 2 * index, client.head(), ends: false)) }
        for index in 0..<60 as Range<UInt32> { client.push(.data(5 + 2 * index, FrameClient.body("sim-ok"))) }
        for index in 0..<60 as Range<UInt32> {
            #expect(try await client.answer(5 + 2 * index).reset == HTTP2ConformanceTests.Code.refusedStream)
        }
        client.push(Frame(kind: .ping, payload: [UInt8](repeating: 1, count: 8)))
        try await client.wait { $0.contains { $0.kind == .ping } }
        #expect(!client.isOver)
        await client.close()
        #expect(try await proxy.finish().count == 2)
    }

    @Test func countsBodiesByTheirTenant() async throws {
        let proxy = try await ProxyFixture(models: ["sim-in1-out1"]) { $0.maxBufferedBytes = 200_000 }
        let client = try await FrameClient.connect(proxy)
        let loop = proxy.server.contexts[0]
        let held = { try await loop.eventLoop.submit { loop.bodies.total }.get() }
        let piece = String(repeating: " ", count: 15_000)
        for stream in [1, 3, 5, 7] as [UInt32] {
            client.push([.headers(stream, client.head(), ends: false)] + (0..<4).map { _ in .data(stream, piece, ends: false) })
        }
        // The fourth does not fit.
        let refused = try await client.answer(7)
        #expect(refused.status == 503 && refused.errorCode == "overloaded")
        #expect(try await held() >= 150_000)
        for stream in [1, 3, 5] as [UInt32] { client.push(.reset(stream)) }
        while try await held() > 0 { try await ProxyFixture.pause() }
        client.ask(9, "sim-in1-out1")
        #expect(try await client.answer(9).status == 200)
        #expect(try await proxy.finish().count == 1)
    }

    @Test func endsItsStreamsBeforeItStops() async throws {
        let proxy = try await ProxyFixture(models: ["sim-chunks50", "sim-ok"]) {
            $0.drainTimeout = 120_000
            $0.writeTimeout = 120_000
        }
        // It cannot end before its client lets it.
        let client = try await FrameClient.connect(proxy, settings: [(4, 200)])
        client.ask(1, "sim-chunks50", streaming: true)
        try await client.wait { $0.contains { $0.kind == .data } }
        async let records = proxy.finish()
        try await client.wait { $0.contains { $0.kind == .goAway } }
        let goodbye = try #require(client.frames.first { $0.kind == .goAway })
        #expect(goodbye.number(at: 4) == 0)
        // What is sent all the same was not begun, and may go elsewhere.
        client.ask(3, "sim-ok")
        #expect(try await client.answer(3).reset == HTTP2ConformanceTests.Code.refusedStream)
        client.push(.window(1, by: 1_000_000))
        let answer = try await client.answer(1)
        #expect(answer.isWhole && answer.body.hasSuffix("data: [DONE]\n\n"))
        try await client.waitForEnd()
        #expect(client.frames.last { $0.kind == .goAway }?.number() ?? 0 >= 1)
        #expect(try await records.map(\.status) == [.completed])
    }

    @Test func tellsWhoIsStillSendingWhenItIsForcedToStop() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok", "sim-stallafter1"])
        let client = try await FrameClient.connect(proxy)
        client.push(.headers(1, client.head(), ends: false), .data(1, "{", ends: false))
        client.ask(3, "sim-stallafter1", streaming: true)
        try await client.wait { $0.contains { $0.kind == .data } }
        let records = try await proxy.finish()
        let (sending, streaming) = (try await client.answer(1), try await client.answer(3))
        #expect(sending.status == 503 && sending.errorCode == "gateway_stopped")
        #expect(streaming.isWhole && streaming.body.contains(#""code":"gateway_stopped""#))
        #expect(records.map(\.errorCode) == ["gateway_stopped"])
    }

    @Test func isLeftAloneWhereItIsSwitchedOff() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"]) { $0.maxStreams = 0 }
        let answer = try await proxy.raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        #expect(answer.status == 505)
        _ = try await proxy.finish()
    }

    @Test func closesWhatRestsWhenRoomIsWanted() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"]) { $0.maxConnections = 16 }
        let client = try await FrameClient.connect(proxy)
        client.push(.headers(1, client.head("GET", "/v1/models"), ends: true))
        #expect(try await client.answer(1).status == 200)
        var others: [RawClient] = []
        while !client.isOver, others.count < 64 {
            let other = try await RawClient.connect(port: proxy.server.port)
            try await other.send("GET /health/live HTTP/1.1\r\nhost: w\r\n\r\n")
            try await other.receive(bytes: 1)
            others.append(other)
        }
        try await client.waitForEnd()
        #expect(client.frames.last { $0.kind == .goAway }?.number(at: 4) == 0)
        for other in others { await other.close() }
        _ = try await proxy.finish()
    }
}
