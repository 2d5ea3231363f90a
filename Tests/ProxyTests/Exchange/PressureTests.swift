import Contract
import Foundation
import NIOCore
import Primitives
import Simulator
import Synchronization
import Testing

@testable import Proxy

@Suite("Clients that do not read, or send less than they announce", .timeLimit(.minutes(10)))
struct PressureTests {
    private static func request(_ key: String, _ model: String, version: String = "1.1", fields: String = "", stream: Bool = false)
        -> String
    {
        let body = #"{"model":"\#(model)","messages":[],"stream":\#(stream)}"#
        return "POST /v1/chat/completions HTTP/\(version)\r\nhost: w\r\nauthorization: Bearer \(key)\r\n\(fields)"
            + "content-length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    @Test(arguments: ["GET /health/live", "GET /nowhere", "DELETE /v1/models"])
    func makesFewAnswersForWhoReadsNone(line: String) async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"]) { $0.writeTimeout = 300 }
        let client = try await RawClient.connect(port: proxy.server.port, isDeaf: true, window: 16_384)
        client.push(String(repeating: "\(line) HTTP/1.1\r\nhost: w\r\n\r\n", count: 60_000))
        while await proxy.server.sums().connections == 0 { try await ProxyFixture.pause() }
        // It is cut off, though it has no key and asks for nothing that costs.
        while await proxy.server.sums().connections > 0 { try await ProxyFixture.pause() }
        let metrics = await proxy.server.sums().metrics
        #expect((1..<12_000).contains(metrics.answers.reduce(0, +)), "\(metrics.answers)")
        #expect(metrics.deadlinesPassed == 1)
        await client.close()
        _ = try await proxy.finish()
    }

