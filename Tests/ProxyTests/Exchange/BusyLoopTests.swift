import Contract
import Dispatch
import Foundation
import NIOCore
import Primitives
import Simulator
import Testing

@testable import Proxy

/// A loop with more to do than time.
@Suite("A busy loop", .timeLimit(.minutes(2)))
struct BusyLoopTests {
    private static let model = "sim-in10-out5"

    private func text(_ key: String) -> String {
        let body = #"{"model":"\#(Self.model)","messages":[]}"#
        return "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer \(key)\r\nconnection: close\r\n"
            + "content-type: application/json\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    /// Connections that the loop knows.
    private func connect(_ proxy: ProxyFixture, _ count: Int) async throws -> [RawClient] {
        var clients: [RawClient] = []
        for _ in 0..<count { clients.append(try await RawClient.connect(port: proxy.server.port)) }
        while await proxy.server.sums().connections < count { try await ProxyFixture.pause() }
        return clients
    }

    /// Has the loop find all of these requests at once.
    private func send(_ proxy: ProxyFixture, _ requests: [(RawClient, String)]) async throws {
        let gate = DispatchSemaphore(value: 0)
        proxy.server.contexts[0].eventLoop.execute { gate.wait() }
        for (client, text) in requests { try await client.send(text) }
        gate.signal()
    }

    @Test("What a crowd of one tenant's requests finds at once is served in rounds, and another tenant's does not wait for the crowd")
    func rounds() async throws {
        let proxy = try await ProxyFixture(models: [Self.model])
        let clients = try await connect(proxy, 121)
        try await send(proxy, clients.enumerated().map { ($1, text($0 == 120 ? proxy.neighbour : proxy.key)) })
        for client in clients { #expect(RawResponse(try await client.readToEnd()).status == 200) }
        let lined = await proxy.server.sums().metrics.lined
        #expect(lined > 60, "\(lined)")
        #expect(await proxy.page("/metrics").body.contains("weir_proxy_lined_total \(lined)\n"))
        let records = try await proxy.finish()
        let place = try #require(records.firstIndex { $0.tenantID != proxy.tenant.rawValue })
        // It came last.
        #expect(records.count == 121 && place < 90, "\(place)")
    }
}
