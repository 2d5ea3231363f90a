import Formats
import Wire

/// Why a request is not answered by a provider's success, as a value: whose fault it is, what the caller is told, what the log is told
/// and what further fields the answer has. `Exchange.reject` writes it, in the caller's dialect.
struct Rejection: Error, Sendable {
    enum Fault: UInt8, Sendable {
        case client = 1
        case weir = 2
        case provider = 3
    }

    /// OpenAI's `error.type` values.
    enum Kind: String, Sendable {
        case invalidRequest = "invalid_request_error"
        case authentication = "authentication_error"
        case permission = "permission_error"
        case notFound = "not_found_error"
        case rateLimit = "rate_limit_error"
        case quota = "insufficient_quota"
        case server = "server_error"
        case upstream = "upstream_error"
    }

    var status: Int
    var fault: Fault
    var kind: Kind
    var code: StaticString
    var message: String
    var param: String? = nil
    /// When a retry makes sense; nil where nobody knows, or waiting changes nothing.
    var retryMilliseconds: Int64? = nil
    /// Only the operator can change it: SDKs are told not to try again by themselves.
    var isPermanent = false
    /// For the log only; never reaches the caller.
    var detail: String? = nil
    var closesConnection = false
    /// The provider's own error, sanitised, when it is the caller's to know (its 400s): replaces code and message.
    var providerCode: String? = nil
    /// The conversation is too long for the model.
    var isOfContextWindow = false
    /// For a 405: the methods there are.
    var allow: String? = nil
    /// The provider has too much to do at the moment: Anthropic's API has a status of its own for it.
    var isOverload = false
}

extension Rejection {
    // MARK: The caller's

    static func missingKey() -> Rejection {
        Rejection(
            status: 401, fault: .client, kind: .authentication, code: "missing_api_key",
            message: "You didn't provide an API key. Send your Weir key in the Authorization header: Authorization: Bearer weir_...")
    }

    static func invalidKey(_ message: String) -> Rejection {
        Rejection(status: 401, fault: .client, kind: .authentication, code: "invalid_api_key", message: message)
    }

    static func forbidden(_ code: StaticString, _ message: String) -> Rejection {
        Rejection(status: 403, fault: .client, kind: .permission, code: code, message: message)
    }

    static func badRequest(_ code: StaticString, _ message: String, param: String? = nil) -> Rejection {
        Rejection(status: 400, fault: .client, kind: .invalidRequest, code: code, message: message, param: param)
    }

    static func modelNotFound(_ name: String) -> Rejection {
        Rejection(
            status: 404, fault: .client, kind: .notFound, code: "model_not_found",
            message: "The model '\(name)' does not exist or you do not have access to it. GET /v1/models lists the ones you can use.",
            param: "model")
    }

    /// The prompt cannot fit the model, however its text is cut into tokens. In the words that each API's clients look for.
    static func tooLong(_ model: CompiledModel, _ tokens: Int64, _ dialect: Dialect, _ message: String?) -> Rejection {
        let words =
            dialect == .messages
            ? "prompt is too long: at least \(tokens) tokens > \(model.contextWindow) maximum"
            : "This model's maximum context length is \(model.contextWindow) tokens. However, your request has at least \(tokens) tokens. Please "
                + "reduce its length."
        return badRequest("context_length_exceeded", message ?? words, param: dialect == .responses ? "input" : "messages")
    }

    /// No endpoint of the model can be asked in the dialect that the caller speaks.
    static func unsupportedDialect(_ model: String, _ dialect: Dialect, _ capability: RequestTarget.Capability) -> Rejection {
        let what =
            switch (dialect, capability) {
            case (.openAI, .chat): "chat completions"
            case (.openAI, _): capability.word
            case (.responses, _): "the Responses API"
            case (.messages, .countTokens): "counting tokens in the Messages API"
            case (.messages, _): "the Messages API"
            }
        return badRequest(
            "unsupported", "No provider of the model '\(model)' can be asked by way of \(what). Use another API of this gateway for it.",
            param: "model")
    }

    /// Of the request something cannot be carried over into the provider's API.
    static func untranslatable(_ refusal: TranslationRefusal) -> Rejection {
        badRequest(refusal.code == .threadUnsupported ? "thread_unsupported_request" : "unsupported", refusal.message, param: refusal.param)
    }

    static func noStoredResponses() -> Rejection {
        Rejection(
            status: 404, fault: .client, kind: .invalidRequest, code: "response_not_found",
            message: "This gateway keeps no responses: none can be fetched, cancelled or deleted. Keep what POST /v1/responses answers.")
    }

    static func unknownURL(_ method: String, _ path: String) -> Rejection {
        Rejection(
            status: 404, fault: .client, kind: .invalidRequest, code: "unknown_url",
            message: "Unknown request URL: \(method) \(path). Check the URL for typos; chat is at POST /v1/chat/completions.")
    }