    @Test func answersAllOfAPipelineToWhoReadsLate() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"]) { $0.writeTimeout = 60_000 }
        let client = try await RawClient.connect(port: proxy.server.port, isDeaf: true, window: 16_384)
        let line = "GET /health/live HTTP/1.1\r\nhost: w\r\n"
        client.push(String(repeating: line + "\r\n", count: 2_999) + line + "connection: close\r\n\r\n")
        while await proxy.server.sums().metrics.answers[2] == 0 { try await ProxyFixture.pause() }
        try await client.listen()
        let text = String(decoding: try await client.readToEnd(), as: UTF8.self)
        #expect(text.components(separatedBy: "HTTP/1.1 200 OK").count == 3_001)
        _ = try await proxy.finish()
    }

    @Test func countsWhatIsHeldAndNotWhatIsAnnounced() async throws {
        let proxy = try await ProxyFixture(models: ["sim-in1-out1"]) { $0.maxBufferedBytes = 100_000 }
        var clients: [RawClient] = []
        for _ in 0..<40 {
            let client = try await RawClient.connect(port: proxy.server.port)
            try await client.send(
                "POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(proxy.key)\r\ncontent-length: 20971520\r\n\r\n{")
            clients.append(client)
        }
        while await proxy.server.sums().connections < 40 { try await ProxyFixture.pause() }
        #expect(try await proxy.chat("sim-in1-out1").status == 200)
        for client in clients { await client.close() }
        #expect(try await proxy.finish().count == 1)
    }

    @Test func onlyWhoHoldsMoreThanItsShareIsRefused() async throws {
        let proxy = try await ProxyFixture(models: ["sim-in1-out1", "sim-stall"]) {
            $0.maxBufferedBytes = 200_000
            $0.loops = 1
        }
        // One tenant fills the loop with bodies that wait for the provider or are arriving.
        let loop = proxy.server.contexts[0]
        let held = { try await loop.eventLoop.submit { loop.bodies.total }.get() }
        var clients: [RawClient] = []
        for index in 0..<4 {
            let client = try await RawClient.connect(port: proxy.server.port)
            try await client.send(
                "POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(proxy.key)\r\ncontent-length: 900000\r\n\r\n"
                    + String(repeating: " ", count: 60_000))
            clients.append(client)
            while index < 3, try await held() < (index + 1) * 60_000 { try await ProxyFixture.pause() }
        }
        // The fourth did not fit.
        let refused = RawResponse(try await clients[3].readToEnd())
        #expect(refused.status == 503 && refused.errorCode == "overloaded")
        let large = #"{"model":"sim-in1-out1","messages":[],"user":"\#(String(repeating: "u", count: 40_000))"}"#
        let own = try await proxy.send("POST /v1/chat/completions", body: large)
        #expect(own.status == 503 && own.errorCode == "overloaded", "\(own.head)")
        let other = try await proxy.send(
            "POST /v1/chat/completions", headers: ["authorization: Bearer \(proxy.neighbour)"], body: large, authorised: false)
        #expect(other.status == 200, "\(other.head)")
        for client in clients { await client.close() }
        let records = try await proxy.finish()
        #expect(records.count == 1 && records.first?.tenantID != proxy.tenant.rawValue)
    }

    @Test func letsGoOfABodyOnceItIsAnswered() async throws {
        let proxy = try await ProxyFixture(models: ["sim-stallafter1"])
        let client = try await RawClient.connect(port: proxy.server.port)
        let body = #"{"model":"sim-stallafter1","messages":[],"stream":true,"user":"\#(String(repeating: "u", count: 100_000))"}"#
        try await client.send(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(proxy.key)\r\ncontent-length: \(body.utf8.count)\r\n\r\n"
                + body)
        let loop = proxy.server.contexts[0]
        let held = { try await loop.eventLoop.submit { loop.bodies.total }.get() }
        while proxy.simulator.requestsTotal == 0 { try await ProxyFixture.pause() }
        while try await held() > 0 { try await ProxyFixture.pause() }
        #expect(await proxy.server.activeRequests() == 1)
        await client.close()
        _ = try await proxy.finish()
    }

    @Test(arguments: ["1.0", "1.1"])
    func stopsWhenTheClientHasItAll(version: String) async throws {
        let proxy = try await ProxyFixture(models: ["sim-line400"]) { $0.drainTimeout = 60_000 }
        let client = try await RawClient.connect(port: proxy.server.port, isDeaf: true, window: 8192)
        try await client.send(Self.request(proxy.key, "sim-line400", version: version, fields: "connection: close\r\n"))
        while await proxy.server.sums().metrics.admitted == 0 { try await ProxyFixture.pause() }
        async let records = proxy.finish()
        while !proxy.server.isDraining { try await ProxyFixture.pause() }
        try await client.listen()
        let answer = RawResponse(try await client.readToEnd())
        #expect(answer.status == 200 && answer.body.utf8.count > 400_000)
        if let length = answer.header("content-length").flatMap({ Int($0) }) { #expect(answer.body.utf8.count == length) }
        let record = try #require(try await records.first)
        #expect(record.status == .completed && Int(record.responseBytes) == answer.body.utf8.count)
    }

    @Test func recordsThatTheRestOfAnAnswerWasNotTaken() async throws {
        // All of it fits into this process and the kernels: the provider is done long before the client is.
        let proxy = try await ProxyFixture(models: ["sim-chunks10-size5000"]) { $0.maxUnsentBytes = 8192 }
        let client = try await RawClient.connect(port: proxy.server.port, isDeaf: true, window: 8192)
        try await client.send(Self.request(proxy.key, "sim-chunks10-size5000", stream: true))
        let loop = proxy.server.contexts[0]
        let isWaiting = {
            try await loop.eventLoop.submit { loop.running.items.contains { if case .delivering = $0.stage { true } else { false } } }.get()
        }
        while !(try await isWaiting()) { try await ProxyFixture.pause() }
        await client.close()
        while try await isWaiting() { try await ProxyFixture.pause() }
        let record = try #require(try await proxy.finish().first)
        #expect(record.status == .failed && record.errorOrigin == .client && record.errorCode == "client_disconnected")
        #expect(UsageFlags(rawValue: record.flags).contains(.clientDisconnected))
        // What the provider stated is charged all the same.
        #expect(record.inputTokens == 9 && record.outputTokens == 10)
    }

    @Test func doesNotWaitForeverForTheRestToBeTaken() async throws {
        let proxy = try await ProxyFixture(models: ["sim-chunks10-size5000"]) {
            $0.maxUnsentBytes = 8192
            $0.writeTimeout = 300
        }
        let client = try await RawClient.connect(port: proxy.server.port, isDeaf: true, window: 8192)
        try await client.send(Self.request(proxy.key, "sim-chunks10-size5000", stream: true))
        while await proxy.server.sums().metrics.deadlinesPassed == 0 { try await ProxyFixture.pause() }
        while await proxy.server.activeRequests() > 0 { try await ProxyFixture.pause() }
        await client.close()
        let record = try #require(try await proxy.finish().first)
        #expect(record.errorOrigin == .client && record.errorCode == "client_stalled" && record.outputTokens == 10)
    }

    @Test func doesNotBlameTheProviderForAClientThatReadsLate() async throws {
        // The provider has more to give all the time, and is not asked for it: its own bound between two reads passes many times.
        let proxy = try await ProxyFixture(models: ["sim-endless"]) {
            $0.upstreamIdleTimeout = 1_000
            $0.upstreamTotalTimeout = 3_000
            $0.writeTimeout = 60_000
        }
        let client = try await RawClient.connect(port: proxy.server.port, isDeaf: true, window: 8192)
        try await client.send(Self.request(proxy.key, "sim-endless", fields: "connection: close\r\n", stream: true))
        while await proxy.server.sums().metrics.deadlinesPassed == 0 { try await ProxyFixture.pause() }
        try await client.listen()
        let answer = RawResponse(try await client.readToEnd())
        #expect(answer.body.contains(#""code":"client_too_slow""#) && answer.isComplete)
        let record = try #require(try await proxy.finish().first)
        #expect(record.errorOrigin == .client && record.errorCode == "client_too_slow")
        #expect(UsageFlags(rawValue: record.flags).isDisjoint(with: [.upstreamDied]))
    }

    @Test func tellsWhoIsStillSendingWhenItIsForcedToStop() async throws {
        for body in ["content-length: 900\r\n\r\n{", "transfer-encoding: chunked\r\n\r\n3\r\n{  \r\n"] {
            let proxy = try await ProxyFixture(models: ["sim-ok"])
            let client = try await RawClient.connect(port: proxy.server.port)
            try await client.send(
                "POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(proxy.key)\r\n\(body)")
            while await proxy.server.activeRequests() == 0 { try await ProxyFixture.pause() }
            let records = try await proxy.finish()
            let answer = RawResponse(try await client.readToEnd())
            #expect(
                answer.status == 503 && answer.errorCode == "gateway_stopped" && answer.header("connection") == "close", "\(answer.text)")
            #expect(records.isEmpty)
        }
    }

    @Test func sendsNothingNewWhenItIsForcedToStop() async throws {
        let proxy = try await ProxyFixture(models: ["sim-stall"], endpoints: ["http://SIMULATOR/v1", "http://SIMULATOR/v1"])
        let client = try await RawClient.connect(port: proxy.server.port)
        try await client.send(Self.request(proxy.key, "sim-stall"))
        while proxy.simulator.requestsTotal == 0 { try await ProxyFixture.pause() }
        let records = try await proxy.finish()
        let answer = RawResponse(try await client.readToEnd())
        #expect(answer.status == 503 && answer.errorCode == "gateway_stopped" && answer.header("connection") == "close")
        #expect(proxy.simulator.requestsTotal == 1)
        #expect(records.map(\.errorOrigin) == [.weir] && records.map(\.errorCode) == ["gateway_stopped"])
    }

    @Test func saysThatItWasTheGatewayThatEndedAStream() async throws {
        let proxy = try await ProxyFixture(models: ["sim-stallafter3"])
        let body = #"{"model":"sim-stallafter3","messages":[],"stream":true}"#
        let client = try await RawClient.connect(port: proxy.server.port)
        try await client.send(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(proxy.key)\r\ncontent-length: \(body.utf8.count)\r\n\r\n"
                + body)
        let loop = proxy.server.contexts[0]
        let hasAnswered = { try await loop.eventLoop.submit { loop.running.items.contains { $0.hasAnswered } }.get() }
        while !(try await hasAnswered()) { try await ProxyFixture.pause() }
        let record = try #require(try await proxy.finish().first)
        let answer = RawResponse(try await client.readToEnd())
        #expect(answer.isComplete && answer.body.contains(#""code":"gateway_stopped""#) && !answer.body.contains("[DONE]"))
        let flags = UsageFlags(rawValue: record.flags)
        #expect(record.errorOrigin == .weir && record.errorCode == "gateway_stopped" && !flags.contains(.upstreamDied))
        #expect(flags.contains(.estimated) && record.outputTokens > 0)
    }

    @Test func isAskedHowItFaresUntilItsVeryEnd() async throws {
        // The reporter and the operator's listener end after the requests do, and would otherwise keep the process from ending.
        let proxy = try await ProxyFixture(models: ["sim-ok"])
        #expect(try await proxy.chat("sim-ok").status == 200)
        await proxy.server.drain()
        let admitted = Admitted()
        Task { admitted.count.store(Int(await proxy.server.sums().metrics.admitted), ordering: .relaxed) }
        while admitted.count.load(ordering: .relaxed) < 0 { try await ProxyFixture.pause() }
        #expect(admitted.count.load(ordering: .relaxed) == 1)
        await proxy.server.close()
        proxy.pipeline.stop()
        proxy.local.close()
        try await proxy.simulator.shutdown()
    }

    /// As the data plane says, once it has.
    private final class Admitted: Sendable {
        let count = Atomic<Int>(-1)
    }

    @Test func endsAtOnceWhenToldTwice() async throws {
        let proxy = try await ProxyFixture(models: ["sim-stall"]) { $0.drainTimeout = 600_000 }
        let client = try await RawClient.connect(port: proxy.server.port)
        try await client.send(Self.request(proxy.key, "sim-stall"))
        while proxy.simulator.requestsTotal == 0 { try await ProxyFixture.pause() }
        async let records = proxy.finish()
        while !proxy.server.isDraining { try await ProxyFixture.pause() }
        proxy.server.hurry()
        #expect(try await records.map(\.errorCode) == ["gateway_stopped"])
    }
}
