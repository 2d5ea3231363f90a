import Contract
import Nouns
import Primitives
import Storage

/// A noun of the draft, and its message in a configuration. What comes back from a message is what it was made from.
protocol DraftNoun: Administered {
    associatedtype Message: ConfigMessage
    static var messages: WritableKeyPath<Weir_V1_ConfigPayload, [Message]> { get }
    /// The time of its creation where that is part of its content: Unix milliseconds of a whole second.
    static func createdAt(of message: Message) -> Int64?
    /// What of the content stands in the message; its id is there.
    static func fill(_ message: inout Message, of item: Entity<Self>)
    init(_ message: Message)
}

/// A part of a configuration that has an identifier.
protocol ConfigMessage: Sendable {
    var id: String { get set }
    init()
}

extension Weir_V1_Provider: ConfigMessage {}
extension Weir_V1_Endpoint: ConfigMessage {}
extension Weir_V1_Model: ConfigMessage {}
extension Weir_V1_Route: ConfigMessage {}
extension Weir_V1_Price: ConfigMessage {}
extension Weir_V1_Workflow: ConfigMessage {}

/// The nouns that make up a configuration, in the payload's order.
enum DraftNouns {
    static let all: [any DraftNoun.Type] = [
        ProviderContent.self, EndpointContent.self, ModelContent.self, RouteContent.self, PriceContent.self,
        WorkflowContent.self,
    ]
}

extension DraftNoun {
    static func createdAt(of message: Message) -> Int64? { nil }

    /// In the order of ids, so that the same draft always gives the same bytes.
    static func fill(_ config: inout Weir_V1_ConfigPayload, _ c: any SQLConnection) throws {
        config[keyPath: messages] = try all(c).sorted { $0.id < $1.id }.map { item in
            var message = Message()
            message.id = item.id.rawValue
            fill(&message, of: item)
            return message
        }
    }

    static func resources(of config: Weir_V1_ConfigPayload) -> [ConfigResource] {
        config[keyPath: messages].map { message in
            let content = Self(message)
            var object: JSONObject = ["id": .string(message.id)]
            for member in content.members.members { object[member.name] = member.value }
            if let created = createdAt(of: message) { object["created_at"] = .time(created) }
            return ConfigResource(id: message.id, name: configName(content), object: object)
        }
    }

    /// A price is called by its model there.
    private static func configName(_ content: Self) -> String {
        (content as? PriceContent)?.modelID.rawValue ?? content.title
    }

    /// Replaces all rows by a configuration's. Those that are as wanted already stay as they are, revision and times included; the
    /// others keep the time of their creation, unless that is part of what is wanted.
    static func replaceAll(_ c: any SQLConnection, by config: Weir_V1_ConfigPayload, _ stamp: RowMeta) throws {
        let present = Dictionary(try all(c).map { ($0.id.rawValue, $0) }, uniquingKeysWith: { first, _ in first })
        let wanted = config[keyPath: messages].map { message -> Entity<Self> in
            let created = createdAt(of: message)
            var item = Entity(id: message.id, meta: stamp, content: Self(message))
            if let created { item.meta.createdAt = created }
            guard let old = present[item.id.rawValue] else { return item }
            let sameSecond = created.map { old.createdAt / 1000 == $0 / 1000 } ?? true
            if sameSecond { item.meta.createdAt = old.createdAt }
            return sameSecond && old.content == item.content ? old : item
        }
        try table.replaceAll(c, wanted.map(\.row))
    }
}

extension ProviderContent: DraftNoun {
    static var messages: WritableKeyPath<Weir_V1_ConfigPayload, [Weir_V1_Provider]> { \.providers }

    static func fill(_ message: inout Weir_V1_Provider, of item: Entity<Self>) {
        message.name = item.content.name
        message.kind = item.content.kind
        message.baseURL = item.content.baseURL
        message.authScheme = item.content.auth.scheme.message
        message.authHeader = item.content.auth.header ?? ""
        message.caPem = item.content.caPEM ?? ""
        if let timeouts = item.content.timeouts.message { message.timeouts = timeouts }
        message.apiVersion = item.content.apiVersion ?? ""
        message.apis = item.content.apis
    }

    init(_ message: Weir_V1_Provider) {
        self.init()
        name = message.name
        kind = message.kind
        baseURL = message.baseURL
        auth.scheme = AuthScheme.allCases.first { $0.message == message.authScheme } ?? .none
        auth.header = message.authHeader.nonEmpty
        caPEM = message.caPem.nonEmpty
        timeouts = Timeouts(message.timeouts)
        apiVersion = message.apiVersion.nonEmpty
        apis = message.apis
    }
}