    static func methodNotAllowed(_ method: String, _ path: String, allowed: String) -> Rejection {
        Rejection(
            status: 405, fault: .client, kind: .invalidRequest, code: "method_not_allowed",
            message: "\(method) is not allowed for \(path).", allow: allowed)
    }

    static func bodyTooLarge(maximum: Int) -> Rejection {
        Rejection(
            status: 413, fault: .client, kind: .invalidRequest, code: "request_too_large",
            message: "The request body is larger than \(maximum) bytes, the limit here.", closesConnection: true)
    }

    static func unstatedLength(maximum: Int) -> Rejection {
        Rejection(
            status: 413, fault: .client, kind: .invalidRequest, code: "request_too_large",
            message:
                "The form is larger than \(maximum) bytes, the limit for what does not state its length. State it (Content-Length), and send the field "
                + "model before the file: then the form is sent on as it comes.", closesConnection: true)
    }

    static func modelBehindFile(maximum: Int) -> Rejection {
        Rejection(
            status: 413, fault: .client, kind: .invalidRequest, code: "request_too_large",
            message:
                "The form is larger than \(maximum) bytes, and names no model before its file. Send the field model before the file: then the form is "
                + "sent on as it comes.",
            param: "model", closesConnection: true)
    }

    static func slowRequest() -> Rejection {
        Rejection(
            status: 408, fault: .client, kind: .invalidRequest, code: "request_timeout",
            message: "The request did not arrive in time.", closesConnection: true)
    }

    // MARK: Weir's

    static func notConfigured() -> Rejection {
        Rejection(
            status: 503, fault: .weir, kind: .server, code: "not_configured",
            message: "This gateway has no active configuration for your key yet. Its operator has to publish one and roll it out.",
            retryMilliseconds: 5000)
    }

    static func revoked() -> Rejection {
        Rejection(
            status: 503, fault: .weir, kind: .server, code: "gateway_revoked",
            message: "This gateway was taken out of service by its operator and serves nothing any more. Use another one.",
            closesConnection: true)
    }

    static func usageNotStorable(_ detail: String) -> Rejection {
        Rejection(
            status: 503, fault: .weir, kind: .server, code: "usage_not_storable",
            message: "The gateway cannot record usage at the moment, so nothing was sent to the provider. Try again later.",
            retryMilliseconds: 5000, detail: detail)
    }

    static func overloaded() -> Rejection {
        Rejection(
            status: 503, fault: .weir, kind: .server, code: "overloaded",
            message: "The gateway is at its limit of concurrent work. Try again shortly.", retryMilliseconds: 1000)
    }

    /// It waited in line for as long as it may, or there was no room for it.
    static func noPlace(_ detail: String) -> Rejection {
        Rejection(
            status: 503, fault: .weir, kind: .server, code: "endpoint_saturated",
            message: "Everything that serves this model is busy, and none of it became free in time. Try again shortly.",
            retryMilliseconds: 2000, detail: detail)
    }

    static func draining() -> Rejection {
        Rejection(
            status: 503, fault: .weir, kind: .server, code: "draining",
            message: "This gateway is being stopped. Try again: another one will answer.", retryMilliseconds: 1000,
            closesConnection: true)
    }

    /// - Parameter ofKey: the key is limited to some credentials.
    static func noCredential(ofKey: Bool = false) -> Rejection {
        if ofKey {
            return Rejection(
                status: 503, fault: .weir, kind: .server, code: "no_key_credential",
                message:
                    "None of the provider credentials that this key may use opens an endpoint of this model. Whoever administers the key has to "
                    + "name others.", isPermanent: true)
        }
        return Rejection(
            status: 503, fault: .weir, kind: .server, code: "no_provider_credential",
            message: "No provider credential is available for this model. The gateway's operator has to add one.", isPermanent: true)
    }

    static func modelNotRouted(_ name: String) -> Rejection {
        Rejection(
            status: 503, fault: .weir, kind: .server, code: "model_not_routed",
            message: "No endpoint serves the model '\(name)'. The gateway's operator has to give it a route.", isPermanent: true)
    }

    /// The request was ended before its answer had begun.
    init(_ why: Interruption) {
        self.init(
            status: why.status, fault: why.origin, kind: Kind(status: why.status), code: why.code, message: why.message, param: why.param)
        isPermanent = why.isPermanent
        if why.origin == .weir, !why.isPermanent { retryMilliseconds = 1000 }
    }

    // MARK: The provider's

    static func unreachable(_ detail: String) -> Rejection {
        Rejection(
            status: 502, fault: .provider, kind: .upstream, code: "provider_unreachable",
            message: "The provider could not be reached.", detail: detail)
    }

    /// Not the provider's doing: where the endpoint leads is not called.
    static func endpointNotAllowed(_ detail: String) -> Rejection {
        Rejection(
            status: 502, fault: .weir, kind: .upstream, code: "endpoint_not_allowed",
            message: "The gateway may not call the provider where it is. Its operator has to allow that.", isPermanent: true, detail: detail
        )
    }

