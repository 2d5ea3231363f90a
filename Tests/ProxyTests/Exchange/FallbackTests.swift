import Contract
import Primitives
import Testing

@testable import Proxy

@Suite("Fallbacks to other models", .timeLimit(.minutes(10)))
struct FallbackTests {
    private static let fault = RawProvider.Answer.json(503, "{}")
    private static let tooLong = RawProvider.Answer.json(
        400, #"{"error":{"message":"too long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#)

    /// Models a, b and c, each at an endpoint of its own, and of each the next is the fallback.
    private func proxy(
        _ providers: [RawProvider], key: (inout Weir_V1_VirtualKey) -> Void = { _ in },
        adjust: @escaping (inout Weir_V1_ConfigPayload) -> Void = { _ in }
    ) async throws -> ProxyFixture {
        let names = Array(["a", "b", "c"].prefix(providers.count))
        return try await ProxyFixture(models: names, endpoints: providers.map(\.url), adjustKey: key) { config in
            for (index, name) in names.enumerated() {
                config.routes[index].targets = [config.routes[index].targets[index]]
                if index + 1 < names.count { config.routes[index].fallbackModelIds = ["mdl_\(names[index + 1])"] }
                config.models[index].contextWindow = UInt64(10_000 * (index + 1))
                // Each has a price of its own.
                var price = config.prices[0]
                price.id = "price_\(name)"
                price.modelID = "mdl_\(name)"
                price.endpointID = ""
                price.input = Int64(index + 1) * 1_000_000_000
                price.output = 0
                price.perRequest = 0
                if index == 0 { config.prices = [] }
                config.prices.append(price)
            }
            adjust(&config)
        }
    }

    @Test func serveInTheirOrderAtTheirOwnPriceAndName() async throws {
        let providers = [
            try await RawProvider.start(Self.fault), try await RawProvider.start(Self.fault), try await RawProvider.start(.good),
        ]
        let proxy = try await proxy(providers)
        #expect(try await proxy.chat("a").status == 200)
        #expect(providers.map(\.requests.count) == [1, 1, 1])
        #expect(providers[2].requests[0].contains(#""model":"c""#), "\(providers[2].requests)")
        let record = try #require(try await proxy.finish().first)
        #expect(record.model == "c" && record.routeID == "rt_c" && record.endpointID == "ep_2" && record.priceID == "price_c")
        #expect(record.attempts == 3 && record.attemptList.map(\.endpointID) == ["ep_0", "ep_1", "ep_2"])
        // Five tokens of $3 a million.
        #expect(record.costNano == 15_000)
    }

    @Test func areNotAskedForWhatTheCallerDidWrong() async throws {
        let providers = [
            try await RawProvider.start(.json(400, #"{"error":{"message":"bad","type":"invalid_request_error"}}"#)),
            try await RawProvider.start(.good),
        ]
        let proxy = try await proxy(providers)
        #expect(try await proxy.chat("a").status == 400)
        #expect(providers[1].requests.isEmpty)
        _ = try await proxy.finish()
    }

    @Test(arguments: [true, false])
    func areAskedForATooLongRequestWhereTheRouteSaysSo(isSaid: Bool) async throws {
        let providers = [
            try await RawProvider.start(Self.tooLong), try await RawProvider.start(.good), try await RawProvider.start(.good),
        ]
        let proxy = try await proxy(
            providers,
            adjust: {
                $0.routes[0].fallbackOn = isSaid ? ["context_window"] : []
                // No larger than the first one's: it is passed over.
                $0.models[1].contextWindow = 10_000
            })
        #expect(try await proxy.chat("a").status == (isSaid ? 200 : 400))
        #expect(providers.map(\.requests.count) == [1, 0, isSaid ? 1 : 0])
        _ = try await proxy.finish()
    }

    @Test func areOnesThatTheKeyMayUseAndTheTenantSees() async throws {
        let providers = [try await RawProvider.start(Self.fault), try await RawProvider.start(.good), try await RawProvider.start(.good)]
        let scoped = try await proxy(providers, key: { $0.models = ["a", "c"] })
        #expect(try await scoped.chat("a").status == 200)
        #expect(providers.map(\.requests.count) == [1, 0, 1])
        _ = try await scoped.finish()
        let hidden = try await proxy(
            providers,
            adjust: { config in
                for index in 1...2 { config.models[index].tenantIds = [TenantID.random().rawValue] }
            })
        #expect(try await hidden.chat("a").status >= 500)
        #expect(providers.map(\.requests.count) == [2, 0, 1])
        _ = try await hidden.finish()
    }

    @Test func serveWhereNoAttemptCouldBeMade() async throws {
        let providers = [try await RawProvider.start(.good), try await RawProvider.start(.good)]
        let proxy = try await proxy(providers, adjust: { $0.endpoints[0].credentialIds = ["cred_elsewhere"] })
        #expect(try await proxy.chat("a").status == 200)
        #expect(providers.map(\.requests.count) == [0, 1])
        let record = try #require(try await proxy.finish().first)
        #expect(record.model == "b" && record.attempts == 1)
    }

    @Test func thatLeadBackOrNowhereAreRefused() {
        var config = ProxyFixture.config(["a", "b", "c"], ["http://127.0.0.1:9/v1"], "")
        config.routes[0].fallbackModelIds = ["mdl_b"]
        config.routes[1].fallbackModelIds = ["mdl_c"]
        #expect(ConfigValidation.validate(config).isEmpty)
        config.routes[2].fallbackModelIds = ["mdl_a"]
        let problems = ConfigValidation.validate(config)
        #expect(problems.count == 1 && problems[0].message.contains("mdl_a → mdl_b → mdl_c → mdl_a"), "\(problems)")
        config.routes[2].disabled = true
        #expect(ConfigValidation.validate(config).isEmpty)
        config.routes[0].fallbackModelIds = ["mdl_a"]
        #expect(ConfigValidation.validate(config).map(\.path) == ["routes[rt_a].fallback_model_ids"])
        config.routes[0].fallbackModelIds = ["mdl_nowhere", "mdl_b", "mdl_b"]
        config.routes[0].fallbackOn = ["weather"]
        #expect(ConfigValidation.validate(config).count == 3)
    }

    @Test func ofATenantsPartLeadToWhatItSees() {
        var config = ProxyFixture.config(["a", "b", "c"], ["http://127.0.0.1:9/v1"], "")
        config.routes[0].fallbackModelIds = ["mdl_b", "mdl_c"]
        config.models[1].tenantIds = ["ten_other"]
        let part = ConfigProjection.of(config, for: ["ten_one"])
        #expect(part.routes[0].fallbackModelIds == ["mdl_c"] && ConfigValidation.validate(part).isEmpty)
    }
}
