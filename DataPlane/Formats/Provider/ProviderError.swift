import Primitives

/// An error as a provider stated it: what it is about, and what of its words may be shown to a caller and to the log.
package struct ProviderError: Sendable, Equatable {
    /// What the error is about, and so who can do something about it.
    package enum Concern: String, Sendable, Hashable, CaseIterable {
        /// The request as such: the caller corrects it. No other endpoint would serve it better.
        case request
        /// The input was refused by a content rule (moderation): the caller's, too.
        case content
        /// The credential is not accepted: out of rotation with it.
        case credential
        /// The credential is good and may not do this: concerns this model and capability only.
        case scope
        /// The operator's account: no credit, a quota used up, billing. Waiting does not help.
        case account
        /// The provider does not know the model by the name it was given: the endpoint's configuration.
        case model
        /// The endpoint's address or state (404 for the path, 424): another one may serve.
        case endpoint
        /// A member that the gateway put into the request (`stream_options`): the caller's own bytes may pass.
        case addedMember
        /// Too many requests or tokens for the moment.
        case rateLimit
        /// The provider has a fault or is overloaded.
        case fault
        /// Nothing that is recognised.
        case unknown
    }

    package var concern: Concern
    /// The concern follows from what no caller can write: the status, or the error's type, code or parameter. What a message says may be the
    /// caller's own text, which many providers quote, with quotation marks or without: it decides where this request goes, and never
    /// by itself what is known of a credential or a model.
    package var isProven: Bool
    /// The status of the answer, or the one that an error inside a 200 names or implies.
    package var status: Int
    /// Nil when the body is not understood or nothing of it may be shown.
    package var shown: SanitisedError?
    /// The request is too long for the model; one with a larger window might take it.
    package var isOfContextWindow = false
    /// What of a translated request the model does not take, of that which could be left out.
    package var refusedMembers: OptionalMembers = []
    /// It does not take these with any value.
    package var refusesAnyValue = false

    package init(concern: Concern, isProven: Bool = true, status: Int, shown: SanitisedError?) {
        self.concern = concern
        self.isProven = isProven
        self.status = status
        self.shown = shown
    }

    /// Reads an answer with an error status.
    /// - Parameters:
    ///   - body: All of it, or what of it was kept.
    ///   - addedUsageRequest: The gateway added `stream_options.include_usage`, which the caller had not sent.
    ///   - optional: What of the request could be left out.
    package static func read(
        status: Int, body: UnsafeRawBufferPointer, hiding hidden: HiddenTexts = .none, addedUsageRequest: Bool = false,
        optional: OptionalMembers = []
    ) -> ProviderError {
        guard let error = ErrorBody(body) else {
            return ProviderError(concern: concern(ofStatus: status), status: status, shown: nil)
        }
        let words = ErrorWords(error)
        let shown = ProviderErrorSanitiser.sanitise(error, hiding: hidden)
        if addedUsageRequest, words.complainsOfUsageRequest(status) {
            return ProviderError(concern: .addedMember, isProven: false, status: status, shown: shown)
        }
        let concern = concern(status, words)
        var read = ProviderError(
            concern: concern, isProven: decides(status) || words.prove(concern, status), status: status, shown: shown)
        read.isOfContextWindow = concern == .request && words.areOfContextWindow
        if !optional.isEmpty, status == 400 || status == 422 {
            read.refusedMembers = words.refusedMembers.intersection(optional)
            // One value of it may do where another does not, but for sampling, of which a model takes all or nothing.
            read.refusesAnyValue =
                !(words.areOfValue || read.refusedMembers == .strict)
                || read.refusedMembers.isDisjoint(with: [.effort, .verbosity, .tier, .strict])
        }
        return read
    }

    /// Statuses that say by themselves whom an error concerns: words only narrow it.
    private static func decides(_ status: Int) -> Bool { status == 401 || status == 402 || status == 404 }

    /// Reads an error inside an answer that began with a status of success.
    static func inAnswer(_ body: UnsafeRawBufferPointer, hiding hidden: HiddenTexts) -> ProviderError {
        guard let error = ErrorBody(body) else { return ProviderError(concern: .fault, status: 502, shown: nil) }
        let words = ErrorWords(error)
        let status = words.statedStatus ?? words.impliedStatus
        let concern = concern(status, words)
        var read = ProviderError(
            concern: concern, isProven: words.statedStatus.map(decides) ?? false || words.prove(concern, words.statedStatus),
            status: status, shown: ProviderErrorSanitiser.sanitise(error, hiding: hidden))
        read.isOfContextWindow = concern == .request && words.areOfContextWindow
        return read
    }

    /// Without a body that says more.
    private static func concern(ofStatus status: Int) -> Concern {
        switch status {
        case 401: .credential
        case 402: .account
        case 404, 405, 410, 424: .endpoint
        case 408, 500...599: .fault
        case 429: .rateLimit
        case 400, 409, 411...422: .request
        default: .unknown
        }
    }

    fileprivate static func concern(_ status: Int, _ words: ErrorWords) -> Concern {
        switch status {
        case 401:
            return words.areOfScope ? .scope : words.areOfAccount ? .account : .credential
        case 402: return .account
        case 403:
            // Moderation first: its message may quote the input, which may speak of anything.
            if words.areOfContent { return .content }
            if words.areOfModel { return .model }
            if words.areOfCredential { return .credential }
            if words.areOfAccount { return .account }
            return words.areOfScope ? .scope : .unknown
        case 404: return words.areOfModel ? .model : words.nameAPartOfTheRequest ? .request : .endpoint
        case 424: return .endpoint
        case 429: return words.areOfAccount ? .account : .rateLimit
        case 400, 422:
            if words.areOfContent { return .content }
            // What blames a part of the request may quote it, and nobody's text decides over the operator's credential.
            if words.nameAPartOfTheRequest { return .request }
            if words.areOfCredential { return .credential }
            if words.areOfModel { return .model }
            return words.areOfAccount ? .account : .request
        default: return concern(ofStatus: status)
        }
    }
}

