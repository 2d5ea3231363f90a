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
        let limits = admission.snapshot.directory.limits
        if limits.isEmpty { return true }
        admission.address = address
        let caller = admission.caller
        let claims = limits.claims(
            caller.principal, caller.channel, model: admission.model.name, address: address, tokens: admission.expectedTokens)
        if claims.isEmpty { return true }
        guard loop.rates.isReady else { throw .limitsNotReady() }
        if askShared(admission, candidate, claims) { return false }
        try apply(loop.rates.take(claims, now: loop.nowMicroseconds), admission)
        return true
    }

    /// What its limits say of it.
    func apply(_ taken: RateLedger.Taken, _ admission: Admission) throws(Rejection) {
        rateFields = admission.caller.dialect.rateFields(taken.standings, nowMicroseconds: receivedAt)
        if let refusal = taken.refusal {
            loop.metrics.limited &+= 1
            throw .limited(refusal)
        }
        if taken.wouldHaveRefused { noteObservedLimit() }
        if admission.fallbacks.isEmpty {
            admission.rates = RateCharge(taken.held, of: loop.rates)
        } else {
            // What counts for this model alone ends with it.
            admission.rates = RateCharge(taken.held.filter { $0.rule.model == nil }, of: loop.rates)
            admission.modelRates = RateCharge(taken.held.filter { $0.rule.model != nil }, of: loop.rates)
        }
        noteRates(taken.held, taken.held.map(\.amount), at: admission.admittedAt / 1000)
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
        let claims = limits.claims(
            caller.principal, caller.channel, model: model.name, address: admission.address, tokens: admission.expectedTokens
        ).filter { $0.rule.model != nil }
        var held: [RateLedger.Held] = []
        if !claims.isEmpty {
            let taken = loop.rates.take(claims, now: loop.nowMicroseconds)
            if taken.refusal != nil { return false }
            if taken.wouldHaveRefused { noteObservedLimit() }
            held = taken.held
            noteRates(held, held.map(\.amount), at: loop.clock.nowMilliseconds())
        }
        if let before = admission.modelRates { settle(before, tokens: usedTokens - admission.earlierTokens, admission) }
        admission.earlierTokens = usedTokens
        admission.modelRates = RateCharge(held, of: loop.rates)
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
        for charge in [admission.rates, admission.modelRates].compactMap(\.self) { correct(admission, charge, charge.undo()) }
    }

    private func correct(_ admission: Admission, _ charge: RateCharge, _ corrections: [Int64]?) {
        guard let corrections else { return }
        if corrections.contains(where: { $0 != 0 }) {
            noteRates(charge.held, corrections, at: loop.clock.nowMilliseconds(), since: admission.admittedAt / 1000)
        }
    }

    /// For the next process. What the journal does not take is lost to that one only.
    /// - Parameter since: when what is counted less was counted (Unix milliseconds).
    private func noteRates(_ held: [RateLedger.Held], _ amounts: [Int64], at now: Int64, since: Int64? = nil) {
        let entries = zip(held, amounts).compactMap { held, amount -> RateNote.Entry? in
            guard amount != 0, held.rule.measure != .concurrent, held.rule.window >= RateNote.shortest else { return nil }
            return RateNote.Entry(key: held.key, at: amount < 0 ? since ?? now : now, window: held.rule.memory, amount: amount)
        }
        if entries.isEmpty { return }
        try? RateNote.write(boot: loop.rates.boot, entries).withUnsafeBytes { bytes in try loop.journal.note(.rates, requestID, bytes) }
    }
}

extension Admission {
    /// Of the input, and of the output what the caller asked for: it is not foreseen where he did not.
    fileprivate var expectedTokens: Int64 {
        if capability == .countTokens { return 0 }
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

extension Dialect {
    /// How the caller's limits stand, as the API says it.
    /// - Parameter now: Unix time.
    func rateFields(_ standings: RateLedger.Standings, nowMicroseconds now: Int64) -> [ReplyHead.Field] {
        var fields: [ReplyHead.Field] = []
        let tells = { (reset: Int64) in
            self == .messages ? RFC3339.string(milliseconds: now / 1000 &+ reset / 1000 &+ 1) : Self.duration(reset)
        }
        func add(_ standing: RateLedger.Standing?, _ limit: StaticString, _ remaining: StaticString, _ reset: StaticString) {
            guard let standing else { return }
            fields.append(.init(name: limit, value: Array(String(standing.limit).utf8)))
            fields.append(.init(name: remaining, value: Array(String(standing.remaining).utf8)))
            fields.append(.init(name: reset, value: Array(tells(standing.reset).utf8)))
        }
        switch self {
        case .messages:
            add(
                standings.requests, "anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining",
                "anthropic-ratelimit-requests-reset")
            add(
                standings.tokens, "anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining",
                "anthropic-ratelimit-tokens-reset")
        case .openAI, .responses:
            add(standings.requests, "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")
            add(standings.tokens, "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens")
        }
        return fields
    }

    /// As OpenAI writes it, and Go reads it: `12ms`, `1.5s`, `6m0s`. Rounded up.
    static func duration(_ microseconds: Int64) -> String {
        let milliseconds = microseconds / 1000 + (microseconds % 1000 > 0 ? 1 : 0)
        if milliseconds < 1000 { return "\(max(0, milliseconds))ms" }
        let (minutes, rest) = (milliseconds / 60_000, milliseconds % 60_000)
        let fraction = rest % 1000 == 0 ? "" : "." + String(String(1000 + rest % 1000).dropFirst())
        let seconds = "\(rest / 1000)\(fraction)s"
        if minutes == 0 { return seconds }
        return minutes < 60 ? "\(minutes)m\(seconds)" : "\(minutes / 60)h\(minutes % 60)m\(seconds)"
    }
}
