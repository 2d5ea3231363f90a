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
        _ members: RequestMembers, _ body: ByteBuffer, capability: RequestTarget.Capability, caller: Caller, config: CompiledConfig, random: UInt64
    ) throws(Rejection) -> Admission {
        guard let nameRange = members.model else {
            throw .badRequest("missing_required_parameter", "you must provide a model parameter", param: "model")
        }
        guard let model = find(nameRange, members.modelHasEscapes, body, config) else {
            throw .modelNotFound(name(nameRange, members.modelHasEscapes, body))
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
        if let maximum = members.maxTokens, model.maxOutputTokens > 0, maximum > model.maxOutputTokens {
            throw .badRequest(
                "max_tokens_too_large", "max_tokens is \(maximum); the model '\(model.name)' writes at most \(model.maxOutputTokens).",
                param: "max_tokens")
        }
        guard let route = model.route else {
            throw Rejection(
                status: 503, fault: .weir, kind: .server, code: "model_not_routed",
                message: "No endpoint serves the model '\(model.name)' at the moment.", retryAfter: 30)
        }
        let isStreaming = members.stream == true && capability != .embeddings
        return Admission(
            model: model, route: route, isStreaming: isStreaming, clientWantsUsage: members.includeUsage == true,
            random: random)
    }

    static func rejection(for violation: JSONViolation) -> Rejection {
        .badRequest("invalid_json", "We could not parse the JSON body of your request: \(violation.reason).", param: violation.param)
    }

    private static func find(_ range: Range<Int>, _ hasEscapes: Bool, _ body: ByteBuffer, _ config: CompiledConfig) -> CompiledModel? {
        if hasEscapes { return config.model(named: name(range, true, body)) }
        return body.withUnsafeReadableBytes { config.model(named: UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    private static func name(_ range: Range<Int>, _ hasEscapes: Bool, _ body: ByteBuffer) -> String {
        body.withUnsafeReadableBytes { bytes in
            let raw = UnsafeRawBufferPointer(rebasing: bytes[range])
            return hasEscapes ? JSONString.unescape(raw) ?? "" : String(decoding: raw.prefix(256), as: UTF8.self)
        }
    }
}
