import Contract
import Formats
import Primitives

/// What an attempt came to.
extension Attempt {
    func outcome(_ ending: AttemptOutcome.Ending) -> AttemptOutcome {
        let now = loop.readClock()
        var outcome = AttemptOutcome(
            ending: ending, sentUpstream: isSent, providerStatus: providerStatus, startedAt: startedAt, latency: now - startedAt,
            timeToFirstByte: firstByteAt > 0 ? firstByteAt - startedAt : nil, responseBytes: responseBytes)
        outcome.wasUploading = wasUploading
        switch ending {
        case .answered:
            (outcome.usage, outcome.flags) = measured()
            charge(&outcome, always: true)
        case .lost, .broken, .abandoned:
            // Sent, and nothing came back that says what became of it: the provider may well charge for its input.
            if isSent, providerStatus < 400 { (outcome.usage, outcome.flags) = measured() }
            charge(&outcome, always: false)
        case .refused:
            // An error that the provider stated costs nothing, unless it states usage with it. What a Messages stream opens with is no whole one.
            guard meter.reading.isComplete else { break }
            (outcome.usage, outcome.flags) = measured()
            charge(&outcome, always: false)
        // Nothing was sent, or nothing was served.
        case .unusable, .unreachable, .exhausted, .notBegun: break
        }
        switch ending {
        case .notBegun, .unreachable: outcome.sentUpstream = false
        default: break
        }
        if case .broken(let why) = ending { outcome.flags.formUnion(why.flags) }
        if case .abandoned(let why) = ending { outcome.flags.formUnion(why.flags) }
        return outcome
    }

    /// - Parameter always: also where no tokens were used, for a price per request.
    private func charge(_ outcome: inout AttemptOutcome, always: Bool) {
        if admission.isFree { return }
        if admission.capability == .forward { return chargeAsStated(&outcome) }
        guard let price else {
            outcome.flags.insert(.priceMissing)
            return
        }
        if price.card.takesStatedCost, let stated = meter.reading.costNano {
            outcome.cost = Pricing.stated(stated, outcome.usage, price.card)
            outcome.flags.insert(outcome.cost.rawValue == stated ? .providerStatedCost : [.providerStatedCost, .invalidUsage])
            return
        }
        if always || !outcome.usage.isNone { outcome.cost = Pricing.rate(outcome.usage, price.card) }
    }

    /// What the provider says that it cost, where it says so; what brings no tokens costs nothing.
    private func chargeAsStated(_ outcome: inout AttemptOutcome) {
        if let cost = meter.reading.costNano {
            outcome.cost = NanoDollars(cost)
            outcome.flags.insert(.providerStatedCost)
        } else if admission.isForwardedGeneration || meter.reading.present {
            outcome.flags.insert(.priceMissing)
        }
    }

    /// The one in force when the request was admitted. Counting tokens is free, and looking at what is kept, whatever a request costs.
    var price: CompiledPrice? {
        admission.isFree ? nil : candidate.target.price(atMilliseconds: admission.admittedAt / 1000)
    }

    /// What the meter read, or an estimate where the provider served something and did not say how much.
    private func measured() -> (TokenUsage, UsageFlags) {
        // A file has no tokens, whatever its description or its content says.
        if admission.isFree || admission.capability == .files { return (TokenUsage(), []) }
        let reading = meter.reading
        if let media = admission.media { return media.usage(reading, of: self) }
        guard reading.present else {
            if admission.forward != nil, !admission.isForwardedGeneration { return (TokenUsage(), []) }
            return (estimatedUsage, (200..<300).contains(providerStatus) ? [.estimated, .usageAbsent] : .estimated)
        }
        var flags: UsageFlags = []
        if !reading.flags.isDisjoint(with: [.invalid, .inconsistent, .oversize]) { flags.insert(.invalidUsage) }
        if reading.flags.contains(.duplicate) { flags.insert(.duplicateUsage) }
        var usage = TokenUsage(
            input: reading.inputTokens, output: reading.outputTokens, cachedInput: reading.cachedInputTokens,
            cacheWrite: reading.cacheWriteTokens, reasoning: reading.reasoningTokens)
        if reading.hasKinds { usage.takeKinds(of: reading) }
        usage.serviceTier = servedTier(reading.serviceTier)
        let estimate = estimatedUsage
        // What was embedded had tokens, whatever the provider says.
        if reading.flags.contains(.inputUnknown) || (admission.capability == .embeddings && usage.input == 0) {
            usage.input = estimate.input
            flags.insert(.estimated)
        }
        if reading.flags.contains(.outputUnknown), admission.capability.generates {
            // A stream that was cut may have said how much there was until then.
            usage.output = max(estimate.output, usage.output)
            flags.insert(.estimated)
        }
        return (usage, flags)
    }

    private var estimatedUsage: TokenUsage {
        if let media = admission.media { return media.usage(.absent, of: self).0 }
        var usage = TokenUsage(
            input: admission.estimatedInputTokens,
            output: admission.capability.generates
                ? TokenEstimate.output(contentBytes: meter.contentBytes, pieces: meter.contentPieces) : 0)
        if admission.serviceTier != .standard { usage.serviceTier = servedTier(meter.reading.serviceTier) }
        return usage
    }

    /// What the provider says, where it is what was asked for, and so reserved: who asks for priority may get it or the standard tier. Where it says
    /// nothing the caller got what it asked for.
    private func servedTier(_ stated: ServiceTier?) -> ServiceTier {
        guard let stated else { return admission.serviceTier }
        return stated == admission.serviceTier ? stated : .standard
    }

    /// What the attempt has come to in the middle of its answer, without the provider's word.
    var soFar: AttemptOutcome {
        var outcome = AttemptOutcome(
            ending: .lost("", isTimeout: false), sentUpstream: isSent, providerStatus: providerStatus, startedAt: startedAt, latency: 0,
            responseBytes: responseBytes)
        outcome.usage = estimatedUsage
        outcome.flags = .estimated
        charge(&outcome, always: false)
        return outcome
    }
}

extension UsageReading: TokenKinds {}
