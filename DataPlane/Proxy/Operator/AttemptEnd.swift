import Formats

/// The end of one attempt, as those who watch endpoints hear of it.
struct AttemptEnd {
    let model: CompiledModel
    let endpoint: CompiledEndpoint
    /// Empty for a provider without authentication.
    let credentialID: String
    let configVersion: UInt64
    let result: AttemptResult
    /// Whether the provider refused the credential as such, and not for what it was used for.
    let refusesCredential: Bool
    /// Whether the endpoint is to be blamed; nil when the attempt says nothing of it.
    let isFailure: Bool?
    /// What is known beyond the result, for the log: the connection's error, or the provider's words, cleaned.
    let detail: String
    /// Microseconds.
    let latency: Int64
    let timeToFirstByte: Int64?

    init(_ attempt: Attempt, _ outcome: AttemptOutcome) {
        model = attempt.admission.model
        endpoint = attempt.candidate.endpoint
        credentialID = attempt.candidate.credential?.id ?? ""
        configVersion = attempt.admission.config.version
        latency = outcome.latency
        timeToFirstByte = outcome.timeToFirstByte
        var refusesCredential = false
        var isDoubtful = false
        var detail = ""
        switch outcome.ending {
        case .answered: result = .answered(status: outcome.providerStatus)
        case .refused(let error, _):
            result = .answered(status: outcome.providerStatus)
            refusesCredential = error.isProven && (error.concern == .credential || error.concern == .account)
            // Its message alone says that the operator has to do something, and may be quoting the caller: told, with the words.
            isDoubtful = !error.isProven && (error.concern.isOfCredential || error.concern == .model)
            detail = error.shown?.message ?? ""
        case .unusable(let text):
            result = .unusable
            detail = text
        case .unreachable(_, .forbidden(let refusal)): result = .forbidden(refusal)
        case .unreachable(let text, let why):
            result = if case .timeout = why { .timedOut } else { .unreachable }
            detail = text
        case .lost(let text, let isTimeout):
            result = isTimeout ? .timedOut : .broken
            detail = text
        case .broken(let why): result = why.origin == .provider ? .broken : .stopped
        case .abandoned(let why): result = why.isClientGone ? .clientLeft : why.isOvertaken ? .overtaken : .stopped
        case .exhausted: result = .noRoom
        case .notBegun: result = .notBegun
        }
        self.refusesCredential = refusesCredential
        isFailure = isDoubtful ? true : result.isFailure
        self.detail = detail
    }
}

extension LoopContext {
    /// Where the metrics, the log and `weir fleet endpoints` hear of attempts.
    func attemptEnded(_ end: AttemptEnd) {
        attempts.count(
            end.model, end.endpoint, version: end.configVersion, end.result, duration: end.latency, firstByte: end.timeToFirstByte)
        endpointStates.ended(
            end.endpoint, credentialID: end.credentialID, end.result, refusesCredential: end.refusesCredential, isFailure: end.isFailure,
            detail: end.detail, now: nowMicroseconds)
    }
}
