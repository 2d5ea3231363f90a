import Contract
import NIOCore
import Primitives
import Synchronization
import Testing

@testable import Proxy

@Suite("Health checks", .timeLimit(.minutes(10)))
struct HealthCheckTests {
    private func proxy(_ urls: [String], isPublicOnly: Bool = false) async throws -> ProxyFixture {
        try await ProxyFixture(models: ["m"], endpoints: urls) {
            $0.endpointCooldown = 3_600_000
            $0.longestCooldown = 3_600_000
        } adjustConfig: { config in
            for index in config.endpoints.indices {
                // So long that the loop's own checks are not due within the test: it sweeps by itself.
                config.endpoints[index].healthCheck.intervalMs = 3_600_000
                config.endpoints[index].healthCheck.timeoutMs = 60_000
                config.endpoints[index].healthCheck.path = "/models?limit=1"
                config.endpoints[index].publicAddressesOnly = isPublicOnly
            }
        }
    }

    /// Makes what is due after `hours` begin, and waits for `condition`.
    private func sweep(_ checks: HealthChecks, _ loop: LoopContext, hours: Int64, until condition: () -> Bool) async throws {
        nonisolated(unsafe) let checks = checks
        try await loop.eventLoop.submit { checks.sweep(now: loop.readClock() + hours * 3_600_000_000) }.get()
        while !condition() { try await ProxyFixture.pause() }
    }

    @Test func openABreakerAfterTwoFailuresAndCloseItAtTheFirstSuccess() async throws {
        let good = Atomic<Bool>(false)
        let endpoint = try await RawProvider.start { _ in good.load(ordering: .relaxed) ? .good : .json(503, "{}") }
        let spare = try await RawProvider.start(.good)
        let proxy = try await proxy([endpoint.url, spare.url])
        let loop = proxy.server.contexts[0]
        let health = proxy.server.health
        nonisolated(unsafe) let checks = HealthChecks(loop)
        // The first sweep finds what is to be asked.
        try await sweep(checks, loop, hours: 0) { true }
        try await sweep(checks, loop, hours: 2) { endpoint.requests.count == 1 && spare.requests.count == 1 }
        #expect(endpoint.requests[0].hasPrefix("GET /v1/models?limit=1 HTTP/1.1\r\n"))
        #expect(endpoint.requests[0].contains("Authorization: Bearer sk-upstream-secret"))
        #expect(health.openBreakers().isEmpty)
        try await sweep(checks, loop, hours: 4) { !health.openBreakers().isEmpty }
        #expect(BreakerReport.states(health) == ["ep_0": "open"])
        // The request goes to the other one, and no check is anybody's usage.
        #expect(try await proxy.chat("m").status == 200)
        #expect(endpoint.requests.count == 2)
        good.store(true, ordering: .relaxed)
        try await sweep(checks, loop, hours: 6) { health.openBreakers().isEmpty }
        try await loop.eventLoop.submit { checks.stop() }.get()
        #expect(try await proxy.finish().count == 1)
    }

    @Test func findWhatCannotBeReached() async throws {
        let proxy = try await proxy(["http://127.0.0.1:9/v1"])
        let loop = proxy.server.contexts[0]
        nonisolated(unsafe) let checks = HealthChecks(loop)
        let states = proxy.server.endpointStates
        try await sweep(checks, loop, hours: 0) { true }
        try await sweep(checks, loop, hours: 2) { states.troubles.endpoints["ep_0"] != nil }
        try await sweep(checks, loop, hours: 4) { !proxy.server.health.openBreakers().isEmpty }
        #expect(await proxy.server.sums().metrics.healthCheckFailures == 2)
        _ = try await proxy.finish()
    }

    @Test func goNowhereButWhereRequestsMay() async throws {
        let endpoint = try await RawProvider.start(.good)
        let proxy = try await proxy(["http://localhost:\(endpoint.port)/v1"], isPublicOnly: true)
        let loop = proxy.server.contexts[0]
        nonisolated(unsafe) let checks = HealthChecks(loop)
        let states = proxy.server.endpointStates
        try await sweep(checks, loop, hours: 0) { true }
        try await sweep(checks, loop, hours: 2) { states.troubles.endpoints["ep_0"] != nil }
        let words = states.troubles.endpoints["ep_0"]?.last.words ?? ""
        #expect(words.hasPrefix("it leads to the loopback address "), "\(words)")
        try await sweep(checks, loop, hours: 4) { !proxy.server.health.openBreakers().isEmpty }
        #expect(endpoint.connectionCount == 0)
        _ = try await proxy.finish()
    }

    @Test func areBoundedInWhatTheyMayAsk() {
        var config = ProxyFixture.config(["a"], ["http://127.0.0.1:9/v1"], "")
        config.endpoints[0].healthCheck.intervalMs = 5000
        config.endpoints[0].healthCheck.timeoutMs = 1000
        config.endpoints[0].healthCheck.path = "/models"
        #expect(ConfigValidation.validate(config).isEmpty)
        for path in ["", "models", "/a b", "/../keys", "//x", "/a\r\nx: y", "/a#b", "/%2e%2e/x", "/" + String(repeating: "a", count: 600)] {
            config.endpoints[0].healthCheck.path = path
            #expect(ConfigValidation.validate(config).count == 1, "\(path)")
        }
        config.endpoints[0].healthCheck.path = "/models"
        config.endpoints[0].healthCheck.intervalMs = 10
        #expect(ConfigValidation.validate(config).count == 1)
    }
}
