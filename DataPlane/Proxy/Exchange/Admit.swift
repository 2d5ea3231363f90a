import Contract
import Formats
import NIOCore
import Primitives
import Telemetry
import Trust

/// Proof that a request may be sent, and all that its attempts need to know of it: its caller is known, its model exists, is visible and
/// routed, and the caller's scopes allow it; and what it holds of its budgets (`ReserveBudget`).
final class Admission {
    let caller: Caller
    let snapshot: RuntimeSnapshot
    let config: CompiledConfig
    /// What the caller named.
    let requested: CompiledModel
    /// What serves the request now: the one that was asked for, or one that it falls back to.
    private(set) var model: CompiledModel
    private(set) var route: CompiledRoute
    /// Names of models that may still serve it, the next one last.
    private(set) var fallbacks: [String]
    let capability: RequestTarget.Capability
    let isStreaming: Bool
    let clientWantsUsage: Bool
    private(set) var members: RequestMembers
    /// Header lines of the client's that go to the provider.
    let forwardedLines: [UInt8]
    /// Those that mean something to a provider of the same dialect only.
    let dialectLines: [UInt8]
    /// Handed on as it came: nothing of it is ours to understand.
    let forward: Forward?
    /// Images, sound, moderation, a file that is uploaded.
    let media: MediaCall?
    /// Something that a provider keeps is asked for.
    let kept: KeptCall?
    /// The response that it goes on from, in whose account it has to be served.
    var previous: ResourceIDs.Place?
    /// Files that it names; nil for most.
    let files: FileUse?
    /// The rest of a body that is sent on while it comes; nil for most.
    let upload: Upload?
    /// The one credential that it may be sent with; nil: any of its endpoint's.
    var onlyCredential: String?
    let traceID: TraceID
    let requestID: RequestID
    /// Unix microseconds.
    let admittedAt: Int64
    private(set) var requestBytes: Int64
    private(set) var estimatedInputTokens: Int64
    /// That it asks for; the standard one for most.
    let serviceTier: ServiceTier
    /// Empty once no attempt can need it any more.
    private(set) var body: ByteBuffer
    /// What it has taken of its limits; nil: it has none.
    var rates: RateCharge?
    /// The same of limits of the model that serves it, where another one may come to do that.
    var modelRates: RateCharge?
    /// Tokens that count for the models before this one.
    var earlierTokens: Int64 = 0
    /// Where the request comes from; nil where nobody is limited by that.
    var address: LimitSubject?
    /// Which endpoints are left to be tried.
    var plan: RoutePlan
    /// Nil where no budget concerns the request, or nothing of one is held yet.
    var budget: BudgetHold?
    /// What it was before its route's template; nil where no route that may serve it has one.
    private(set) var shaping: RequestShaping?
    /// Header lines for the provider, and changes of the body, by the template of the route that serves it.
    private(set) var templateLines: [UInt8] = []
    private(set) var changes: [RenderedTemplate.Change] = []

    fileprivate init(
        _ asked: Asked, _ caller: Caller, _ config: CompiledConfig, _ model: CompiledModel, _ route: CompiledRoute,
        _ members: RequestMembers, _ body: ByteBuffer, requestID: RequestID, at admittedAt: Int64
    ) {
        self.caller = caller
        self.config = config
        self.model = model
        requested = model
        self.route = route
        fallbacks = route.fallbacks.isEmpty ? [] : route.fallbacks.reversed()
        self.members = members
        self.body = body
        self.requestID = requestID
        self.admittedAt = admittedAt
        snapshot = asked.snapshot
        forward = nil
        kept = nil
        media = asked.media
        files = asked.files
        upload = asked.upload
        capability = asked.capability
        forwardedLines = asked.forwardedLines
        dialectLines = asked.dialectLines
        traceID = asked.traceID
        isStreaming = members.isStreaming && asked.capability.generates
        clientWantsUsage = members.includesUsage
        requestBytes = Int64(asked.upload?.length ?? body.readableBytes)
        let window = model.contextWindow
        estimatedInputTokens = body.withUnsafeReadableBytes {
            asked.media?.estimate ?? TokenEstimate.input(members, of: $0, contextWindow: window)
        }
        plan = RoutePlan(route, random: requestID.low)
        serviceTier = members.serviceTier.flatMap { ServiceTier(name: Admit.text($0, body)) } ?? .standard
    }

