import Contract
import Formats
import Primitives
import Wire

/// A request and its limits.
extension Exchange {
    /// After it is known who asks for what, and before anything is reserved: the kill switch, then rates.
    /// - Parameter candidate: where it has to go; nil: that is chosen afterwards.
    /// - Returns: false while it waits for the counters that data planes share: it goes on by itself.
    /// - Throws: 503 for a model that is stopped; 429 naming the limit that is to be waited for longest.
    func hold(_ admission: Admission, address: LimitSubject?, candidate: Candidate? = nil) throws(Rejection) -> Bool {
        if !loop.bans.isEmpty, let why = loop.bans.interruption(of: admission.model, nowMilliseconds: receivedAt / 1000) {
            throw Rejection(why)
        }
        if admission.snapshot.directory.limits.isEmpty { return true }
        admission.address = address
        let plan = callerRules(admission).rates
        if plan.claims.isEmpty { return true }
        guard loop.rates.isReady else { throw .limitsNotReady() }
        let tokens = admission.expectedTokens
        if askShared(admission, candidate, plan, tokens: tokens) { return false }
        try apply(loop.rates.take(plan, tokens: tokens, now: loop.nowMicroseconds), plan, tokens: tokens, admission)
        return true
    }

    /// What its limits say of it.
    func apply(_ taken: RateLedger.Taken, _ plan: RatePlan, tokens: Int64, _ admission: Admission) throws(Rejection) {
        standings = RateStandings(taken.standings, admission.caller.dialect, at: receivedAt)
        if let refusal = taken.refusal {
            loop.metrics.limited &+= 1
            throw .limited(refusal)
        }
        if taken.wouldHaveRefused { noteObservedLimit() }
        if admission.fallbacks.isEmpty {
            admission.rates = charge(plan, .all, tokens, taken, at: admission.admittedAt / 1000)
        } else {
            // What counts for this model alone ends with it.
            admission.rates = charge(plan, .others, tokens, taken, at: admission.admittedAt / 1000)
            admission.modelRates = charge(plan, .ofModel, tokens, taken, at: admission.admittedAt / 1000)
        }
    }

    private func charge(
        _ plan: RatePlan, _ part: RateCharge.Part, _ tokens: Int64, _ taken: RateLedger.Taken, at: Int64
    ) -> RateCharge {
        let charge = RateCharge(plan, part, tokens: tokens, taken, of: loop.rates)
        note(charge, RateCharge.Correction(requests: 1, tokens: tokens), at: at)
        return charge
    }

    private func noteObservedLimit() {
        loop.metrics.wouldHaveLimited &+= 1
        sums.flags.formUnion(.wouldHaveRefused)
    }

    /// Counts a request for the limits of a model that it falls back to; those of the model before have what it used.
    /// - Returns: false where one of them has no room; nothing is counted then.
    func holdFallback(_ model: CompiledModel, _ admission: Admission) -> Bool {
        if !loop.bans.isEmpty, loop.bans.interruption(of: model, nowMilliseconds: loop.clock.nowMilliseconds()) != nil { return false }
        let limits = admission.snapshot.directory.limits
        if limits.isEmpty { return true }
        let caller = admission.caller
        let all = limits.plan(caller.principal, caller.channel, model: model.name, address: admission.address)
        let plan = RatePlan(all.claims.filter { $0.rule.model != nil })
        var next: RateCharge?
        if !plan.claims.isEmpty {
            let tokens = admission.expectedTokens
            let taken = loop.rates.take(plan, tokens: tokens, now: loop.nowMicroseconds)
            if taken.refusal != nil { return false }
            if taken.wouldHaveRefused { noteObservedLimit() }
            next = charge(plan, .all, tokens, taken, at: loop.clock.nowMilliseconds())
        }
        if let before = admission.modelRates { settle(before, tokens: usedTokens - admission.earlierTokens, admission) }
        admission.earlierTokens = usedTokens
        admission.modelRates = next
        return true
    }

