import Contract
import Formats
import Primitives
import Telemetry

/// What a request came to, as its completion says it.
struct Verdict {
    var isFailure: Bool
    var origin: Rejection.Fault?
    var code: StaticString = ""
    /// Of the answer to the caller; 0: none left.
    var status: Int
    var flags: UsageFlags = []

    /// An answer passed whole.
    static func answered(status: Int, hadError: Bool) -> Verdict {
        hadError
            ? Verdict(isFailure: true, origin: .provider, code: "provider_error_in_body", status: status)
            : Verdict(isFailure: false, status: status)
    }

    init(isFailure: Bool, origin: Rejection.Fault? = nil, code: StaticString = "", status: Int) {
        self.isFailure = isFailure
        self.origin = origin
        self.code = code
        self.status = status
    }

    /// - Parameter status: what the caller had been sent when it was broken off.
    init(_ why: Interruption, status: Int) {
        self.init(isFailure: true, origin: why.origin, code: why.code, status: status)
        flags = why.flags
    }

    init(_ rejection: Rejection) {
        self.init(isFailure: true, origin: rejection.fault, code: rejection.code, status: rejection.status)
    }
}

/// The last stage: the record. Tokens as the provider stated them, else estimated and flagged; priced with the price in force when the
/// request was admitted; summed over all attempts; written to the journal's buffer as protobuf, behind which the end of the answer waits.
extension Exchange {
    func writeIntent(_ admission: Admission, _ attempt: Attempt) throws(Rejection) {
        let principal = admission.caller.principal
        loop.encoder.reset()
        loop.encoder.field(.requestID, high: requestID.high, low: requestID.low)
        loop.encoder.field(.tenantID, principal.tenant.idBytes)
        if let project = principal.project { loop.encoder.field(.projectID, project.idBytes) }
        if principal.kind == .key { principal.id.withText(prefix: KeyEntry.idPrefix) { loop.encoder.field(.keyID, $0) } }
        loop.encoder.field(.model, admission.model.nameBytes)
        loop.encoder.field(.routeID, admission.route.idBytes)
        loop.encoder.field(.capability, UInt64(admission.capability.rawValue))
        loop.encoder.field(.channel, admission.caller.channel == .external ? "external" : "default")
        loop.encoder.field(.streaming, admission.isStreaming)
        loop.encoder.field(.admittedAtUs, admission.admittedAt)
        loop.encoder.field(.configVersion, admission.config.version)
        loop.encoder.field(.estimatedInputTokens, admission.estimatedInputTokens)
        loop.encoder.field(.requestBytes, admission.requestBytes)
        if admission.traceID != .absent { loop.encoder.field(.traceID, high: admission.traceID.high, low: admission.traceID.low) }
        // Where it is going first, so that a record cut short by a crash can be priced.
        encode(attempt.candidate, attempt.price)
        // `withUnsafeBytes` of an array throws untyped: the refusal is carried out of it.
        let refusal: JournalRefusal? = loop.encoder.buffer.withUnsafeBytes { bytes in
            do throws(JournalRefusal) {
                try loop.journal.intent(requestID, bytes)
                return nil
            } catch {
                return error
            }
        }
        if let refusal { throw .usageNotStorable(refusal.code) }
    }

    private func encode(_ candidate: Candidate, _ price: CompiledPrice?) {
        loop.encoder.field(.endpointID, candidate.endpoint.idBytes)
        loop.encoder.field(.providerID, candidate.endpoint.providerIDBytes)
        if let credential = candidate.credential { loop.encoder.field(.credentialID, credential.idBytes) }
        loop.encoder.field(.upstreamModel, candidate.target.upstreamModelBytes)
        if let price { loop.encoder.field(.priceID, price.idBytes) }
    }

    /// After an attempt that another one follows: what it came to is in the journal before the next one is made.
    func recordSums() {
        loop.encoder.reset()
        encodeSums()
        loop.encoder.always(.attempts, UInt64(sums.attempts))
        loop.encoder.field(.sentUpstream, sums.sentUpstream)
        loop.encoder.buffer.withUnsafeBytes { loop.journal.progress(requestID, $0) }
    }

