import Contract
import Foundation
import Primitives
import Simulator
import Testing

@testable import Proxy

/// Endpoints that take only so many requests at one time, as callers meet them.
@Suite("Places at endpoints", .timeLimit(.minutes(10)))
struct PlacesTests {
    private static let long = "sim-chunks10000-pace5ms"
    private static let short = "sim-in10-out5"

    private func fixture(
        places: UInt32 = 1, endpoints: [String]? = nil, change: (inout ProxySettings) -> Void = { _ in }
    ) async throws -> ProxyFixture {
        try await ProxyFixture(
            models: [Self.long, Self.short], endpoints: endpoints, change: change,
            adjustConfig: { config in for index in config.endpoints.indices { config.endpoints[index].maxConcurrent = places } })
    }

    private func request(_ proxy: ProxyFixture, _ key: String, _ model: String) async throws -> RawClient {
        let client = try await RawClient.connect(port: proxy.server.port)
        let body = #"{"model":"\#(model)","messages":[],"stream":true}"#
        try await client.send(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer \(key)\r\nconnection: close\r\n"
                + "content-type: application/json\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)")
        return client
    }

    private func until(_ isTrue: () -> Bool) async throws { while !isTrue() { try await ProxyFixture.pause() } }

    private func waiting(_ proxy: ProxyFixture, _ count: Int) async throws {
        try await until { proxy.server.places.standings.reduce(0) { $0 + $1.waiting } == count }
    }

    private func taken(_ proxy: ProxyFixture, _ count: Int) async throws {
        try await until { proxy.server.places.standings.reduce(0) { $0 + $1.taken } == count }
    }

    @Test("A request waits for a place and is served when one is free; another tenant's comes before the crowd of the first")
    func turns() async throws {
        let proxy = try await fixture()
        let holder = try await request(proxy, proxy.key, Self.long)
        try await taken(proxy, 1)
        var crowd: [RawClient] = []
        for count in 1...5 {
            crowd.append(try await request(proxy, proxy.key, Self.long))
            try await waiting(proxy, count)
        }
        let other = try await request(proxy, proxy.neighbour, Self.short)
        try await waiting(proxy, 6)
        // One of each is next, and the first who came is the first.
        await holder.close()
        try await waiting(proxy, 5)
        await crowd[0].close()
        #expect(RawResponse(try await other.readToEnd()).status == 200)
        try await waiting(proxy, 3)
        let sums = proxy.server.places.sums
        #expect(sums.waited == 6 && sums.served == 3 && sums.late + sums.crowded + sums.left == 0)
        let page = await proxy.page("/metrics").body
        #expect(page.contains("weir_proxy_queue_requests_total{outcome=\"waited\"} 6\n"))
        #expect(page.contains("weir_proxy_endpoint_places{endpoint=\"ep_0\",state=\"waiting\"} 3\n"))
        // Who leaves leaves the line as well.
        for left in [2, 1, 0] {
            await crowd[left + 2].close()
            try await waiting(proxy, left)
        }
        #expect(proxy.server.places.sums.left == 3)
        await crowd[1].close()
        try await taken(proxy, 0)
        let records = try await proxy.finish()
        #expect(records.allSatisfy { $0.sentUpstream || $0.errorCode == "client_disconnected" } && records.count <= 6)
    }

    @Test("Who waits too long gets 503 and when to come back; nothing is charged, counted or blamed")
    func late() async throws {
        let proxy = try await fixture { $0.queueTimeout = 150 }
        var limit = Weir_V1_Limit()
        limit.id = LimitID.random().rawValue
        limit.name = "all"
        limit.level = "key"
        limit.measure = "requests"
        limit.amount = 10
        limit.windowMs = 3_600_000
        var directory = proxy.directory
        directory.limits = [limit]
        #expect(await proxy.store.apply(try proxy.snapshots.directory(2, directory)).accepted)
        try await until { proxy.rates.isReady }
        let holder = try await request(proxy, proxy.neighbour, Self.long)
        try await taken(proxy, 1)
        for _ in 0..<3 {
            let refused = try await proxy.chat(Self.short)
            #expect(refused.status == 503 && refused.errorCode == "endpoint_saturated" && refused.header("retry-after") == "2")
            #expect(refused.header("x-ratelimit-remaining-requests") == "9", "what was counted before was given back")
        }
        #expect(proxy.server.places.sums.late == 3)
        #expect(proxy.server.health.troubles(now: 0).isEmpty && proxy.server.endpointStates.troubles.endpoints.isEmpty)
        await holder.close()
        try await taken(proxy, 0)
        let served = try await proxy.chat(Self.short)
        #expect(served.status == 200 && served.header("x-ratelimit-remaining-requests") == "9")
        #expect(try await proxy.finish().count == 2, "who was refused has no record")
    }