/// The words of an error, made comparable. What stands in quotes is left out of the message: it may be the caller's text, and nobody's text
/// may decide over the operator's credential.
private struct ErrorWords {
    private var message: String
    private var quoted: String
    /// Type, code and the vendor's reason.
    private let names: [String]
    private let param: String
    private let locations: [String]
    private let hasFlaggedInput: Bool
    private let codeNumber: Int?
    private let statusNumber: Int?

    init(_ error: ErrorBody) {
        let whole = error.message ?? ""
        let text = String(whole.prefix(2_000)).lowercased()
        quoted = text
        message = Self.withoutQuotes(text, isWhole: whole.count <= 2_000)
        names = [error.type, error.code].compactMap { $0?.stringValue?.lowercased() }
        param = error.param?.stringValue?.lowercased() ?? ""
        locations = error.locations.map { $0.lowercased() }
        hasFlaggedInput = error.metadata?["flagged_input"] != nil || error.metadata?["reasons"] != nil
        codeNumber = error.code?.intValue.flatMap { Int(exactly: $0) } ?? error.code?.stringValue.flatMap { Int($0) }
        statusNumber = error.status.flatMap { Int(exactly: $0) }
    }

    /// Whether the concern follows without the message, which may hold anybody's text.
    /// - Parameter status: nil for an error that states none.
    func prove(_ concern: ProviderError.Concern, _ status: Int?) -> Bool {
        var names = self
        names.message = ""
        names.quoted = ""
        return concern == ProviderError.concern(status ?? names.impliedStatus, names) || (concern == .model && param == "model")
    }

    /// What stands ahead of the first quotation mark and behind the last one: a text that is quoted may hold such marks itself.
    private static func withoutQuotes(_ text: String, isWhole: Bool) -> String {
        let characters = Array(text)
        func isMark(_ index: Int) -> Bool {
            switch characters[index] {
            case "\"", "`": return true
            case "'":
                // Between two letters it is an apostrophe.
                guard index > 0, index + 1 < characters.count else { return true }
                return !characters[index - 1].isLetter || !characters[index + 1].isLetter
            default: return false
            }
        }
        guard let first = characters.indices.first(where: isMark) else { return text }
        let ahead = String(characters[..<first])
        guard isWhole, let last = characters.indices.last(where: isMark), last > first else { return ahead }
        return ahead + " " + String(characters[(last + 1)...])
    }

    private func names(_ candidates: String...) -> Bool { names.contains { name in candidates.contains { name.contains($0) } } }
    private func says(_ candidates: String...) -> Bool { candidates.contains { message.contains($0) } }

    var areOfContent: Bool {
        hasFlaggedInput || names("content_filter", "content_policy", "moderation", "flagged", "responsibleaipolicy", "safety")
            || says("flagged", "moderation", "content policy", "content management policy", "content filter", "usage policies")
    }

    var areOfCredential: Bool {
        names("invalid_api_key", "api_key_invalid", "authentication_error", "invalid_authentication", "invalid_key", "unauthenticated")
            || says("incorrect api key", "invalid api key", "api key not valid", "api key is invalid", "api key is disabled", "no api key")
    }

