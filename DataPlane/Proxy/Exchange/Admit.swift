import Formats
import NIOCore

/// Proof that a request may be sent: its caller is known, its model exists, is visible and routed, and its key's scopes allow it.
struct Admission {
    let model: CompiledModel
    let route: CompiledRoute
    let isStreaming: Bool
    let clientWantsUsage: Bool
    /// For the choice among endpoints.
    let random: UInt64

    fileprivate init(model: CompiledModel, route: CompiledRoute, isStreaming: Bool, clientWantsUsage: Bool, random: UInt64) {
        self.model = model
        self.route = route
        self.isStreaming = isStreaming
        self.clientWantsUsage = clientWantsUsage
        self.random = random
    }
}

/// The third stage. Limits, quotas and budgets will be checked here.
enum Admit {
    static func request(
        _ members: RequestMembers, _ body: ByteBuffer, capability: RequestTarget.Capability, caller: Caller, config: CompiledConfig,
        random: UInt64
    ) throws(Rejection) -> Admission {
        guard let asked = members.model else {
            throw .badRequest("missing_required_parameter", "you must provide a model parameter", param: "model")
        }
        guard let model = find(asked, body, config) else {
            throw .modelNotFound(name(asked, body))
        }
        // A model that the tenant may not see is answered like one that is not there.
        guard model.isVisible(to: caller.key.tenant) else { throw .modelNotFound(model.name) }
        if let scopes = caller.key.scopes {
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
        for (name, given) in [("max_tokens", members.maxTokens), ("max_completion_tokens", members.maxCompletionTokens)] {
            guard let given, model.maxOutputTokens > 0, given.value > model.maxOutputTokens else { continue }
            throw .badRequest(
                "max_tokens_too_large", "\(name) is \(given.value); the model '\(model.name)' writes at most \(model.maxOutputTokens).",
                param: name)
        }
        guard let route = model.route else {
            throw Rejection(
                status: 503, fault: .weir, kind: .server, code: "model_not_routed",
                message: "No endpoint serves the model '\(model.name)' at the moment.", retryAfter: 30)
        }
        let isStreaming = members.isStreaming && capability != .embeddings
        return Admission(
            model: model, route: route, isStreaming: isStreaming, clientWantsUsage: members.includesUsage,
            random: random)
    }

    static func rejection(for violation: JSONViolation) -> Rejection {
        .badRequest("invalid_json", violation.reason, param: violation.member.map { "\($0.name)" })
    }

    private static func find(_ asked: RequestMembers.Text, _ body: ByteBuffer, _ config: CompiledConfig) -> CompiledModel? {
        if asked.hasEscapes { return config.model(named: name(asked, body)) }
        return body.withUnsafeReadableBytes { config.model(named: UnsafeRawBufferPointer(rebasing: $0[asked.content])) }
    }

    private static func name(_ asked: RequestMembers.Text, _ body: ByteBuffer) -> String {
        body.withUnsafeReadableBytes { bytes in
            let text = asked.hasEscapes ? JSONText.unescape(bytes, asked.content) ?? [] : Array(bytes[asked.content])
            return String(decoding: text.prefix(256), as: UTF8.self)
        }
    }
}