    private var usedTokens: Int64 {
        let tokens = sums.usage.input.addingReportingOverflow(sums.usage.output)
        return tokens.overflow ? .max : max(0, tokens.partialValue)
    }

    /// At the request's end.
    func settleRates(_ admission: Admission) {
        if let charge = admission.rates { settle(charge, tokens: usedTokens, admission) }
        if let charge = admission.modelRates { settle(charge, tokens: max(0, usedTokens - admission.earlierTokens), admission) }
    }

    private func settle(_ charge: RateCharge, tokens: Int64, _ admission: Admission) {
        correct(admission, charge, charge.settle(tokens: tokens, now: loop.nowMicroseconds))
    }

    /// It could not be served, for want of a place.
    func undoRates(_ admission: Admission) {
        if let charge = admission.rates { correct(admission, charge, charge.undo()) }
        if let charge = admission.modelRates { correct(admission, charge, charge.undo()) }
    }

    /// What was counted less was counted when the request was admitted.
    private func correct(_ admission: Admission, _ charge: RateCharge, _ correction: RateCharge.Correction?) {
        guard let correction, correction != RateCharge.Correction() else { return }
        let isMore = correction.tokens > 0
        note(charge, correction, at: isMore ? loop.clock.nowMilliseconds() : admission.admittedAt / 1000)
    }

    /// For the next process.
    /// - Parameter at: Unix milliseconds.
    private func note(_ charge: RateCharge, _ amount: RateCharge.Correction, at: Int64) {
        for (position, claim) in charge.plan.claims.enumerated() where claim.rule.isNoted && charge.holds(claim) {
            let amount = claim.rule.measure == .tokens ? amount.tokens : amount.requests
            if amount != 0 { loop.note(amount, to: charge.counter(position), of: claim.rule, at: at, by: requestID) }
        }
    }
}

extension Admission {
    /// Of the input, and of the output what the caller asked for: it is not foreseen where he did not.
    fileprivate var expectedTokens: Int64 {
        if isFree { return 0 }
        let most = members.outputBounds.max() ?? 0
        let (sum, overflow) = estimatedInputTokens.addingReportingOverflow(max(0, most))
        return overflow ? .max : sum
    }
}

extension Rejection {
    static func limitsNotReady() -> Rejection {
        Rejection(
            status: 503, fault: .weir, kind: .server, code: "limits_not_ready",
            message: "This gateway has just started and still reads what it had counted. Try again in a moment.", retryMilliseconds: 1000)
    }

    static func limited(_ refusal: RateLedger.Refusal) -> Rejection {
        let rule = refusal.rule
        let seconds = Double(rule.window) / 1_000_000
        let span = seconds == 1 ? "a second" : seconds == 60 ? "a minute" : "\(seconds.formatted) seconds"
        let what =
            switch rule.measure {
            case .concurrent: "\(rule.amount) concurrent requests"
            case .requests: "\(rule.amount) requests in \(span)"
            case .tokens: "\(rule.amount) tokens in \(span)"
            }
        guard let wait = refusal.wait else {
            return Rejection(
                status: 429, fault: .client, kind: .rateLimit, code: "rate_limit_exceeded",
                message:
                    "The request is larger than the limit '\(rule.name)' (\(what)) ever lets through. Ask for less, or for fewer tokens.",
                isPermanent: true)
        }
        let milliseconds = max(1, wait / 1000 + (wait % 1000 > 0 ? 1 : 0))
        return Rejection(
            status: 429, fault: .client, kind: .rateLimit, code: "rate_limit_exceeded",
            message: "Rate limit reached: '\(rule.name)' lets \(what) through. Try again in \((Double(milliseconds) / 1000).formatted) s.",
            retryMilliseconds: milliseconds)
    }
}

extension Double {
    /// Without a needless fraction.
    fileprivate var formatted: String { self == rounded() && magnitude < 1e15 ? String(Int64(self)) : String(self) }
}
