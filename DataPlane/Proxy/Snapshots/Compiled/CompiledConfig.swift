package import Contract
import Formats
import Primitives

/// One configuration version, compiled: everything a request asks of it is one lookup or a field away.
package final class CompiledConfig: Sendable {
    package let version: UInt64
    package let digest: [UInt8]
    /// `version` in decimal, for the response header.
    package let versionText: [UInt8]
    package let models: [String: CompiledModel]
    /// Every endpoint that a route leads to, by id.
    package let endpoints: [String: CompiledEndpoint]
    private let prices: [String: CompiledPrice]
    /// By name.
    let sortedModels: [CompiledModel]
    /// Models that serve requests that name none: the first one that the caller may use.
    let unnamed: [CompiledModel]
    /// Some routes choose by what earlier choices brought.
    let learns: Bool
    /// Some endpoints are asked how they are.
    let hasHealthChecks: Bool
    /// Some routes have templates.
    let hasTemplates: Bool
    /// Header fields that templates and workflows read, by their lower-case names.
    let readHeaders: Set<String>
    private let standardPlan: CompiledPlan
    private let externalPlan: CompiledPlan
    private let internalPlan: CompiledPlan
    /// Models whose provider's account keeps files, by name.
    let keepFiles: [CompiledModel]
    private let table: NameTable

    /// - Parameter plan: of each channel.
    init(
        version: UInt64, digest: [UInt8], models: [CompiledModel], endpoints: [String: CompiledEndpoint], prices: [CompiledPrice],
        plan: (Caller.Channel) throws(DocumentRefusal) -> CompiledPlan
    ) throws(DocumentRefusal) {
        standardPlan = try plan(.standard)
        externalPlan = try plan(.external)
        internalPlan = try plan(.internal)
        let templates = models.compactMap { $0.route?.template }
        hasTemplates = !templates.isEmpty
        readHeaders = ([standardPlan.headers, externalPlan.headers, internalPlan.headers] + templates.map(\.headers))
            .reduce(into: []) { $0.formUnion($1) }
        self.version = version
        self.digest = digest
        self.endpoints = endpoints
        versionText = Array(String(version).utf8)
        self.models = Dictionary(models.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        self.prices = Dictionary(prices.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        sortedModels = models.sorted { $0.name < $1.name }
        learns = models.contains { $0.route?.strategy.learns == true }
        hasHealthChecks = endpoints.values.contains { $0.healthCheck != nil }
        keepFiles = sortedModels.filter { $0.capabilities.contains(.files) && $0.route != nil }
        unnamed = sortedModels.filter { $0.route?.servesUnnamed == true }
        table = NameTable(models)
    }

    /// The model with exactly these bytes (UTF-8) as its name; no string is made.
    package func model(named name: UnsafeRawBufferPointer) -> CompiledModel? { table.find(name) }

    package func model(named name: String) -> CompiledModel? { models[name] }

    /// Services that its workflows ask.
    var lookups: [CompiledLookup] { [standardPlan, externalPlan, internalPlan].flatMap(\.lookups) }

    /// What requests of a channel go through.
    func plan(of channel: Caller.Channel) -> CompiledPlan {
        switch channel {
        case .standard: standardPlan
        case .external: externalPlan
        case .internal: internalPlan
        }
    }

    /// Any price of this version, in force or not.
    package func price(id: String) -> CompiledPrice? { prices[id] }

    /// What GET /v1/models shows to a tenant and a key: routed, visible and in scope, by name.
    package func modelList(for tenant: TenantEntry, scopes: KeyScopes?) -> [CompiledModel] {
        sortedModels.filter { model in
            model.route != nil && model.isVisible(to: tenant) && (scopes?.allows(model: model.name) ?? true)
        }
    }

    /// Open addressing by FNV-1a. The names are the operator's, so nobody outside can choose colliding ones.
    private struct NameTable: Sendable {
        private var slots: [CompiledModel?]
        private let mask: Int

        init(_ models: [CompiledModel]) {
            var capacity = 8
            while capacity < models.count * 2 { capacity *= 2 }
            mask = capacity - 1
            slots = Array(repeating: nil, count: capacity)
            for model in models {
                var index = model.nameBytes.withUnsafeBytes { Self.hash($0) } & mask
                while let other = slots[index], other.name != model.name { index = (index + 1) & mask }
                slots[index] = model
            }
        }

        func find(_ name: UnsafeRawBufferPointer) -> CompiledModel? {
            var index = Self.hash(name) & mask
            while let model = slots[index] {
                if model.nameBytes.count == name.count && model.nameBytes.elementsEqual(name) { return model }
                index = (index + 1) & mask
            }
            return nil
        }

        private static func hash(_ bytes: UnsafeRawBufferPointer) -> Int {
            var hash: UInt64 = 0xCBF2_9CE4_8422_2325
            for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
            return Int(truncatingIfNeeded: hash ^ hash >> 32)
        }
    }
}

package final class CompiledModel: Sendable {
    package let id: String
    package let name: String
    package let nameBytes: [UInt8]
    package let capabilities: CapabilitySet
    /// Tokens; 0 is not known.
    package let contextWindow: Int64
    /// Tokens; 0 is not known.
    package let maxOutputTokens: Int64
    /// Nil: visible to all.
    package let visibleTenants: Set<IDBits>?
    /// Nil when no enabled route leads anywhere.
    package let route: CompiledRoute?
    /// The object of OpenAI's GET /v1/models/{id}, without a line end.
    package let json: [UInt8]
    /// The same of Anthropic's API.
    let messagesJSON: [UInt8]

    init(_ model: Weir_V1_Model, route: CompiledRoute?) {
        id = model.id
        name = model.name
        nameBytes = Array(model.name.utf8)
        capabilities = CapabilitySet(names: model.capabilities)
        contextWindow = Int64(clamping: model.contextWindow)
        maxOutputTokens = Int64(clamping: model.maxOutputTokens)
        // An id that is none is still a restriction: it matches nobody.
        visibleTenants = model.tenantIds.isEmpty ? nil : Set(model.tenantIds.compactMap { IDBits(TenantID($0)) })
        self.route = route
        var json = Array(#"{"id":"#.utf8)
        json += JSONText.quoted(model.name)
        json += Array(#","object":"model","created":\#(model.createdS),"owned_by":"#.utf8)
        json += JSONText.quoted(model.ownedBy.isEmpty ? "weir" : model.ownedBy)
        json.append(UInt8(ascii: "}"))
        self.json = json
        var shown = Array(#"{"type":"model","id":"#.utf8) + JSONText.quoted(model.name) + Array(#","display_name":"#.utf8)
        shown += JSONText.quoted(model.name)
        shown += Array(#","created_at":"\#(RFC3339.string(milliseconds: min(max(model.createdS, 0), 1 << 37) * 1000))"}"#.utf8)
        messagesJSON = shown
    }

    package func isVisible(to tenant: TenantEntry) -> Bool { visibleTenants?.contains(tenant.bits) ?? true }
}

package final class CompiledRoute: Sendable {
    package let id: String
    package let idBytes: [UInt8]
    /// At most 64; those of disabled endpoints are left out.
    package let targets: [CompiledTarget]
    /// Running sums of the weights.
    package let cumulativeWeights: [UInt64]
    /// At least 1.
    package let maxAttempts: Int
    /// Whether a request that went out, and whose outcome is not known, may be sent to another endpoint: it may then be served twice.
    package let repeatsUnknownOutcomes: Bool
    /// After so long without an answer a request is sent to a second endpoint as well; 0: never.
    package let hedgeMilliseconds: Int64
    /// Some endpoint of it takes only so many requests at one time.
    package let isBounded: Bool
    package let strategy: RouteStrategy
    /// Names of models that serve when this one's cannot, in their order.
    package let fallbacks: [String]
    /// Requests that name no model are for this one's.
    let servesUnnamed: Bool
    /// What it changes in requests; nil: they pass as they are.
    let template: CompiledTemplate?
    /// Errors of the request for which they serve, too.
    package let fallsBackOnContextWindow: Bool
    package let fallsBackOnContentPolicy: Bool
    /// Which targets are of each priority, the first one first: bit i for target i. All bits where there is one priority only.
    package let tiers: [UInt64]
    /// More than one endpoint or credential may serve.
    let hasChoice: Bool
    /// The bits of targets that there are.
    let valid: UInt64
    /// What outlives this configuration.
    package let state: RouteState

    init(
        id: String, targets: [CompiledTarget], maxAttempts: Int, repeatsUnknownOutcomes: Bool = false, hedgeMilliseconds: Int64 = 0,
        strategy: RouteStrategy = .weighted, state: RouteState = RouteState(), fallbacks: [String] = [], fallbackOn: [String] = [],
        servesUnnamed: Bool = false, template: CompiledTemplate? = nil
    ) {
        self.template = template
        self.servesUnnamed = servesUnnamed
        self.fallbacks = fallbacks
        fallsBackOnContextWindow = fallbackOn.contains("context_window")
        fallsBackOnContentPolicy = fallbackOn.contains("content_policy")
        self.id = id
        // Who says that a request may be at two endpoints at one time says that it may be served twice.
        self.repeatsUnknownOutcomes = repeatsUnknownOutcomes || hedgeMilliseconds > 0
        self.hedgeMilliseconds = hedgeMilliseconds
        self.strategy = strategy
        self.state = state
        if strategy.observes { state.observe() }
        hasChoice = targets.count > 1 || targets.contains { $0.endpoint.credentialIDs.count > 1 }
        valid = targets.count > 63 ? .max : (1 << UInt64(targets.count)) &- 1
        let priorities = Set(targets.map(\.priority)).sorted()
        tiers =
            priorities.count < 2
            ? [.max]
            : priorities.map { priority in
                targets.indices.reduce(0) { $0 | (targets[$1].priority == priority ? 1 << UInt64($1) : 0) }
            }
        idBytes = Array(id.utf8)
        self.targets = targets
        isBounded = targets.contains { $0.endpoint.maxConcurrent > 0 }
        self.maxAttempts = max(1, maxAttempts == 0 ? targets.count : maxAttempts)
        var sum: UInt64 = 0
        cumulativeWeights = targets.map { target in
            sum &+= UInt64(target.weight)
            return sum
        }
    }

    /// An index into `targets` in proportion to the weights, from 64 random bits. Targets without weight are chosen, in order, once
    /// every weighted one was tried.
    /// - Parameter tried: bit i is set when target i is out of the question. Nil when all are.
    @inline(__always)
    package func pick(random: UInt64, excluding tried: UInt64 = 0) -> Int? {
        if tried == 0, let total = cumulativeWeights.last, total > 0 {
            let point = random.multipliedFullWidth(by: total).high
            for index in cumulativeWeights.indices where point < cumulativeWeights[index] { return index }
        }
        return pickAmongOthers(random, tried)
    }

    private func pickAmongOthers(_ random: UInt64, _ tried: UInt64) -> Int? {
        var total: UInt64 = 0
        for index in targets.indices where tried & (1 << UInt64(index)) == 0 { total &+= UInt64(targets[index].weight) }
        guard total > 0 else { return targets.indices.first { tried & (1 << UInt64($0)) == 0 } }
        var point = random.multipliedFullWidth(by: total).high
        for index in targets.indices where tried & (1 << UInt64(index)) == 0 {
            let weight = UInt64(targets[index].weight)
            if point < weight { return index }
            point &-= weight
        }
        return nil
    }
}

package final class CompiledTarget: Sendable {
    package let endpoint: CompiledEndpoint
    package let upstreamModel: String
    package let upstreamModelBytes: [UInt8]
    /// The upstream model's name as a JSON string, quotes included: what is spliced into a request's body.
    package let upstreamModelJSON: [UInt8]
    /// What a usage record says of the target.
    package let usageFields: [UInt8]
    package let weight: UInt32
    /// 0 comes first.
    package let priority: UInt32
    package let meter: TargetMeter
    /// Ahead of a request's path: the endpoint's, or what leads to an Azure deployment.
    private let path: [UInt8]
    /// The best first: see `price(atMilliseconds:)`.
    private let prices: [CompiledPrice]

    init(
        endpoint: CompiledEndpoint, upstreamModel: String, weight: UInt32, priority: UInt32 = 0, prices: [CompiledPrice],
        meter: TargetMeter = TargetMeter()
    ) {
        self.endpoint = endpoint
        self.priority = priority
        self.meter = meter
        self.upstreamModel = upstreamModel
        let modelBytes = Array(upstreamModel.utf8)
        upstreamModelBytes = modelBytes
        usageFields = UsageEncoder.fields { encoder in
            encoder.field(.endpointID, endpoint.idBytes)
            encoder.field(.providerID, endpoint.providerIDBytes)
            encoder.field(.upstreamModel, modelBytes)
        }
        upstreamModelJSON = JSONText.quoted(upstreamModel)
        path =
            endpoint.isByDeployment
            ? endpoint.azureRoot + Array("/deployments/".utf8) + Self.encoded(upstreamModel) : endpoint.pathPrefix
        self.weight = weight
        self.prices = prices
    }

    /// What a request's path begins with.
    @inline(__always)
    func pathPrefix(in dialect: Dialect) -> [UInt8] {
        dialect == .responses && endpoint.isByDeployment ? endpoint.azureRoot : path
    }

    /// As one segment of a path (RFC 3986 §3.3), whatever it holds.
    private static func encoded(_ name: String) -> [UInt8] {
        name.utf8.flatMap { byte -> [UInt8] in
            let isPlain =
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || "-._~".utf8.contains(byte)
            return isPlain ? [byte] : Array("%".utf8) + Array(Hex.encode([byte]).uppercased().utf8)
        }
    }

    /// The price in force at a time (Unix milliseconds): the same choice as `Pricing.priceInForce`.
    package func price(atMilliseconds time: Int64) -> CompiledPrice? {
        for price in prices where price.effectiveFromMilliseconds <= time { return price }
        return nil
    }
}

package final class CompiledPrice: Sendable {
    package let id: String
    package let idBytes: [UInt8]
    package let card: RateCard
    package let effectiveFromMilliseconds: Int64

    init(_ price: Weir_V1_Price) {
        id = price.id
        idBytes = Array(price.id.utf8)
        card = RateCard(price)
        effectiveFromMilliseconds = price.effectiveFromMs
    }
}