    /// What is handed on, to the one endpoint. A model that it names is the provider's own, whatever models there are here.
    convenience init(
        _ forward: Forward, _ asked: Asked, _ caller: Caller, _ config: CompiledConfig, _ endpoint: CompiledEndpoint, _ body: ByteBuffer,
        requestID: RequestID, at admittedAt: Int64
    ) {
        let members = (try? caller.dialect.scan(body)) ?? RequestMembers()
        let name = members.model.map { Admit.text($0, body) } ?? ""
        var named = Weir_V1_Model()
        named.name = name
        self.init(
            forward, asked, caller, config, CompiledModel(named, route: nil),
            CompiledTarget(endpoint: endpoint, upstreamModel: name, weight: 1, prices: []), members: members, body, requestID: requestID,
            at: admittedAt)
    }

    /// What only one endpoint can answer: what is handed on to it, or is asked of a thing that it keeps.
    init(
        _ forward: Forward?, kept: KeptCall? = nil, _ asked: Asked, _ caller: Caller, _ config: CompiledConfig, _ model: CompiledModel,
        _ target: CompiledTarget, members: RequestMembers = RequestMembers(), _ body: ByteBuffer, requestID: RequestID,
        at admittedAt: Int64
    ) {
        self.caller = caller
        self.config = config
        self.forward = forward
        self.kept = kept
        self.model = model
        self.members = members
        self.body = body
        self.requestID = requestID
        self.admittedAt = admittedAt
        requested = model
        fallbacks = []
        route = CompiledRoute(id: model.route?.id ?? "", targets: [target], maxAttempts: 1)
        snapshot = asked.snapshot
        capability = asked.capability
        media = nil
        files = asked.files
        upload = nil
        forwardedLines = asked.forwardedLines
        dialectLines = asked.dialectLines
        traceID = asked.traceID
        isStreaming = members.isStreaming
        clientWantsUsage = true
        requestBytes = Int64(body.readableBytes)
        estimatedInputTokens =
            members.model == nil ? 0 : body.withUnsafeReadableBytes { TokenEstimate.input(members, of: $0, contextWindow: 0) }
        serviceTier = .standard
        plan = RoutePlan(route, random: requestID.low)
    }

    /// The provider has a part of what it reads already, whose size stands nowhere here.
    var hidesInput: Bool { previous != nil || files != nil }

    /// Nothing is charged for it, whatever the price.
    var isFree: Bool { capability == .countTokens || capability == .storedResponses }

    /// The most tokens that its images and documents may be beside its bytes. Read anew each time: only budgets ask.
    var worstMediaTokens: Int64 {
        let text = members.messages ?? members.prompt ?? members.input
        return body.withUnsafeReadableBytes { bytes in
            guard let text, text.upperBound <= bytes.count else { return MediaScan(bytes).worstTokens }
            return MediaScan(UnsafeRawBufferPointer(rebasing: bytes[text])).worstTokens
        }
    }

    /// The most of what is charged beside tokens, and the tier. Read anew each time: only budgets ask, and only where the price has any of it.
    func worstUnits(_ card: RateCard) -> TokenUsage {
        var units = TokenUsage()
        units.serviceTier = serviceTier
        if card.units.search > 0 { units.searches = body.withUnsafeReadableBytes { SearchBound.most(members, of: $0) } }
        return units
    }

    /// Leaves what it goes on from, or names, where that is: at one endpoint, in the account of one credential.
    /// - Returns: false where the route does not lead there.
    func stay(at place: ResourceIDs.Place, where keeps: (CompiledEndpoint) -> Bool = { _ in true }) -> Bool {
        let only = route.targets.indices.reduce(UInt64(0)) {
            let endpoint = route.targets[$1].endpoint
            return keeps(endpoint) && place.isAt(endpointID: endpoint.id) ? $0 | 1 << UInt64($1) : $0
        }
        plan.keep(to: only)
        let id = route.targets.flatMap(\.endpoint.credentialIDs).first { place.isOf(credentialID: $0) }
        guard plan.hasMore, id != nil || place.isOf(credentialID: ""), onlyCredential == nil || onlyCredential == id else { return false }
        onlyCredential = id
        fallbacks = []
        return true
    }

    /// Handed on, and with a model in it: it is answered with tokens.
    var isForwardedGeneration: Bool { forward != nil && members.model != nil }

    /// The caller says which version of Anthropic's API it speaks.
    var namesVersion: Bool {
        dialectLines.withUnsafeBytes { ByteScan.beginsIgnoringCase($0, with: "anthropic-version:") }
    }

    /// What the request asks of its routing. One that names its endpoint falls back to no other model.
    fileprivate func take(_ choice: RoutingChoice) throws(Rejection) {
        plan = try choice.plan(route, for: caller, random: requestID.low)
        if choice.endpoint != nil { fallbacks = [] }
    }