    /// Writes the completion to the journal's buffer.
    /// - Parameter attempt: the last one, or the first if none was made.
    func settle(_ admission: Admission, _ attempt: Attempt, _ outcome: AttemptOutcome?, _ verdict: Verdict) {
        let now = loop.nowMicroseconds
        sums.flags.formUnion(verdict.flags)
        loop.encoder.reset()
        loop.encoder.always(.status, verdict.isFailure ? 2 : 1)
        if let origin = verdict.origin { loop.encoder.field(.errorOrigin, UInt64(origin.rawValue)) }
        loop.encoder.field(.errorCode, verdict.code)
        loop.encoder.field(.httpStatus, UInt64(verdict.status))
        loop.encoder.field(.upstreamStatus, UInt64(outcome?.providerStatus ?? 0))
        encodeSums()
        loop.encoder.field(.latencyUs, now - startedAt)
        if firstByteAt > 0 { loop.encoder.field(.timeToFirstByteUs, firstByteAt - startedAt) }
        loop.encoder.always(.attempts, UInt64(sums.attempts))
        loop.encoder.always(.responseBytes, UInt64(max(0, outcome?.responseBytes ?? 0)))
        if sums.attempts > 1 { encode(attempt.candidate, attempt.price) }
        loop.encoder.field(.sentUpstream, sums.sentUpstream)
        if let outcome, !earlier.isEmpty {
            for ended in earlier { encode(ended, verdict: nil) }
            encode(EndedAttempt(candidate: attempt.candidate, price: attempt.price, outcome: outcome), verdict: verdict)
        }
        loop.encoder.buffer.withUnsafeBytes { loop.journal.completion(requestID, $0) }
        loop.scheduleTick()

        loop.metrics.latency.record(now - startedAt)
        if firstByteAt > 0 { loop.metrics.timeToFirstByte.record(firstByteAt - startedAt) }
        if sums.flags.contains(.estimated) { loop.metrics.estimatedRecords &+= 1 }
    }

    /// One of the record's attempts, where it has several.
    /// - Parameter verdict: of the request, for the last of them; the others were left for their own outcome's reason.
    private func encode(_ ended: EndedAttempt, verdict: Verdict?) {
        let outcome = ended.outcome
        let reason = verdict ?? Verdict(outcome.rejection)
        // Admission lies within the same turn of the loop as the end of the body, where the first attempt's clock was read.
        let startedAfter = outcome.startedAt - (earlier.first?.outcome.startedAt ?? outcome.startedAt)
        loop.encoder.attempt(limit: loop.journal.completionReserve) { encoder in
            if let origin = reason.origin { encoder.field(.errorOrigin, UInt64(origin.rawValue)) }
            encoder.field(.errorCode, reason.code)
            encoder.field(.upstreamStatus, UInt64(outcome.providerStatus))
            encoder.field(.inputTokens, outcome.usage.input)
            encoder.field(.outputTokens, outcome.usage.output)
            encoder.field(.cachedInputTokens, outcome.usage.cachedInput)
            encoder.field(.cacheWriteTokens, outcome.usage.cacheWrite)
            encoder.field(.reasoningTokens, outcome.usage.reasoning)
            encoder.field(.flags, UInt64(outcome.flags.rawValue))
            encoder.field(.costNano, outcome.cost.rawValue)
            encoder.field(.latencyUs, outcome.latency)
            if let first = outcome.timeToFirstByte { encoder.field(.timeToFirstByteUs, first) }
            encoder.field(.endpointID, ended.candidate.endpoint.idBytes)
            encoder.field(.providerID, ended.candidate.endpoint.providerIDBytes)
            if let credential = ended.candidate.credential { encoder.field(.credentialID, credential.idBytes) }
            encoder.field(.upstreamModel, ended.candidate.target.upstreamModelBytes)
            if let price = ended.price { encoder.field(.priceID, price.idBytes) }
            encoder.field(.sentUpstream, outcome.sentUpstream)
            encoder.field(.startedUs, max(0, startedAfter))
        }
    }

    /// `always`: a completion overrules what a progress record said.
    private func encodeSums() { encode(sums.usage, sums.flags, sums.cost) }

    private func encode(_ usage: TokenUsage, _ flags: UsageFlags, _ cost: NanoDollars) {
        loop.encoder.always(.inputTokens, UInt64(usage.input))
        loop.encoder.always(.outputTokens, UInt64(usage.output))
        loop.encoder.always(.cachedInputTokens, UInt64(usage.cachedInput))
        loop.encoder.always(.cacheWriteTokens, UInt64(usage.cacheWrite))
        loop.encoder.always(.reasoningTokens, UInt64(usage.reasoning))
        loop.encoder.always(.flags, UInt64(flags.rawValue))
        loop.encoder.always(.costNano, UInt64(bitPattern: cost.rawValue))
    }

    /// Called about once a second: what a long stream has come to so far, so that a crash loses a second of its count and not all of it.
    func recordProgress() {
        guard case .attempting(_, let attempt) = stage, attempt.isDueForProgress(since: lastProgressAt) else { return }
        lastProgressAt = loop.nowMicroseconds
        var soFar = sums
        soFar.add(attempt.soFar)
        loop.encoder.reset()
        encode(soFar.usage, soFar.flags, soFar.cost)
        loop.encoder.always(.upstreamStatus, UInt64(attempt.providerStatus))
        loop.encoder.always(.responseBytes, UInt64(max(0, attempt.responseBytes)))
        if soFar.attempts > 1 { encode(attempt.candidate, attempt.price) }
        loop.encoder.field(.sentUpstream, true)
        loop.encoder.buffer.withUnsafeBytes { loop.journal.progress(requestID, $0) }
    }
}
