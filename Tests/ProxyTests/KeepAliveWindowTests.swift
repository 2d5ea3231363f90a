import Contract
import Testing

@testable import Proxy

@Suite struct KeepAliveWindowTests {
    @Test func usesNoConnectionThatTheProviderIsAboutToClose() {
        var window = KeepAliveWindow(assumed: 5_000_000, margin: 500_000)
        #expect(window.allows(0) && window.allows(4_499_999))
        #expect(!window.allows(4_500_000) && !window.allows(5_000_000) && !window.allows(5_500_000))
        // One that is still open later shows that the provider waits longer.
        #expect(window.allows(5_500_001) && window.allows(5_000_000) && window.allows(.max / 2))

        // Until it is seen to close one.
        window.closed(after: 60_000_000)
        #expect(window.allows(59_000_000) && !window.allows(59_800_000) && window.allows(5_000_000))
        // A restart, and a connection that it has had enough of, teach nothing that lasts.
        window.closed(after: 2_000_000)
        #expect(!window.allows(2_000_000) && window.allows(3_000_000) && window.allows(2_000_000))
        window.closed(after: 400_000)
        #expect(window.allows(400_000))
    }

    @Test(arguments: [(3_600_000, 1), (0, 2)])
    func connectsAnewInstead(assumed: Int, connections: Int) async throws {
        let provider = try await RawProvider.start(.good)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [provider.url]) {
            $0.providerKeepAlive = assumed
            $0.providerKeepAliveMargin = 1_800_000
        }
        for _ in 0..<2 { #expect(try await proxy.chat("m").status == 200) }
        #expect(provider.connectionCount == connections)
        #expect(try await proxy.finish().allSatisfy { $0.attempts == 1 && $0.status == .completed })
        await provider.stop()
    }
}
