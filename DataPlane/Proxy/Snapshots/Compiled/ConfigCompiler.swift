import Contract

/// Compiles a configuration that `ConfigValidation` found nothing wrong with.
struct ConfigCompiler {
    /// Endpoints of the snapshots before, by id: an unchanged one keeps its identity.
    private let known: [String: [CompiledEndpoint]]
    /// What routes had learnt, by their ids.
    private let states: [String: RouteState]

    init(reusing configs: some Sequence<CompiledConfig>) {
        var known: [String: [CompiledEndpoint]] = [:]
        for config in configs {
            for endpoint in config.endpoints.values { known[endpoint.id, default: []].append(endpoint) }
        }
        self.known = known
        states = Dictionary(
            configs.flatMap(\.models.values).compactMap(\.route).map { ($0.id, $0.state) }, uniquingKeysWith: { first, _ in first })
    }

    /// - Throws: `brokenReference` or `malformedPayload`, naming the first problem and how many more there are.
    func compile(_ payload: Weir_V1_ConfigPayload, version: UInt64, digest: [UInt8]) throws(DocumentRefusal) -> CompiledConfig {
        let problems = ConfigValidation.validate(payload)
        if let first = problems.first {
            let more = problems.count > 1 ? " (and \(problems.count - 1) more)" : ""
            throw DocumentRefusal(.brokenReference, "\(first.path): \(first.message)\(more)")
        }
        let providers = Dictionary(payload.providers.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        var endpoints: [String: CompiledEndpoint] = [:]
        for endpoint in payload.endpoints where !endpoint.disabled {
            endpoints[endpoint.id] = try compile(endpoint, providers)
        }
        let compiledPrices = payload.prices.map { CompiledPrice($0) }
        // One object a price, shared by the targets it may apply to.
        let prices = Dictionary(grouping: zip(payload.prices, compiledPrices), by: \.0.modelID)
        var routes: [String: Weir_V1_Route] = [:]
        for route in payload.routes where !route.disabled { routes[route.modelID] = route }
        let names = Dictionary(payload.models.map { ($0.id, $0.name) }, uniquingKeysWith: { first, _ in first })
        var models: [CompiledModel] = []
        for model in payload.models {
            var compiled: CompiledRoute?
            if let route = routes[model.id] {
                let fallbacks = Self.fallbacks(of: route, routes).compactMap { names[$0] }
                compiled = try compile(route, model, endpoints, prices[model.id] ?? [], fallbacks)
            }
            models.append(CompiledModel(model, route: compiled))
        }
        return try CompiledConfig(
            version: version, digest: digest, models: models, endpoints: endpoints, prices: compiledPrices
        ) { (channel) throws(DocumentRefusal) in try CompiledPlan(WorkflowRules.workflow(of: channel.rawValue, in: payload)) }
    }

    private func compile(_ endpoint: Weir_V1_Endpoint, _ providers: [String: Weir_V1_Provider]) throws(DocumentRefusal) -> CompiledEndpoint
    {
        guard let provider = providers[endpoint.providerID] else {
            throw DocumentRefusal(
                .brokenReference, "endpoints[\(endpoint.id)].provider_id: there is no provider \"\(endpoint.providerID)\"")
        }
        let text = endpoint.baseURL.isEmpty ? provider.baseURL : endpoint.baseURL
        guard case .success(let url) = ConfigValidation.parse(baseURL: text) else {
            throw DocumentRefusal(.malformedPayload, "endpoints[\(endpoint.id)].base_url: not a URL that can be dialled")
        }
        let compiled = CompiledEndpoint(endpoint, provider: provider, url: url)
        return known[endpoint.id]?.first { $0.isSame(as: compiled) } ?? compiled
    }

    /// Nil when every target's endpoint is disabled.
    private func compile(
        _ route: Weir_V1_Route, _ model: Weir_V1_Model, _ endpoints: [String: CompiledEndpoint], _ prices: [(Weir_V1_Price, CompiledPrice)],
        _ fallbacks: [String]
    ) throws(DocumentRefusal) -> CompiledRoute? {
        let state = states[route.id] ?? RouteState()
        let targets = route.targets.compactMap { target -> CompiledTarget? in
            guard let endpoint = endpoints[target.endpointID] else { return nil }
            let upstreamModel = target.upstreamModel.isEmpty ? model.name : target.upstreamModel
            return CompiledTarget(
                endpoint: endpoint, upstreamModel: upstreamModel, weight: target.weight, priority: target.priority,
                prices: order(prices, for: endpoint.id), meter: state.meter(endpoint: endpoint.id, model: upstreamModel))
        }
        guard !targets.isEmpty else { return nil }
        return CompiledRoute(
            id: route.id, targets: targets, maxAttempts: Int(route.maxAttempts), repeatsUnknownOutcomes: route.repeatUnknownOutcomes,
            hedgeMilliseconds: Int64(route.hedgeAfterMs), strategy: RouteStrategy(route.strategy), state: state, fallbacks: fallbacks,
            fallbackOn: route.fallbackOn,
            servesUnnamed: route.servesUnnamed, template: try CompiledTemplate(route))
    }

    /// The models that serve after one's own, each once: every fallback, and behind it those of its own route.
    private static func fallbacks(of route: Weir_V1_Route, _ routes: [String: Weir_V1_Route]) -> [String] {
        var found: [String] = []
        var seen: Set = [route.modelID]
        var left = Array(route.fallbackModelIds.reversed())
        while let model = left.popLast(), found.count < maximumFallbacks {
            guard seen.insert(model).inserted else { continue }
            found.append(model)
            left += (routes[model]?.fallbackModelIds ?? []).reversed()
        }
        return found
    }

    private static let maximumFallbacks = 16

    /// In the order in which `Pricing.priceInForce` prefers them, so that the first whose date has come is the one in force.
    private func order(_ prices: [(Weir_V1_Price, CompiledPrice)], for endpoint: String) -> [CompiledPrice] {
        prices.filter { $0.0.endpointID.isEmpty || $0.0.endpointID == endpoint }
            .sorted { a, b in
                (a.0.endpointID.isEmpty ? 0 : 1, a.0.effectiveFromMs, a.0.id) > (
                    b.0.endpointID.isEmpty ? 0 : 1, b.0.effectiveFromMs, b.0.id
                )
            }
            .map(\.1)
    }
}