extension EndpointContent: DraftNoun {
    static var messages: WritableKeyPath<Weir_V1_ConfigPayload, [Weir_V1_Endpoint]> { \.endpoints }

    static func fill(_ message: inout Weir_V1_Endpoint, of item: Entity<Self>) {
        message.name = item.content.name
        message.providerID = item.content.providerID.rawValue
        message.baseURL = item.content.baseURL ?? ""
        message.credentialIds = item.content.credentialIDs.map(\.rawValue)
        message.disabled = item.content.disabled
        if item.content.healthCheck != HealthCheck() {
            message.healthCheck.intervalMs = UInt32(clamping: item.content.healthCheck.intervalMS)
            message.healthCheck.timeoutMs = UInt32(clamping: item.content.healthCheck.timeoutMS)
            message.healthCheck.path = item.content.healthCheck.path
        }
        if let timeouts = item.content.timeouts.message { message.timeouts = timeouts }
        message.maxConcurrent = UInt32(clamping: item.content.maxConcurrent)
        message.http1Only = item.content.http1Only
        message.keepsResponses = item.content.keepsResponses
        message.http2PriorKnowledge = item.content.http2PriorKnowledge
        message.publicAddressesOnly = !item.content.privateAddresses
    }

    init(_ message: Weir_V1_Endpoint) {
        self.init()
        providerID = ID(message.providerID)
        name = message.name
        baseURL = message.baseURL.nonEmpty
        credentialIDs = message.credentialIds.map { ID($0) }
        disabled = message.disabled
        if message.hasHealthCheck {
            healthCheck.intervalMS = Int64(message.healthCheck.intervalMs)
            healthCheck.timeoutMS = Int64(message.healthCheck.timeoutMs)
            healthCheck.path = message.healthCheck.path
        }
        timeouts = Timeouts(message.timeouts)
        maxConcurrent = Int64(message.maxConcurrent)
        http1Only = message.http1Only
        keepsResponses = message.keepsResponses
        http2PriorKnowledge = message.http2PriorKnowledge
        // Versions of before there was a choice lead anywhere.
        privateAddresses = !message.publicAddressesOnly
    }
}

extension ModelContent: DraftNoun {
    static var messages: WritableKeyPath<Weir_V1_ConfigPayload, [Weir_V1_Model]> { \.models }
    static func createdAt(of message: Weir_V1_Model) -> Int64? { message.createdS &* 1000 }

    static func fill(_ message: inout Weir_V1_Model, of item: Entity<Self>) {
        message.name = item.content.name
        message.capabilities = item.content.capabilities
        message.contextWindow = UInt64(clamping: item.content.contextWindow)
        message.maxOutputTokens = UInt64(clamping: item.content.maxOutputTokens)
        // Empty is all there: a list that names nobody cannot be written.
        message.tenantIds = item.content.tenantIDs.named?.map(\.rawValue) ?? []
        message.ownedBy = item.content.ownedBy
        message.createdS = item.createdAt / 1000
    }

    init(_ message: Weir_V1_Model) {
        self.init()
        name = message.name
        capabilities = message.capabilities
        contextWindow = Int64(clamping: message.contextWindow)
        maxOutputTokens = Int64(clamping: message.maxOutputTokens)
        tenantIDs = message.tenantIds.isEmpty ? .all : .only(message.tenantIds.map { ID($0) })
        ownedBy = message.ownedBy
    }
}

extension RouteContent: DraftNoun {
    static var messages: WritableKeyPath<Weir_V1_ConfigPayload, [Weir_V1_Route]> { \.routes }

    static func fill(_ message: inout Weir_V1_Route, of item: Entity<Self>) {
        message.name = item.content.name
        message.modelID = item.content.modelID.rawValue
        message.targets = item.content.targets.map { target in
            var message = Weir_V1_RouteTarget()
            message.endpointID = target.endpointID.rawValue
            message.upstreamModel = target.upstreamModel ?? ""
            message.weight = UInt32(clamping: target.weight)
            message.priority = UInt32(clamping: target.priority)
            return message
        }
        message.maxAttempts = UInt32(clamping: item.content.maxAttempts)
        message.disabled = item.content.disabled
        message.repeatUnknownOutcomes = item.content.repeatUnknownOutcomes
        message.hedgeAfterMs = UInt32(clamping: item.content.hedgeAfter)
        message.strategy = item.content.strategy.message
        message.fallbackModelIds = item.content.fallbackModelIDs.map(\.rawValue)
        message.fallbackOn = item.content.fallbackOn
        message.servesUnnamed = item.content.servesUnnamed
        message.template = item.content.template.map(\.message)
    }