    /// The next model that may serve it.
    func takeFallback() -> String? { fallbacks.popLast() }

    /// Another model serves it from now on.
    func serve(by model: CompiledModel, _ route: CompiledRoute, _ plan: RoutePlan) {
        self.model = model
        self.route = route
        self.plan = plan
    }

    /// Another model serves it from the beginning: one of those that it falls back to.
    func begin(with model: CompiledModel, _ route: CompiledRoute) {
        while let name = fallbacks.popLast(), name != model.name {}
        serve(by: model, route, RoutePlan(route, random: requestID.low))
        estimatedInputTokens = estimate()
    }

    /// As it is sent on; nil where no template may change it.
    var shape: RequestShape? {
        shaping == nil ? nil : RequestShape(body: body, members: members, headerLines: templateLines, changes: changes)
    }

    func take(_ shape: RequestShape, _ shaping: RequestShaping?) {
        self.shaping = shaping
        if shaping != nil { take(shape) }
    }

    /// What it is by the template of the route that serves it now.
    func take(_ shape: RequestShape) {
        body = shape.body
        members = shape.members
        templateLines = shape.headerLines
        changes = shape.changes
        requestBytes = Int64(body.readableBytes)
        estimatedInputTokens = estimate()
    }

    /// It goes without some of its template's changes.
    func leave(_ left: [RenderedTemplate.Change]) throws(Rejection) {
        if let shaping { take(try shaping.shape(left, templateLines)) }
    }

    /// Its body with these changes and no others.
    func body(with left: [RenderedTemplate.Change]) -> [UInt8]? {
        shaping.flatMap { try? $0.shape(left, []) }.map { Array($0.body.readableBytesView) }
    }

    private func estimate() -> Int64 {
        body.withUnsafeReadableBytes { TokenEstimate.input(members, of: $0, contextWindow: model.contextWindow) }
    }

    /// All of an upload has been read.
    func isRead() {
        if let media { estimatedInputTokens = media.estimate }
    }

    /// It can be sent to another endpoint, or once more: all that was sent of it is still held.
    var canBeSentAgain: Bool { upload?.hasGone != true }

    /// A byte of the answer has left: nothing is sent again.
    func releaseBody(_ nothing: ByteBuffer) {
        body = nothing
        if shaping != nil { shaping = nil }
    }
}

/// The third stage. Budgets follow it: see `ReserveBudget`.
enum Admit {
    /// What a request names.
    struct Named {
        let members: RequestMembers
        let model: CompiledModel
        let route: CompiledRoute
    }

    static func named(
        _ asked: Asked, _ caller: Caller, _ config: CompiledConfig, _ body: ByteBuffer
    ) throws(Rejection) -> Named {
        let members =
            if let media = asked.media {
                try media.scan(body, following: asked.upload.map { $0.length - body.readableBytes } ?? 0)
            } else { try caller.dialect.scan(body) }
        if caller.dialect == .responses { try checkState(members, body) }
        let capability = asked.capability
        let model: CompiledModel
        if let name = members.model {
            guard let named = find(name, body, config) else { throw .modelNotFound(text(name, body)) }
            model = named
        } else {
            if capability == .files {
                model = try modelOfFile(asked.media?.named, caller, config)
            } else if let unnamed = config.unnamed.first(where: { (try? check($0, for: caller, capability, members)) != nil }) {
                model = unnamed
            } else {
                throw .badRequest("missing_required_parameter", "you must provide a model parameter", param: "model")
            }
        }
        try check(model, for: caller, capability, members)
        guard let route = model.route else { throw .modelNotRouted(model.name) }
        return Named(members: members, model: model, route: route)
    }

    /// Whose provider keeps a file that names no model in its form: the one that is named beside it, the one of a route that serves those that
    /// name none, or the one whose place is the only one.
    private static func modelOfFile(_ name: String?, _ caller: Caller, _ config: CompiledConfig) throws(Rejection) -> CompiledModel {
        if let name {
            guard let named = config.model(named: name) else { throw .modelNotFound(String(name.prefix(256))) }
            return named
        }
        let possible = config.keepFiles.filter { (try? check($0, for: caller, .files, RequestMembers())) != nil }
        if let unnamed = possible.first(where: { $0.route?.servesUnnamed == true }) { return unnamed }
        guard let first = possible.first else {
            if let scopes = caller.scopes, !scopes.allows(capability: .files) {
                throw .forbidden("capability_not_allowed", "The key may not be used for files.")
            }
            throw .noFiles()
        }
        func places(_ model: CompiledModel) -> Set<String> { Set(model.route?.targets.map(\.endpoint.id) ?? []) }
        guard possible.allSatisfy({ places($0) == places(first) }) else { throw .modelOfFileOpen(possible.map(\.name)) }
        return first
    }

