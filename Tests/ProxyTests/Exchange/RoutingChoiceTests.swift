import Contract
import Primitives
import Testing

@testable import Proxy

@Suite("What a request may ask of its routing, and see of it", .timeLimit(.minutes(10)))
struct RoutingChoiceTests {
    private func fixture(
        _ rights: [String], _ providers: [RawProvider], adjust: @escaping (inout Weir_V1_ConfigPayload) -> Void = { _ in }
    ) async throws -> ProxyFixture {
        try await ProxyFixture(
            models: ["m", "other"], endpoints: providers.map(\.url), adjustKey: { $0.rights = rights }, adjustConfig: adjust)
    }

    @Test func anEndpointIsNamedByIdentifierOrName() async throws {
        let providers = [try await RawProvider.start(.good), try await RawProvider.start(.good)]
        let proxy = try await fixture(["routing:choose"], providers)
        for name in ["ep_1", "endpoint 1"] {
            let answer = try await proxy.chat("m", headers: ["x-weir-endpoint: \(name)"])
            #expect(answer.status == 200 && answer.header("x-weir-endpoint") == nil)
        }
        #expect(providers.map(\.requests.count) == [0, 2])
        let answer = try await proxy.chat("m", headers: ["x-weir-endpoint: ep_9"])
        #expect(answer.status == 400 && answer.errorCode == "endpoint_not_routed")
        _ = try await proxy.finish()
    }

    @Test func aNamedEndpointIsTheOnlyOneThatIsAsked() async throws {
        let providers = [try await RawProvider.start(.good), try await RawProvider.start(.json(503, "{}"))]
        let proxy = try await fixture(["routing:choose"], providers) { $0.routes[0].fallbackModelIds = ["mdl_other"] }
        #expect(try await proxy.chat("m", headers: ["x-weir-endpoint: ep_1"]).status >= 500)
        #expect(providers.map(\.requests.count) == [0, 1])
        _ = try await proxy.finish()
    }

    @Test func aStrategyIsNamedForOneRequest() async throws {
        let providers = [try await RawProvider.start(.good), try await RawProvider.start(.good)]
        let proxy = try await fixture(["routing:choose"], providers) { config in
            for index in 0...1 { config.routes[0].targets[index].weight = 1 }
        }
        for _ in 0..<4 { #expect(try await proxy.chat("m", headers: ["x-weir-strategy: round_robin"]).status == 200) }
        #expect(providers.map(\.requests.count) == [2, 2])
        #expect(try await proxy.chat("m", headers: ["x-weir-strategy: least_used"]).status == 200)
        let unknown = try await proxy.chat("m", headers: ["x-weir-strategy: best"])
        #expect(unknown.status == 400 && unknown.errorCode == "unknown_strategy")
        _ = try await proxy.finish()
    }

    @Test func isRefusedWithoutTheRight() async throws {
        let providers = [try await RawProvider.start(.good)]
        let proxy = try await fixture(["routing:see", "some:other"], providers)
        let answer = try await proxy.chat("m", headers: ["x-weir-endpoint: ep_0"])
        #expect(answer.status == 403 && answer.errorCode == "routing_not_allowed" && providers[0].requests.isEmpty)
        _ = try await proxy.finish()
    }

    @Test(arguments: [true, false])
    func whoServedItIsShownToWhoMaySeeIt(maySee: Bool) async throws {
        let providers = [try await RawProvider.start(.json(503, "{}")), try await RawProvider.start(.good)]
        let proxy = try await fixture(maySee ? ["routing:see"] : ["routing:choose"], providers)
        let answer = try await proxy.chat("m")
        #expect(answer.header("x-weir-endpoint") == (maySee ? "ep_1" : nil))
        #expect(answer.header("x-weir-attempt") == (maySee ? "2" : nil) && answer.header("x-weir-model") == (maySee ? "m" : nil))
        _ = try await proxy.finish()
    }

    @Test func aRequestWithoutAModelIsForTheRouteThatSaysSo() async throws {
        let providers = [try await RawProvider.start(.good)]
        let proxy = try await fixture([], providers) { $0.routes[1].servesUnnamed = true }
        let body = #"{"messages":[{"role":"user","content":"hi"}]}"#
        #expect(try await proxy.send("POST /v1/chat/completions", body: body).status == 200)
        #expect(providers[0].requests[0].contains(#""model":"other","messages""#), "\(providers[0].requests)")
        #expect(try await proxy.finish().map(\.model) == ["other"])
        let without = try await fixture([], providers)
        #expect(try await without.send("POST /v1/chat/completions", body: body).errorCode == "missing_required_parameter")
        _ = try await without.finish()
    }
}