    @Test("Another endpoint of the route is asked first; where all are full, the first that has room serves")
    func others() async throws {
        let proxy = try await fixture(endpoints: ["http://SIMULATOR/v1", "http://SIMULATOR/v1"])
        var holders = [try await request(proxy, proxy.key, Self.long)]
        try await taken(proxy, 1)
        holders.append(try await request(proxy, proxy.key, Self.long))
        try await taken(proxy, 2)
        #expect(proxy.server.places.standings.map(\.taken) == [1, 1])
        let next = try await request(proxy, proxy.neighbour, Self.short)
        // In both lines.
        try await waiting(proxy, 2)
        await holders[1].close()
        #expect(RawResponse(try await next.readToEnd()).status == 200)
        try await waiting(proxy, 0)
        await holders[0].close()
        let records = try await proxy.finish()
        let served = try #require(records.first { $0.model == Self.short })
        #expect(served.endpointID == "ep_1" && served.attempts == 1)
    }

    @Test("A failed attempt's place is free at once, and the next endpoint's is waited for")
    func retries() async throws {
        let failing = try await RawProvider.start(.json(500, #"{"error":{"message":"no"}}"#))
        let proxy = try await fixture(endpoints: [failing.url, "http://SIMULATOR/v1"])
        let holder = try await request(proxy, proxy.key, Self.long)
        try await until { proxy.server.places.standings.map(\.taken) == [0, 1] }
        let next = try await request(proxy, proxy.neighbour, Self.short)
        try await waiting(proxy, 1)
        await holder.close()
        #expect(RawResponse(try await next.readToEnd()).status == 200)
        try await taken(proxy, 0)
        let records = try await proxy.finish()
        #expect(records.first { $0.model == Self.short }?.attempts == 2)
        await failing.stop()
    }

    @Test("Where there is no connection left, a request waits for one as well, in turn by tenant, and not for ever")
    func connections() async throws {
        let proxy = try await fixture(places: 0) {
            $0.maxUpstreamConnections = 1
            $0.queueTimeout = 300
        }
        let holder = try await request(proxy, proxy.key, Self.long)
        while await proxy.server.sums().metrics.upstreamConnectionsOpened == 0 { try await ProxyFixture.pause() }
        let late = try await proxy.chat(Self.short)
        #expect(late.status == 503 && late.errorCode == "endpoint_saturated")
        let next = try await request(proxy, proxy.neighbour, Self.short)
        await holder.close()
        #expect(RawResponse(try await next.readToEnd()).status == 200)
        #expect(try await proxy.chat(Self.short).status == 200)
        let records = try await proxy.finish()
        #expect(
            records.filter { $0.costNano > 0 }.count == 3 && records.first { $0.errorCode == "endpoint_saturated" }?.sentUpstream == false)
    }

    @Test("More places let those who wait go on; a lost key, a kill switch and a stop reach them")
    func changes() async throws {
        let proxy = try await fixture()
        let holder = try await request(proxy, proxy.key, Self.long)
        try await taken(proxy, 1)
        let waits = try await request(proxy, proxy.neighbour, Self.short)
        try await waiting(proxy, 1)
        var config = ProxyFixture.config([Self.long, Self.short], ["http://127.0.0.1:\(proxy.simulator.port)/v1"], "")
        config.endpoints[0].maxConcurrent = 2
        #expect(await proxy.store.apply(try proxy.snapshots.config(2, config)).accepted)
        #expect(await proxy.store.apply(try proxy.snapshots.rollout(2, baseline: 2)).accepted)
        #expect(RawResponse(try await waits.readToEnd()).status == 200)
        let second = try await request(proxy, proxy.key, Self.long)
        try await taken(proxy, 2)
        let lost = try await request(proxy, proxy.neighbour, Self.short)
        try await waiting(proxy, 1)
        var directory = proxy.directory
        directory.keys[1].disabled = true
        #expect(await proxy.store.apply(try proxy.snapshots.directory(2, directory)).accepted)
        let refused = RawResponse(try await lost.readToEnd())
        #expect(refused.status == 401 && refused.errorCode != nil)
        try await waiting(proxy, 0)
        let last = try await request(proxy, proxy.key, Self.short)
        try await waiting(proxy, 1)
        await proxy.server.drain(force: true)
        #expect(RawResponse(try await last.readToEnd()).errorCode == "gateway_stopped")
        for client in [holder, second] { await client.close() }
        #expect(proxy.server.places.standings.allSatisfy { $0.taken == 0 && $0.waiting == 0 })
        _ = try await proxy.finish()
    }
}