    /// - Parameter body: what is sent on, with its members.
    static func admission(
        _ asked: Asked, _ caller: Caller, _ config: CompiledConfig, _ named: Named, _ body: ByteBuffer, requestID: RequestID,
        at admittedAt: Int64
    ) throws(Rejection) -> Admission {
        let admission = Admission(
            asked, caller, config, named.model, named.route, named.members, body, requestID: requestID, at: admittedAt)
        if admission.serviceTier != .standard { try checkServiceTier(admission.serviceTier, named.route, admittedAt / 1000) }
        if let choice = asked.choice { try admission.take(choice) }
        if caller.dialect == .responses, let name = named.members.previousResponseID {
            try admission.goOn(from: body.withUnsafeReadableBytes { Array($0[name]) })
        }
        if let files = asked.files, !admission.stay(at: files.place) { throw .fileElsewhere(admission.model.name) }
        return admission
    }

    /// Whether a caller's request may be served by a model.
    static func check(
        _ model: CompiledModel, for caller: Caller, _ capability: RequestTarget.Capability, _ members: RequestMembers
    ) throws(Rejection) {
        // A model that the tenant may not see is answered like one that is not there.
        guard model.isVisible(to: caller.tenant) else { throw .modelNotFound(model.name) }
        if let scopes = caller.scopes {
            guard scopes.allows(model: model.name) else {
                throw .forbidden("model_not_allowed", "The key may not use the model '\(model.name)'.")
            }
            guard scopes.allows(capability: capability.set) else {
                throw .forbidden("capability_not_allowed", "The key may not be used for \(capability.word).")
            }
        }
        guard model.capabilities.contains(capability.set) else {
            throw .badRequest("unsupported_capability", "The model '\(model.name)' does not do \(capability.word).", param: "model")
        }
        if caller.dialect == .messages, capability == .chat, members.maxTokens == nil {
            throw .badRequest("missing_required_parameter", "max_tokens: Field required", param: "max_tokens")
        }
    }

    /// The answer's bound, by whichever name, is not above what the model writes.
    static func checkOutput(_ members: RequestMembers, _ model: CompiledModel) throws(Rejection) {
        try checkLength("max_tokens", members.maxTokens, model)
        try checkLength("max_output_tokens", members.maxOutputTokens, model)
        try checkLength("max_completion_tokens", members.maxCompletionTokens, model)
    }

    private static func checkLength(
        _ name: StaticString, _ given: RequestMembers.Given<Int64>?, _ model: CompiledModel
    ) throws(Rejection) {
        guard let given, model.maxOutputTokens > 0, given.value > model.maxOutputTokens else { return }
        throw .badRequest(
            "max_tokens_too_large", "\(name) is \(given.value); the model '\(model.name)' writes at most \(model.maxOutputTokens).",
            param: "\(name)")
    }

    /// What of a channel's plan needs the request's own numbers alone.
    /// - Returns: what serves it instead, where it is too long for its model and its route has a longer one.
    static func checkNumbers(
        _ named: Named, _ plan: CompiledPlan, _ caller: Caller, _ config: CompiledConfig, _ capability: RequestTarget.Capability,
        _ body: ByteBuffer
    ) throws(Rejection) -> (model: CompiledModel, route: CompiledRoute)? {
        if plan.outputLimit == .reject {
            do throws(Rejection) { try checkOutput(named.members, named.model) } catch {
                var rejection = error
                let step = plan.steps.first { if case .outputLimit = $0.check { true } else { false } }
                if let message = step?.message { rejection.message = message }
                throw rejection
            }
        }
        guard let (bytes, action) = plan.contextWindow, action != .skip,
            let tokens = excess(named.members, body, named.model, capability, bytes)
        else { return nil }
        return try roomier(
            than: named.model, named.route, tokens, degrades: action == .degrade, caller, config, capability, named.members,
            plan.steps.first { if case .contextWindow = $0.check { true } else { false } }?.message)
    }