    init(_ message: Weir_V1_Route) {
        self.init()
        modelID = ID(message.modelID)
        name = message.name
        targets = message.targets.map { target in
            RouteTarget {
                $0.endpointID = ID(target.endpointID)
                $0.upstreamModel = target.upstreamModel.nonEmpty
                $0.weight = Int64(target.weight)
                $0.priority = Int64(target.priority)
            }
        }
        maxAttempts = Int64(message.maxAttempts)
        disabled = message.disabled
        repeatUnknownOutcomes = message.repeatUnknownOutcomes
        hedgeAfter = Int64(message.hedgeAfterMs)
        strategy = RouteStrategy.allCases.first { $0.message == message.strategy } ?? .weighted
        fallbackModelIDs = message.fallbackModelIds.map { ID($0) }
        fallbackOn = message.fallbackOn
        servesUnnamed = message.servesUnnamed
        template = message.template.map(TemplateEdit.init)
    }
}

extension TemplateEdit {
    var message: Weir_V1_TemplateEdit {
        var message = Weir_V1_TemplateEdit()
        message.action = action
        message.name = name
        message.value = value
        message.when = when
        message.required = required
        message.apis = apis
        return message
    }

    fileprivate init(_ message: Weir_V1_TemplateEdit) {
        self.init()
        action = message.action
        name = message.name
        value = message.value
        when = message.when
        required = message.required
        apis = message.apis
    }
}

extension WorkflowContent: DraftNoun {
    static var messages: WritableKeyPath<Weir_V1_ConfigPayload, [Weir_V1_Workflow]> { \.workflows }

    static func fill(_ message: inout Weir_V1_Workflow, of item: Entity<Self>) { fill(&message, of: item.content) }

    static func fill(_ message: inout Weir_V1_Workflow, of content: Self) {
        message.name = content.name
        message.channel = content.channel
        message.disabled = content.disabled
        message.steps = content.steps.map { step in
            var message = Weir_V1_WorkflowStep()
            message.name = step.name
            message.kind = step.kind
            message.after = step.after
            message.when = step.when
            message.onFailure = step.onFailure
            message.timeoutMs = UInt32(clamping: step.timeoutMS)
            message.expression = step.expression
            message.url = step.url
            message.otherwise = step.otherwise
            message.message = step.message
            message.level = step.level
            message.bytesPerToken = UInt32(clamping: step.bytesPerToken)
            return message
        }
    }

    init(_ message: Weir_V1_Workflow) {
        self.init()
        name = message.name
        channel = message.channel
        disabled = message.disabled
        steps = message.steps.map { step in
            WorkflowStep {
                $0.name = step.name
                $0.kind = step.kind
                $0.after = step.after
                $0.when = step.when
                $0.onFailure = step.onFailure
                $0.timeoutMS = Int64(step.timeoutMs)
                $0.expression = step.expression
                $0.url = step.url
                $0.otherwise = step.otherwise
                $0.message = step.message
                $0.level = step.level
                $0.bytesPerToken = Int64(step.bytesPerToken)
            }
        }
    }
}

extension RouteStrategy {
    fileprivate var message: Weir_V1_RouteStrategy {
        switch self {
        case .weighted: .weighted
        case .roundRobin: .roundRobin
        case .leastLatency: .leastLatency
        case .leastUsed: .leastUsed
        case .lowestCost: .lowestCost
        case .epsilonGreedy: .epsilonGreedy
        case .ucb1: .ucb1
        case .thompson: .thompson
        }
    }
}

extension PriceContent: DraftNoun {
    static var messages: WritableKeyPath<Weir_V1_ConfigPayload, [Weir_V1_Price]> { \.prices }

    static func fill(_ message: inout Weir_V1_Price, of item: Entity<Self>) {
        message.modelID = item.content.modelID.rawValue
        message.endpointID = item.content.endpointID?.rawValue ?? ""
        message.input = item.content.input.rawValue
        message.output = item.content.output.rawValue
        message.cachedInput = item.content.cachedInput.rawValue
        message.cacheWrite = item.content.cacheWrite.rawValue
        message.perRequest = item.content.perRequest.rawValue
        if let amount = item.content.cacheWriteHour { message.cacheWriteHour = amount.rawValue }
        if let amount = item.content.audioInput { message.audioInput = amount.rawValue }
        if let amount = item.content.imageInput { message.imageInput = amount.rawValue }
        if let amount = item.content.reasoning { message.reasoning = amount.rawValue }
        if let amount = item.content.audioOutput { message.audioOutput = amount.rawValue }
        if let amount = item.content.imageOutput { message.imageOutput = amount.rawValue }
        message.tiers = item.content.tiers.map(\.message)
        message.serviceTiers = item.content.serviceTiers.map(\.message)
        message.perImage = item.content.perImage.rawValue
        message.perSecond = item.content.perSecond.rawValue
        message.perCharacter = item.content.perCharacter.rawValue
        message.perSearch = item.content.perSearch.rawValue
        message.providerCost = item.content.providerCost
        message.effectiveFromMs = item.content.effectiveFrom
    }

