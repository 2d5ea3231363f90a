import Contract
import Formats
import Foundation
import Primitives
import Testing

@testable import Proxy

@Suite("Compiled configuration", .timeLimit(.minutes(10)))
struct CompiledConfigTests {
    private func compile(_ payload: Weir_V1_ConfigPayload, reusing known: [CompiledConfig] = []) throws -> CompiledConfig {
        try ConfigCompiler(reusing: known).compile(payload, version: 3, digest: [])
    }

    private func find(_ config: CompiledConfig, _ name: String) -> CompiledModel? {
        Array(name.utf8).withUnsafeBytes { config.model(named: $0) }
    }

    @Test("Models are found by the bytes of their names, and only by all of them")
    func names() throws {
        var payload = SnapshotFixture.smallConfig()
        for index in 0..<500 {
            var model = payload.models[0]
            model.id = "mdl_\(index)"
            model.name = "model-\(index)-é\"\\"
            payload.models.append(model)
        }
        let config = try compile(payload)
        for model in payload.models { #expect(find(config, model.name)?.id == model.id) }
        for name in ["", "gpt", "gpt-small ", "model-500-é\"\\", "GPT-small"] { #expect(find(config, name) == nil) }
    }

    @Test("An unchanged endpoint keeps its identity, a changed one gets another, and pools are shared by what a connection needs")
    func identity() throws {
        let first = try compile(SnapshotFixture.smallConfig())
        let same = try compile(SnapshotFixture.smallConfig(model: "renamed"), reusing: [first])
        #expect(first.endpoints["ep_a"] === same.endpoints["ep_a"])
        let moved = try compile(SnapshotFixture.smallConfig(url: "https://api.example.com:8443/v2/"), reusing: [first, same])
        let endpoint = try #require(moved.endpoints["ep_a"])
        #expect(endpoint !== first.endpoints["ep_a"])
        #expect(endpoint.host == "api.example.com")
        #expect(endpoint.port == 8443)
        #expect(endpoint.pathPrefix == Array("/v2".utf8))
        #expect(endpoint.hostHeader == Array("api.example.com:8443".utf8))
        let path = try compile(SnapshotFixture.smallConfig(url: "https://api.example.com/other"))
        #expect(path.endpoints["ep_a"]?.pool == first.endpoints["ep_a"]?.pool)
    }

    @Test("Targets are picked in proportion to their weights, never one that was tried, the weightless last")
    func weights() throws {
        var payload = SnapshotFixture.smallConfig()
        for (index, weight) in [3, 0, 6].enumerated() {
            var endpoint = payload.endpoints[0]
            endpoint.id = "ep_\(index)"
            endpoint.name = "e\(index)"
            payload.endpoints.append(endpoint)
            var target = Weir_V1_RouteTarget()
            target.endpointID = endpoint.id
            target.weight = UInt32(weight)
            payload.routes[0].targets.append(target)
        }
        let route = try #require(try compile(payload).models["gpt-small"]?.route)
        var random = SeededGenerator(seed: 3)
        var counts = [0, 0, 0, 0]
        for _ in 0..<10_000 { counts[try #require(route.pick(random: random.next()))] += 1 }
        #expect(abs(counts[0] - 1000) < 150 && abs(counts[1] - 3000) < 200 && counts[2] == 0 && abs(counts[3] - 6000) < 250)
        for _ in 0..<1000 { #expect([0, 1].contains(route.pick(random: random.next(), excluding: 0b1000))) }
        #expect(route.pick(random: random.next(), excluding: 0b1011) == 2)
        #expect(route.pick(random: random.next(), excluding: 0b1111) == nil)
    }

    @Test("The price in force is the contract's choice, at every time", arguments: 1...10)
    func prices(seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        var payload = SnapshotFixture.smallConfig()
        payload.prices = (0..<12).map { index in
            var price = Weir_V1_Price()
            price.id = "price_\(index)"
            price.modelID = "mdl_a"
            price.endpointID = Bool.random(using: &random) ? "ep_a" : ""
            price.effectiveFromMs = Int64.random(in: 0...20, using: &random)
            return price
        }
        let config = try compile(payload)
        let target = try #require(config.models["gpt-small"]?.route?.targets.first)
        for time in Int64(-1)...21 {
            let expected = Pricing.priceInForce(payload.prices, modelID: "mdl_a", endpointID: "ep_a", atMilliseconds: time)
            #expect(target.price(atMilliseconds: time)?.id == expected?.id)
        }
        #expect(config.price(id: "price_3")?.id == "price_3")
    }

    @Test("Disabled endpoints and routes are not routed to; a model without a route is not listed")
    func disabled() throws {
        var payload = SnapshotFixture.smallConfig()
        payload.models[0].tenantIds = []
        let tenant = TenantEntry(bits: IDBits(high: 1, low: 2), disabled: false)
        #expect(try compile(payload).modelList(for: tenant, scopes: nil).map(\.name) == ["gpt-small"])
        payload.endpoints[0].disabled = true
        #expect(try compile(payload).models["gpt-small"]?.route == nil)
        #expect(try compile(payload).modelList(for: tenant, scopes: nil).isEmpty)
    }

    @Test("A model shown to some tenants is hidden from the others, and a scope hides it too")
    func visibility() throws {
        var payload = SnapshotFixture.smallConfig()
        let (seeing, blind) = (
            TenantEntry(bits: IDBits(high: 1, low: 2), disabled: false), TenantEntry(bits: IDBits(high: 1, low: 3), disabled: false)
        )
        payload.models[0].tenantIds = [seeing.id]
        let config = try compile(payload)
        #expect(config.modelList(for: seeing, scopes: nil).count == 1)
        #expect(config.modelList(for: blind, scopes: nil).isEmpty)
        #expect(config.modelList(for: seeing, scopes: KeyScopes(models: ["other"], capabilities: [], channels: [])).isEmpty)
        payload.models[0].tenantIds = ["nonsense"]
        #expect(try compile(payload).modelList(for: seeing, scopes: nil).isEmpty, "a restriction to nobody is no permission for all")
    }

    @Test("What GET /v1/models shows is JSON, whatever the name")
    func json() throws {
        let name = "a\"b\\c\u{1}é"
        // Control characters in names are refused by the validation; the encoder does not rely on it.
        let text = String(decoding: JSONText.quoted(name), as: UTF8.self)
        #expect(try JSONDecoder().decode([String].self, from: Data("[\(text)]".utf8)) == [name])
        let model = try #require(try compile(SnapshotFixture.smallConfig()).models["gpt-small"])
        let object = try #require(try JSONSerialization.jsonObject(with: Data(model.json)) as? [String: Any])
        #expect(object["id"] as? String == "gpt-small")
        #expect(object["object"] as? String == "model")
    }
}
