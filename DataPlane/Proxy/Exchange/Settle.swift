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
    var flags = UsageFlags()

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
        if principal.kind == .app { principal.id.withText(prefix: AppEntry.idPrefix) { loop.encoder.field(.appID, $0) } }
        if principal.kind == .did { principal.id.withText(prefix: DIDEntry.idPrefix) { loop.encoder.field(.did, $0) } }
        if let delegate = principal.delegate { delegate.withText(prefix: KeyEntry.idPrefix) { loop.encoder.field(.keyID, $0) } }
        if let user = principal.user { user.withText(prefix: UserEntry.idPrefix) { loop.encoder.field(.userID, $0) } }
        if let owner = principal.owner { owner.withText(prefix: UserEntry.idPrefix) { loop.encoder.field(.ownerID, $0) } }
        loop.encoder.field(.model, admission.model.nameBytes)
        loop.encoder.field(.routeID, admission.route.idBytes)
        loop.encoder.field(.capability, UInt64(admission.capability.rawValue))
        loop.encoder.field(.channel, admission.caller.channel.word)
        loop.encoder.field(.streaming, admission.isStreaming)
        if dialect != .openAI { loop.encoder.field(.dialect, dialect.word) }
        loop.encoder.field(.admittedAtUs, admission.admittedAt)
        loop.encoder.field(.configVersion, admission.config.version)
        // Of what is sent on while it comes there is nothing to be counted until it is whole.
        if admission.upload == nil { encodeSize(admission) }
        if admission.traceID != .absent { loop.encoder.field(.traceID, high: admission.traceID.high, low: admission.traceID.low) }
        if let scopes = admission.caller.scopes {
            for tag in scopes.tags { loop.encoder.field(.tags, tag) }
        }
        if admission.budget != nil { encodeHolds(admission) }
        // Where it is going first, so that a record cut short by a crash can be priced.
        encode(attempt.candidate, attempt.price)
        do throws(JournalRefusal) {
            try loop.journal.intent(requestID, loop.encoder.bytes)
        } catch {
            throw .usageNotStorable(error.code)
        }
    }

    private func encodeSize(_ admission: Admission) {
        loop.encoder.field(.estimatedInputTokens, admission.estimatedInputTokens)
        loop.encoder.field(.requestBytes, admission.requestBytes)
    }

    /// All of an upload has come, and is about to be sent: from now on it may have been served. See `isUnsentUpload`.
    func recordWholeRequest(_ admission: Admission) {
        loop.encoder.reset()
        encodeSums()
        encodeSize(admission)
        if admission.budget != nil { encodeExtensions(admission) }
        loop.encoder.always(.attempts, UInt64(sums.attempts) &+ 1)
        loop.encoder.field(.sentUpstream, true)
        loop.journal.progress(requestID, loop.encoder.bytes)
        loop.scheduleTick()
    }

    private func encode(_ candidate: Candidate, _ price: CompiledPrice?) {
        loop.encoder.append(candidate.target.usageFields)
        if let credential = candidate.credential { loop.encoder.field(.credentialID, credential.idBytes) }
        if let price { loop.encoder.field(.priceID, price.idBytes) }
    }

    /// After an attempt that another one follows: what it came to, and where the request goes now, is in the journal before the next one's
    /// answer can be.
    func recordSums(before next: Attempt, _ admission: Admission) {
        loop.encoder.reset()
        encodeSums()
        encodeServing(admission)
        if admission.budget != nil {
            encodeExtensions(admission)
            encodeLikely(admission, admission.isStreaming ? LikelyCase(unheard: admission) : nil)
        }
        loop.encoder.always(.attempts, UInt64(sums.attempts) &+ 1)
        encode(next.candidate, next.price)
        loop.encoder.field(.sentUpstream, sums.sentUpstream)
        loop.journal.progress(requestID, loop.encoder.bytes)
        loop.scheduleTick()
    }

    /// Before a hedge goes out beside the first attempt: what both have likely come to if nothing more is heard of either. The record names the
    /// first one's endpoint until one of them has ended.
    func recordBoth(_ first: Attempt, _ hedge: Attempt, _ admission: Admission) {
        var both = sums
        both.add(first.soFar)
        both.add(hedge.soFar)
        loop.encoder.reset()
        encode(both.usage, both.flags, both.cost)
        encodeServing(admission)
        if admission.budget != nil {
            encodeExtensions(admission)
            encodeLikely(admission, admission.isStreaming ? LikelyCase(unheard: admission).doubled : nil)
        }
        loop.encoder.always(.attempts, UInt64(both.attempts))
        encode(first.candidate, first.price)
        loop.encoder.field(.sentUpstream, true)
        loop.journal.progress(requestID, loop.encoder.bytes)
        loop.scheduleTick()
    }

    /// Of two values in a record the later one counts: the model that serves the request takes the place of the one that was asked for.
    private func encodeServing(_ admission: Admission) {
        guard admission.model !== admission.requested else { return }
        loop.encoder.field(.model, admission.model.nameBytes)
        loop.encoder.field(.routeID, admission.route.idBytes)
    }

    /// Writes the completion to the journal's buffer.
    /// - Parameter attempt: the last one, or the first if none was made.
    func settle(_ admission: Admission, _ attempt: Attempt, _ outcome: AttemptOutcome?, _ verdict: Verdict) {
        let now = loop.nowMicroseconds
        settleRates(admission)
        sums.flags.formUnion(verdict.flags)
        loop.encoder.reset()
        loop.encoder.always(.status, verdict.isFailure ? 2 : 1)
        if admission.budget != nil { settleBudget(admission) }
        if let origin = verdict.origin { loop.encoder.field(.errorOrigin, UInt64(origin.rawValue)) }
        loop.encoder.field(.errorCode, verdict.code)
        loop.encoder.field(.httpStatus, UInt64(verdict.status))
        loop.encoder.field(.upstreamStatus, UInt64(outcome?.providerStatus ?? 0))
        encodeSums()
        if admission.upload != nil { encodeSize(admission) }
        loop.encoder.field(.latencyUs, now - startedAt)
        if firstByteAt > 0 { loop.encoder.field(.timeToFirstByteUs, firstByteAt - startedAt) }
        loop.encoder.always(.attempts, UInt64(sums.attempts))
        loop.encoder.always(.responseBytes, UInt64(max(0, outcome?.responseBytes ?? 0)))
        if sums.attempts > 1 {
            encode(attempt.candidate, attempt.price)
            encodeServing(admission)
        }
        loop.encoder.field(.sentUpstream, sums.sentUpstream)
        if let outcome, !earlier.isEmpty {
            encodeAttempts(EndedAttempt(attempt, outcome), verdict)
        }
        loop.journal.completion(requestID, loop.encoder.bytes)
        loop.scheduleTick()

        loop.metrics.latency.record(now - startedAt)
        if firstByteAt > 0 { loop.metrics.timeToFirstByte.record(firstByteAt - startedAt) }
        if sums.flags.contains(.estimated) { loop.metrics.estimatedRecords &+= 1 }
    }

    /// All attempts, where there were several: first to last, those for which a completion has no room as one sum, so that the attempts
    /// of a record always come to its total.
    private func encodeAttempts(_ last: EndedAttempt, _ verdict: Verdict) {
        let reserve = loop.journal.completionReserve
        // Admission lies within the same turn of the loop as the end of the body, where the first attempt's clock was read. Of two at one time
        // the later one may have ended first.
        let begin = earlier.reduce(last.outcome.startedAt) { min($0, $1.outcome.startedAt) }
        var summed = AttemptSums()
        for ended in earlier where !encode(ended, verdict: nil, from: begin, limit: reserve - Self.lastAttemptsBytes) {
            summed.add(ended.outcome)
        }
        if summed.attempts > 0 {
            loop.encoder.attempt(limit: reserve) { encoder in
                encoder.field(.errorCode, "further_attempts")
                Self.encode(summed.usage, summed.flags, summed.cost, to: &encoder)
                encoder.field(.sentUpstream, summed.sentUpstream)
            }
        }
        encode(last, verdict: verdict, from: begin, limit: reserve)
    }

    /// Room for a sum of attempts and for the last of them.
    private static let lastAttemptsBytes = 512

    /// One of the record's attempts.
    /// - Parameters:
    ///   - verdict: of the request, for the last of them; the others were left for their own outcome's reason.
    ///   - begin: of the first of them, as they count from there.
    /// - Returns: false when it found no room.
    @discardableResult
    private func encode(_ ended: EndedAttempt, verdict: Verdict?, from begin: Int64, limit: Int) -> Bool {
        let outcome = ended.outcome
        let reason = verdict ?? Verdict(outcome.rejection)
        return loop.encoder.attempt(limit: limit) { encoder in
            if let origin = reason.origin { encoder.field(.errorOrigin, UInt64(origin.rawValue)) }
            encoder.field(.errorCode, reason.code)
            encoder.field(.upstreamStatus, UInt64(outcome.providerStatus))
            Self.encode(outcome.usage, outcome.flags, outcome.cost, to: &encoder)
            encoder.field(.latencyUs, outcome.latency)
            if let first = outcome.timeToFirstByte { encoder.field(.timeToFirstByteUs, first) }
            encoder.append(ended.candidate.target.usageFields)
            if let credential = ended.candidate.credential { encoder.field(.credentialID, credential.idBytes) }
            if let price = ended.price { encoder.field(.priceID, price.idBytes) }
            encoder.field(.sentUpstream, outcome.sentUpstream)
            encoder.field(.startedUs, max(0, outcome.startedAt - begin))
            encoder.field(.hedge, ended.isHedge)
        }
    }

    /// `always`: a completion overrules what a progress record said.
    private func encodeSums() { encode(sums.usage, sums.flags, sums.cost) }

    private func encode(_ usage: TokenUsage, _ flags: UsageFlags, _ cost: NanoDollars) {
        Self.encode(usage, flags, cost, to: &loop.encoder)
    }

    private static func encode(_ usage: TokenUsage, _ flags: UsageFlags, _ cost: NanoDollars, to encoder: inout UsageEncoder) {
        encoder.always(.inputTokens, UInt64(usage.input))
        encoder.always(.outputTokens, UInt64(usage.output))
        encoder.always(.cachedInputTokens, UInt64(usage.cachedInput))
        encoder.always(.cacheWriteTokens, UInt64(usage.cacheWrite))
        encoder.always(.reasoningTokens, UInt64(usage.reasoning))
        if usage.hasKinds {
            encoder.field(.cacheWriteHourTokens, usage.cacheWriteHour)
            encoder.field(.audioInputTokens, usage.audioInput)
            encoder.field(.imageInputTokens, usage.imageInput)
            encoder.field(.audioOutputTokens, usage.audioOutput)
            encoder.field(.imageOutputTokens, usage.imageOutput)
            encoder.field(.images, usage.images)
            encoder.field(.mediaMilliseconds, usage.milliseconds)
            encoder.field(.characters, usage.characters)
            encoder.field(.searches, usage.searches)
            encoder.field(.serviceTier, UInt64(usage.serviceTier.rawValue))
        }
        encoder.always(.flags, UInt64(flags.rawValue))
        encoder.always(.costNano, UInt64(bitPattern: cost.rawValue))
    }

    /// Called about once a second, ten times where a budget is held: what a stream has come to so far, so that a crash loses that much of its
    /// count and not all of it.
    /// - Returns: whether it is a stream that holds of a budget.
    func recordProgress() -> Bool {
        guard case .attempting(let admission, let attempt) = stage, admission.isStreaming else { return false }
        if attempt.isDueForProgress(since: lastProgressAt) { recordProgress(admission, attempt) }
        return admission.budget != nil
    }

    private func recordProgress(_ admission: Admission, _ attempt: Attempt) {
        lastProgressAt = loop.nowMicroseconds
        var soFar = sums
        soFar.add(attempt.soFar)
        let other = hedging?.beside
        if let other { soFar.add(other.soFar) }
        if admission.budget != nil, !coverStream(admission, soFar) { return giveUp(.budgetUsedUp) }
        loop.encoder.reset()
        encode(soFar.usage, soFar.flags, soFar.cost)
        loop.encoder.always(.upstreamStatus, UInt64(attempt.providerStatus))
        loop.encoder.always(.responseBytes, UInt64(max(0, attempt.responseBytes)))
        loop.encoder.always(.attempts, UInt64(soFar.attempts))
        if soFar.attempts > 1 {
            encode(attempt.candidate, attempt.price)
            encodeServing(admission)
        }
        if admission.budget != nil {
            encodeExtensions(admission)
            encodeLikely(admission, other == nil ? LikelyCase(attempt, now: loop.nowMicroseconds) : nil)
        }
        loop.encoder.field(.sentUpstream, true)
        loop.journal.progress(requestID, loop.encoder.bytes)
    }
}
