import Listening
import NIOCore
import NIOPosix
import Testing

@testable import Proxy

@Suite("Listeners that are beset", .timeLimit(.minutes(10)))
struct ListenerTests {
    @Test func servesWhoSpeaksAmongManyThatDoNot() async throws {
        let proxy = try await ProxyFixture(models: ["sim-in1-out1"]) { $0.maxConnections = 16 }
        var silent: [RawClient] = []
        for _ in 0..<60 { silent.append(try await RawClient.connect(port: proxy.server.port)) }
        for _ in 0..<5 { #expect(try await proxy.chat("sim-in1-out1").status == 200) }
        let status = OperatorStatus(server: proxy.server, snapshots: proxy.store, pipeline: proxy.pipeline, quarantined: [])
        let page = await status.page("/metrics").body
        let line = try #require(
            page.split(separator: "\n").first {
                $0.hasPrefix(#"weir_proxy_connections_refused_total{listener="applications",reason="silent"}"#)
            })
        #expect((line.split(separator: " ").last.flatMap { Int($0) } ?? 0) >= 40, "\(line)")
        for client in silent { await client.close() }
        #expect(try await proxy.finish().count == 5)
    }

    @Test(arguments: [[], ["127.0.0.0/8"]])
    func oneAddressHoldsNoMoreThanItMayUnlessItIsAProxyOfOurs(proxies: [String]) async throws {
        let proxy = try await ProxyFixture(models: ["sim-in1-out1"]) {
            $0.maxConnectionsPerAddress = 2
            $0.trustedProxies = proxies
        }
        var held: [RawClient] = []
        for _ in 0..<2 {
            let client = try await RawClient.connect(port: proxy.server.port)
            try await client.send("GET /health/live HTTP/1.1\r\nhost: w\r\n\r\n")
            held.append(client)
        }
        while await proxy.server.sums().metrics.answers[2] < 2 { try await ProxyFixture.pause() }
        if proxies.isEmpty {
            let turnedAway = try await RawClient.connect(port: proxy.server.port)
            #expect(try await turnedAway.readToEnd().isEmpty)
            for client in held { await client.close() }
        }
        // What was held is free again; a proxy's was never counted.
        var status = 0
        while status != 200 {
            try await ProxyFixture.pause()
            status = (try? await proxy.send("GET /health/live").status) ?? 0
        }
        for client in held { await client.close() }
        _ = try await proxy.finish()
    }

    @Test func answersHealthAndMakesRoomWhenIdleConnectionsFillIt() async throws {
        let proxy = try await ProxyFixture(models: ["sim-in1-out1"]) { $0.maxConnections = 8 }
        var idle: [RawClient] = []
        for _ in 0..<8 {
            let client = try await RawClient.connect(port: proxy.server.port)
            try await client.send("GET /health/live HTTP/1.1\r\nhost: w\r\n\r\n")
            idle.append(client)
        }
        while await proxy.server.sums().metrics.answers[2] < 8 { try await ProxyFixture.pause() }
        #expect(try await proxy.send("GET /health/live").status == 200)
        // Each connection that comes closes one that rests.
        var last = 0
        while last != 200 { last = try await proxy.chat("sim-in1-out1").status }
        for client in idle { await client.close() }
        _ = try await proxy.finish()
    }

    @Test func theOperatorIsHeardAmongManyThatAreSilent() async throws {
        let proxy = try await ProxyFixture(models: ["sim-in1-out1"])
        let status = OperatorStatus(server: proxy.server, snapshots: proxy.store, pipeline: proxy.pipeline, quarantined: [])
        let server = try await OperatorServer.start(host: "127.0.0.1", port: 0, status: status, logger: proxy.snapshots.logger)
        var silent: [RawClient] = []
        for _ in 0..<200 { silent.append(try await RawClient.connect(port: server.port)) }
        let client = try await RawClient.connect(port: server.port)
        try await client.send("GET /health/ready HTTP/1.1\r\nhost: w\r\n\r\n")
        #expect(RawResponse(try await client.readToEnd()).status == 200)
        for client in silent { await client.close() }
        await server.stop()
        _ = try await proxy.finish()
    }
}