    static func upstreamTimeout(_ detail: String) -> Rejection {
        Rejection(
            status: 504, fault: .provider, kind: .upstream, code: "provider_timeout",
            message: "The provider did not answer in time.", detail: detail)
    }

    static func badUpstream(_ detail: String) -> Rejection {
        Rejection(
            status: 502, fault: .provider, kind: .upstream, code: "provider_bad_response",
            message: "The provider's answer could not be understood.", detail: detail)
    }

    /// The request went out, and what became of it is not known. Whether it is sent again is the caller's to decide.
    static func outcomeUnknown(_ detail: String) -> Rejection {
        Rejection(
            status: 502, fault: .provider, kind: .upstream, code: "provider_closed",
            message: "The provider closed the connection before it answered. It may have processed the request.", detail: detail)
    }

    /// An error that the provider stated.
    init(_ error: ProviderError, retryMilliseconds wait: Int64?) {
        let words = error.shown?.message
        switch error.concern {
        case .request, .content:
            self.init(
                status: error.status, fault: .client, kind: .invalidRequest, code: "provider_rejected",
                message: words ?? "The provider refused the request (status \(error.status)).")
            param = error.shown?.param
            providerCode = error.shown?.code
            isOfContextWindow = error.isOfContextWindow
            // OpenAI's clients go by it.
            if isOfContextWindow, error.shown?.code == nil { providerCode = "context_length_exceeded" }
            return
        case .rateLimit:
            self.init(
                status: 429, fault: .provider, kind: .rateLimit, code: "provider_rate_limit",
                message: "The provider is limiting requests at the moment. Try again later.")
        case .account:
            self.init(
                status: 503, fault: .provider, kind: .upstream, code: "provider_account_exhausted",
                message: "The gateway's account at the provider has no quota left. The gateway's operator has been told.", isPermanent: true
            )
        case .credential:
            self.init(
                status: 502, fault: .provider, kind: .upstream, code: "provider_credential_refused",
                message: "The provider refused the gateway's credential. The gateway's operator has been told.", isPermanent: true)
        case .scope:
            self.init(
                status: 502, fault: .provider, kind: .upstream, code: "provider_permission_missing",
                message: "The gateway's credential may not be used for this at the provider. The gateway's operator has been told.",
                isPermanent: true)
        case .unknown:
            self.init(
                status: 502, fault: .provider, kind: .upstream, code: "provider_refused", message: "The provider refused the request.",
                isPermanent: true)
        case .model, .endpoint, .addedMember:
            self.init(
                status: 502, fault: .provider, kind: .upstream, code: "provider_misconfigured",
                message: "The provider does not serve this model as it is configured here. The gateway's operator has been told.",
                isPermanent: true)
        case .fault:
            self.init(
                status: error.status == 503 || error.status == 529 ? 503 : 502, fault: .provider, kind: .upstream, code: "provider_error",
                message: "The provider had an error (status \(error.status)). Try again later.")
            isOverload = error.status == 529 || error.shown?.type == "overloaded_error"
        }
        retryMilliseconds = isPermanent ? nil : wait
        detail = words
    }
}

extension Rejection {
    /// What a caller of Anthropic's API is told: agents go by its words of a conversation that is too long, and shorten it.
    var messagesMessage: String {
        // Anthropic's own words are left as they are.
        let isTold = ["prompt is too long", "exceed context limit"].contains { message.lowercased().contains($0) }
        return isOfContextWindow && !isTold ? "prompt is too long: " + message : message
    }

    /// Anthropic's `error.type`. What waiting does not change is no overload.
    var messagesType: String { isPermanent && status == 503 ? "api_error" : MessagesErrors.type(status: status) }

    /// Further fields of the answer.
    var fields: [ReplyHead.Field] {
        var fields: [ReplyHead.Field] = []
        if let wait = retryMilliseconds {
            fields.append(.init(name: "retry-after", value: Array(String(RetryAfter.seconds(fromMilliseconds: wait)).utf8)))
            // SDKs prefer it; it says what whole seconds cannot.
            if wait % 1000 != 0 { fields.append(.init(name: "retry-after-ms", value: Array(String(wait).utf8))) }
        }
        if isPermanent { fields.append(.init(name: "x-should-retry", value: Array("false".utf8))) }
        if let allow { fields.append(.init(name: "allow", value: Array(allow.utf8))) }
        if status == 401 { fields.append(.init(name: "www-authenticate", value: Array("Bearer".utf8))) }
        return fields
    }
}

extension Rejection.Kind {
    init(status: Int) {
        switch status {
        case 400, 408, 413: self = .invalidRequest
        case 401: self = .authentication
        case 402: self = .quota
        case 403: self = .permission
        case 502, 504: self = .upstream
        default: self = .server
        }
    }
}