    /// How many tokens a prompt has at least that cannot fit its model; nil where it may fit.
    static func excess(
        _ members: RequestMembers, _ body: ByteBuffer, _ model: CompiledModel, _ capability: RequestTarget.Capability,
        _ bytesPerToken: Int64
    ) -> Int64? {
        // How long it is may be asked of any.
        if capability == .countTokens { return nil }
        // All of its bytes are more than what counts of them.
        guard model.contextWindow > 0, Int64(body.readableBytes) / bytesPerToken > model.contextWindow else { return nil }
        let tokens = body.withUnsafeReadableBytes { bytes in
            ContextFit.tokens(
                members, of: bytes, bytesPerToken: bytesPerToken, holdsMany: capability == .embeddings || capability == .completions)
        }
        return tokens > model.contextWindow ? tokens : nil
    }

    /// The first model that a route falls back to which the caller may use and the prompt fits.
    /// - Throws: where there is none, or the route does not fall back for that.
    static func roomier(
        than model: CompiledModel, _ route: CompiledRoute, _ tokens: Int64, degrades: Bool, _ caller: Caller, _ config: CompiledConfig,
        _ capability: RequestTarget.Capability, _ members: RequestMembers, _ message: String?
    ) throws(Rejection) -> (model: CompiledModel, route: CompiledRoute) {
        if degrades || route.fallsBackOnContextWindow {
            for name in route.fallbacks {
                guard let other = config.model(named: name), let route = other.route,
                    other.contextWindow == 0 || other.contextWindow >= tokens, (try? check(other, for: caller, capability, members)) != nil
                else { continue }
                return (other, route)
            }
        }
        throw .tooLong(model, tokens, caller.dialect, message)
    }

    /// Whether a model that comes to serve instead takes as much, and writes as much, as the request is and asks for.
    static func fits(_ model: CompiledModel, _ admission: Admission) -> Bool {
        let plan = admission.config.plan(of: admission.caller.channel)
        if let action = plan.outputLimit, action != .skip, (try? checkOutput(admission.members, model)) == nil { return false }
        guard let (bytes, action) = plan.contextWindow, action != .skip else { return true }
        return excess(admission.members, admission.body, model, admission.capability, bytes) == nil
    }

    /// What a provider keeps between requests is its account's, which all tenants of this gateway share: whoever knows an id finds it again. So
    /// responses are gone on from by names that are the tenant's own, and conversations and references to items are not handed on.
    private static func checkState(_ members: RequestMembers, _ body: ByteBuffer) throws(Rejection) {
        if members.namesConversation {
            throw .badRequest(
                "unsupported", "This gateway keeps no conversations. Send the conversation's items as input, in place of conversation.",
                param: "conversation")
        }
        if members.background?.value == true {
            throw .badRequest(
                "unsupported", "This gateway runs nothing in the background: background has to be false.", param: "background")
        }
        guard let input = members.input else { return }
        let reference = body.withUnsafeReadableBytes { ResponseIDs.reference(in: UnsafeRawBufferPointer(rebasing: $0[input])) }
        if let reference {
            throw .badRequest(
                "unsupported",
                "This gateway hands on no references to items that a provider keeps. Send the item itself, or go on from its response by "
                    + "previous_response_id.", param: "input[\(reference)]")
        }
    }

    /// Whether another route may serve a request of this tier.
    static func takesServiceTier(_ admission: Admission, _ route: CompiledRoute) -> Bool {
        (try? checkServiceTier(admission.serviceTier, route, admission.admittedAt / 1000)) != nil
    }

    /// A tier that costs more than prices here say would be served below its cost; those that cost less are charged at the price.
    static func checkServiceTier(_ tier: ServiceTier, _ route: CompiledRoute, _ now: Int64) throws(Rejection) {
        guard tier == .priority else { return }
        let isUnpriced = route.targets.contains { target in
            target.price(atMilliseconds: now).map { !$0.card.takesStatedCost && !$0.card.prices(.priority) } ?? false
        }
        guard isUnpriced else { return }
        throw .badRequest(
            "unsupported_service_tier", "This gateway has no price of the model for the service tier 'priority', which costs more.",
            param: "service_tier")
    }

    private static func find(_ asked: RequestMembers.Text, _ body: ByteBuffer, _ config: CompiledConfig) -> CompiledModel? {
        if asked.hasEscapes { return config.model(named: text(asked, body)) }
        return body.withUnsafeReadableBytes { config.model(named: UnsafeRawBufferPointer(rebasing: $0[asked.content])) }
    }

    fileprivate static func text(_ asked: RequestMembers.Text, _ body: ByteBuffer) -> String {
        body.withUnsafeReadableBytes { bytes in
            let text = asked.hasEscapes ? JSONText.unescape(bytes, asked.content) ?? [] : Array(bytes[asked.content])
            return String(decoding: text.prefix(256), as: UTF8.self)
        }
    }
}
