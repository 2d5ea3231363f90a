import Contract
import Formats
import NIOCore
import Primitives
import Telemetry
import Wire

/// What a request came to, as its completion says it.
struct Outcome {
    var isFailure: Bool
    var origin: Rejection.Fault?
    var code: StaticString = ""
    var flags: UsageFlags = []
}

/// The last stage: the record. Tokens as the provider stated them, else estimated and flagged; priced with the price in force when the
/// request was admitted; written to the journal's buffer as protobuf, behind which the end of the answer waits.
extension Exchange {
    func writeIntent() throws(Rejection) {
        guard let caller, let config, let model, let plan, let attempt else { throw .notConfigured() }
        let key = caller.key
        loop.encoder.reset()
        loop.encoder.field(.requestID, high: requestID.high, low: requestID.low)
        loop.encoder.field(.tenantID, key.tenant.idBytes)
        loop.encoder.field(.projectID, key.project.idBytes)
        loop.encoder.field(.keyID, key.idBytes)
        loop.encoder.field(.model, model.nameBytes)
        loop.encoder.field(.routeID, plan.routeIDBytes)
        loop.encoder.field(.capability, UInt64(capability.rawValue))
        loop.encoder.field(.channel, caller.channel == .external ? "external" : "default")
        loop.encoder.field(.streaming, isStreaming)
        loop.encoder.field(.admittedAtUs, admittedAt)
        loop.encoder.field(.configVersion, config.version)
        loop.encoder.field(.estimatedInputTokens, estimatedInputTokens)
        loop.encoder.field(.requestBytes, Int64(body.readableBytes))
        if traceID != .absent { loop.encoder.field(.traceID, high: traceID.high, low: traceID.low) }
        // Where it is going first, so that a record cut short by a crash can be priced.
        encodeAttempt(attempt)
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
        settlement = .intent
    }

    private func encodeAttempt(_ attempt: RoutePlan.Attempt) {
        let endpoint = attempt.target.endpoint
        loop.encoder.field(.endpointID, endpoint.idBytes)
        loop.encoder.field(.providerID, endpoint.providerIDBytes)
        loop.encoder.field(.credentialID, Array(attempt.credentialID.utf8))
        loop.encoder.field(.upstreamModel, attempt.target.upstreamModelBytes)
        if let price = attempt.target.price(atMilliseconds: admittedAt / 1000) { loop.encoder.field(.priceID, price.idBytes) }
    }

    /// Writes the completion to the journal's buffer. Once only, whoever comes first.
    func settle(_ outcome: Outcome) {
        guard settlement == .intent, let attempt else { return }
        settlement = .buffered
        let now = loop.readClock()
        let (usage, flags) = measuredUsage(outcome)
        let price = attempt.target.price(atMilliseconds: admittedAt / 1000)
        var allFlags = outcome.flags.union(flags)
        var cost = NanoDollars(0)
        if let price {
            // A request that the provider did not serve is not charged for having been made.
            let isCharged = usage.input > 0 || usage.output > 0 || !outcome.isFailure
            if isCharged { cost = Pricing.rate(usage, price.rates) }
        } else {
            allFlags.insert(.priceMissing)
        }
        loop.encoder.reset()
        loop.encoder.always(.status, outcome.isFailure ? 2 : 1)
        if let origin = outcome.origin { loop.encoder.field(.errorOrigin, UInt64(origin.rawValue)) }
        loop.encoder.field(.errorCode, outcome.code)
        loop.encoder.field(.httpStatus, UInt64(statusSent))
        loop.encoder.field(.upstreamStatus, UInt64(upstreamStatus))
        encodeUsage(usage, allFlags, cost)
        loop.encoder.field(.latencyUs, now - startedAt)
        if firstByteAt > 0 { loop.encoder.field(.timeToFirstByteUs, firstByteAt - startedAt) }
        loop.encoder.field(.attempts, UInt64(attempts))
        loop.encoder.always(.responseBytes, UInt64(max(0, responseBytes)))
        if attempts > 1 { encodeAttempt(attempt) }
        loop.encoder.field(.sentUpstream, sentUpstream)
        loop.encoder.buffer.withUnsafeBytes { loop.journal.completion(requestID, $0) }
        loop.scheduleTick()

        loop.metrics.latency.record(now - startedAt)
        if firstByteAt > 0 { loop.metrics.timeToFirstByte.record(firstByteAt - startedAt) }
        loop.metrics.inputTokens &+= UInt64(usage.input)
        loop.metrics.outputTokens &+= UInt64(usage.output)
        loop.metrics.costNano &+= UInt64(max(0, cost.rawValue))
        if allFlags.contains(.estimated) { loop.metrics.estimatedRecords &+= 1 }
    }

