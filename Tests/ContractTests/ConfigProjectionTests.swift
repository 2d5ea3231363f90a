import Contract
import SwiftProtobuf
import Testing

@Suite("The part of a configuration that some tenants may use")
struct ConfigProjectionTests {
    /// A model of each tenant and one of all; each routed to an endpoint and a provider of its own, and all of them to a shared one.
    private static let whole: Weir_V1_ConfigPayload = {
        var config = Weir_V1_ConfigPayload()
        for name in ["a", "b", "all", "shared"] {
            var provider = Weir_V1_Provider()
            provider.id = "prov_\(name)"
            provider.name = name
            provider.kind = "openai"
            provider.baseURL = "https://\(name).example.com/v1"
            provider.authScheme = .bearer
            config.providers.append(provider)
            var endpoint = Weir_V1_Endpoint()
            endpoint.id = "ep_\(name)"
            endpoint.name = name
            endpoint.providerID = provider.id
            endpoint.credentialIds = ["cred_\(name)"]
            config.endpoints.append(endpoint)
        }
        for name in ["a", "b", "all"] {
            var model = Weir_V1_Model()
            model.id = "mod_\(name)"
            model.name = "model-\(name)"
            model.capabilities = ["chat"]
            model.tenantIds = name == "all" ? [] : name == "a" ? ["ten_a", "ten_z"] : ["ten_b"]
            config.models.append(model)
            var route = Weir_V1_Route()
            route.id = "rt_\(name)"
            route.name = name
            route.modelID = model.id
            for endpoint in ["ep_\(name)", "ep_shared"] {
                var target = Weir_V1_RouteTarget()
                target.endpointID = endpoint
                target.weight = 1
                route.targets.append(target)
            }
            config.routes.append(route)
            for endpoint in ["", "ep_\(name)", "ep_b"]
            where !(name == "b" && endpoint == "ep_b" && config.prices.contains { $0.id == "price_b_ep_b" }) {
                var price = Weir_V1_Price()
                price.id = "price_\(name)_\(endpoint)"
                price.modelID = model.id
                price.endpointID = endpoint
                price.input = 5
                config.prices.append(price)
            }
        }
        return config
    }()

    @Test("is what they see, with all that it needs, and nothing else")
    func part() throws {
        let part = ConfigProjection.of(Self.whole, for: ["ten_a"])
        #expect(part.models.map(\.id) == ["mod_a", "mod_all"])
        #expect(part.models.map(\.tenantIds) == [["ten_a"], []])
        #expect(part.routes.map(\.id) == ["rt_a", "rt_all"])
        #expect(part.endpoints.map(\.id) == ["ep_a", "ep_all", "ep_shared"])
        #expect(part.providers.map(\.id) == ["prov_a", "prov_all", "prov_shared"])
        #expect(part.prices.map(\.id) == ["price_a_", "price_a_ep_a", "price_all_", "price_all_ep_all"])
        #expect(ConfigValidation.validate(Self.whole).isEmpty && ConfigValidation.validate(part).isEmpty)
        // Nobody's name or id of another tenant is in it.
        let bytes = String(decoding: try part.serializedBytes() as [UInt8], as: UTF8.self)
        for stranger in ["ten_b", "ten_z", "model-b", "cred_b", "b.example.com"] { #expect(!bytes.contains(stranger)) }
    }

    @Test("is the same each time, and of two tenants what either sees")
    func union() throws {
        let both = ConfigProjection.of(Self.whole, for: ["ten_b", "ten_a"])
        #expect(both == ConfigProjection.of(Self.whole, for: ["ten_a", "ten_b"]))
        #expect(both.models.map(\.id) == ["mod_a", "mod_b", "mod_all"])
        #expect(both.endpoints.count == 4)
        #expect(ConfigProjection.of(Self.whole, for: []).models.map(\.id) == ["mod_all"])
    }

    @Test("leaves out what is switched off")
    func disabled() {
        var config = Self.whole
        config.routes[0].disabled = true
        config.endpoints[2].disabled = true
        let part = ConfigProjection.of(config, for: ["ten_a"])
        #expect(part.models.map(\.id) == ["mod_a", "mod_all"])
        #expect(part.routes.map(\.id) == ["rt_all"])
        #expect(part.endpoints.map(\.id) == ["ep_shared"])
        #expect(part.prices.map(\.id) == ["price_a_", "price_all_"])
    }
}
