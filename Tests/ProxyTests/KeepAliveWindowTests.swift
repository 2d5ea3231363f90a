import Contract
import Testing

@testable import Proxy

@Suite struct KeepAliveWindowTests {
    @Test func usesNoConnectionThatTheProviderIsAboutToClose() {
        var window = KeepAliveWindow(assumed: 5_000_000, margin: 500_000)
        func allowed(_ ages: Int64...) -> [Bool] { ages.map { window.allows($0) } }
        #expect(allowed(0, 4_499_999, 4_500_000, 5_000_000, 5_500_000) == [true, true, false, false, false])
        // One that is still open later shows that the provider waits longer.
        #expect(allowed(5_500_001, 5_000_000, .max / 2) == [true, true, true])

        // Until it is seen to close one.
        window.closed(after: 60_000_000)
        #expect(allowed(59_000_000, 59_800_000, 5_000_000) == [true, false, true])
        // A restart, and a connection that it has had enough of, teach nothing that lasts.
        window.closed(after: 2_000_000)
        #expect(allowed(2_000_000, 3_000_000, 2_000_000) == [false, true, true])
        window.closed(after: 400_000)
        #expect(allowed(400_000) == [true])
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