    var areOfScope: Bool {
        names("missing_scope", "insufficient_permissions", "insufficient_scope", "permission_denied", "permission_error")
            || says("missing scope", "insufficient permission", "insufficient scope")
    }

    var areOfAccount: Bool {
        names(
            "insufficient_quota", "insufficient_credits", "insufficient_balance", "billing", "payment_required", "account_deactivated",
            "credits_exhausted")
            || says(
                "exceeded your current quota", "insufficient balance", "insufficient credit", "credit balance", "billing", "out of credit",
                "more credits", "spending limit", "account is not active", "account has been deactivated")
    }

    var areOfModel: Bool {
        if names("model_not_found", "modelnotfound", "deploymentnotfound", "invalid_model", "model_not_available") { return true }
        guard message.contains("model") || message.contains("deployment") else { return false }
        // Anthropic's.
        if names("not_found_error"), message.hasPrefix("model:") { return true }
        return param == "model" && says("not found", "does not exist", "not exist", "unknown", "invalid")
            || says(
                "model not found", "model does not exist", "model not exist", "unknown model", "no such model", "invalid model",
                "not a valid model", "does not have access to model", "deployment for this resource does not exist")
            || (message.hasPrefix("the model ") && says("does not exist", "not found"))
    }

    /// OpenAI's code, and what others write: Anthropic, vLLM, llama.cpp's server.
    var areOfContextWindow: Bool {
        names("context_length_exceeded", "context_window_exceeded", "exceed_context_size")
            || says(
                "maximum context length", "context window", "context length", "context limit", "context size", "prompt is too long",
                "input is too long", "too many input tokens")
    }

    /// A parameter other than the model: what was not found is something the caller named (a file, an earlier response).
    var nameAPartOfTheRequest: Bool {
        !param.isEmpty && param != "model" || locations.contains { !$0.contains("model") }
            || names("previous_response_not_found", "file_not_found", "conversation_not_found")
    }

    /// Of what the gateway added to ask for usage. The caller has not sent the member, so who names it speaks of the gateway's; and who
    /// complains of surplus members without naming one is taken to.
    func complainsOfUsageRequest(_ status: Int) -> Bool {
        guard status == 400 || status == 422 || status == 501 else { return false }
        func isOurs(_ text: String) -> Bool { text.contains("stream_options") || text.contains("include_usage") }
        if isOurs(param) || locations.contains(where: isOurs) || isOurs(quoted) { return true }
        guard param.isEmpty, locations.isEmpty else { return false }
        return says("extra inputs", "extra fields", "additional properties", "unrecognized request argument", "unknown field")
    }

    /// What the model does not take, by its name. A value that nobody takes (a temperature of 5) is the caller's to mend.
    var refusedMembers: OptionalMembers {
        // Anthropic's, of schemas that it cannot bind its model to.
        if ["compiled grammar", "strict tools", "output_config.format", "schema is too complex"].contains(where: quoted.contains) {
            return .strict
        }
        let isUnsupported =
            names("unsupported", "unknown_parameter", "unknown_argument", "extra_forbidden")
            || says(
                "support", "deprecated", "not permitted", "extra inputs", "unrecognized", "unrecognised", "unknown", "unexpected",
                "not allowed",
                "cannot both", "not accept")
        guard isUnsupported else { return [] }
        let placed = ([param] + locations.map { $0.hasPrefix("body.") ? String($0.dropFirst(5)) : $0 })
            .reduce(into: OptionalMembers()) { $0.formUnion(OptionalMembers(named: $1)) }
        // Of two that go one at a time the temperature is kept.
        if says("cannot both"), quoted.contains("temperature") { return .topP }
        return placed.isEmpty && locations.isEmpty ? OptionalMembers(in: quoted) : placed
    }

    var areOfValue: Bool { names("unsupported_value", "invalid_value") || says("supported values", "unsupported value") }

    var statedStatus: Int? {
        [statusNumber, codeNumber].compactMap { $0 }.first { (400...599).contains($0) }
    }

    /// By the words of an error that names no status.
    var impliedStatus: Int {
        if names("rate_limit", "too_many_requests", "insufficient_quota", "resource_exhausted") || says("rate limit") { return 429 }
        if names("overloaded", "unavailable") || says("overloaded") { return 503 }
        if names("timeout", "deadline_exceeded") { return 504 }
        if areOfContent || names("invalid_request", "bad_request", "badrequest", "invalid_argument", "context_length") { return 400 }
        if areOfCredential { return 401 }
        if areOfAccount { return 402 }
        if areOfScope { return 403 }
        if areOfModel { return 404 }
        return 502
    }
}