    init(_ message: Weir_V1_Price) {
        self.init()
        modelID = ID(message.modelID)
        endpointID = message.endpointID.nonEmpty.map { ID($0) }
        input = NanoDollars(message.input)
        output = NanoDollars(message.output)
        cachedInput = NanoDollars(message.cachedInput)
        cacheWrite = NanoDollars(message.cacheWrite)
        perRequest = NanoDollars(message.perRequest)
        cacheWriteHour = message.hasCacheWriteHour ? NanoDollars(message.cacheWriteHour) : nil
        audioInput = message.hasAudioInput ? NanoDollars(message.audioInput) : nil
        imageInput = message.hasImageInput ? NanoDollars(message.imageInput) : nil
        reasoning = message.hasReasoning ? NanoDollars(message.reasoning) : nil
        audioOutput = message.hasAudioOutput ? NanoDollars(message.audioOutput) : nil
        imageOutput = message.hasImageOutput ? NanoDollars(message.imageOutput) : nil
        tiers = message.tiers.map(PriceTier.init)
        serviceTiers = message.serviceTiers.map(PriceTier.init)
        perImage = NanoDollars(message.perImage)
        perSecond = NanoDollars(message.perSecond)
        perCharacter = NanoDollars(message.perCharacter)
        perSearch = NanoDollars(message.perSearch)
        providerCost = message.providerCost
        effectiveFrom = message.effectiveFromMs
    }
}

extension PriceTier {
    fileprivate var message: Weir_V1_PriceTier {
        var message = Weir_V1_PriceTier()
        message.aboveInputTokens = above
        message.serviceTier = serviceTier ?? ""
        if let input { message.input = input.rawValue }
        if let output { message.output = output.rawValue }
        if let cachedInput { message.cachedInput = cachedInput.rawValue }
        if let cacheWrite { message.cacheWrite = cacheWrite.rawValue }
        if let cacheWriteHour { message.cacheWriteHour = cacheWriteHour.rawValue }
        if let audioInput { message.audioInput = audioInput.rawValue }
        if let imageInput { message.imageInput = imageInput.rawValue }
        if let reasoning { message.reasoning = reasoning.rawValue }
        if let audioOutput { message.audioOutput = audioOutput.rawValue }
        if let imageOutput { message.imageOutput = imageOutput.rawValue }
        return message
    }

    fileprivate init(_ message: Weir_V1_PriceTier) {
        self.init()
        above = message.aboveInputTokens
        serviceTier = message.serviceTier.nonEmpty
        input = message.hasInput ? NanoDollars(message.input) : nil
        output = message.hasOutput ? NanoDollars(message.output) : nil
        cachedInput = message.hasCachedInput ? NanoDollars(message.cachedInput) : nil
        cacheWrite = message.hasCacheWrite ? NanoDollars(message.cacheWrite) : nil
        cacheWriteHour = message.hasCacheWriteHour ? NanoDollars(message.cacheWriteHour) : nil
        audioInput = message.hasAudioInput ? NanoDollars(message.audioInput) : nil
        imageInput = message.hasImageInput ? NanoDollars(message.imageInput) : nil
        reasoning = message.hasReasoning ? NanoDollars(message.reasoning) : nil
        audioOutput = message.hasAudioOutput ? NanoDollars(message.audioOutput) : nil
        imageOutput = message.hasImageOutput ? NanoDollars(message.imageOutput) : nil
    }
}

extension Timeouts {
    /// Nil where all is left to the data plane.
    fileprivate var message: Weir_V1_Timeouts? {
        guard self != Timeouts() else { return nil }
        var message = Weir_V1_Timeouts()
        message.connectMs = UInt32(clamping: connectMS)
        message.firstByteMs = UInt32(clamping: firstByteMS)
        message.idleMs = UInt32(clamping: idleMS)
        message.totalMs = UInt32(clamping: totalMS)
        return message
    }

    fileprivate init(_ message: Weir_V1_Timeouts) {
        self.init()
        connectMS = Int64(message.connectMs)
        firstByteMS = Int64(message.firstByteMs)
        idleMS = Int64(message.idleMs)
        totalMS = Int64(message.totalMs)
    }
}

extension AuthScheme {
    fileprivate var message: Weir_V1_AuthScheme {
        switch self {
        case .bearer: .bearer
        case .header: .header
        case .basic: .basic
        case .none: .none
        }
    }
}

extension String {
    fileprivate var nonEmpty: String? { isEmpty ? nil : self }
}