    /// `always`: a completion overrules what a progress record said.
    private func encodeUsage(_ usage: TokenUsage, _ flags: UsageFlags, _ cost: NanoDollars) {
        loop.encoder.always(.inputTokens, UInt64(usage.input))
        loop.encoder.always(.outputTokens, UInt64(usage.output))
        loop.encoder.always(.cachedInputTokens, UInt64(usage.cachedInput))
        loop.encoder.always(.cacheWriteTokens, UInt64(usage.cacheWrite))
        loop.encoder.always(.reasoningTokens, UInt64(usage.reasoning))
        loop.encoder.always(.flags, UInt64(flags.rawValue))
        loop.encoder.always(.costNano, UInt64(bitPattern: cost.rawValue))
    }

    /// What the meter read, or an estimate where the provider served something and did not say how much.
    private func measuredUsage(_ outcome: Outcome) -> (TokenUsage, UsageFlags) {
        let reading = meter.reading
        if reading.present {
            var flags: UsageFlags = []
            if !reading.flags.isDisjoint(with: [.invalid, .inconsistent, .oversize]) { flags.insert(.invalidUsage) }
            if reading.flags.contains(.duplicate) { flags.insert(.duplicateUsage) }
            var usage = TokenUsage(
                input: reading.inputTokens, output: reading.outputTokens, cachedInput: reading.cachedInputTokens,
                cacheWrite: reading.cacheWriteTokens, reasoning: reading.reasoningTokens)
            let estimate = estimatedUsage()
            if reading.flags.contains(.inputUnknown) {
                usage.input = estimate.input
                flags.insert(.estimated)
            }
            if reading.flags.contains(.outputUnknown), capability != .embeddings {
                usage.output = estimate.output
                flags.insert(.estimated)
            }
            return (usage, flags)
        }
        if (200..<300).contains(upstreamStatus) { return (estimatedUsage(), [.estimated, .usageAbsent]) }
        // Sent, and nothing came back that says what became of it: the client left, a deadline passed, the connection broke. The provider
        // may well charge for its input, so the outcome is unknown and not nothing.
        if sentUpstream, upstreamStatus == 0 { return (estimatedUsage(), .estimated) }
        // An error of the provider's, or a request that never reached it: nothing to charge.
        return (TokenUsage(), [])
    }

    func estimatedUsage() -> TokenUsage {
        TokenUsage(
            input: estimatedInputTokens, output: capability == .embeddings ? 0 : TokenEstimate.output(contentBytes: meter.contentBytes))
    }

    /// Called about once a second: what a long stream has come to so far, so that a crash loses a second of its count and not all of it.
    func recordProgress() {
        guard phase == .responding, settlement == .intent, isStreaming, let attempt else { return }
        guard loop.nowMicroseconds - max(lastProgressAt, firstByteAt) >= 1_000_000 else { return }
        lastProgressAt = loop.nowMicroseconds
        let usage = estimatedUsage()
        let price = attempt.target.price(atMilliseconds: admittedAt / 1000)
        loop.encoder.reset()
        encodeUsage(usage, .estimated, price.map { Pricing.rate(usage, $0.rates) } ?? NanoDollars(0))
        loop.encoder.always(.upstreamStatus, UInt64(upstreamStatus))
        loop.encoder.always(.responseBytes, UInt64(max(0, responseBytes)))
        if attempts > 1 { encodeAttempt(attempt) }
        loop.encoder.field(.sentUpstream, true)
        loop.encoder.buffer.withUnsafeBytes { loop.journal.progress(requestID, $0) }
    }
}
