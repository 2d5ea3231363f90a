import Contract
import Formats
import Leases
import Primitives

/// What a request holds of the budgets that it counts in.
struct BudgetHold {
    /// Those that refuse first.
    let rules: [BudgetRule]
    /// The worst case, in each rule's unit.
    let claims: [Claim]
    /// What counts of it where nothing is known of the outcome, for rules that count that; nil: the worst case.
    let likely: LikelyCase?
    var parts: [HoldPart] = []
    /// What was taken beyond the reservation that the intent says.
    var extensions: [HoldPart] = []
    /// Budgets that only observe, and would have refused.
    var wouldHaveRefused: [BudgetRule] = []

    /// Nil: all.
    func likely(of rule: BudgetRule) -> Int64? { rule.countsLikely ? likely?.amount(in: rule.unit) : nil }

    /// Some rule counts what is likely.
    var countsLikely: Bool { likely != nil }
}

/// What has become of a part of a hold.
struct SettledPart {
    let part: HoldPart
    let spent: Int64
    let unknown: Int64
}

/// The most that a request can come to.
struct WorstCase {
    var cost: NanoDollars
    var tokens: Int64

    /// Input: a token has a byte at least, and what is no text counts by the most that its kind may be. Output: what the request or the model bounds it to, for
    /// each choice. The price: the dearest of all endpoints that may serve it.
    init(_ admission: Admission) {
        if admission.isFree {
            (cost, tokens) = (NanoDollars(0), 0)
            return
        }
        if let media = admission.media {
            let most = media.worst(admission)
            (cost, tokens) = (NanoDollars(0), most.total)
            for target in admission.route.targets {
                guard let price = target.price(atMilliseconds: admission.admittedAt / 1000) else { continue }
                cost = max(cost, Pricing.worstCase(input: most.input, output: most.output, beside: most, price.card))
            }
            return
        }
        let window = admission.model.contextWindow
        var input = max(admission.requestBytes + admission.worstMediaTokens, admission.estimatedInputTokens)
        // Of what it goes on from no more is known than that it fits.
        if window > 0 { input = admission.previous == nil ? min(input, window) : window }
        let choices = max(1, admission.members.n?.value ?? 1, admission.members.bestOf?.value ?? 1)
        let (product, overflow) = admission.outputBound.multipliedReportingOverflow(by: min(choices, 1 << 20))
        let output = !admission.capability.generates ? 0 : overflow ? LeaseAmount.maximum : min(product, LeaseAmount.maximum)
        tokens = min(input, LeaseAmount.maximum) + output
        cost = NanoDollars(0)
        for target in admission.route.targets {
            guard let price = target.price(atMilliseconds: admission.admittedAt / 1000) else { continue }
            cost = max(cost, Pricing.worstCase(input: input, output: output, beside: admission.worstUnits(price.card), price.card))
        }
    }

    func amount(in unit: Weir_V1_BudgetUnit) -> Int64 { unit.amount(cost: cost.rawValue, tokens: tokens, requests: 1) }
}

extension Weir_V1_BudgetUnit {
    /// What a request comes to in this unit.
    func amount(cost: Int64, tokens: Int64, requests: Int64) -> Int64 {
        switch self {
        case .nanoDollars: cost
        case .tokens: tokens
        default: requests
        }
    }
}

extension TokenUsage {
    /// As budgets count it.
    var total: Int64 { LeaseAmount.clamped(input) + LeaseAmount.clamped(output) }
}

extension Admission {
    /// The most tokens of one choice: what the caller says, else the model, else its window, else what is written into the request.
    var outputBound: Int64 {
        let given = members.outputBounds.max()
        if let given { return max(0, given) }
        if model.maxOutputTokens > 0 { return model.maxOutputTokens }
        return model.contextWindow > 0 ? model.contextWindow : Self.unknownOutput
    }

    /// Of a model of which nothing is known.
    private static let unknownOutput: Int64 = 32_768

    /// What bounds the answer where the caller does not: written into the request, so that no answer costs more than was reserved.
    /// Completions have a bound by themselves (16 in OpenAI's API), which a larger one would raise.
    var writtenOutputBound: Int64? {
        guard budget?.parts.isEmpty == false, capability == .chat, members.outputBounds.isEmpty else {
            return nil
        }
        return outputBound
    }
}

/// Reserves what a request may come to from every budget that it counts in, at once, before it is sent.
enum ReserveBudget {
    enum Outcome {
        case held(BudgetHold)
        /// Nothing concerns it.
        case unlimited
        /// More was asked for.
        case wait
    }

    /// - Parameters:
    ///   - rules: those that refuse first.
    ///   - patience: for how long (milliseconds) what other data planes hold is waited for, from when it was recalled.
    ///   - isLast: nobody waits any longer: what was said last counts.
    /// - Throws: where the control plane has said that there is no more.
    static func request(
        _ admission: Admission, _ rules: [BudgetRule], _ desk: BudgetDesk, patience: Int64, isLast: Bool
    ) throws(Rejection) -> Outcome {
        var rules = rules
        if let granted = admission.caller.grantBudget {
            rules = BudgetRule.inOrder(rules + [granted.rule])
            if let account = granted.rule.account(atMilliseconds: 0) { desk.know(granted.text, of: account) }
        }
        guard !rules.isEmpty else { return .unlimited }
        if admission.previous != nil, admission.model.contextWindow == 0,
            rules.contains(where: { $0.refuses && ($0.unit == .nanoDollars || $0.unit == .tokens) })
        {
            throw .badRequest(
                "budget_not_enforceable",
                "A budget that refuses concerns this request, and how long the conversation is that it goes on from is not known here, nor "
                    + "how long one of the model '\(admission.model.name)' can be. Send the conversation's items as input.",
                param: "previous_response_id")
        }
        let now = admission.admittedAt / 1000
        let worst = WorstCase(admission)
        var claims: [Claim] = []
        claims.reserveCapacity(rules.count)
        var strict = 0
        var likely = false
        for rule in rules {
            guard let account = rule.account(atMilliseconds: now) else {
                guard rule.refuses else { continue }
                desk.count { $0.unavailable &+= 1 }
                throw .budgetUnavailable("the periods of budget \(rule.name) that are known here are over")
            }
            claims.append(Claim(account: account, amount: worst.amount(in: rule.unit)))
            if rule.refuses { strict += 1 }
            if rule.countsLikely { likely = true }
        }
        if claims.count < rules.count { rules.removeAll { $0.account(atMilliseconds: now) == nil } }
        var hold = BudgetHold(rules: rules, claims: claims, likely: likely && admission.isStreaming ? LikelyCase(unheard: admission) : nil)
        let (reservation, refused) = desk.reserve(claims, of: rules, strict: strict)
        switch reservation {
        case .held(let parts): hold.parts = parts
        case .short(let account):
            guard isLast, let index = claims.firstIndex(where: { $0.account == account }), let why = desk.lastRefusal(claims[index]) else {
                return .wait
            }
            desk.count { $0.refused &+= 1 }
            throw refusal(rules[index], why)
        case .refused(let account, let why):
            if why.reason == .held, !isLast, desk.isRecalled(account, within: patience) { return .wait }
            desk.count { $0.refused &+= 1 }
            throw refusal(claims.firstIndex { $0.account == account }.map { rules[$0] }, why)
        }
        for index in refused where rules[index].observes {
            desk.count { $0.observed &+= 1 }
            hold.wouldHaveRefused.append(rules[index])
        }
        guard hold.parts.count <= maximumParts else {
            desk.release(hold.parts)
            throw .budgetUnavailable("the request counts in too many budgets")
        }
        return .held(hold)
    }

    /// Each takes some 35 bytes of the room that a completion has.
    private static let maximumParts = 40

    static func refusal(_ rule: BudgetRule?, _ why: RefusedAccount) -> Rejection {
        switch why.reason {
        case .exhausted, .held: .budgetExhausted(rule, resetsAt: why.resetsAt)
        case .noSuchAccount, .recovering, .superseded: .budgetUnavailable("\(why.reason)")
        }
    }
}

extension Rejection {
    /// The one refusal for want of money, or of what else a budget counts.
    static func budgetExhausted(_ rule: BudgetRule?, resetsAt: Int64) -> Rejection {
        let what = rule.map { "The budget '\($0.name)' of this \($0.subject.level.word)" } ?? "A budget of this caller"
        let when = resetsAt > 0 ? " It begins anew at \(RFC3339.string(milliseconds: resetsAt))." : ""
        return Rejection(
            status: 402, fault: .client, kind: .quota, code: "insufficient_quota",
            message: "\(what) has too little left for this request.\(when) A smaller max_tokens asks for less of it.", isPermanent: true)
    }

    static func budgetUnavailable(_ detail: String) -> Rejection {
        Rejection(
            status: 503, fault: .weir, kind: .server, code: "budget_unavailable",
            message: "It is not known at the moment whether the budget allows this request, so nothing was sent. Try again shortly.",
            retryMilliseconds: 1000, detail: detail)
    }
}

extension Exchange {
    /// Asks for what the request needs; it goes on by itself when that is there.
    /// - Parameter isLast: it waits no longer.
    /// - Returns: false while it waits.
    func reserveBudget(_ admission: Admission, isLast: Bool = false) throws(Rejection) -> Bool {
        let isConcerned = !admission.snapshot.directory.budgets.isEmpty
        guard isConcerned || admission.caller.grantBudget != nil else { return true }
        let rules = isConcerned ? callerRules(admission).budgets : []
        let patience = Int64(loop.settings.budgetTimeout) * 3 / 2
        switch try ReserveBudget.request(admission, rules, loop.budgets, patience: patience, isLast: isLast) {
        case .unlimited: return true
        case .held(let hold):
            admission.budget = hold
            if !hold.wouldHaveRefused.isEmpty { sums.flags.formUnion(.wouldHaveRefused) }
            return true
        case .wait: return false
        }
    }

    /// The answer to what was asked for may be there.
    /// - Parameter isLast: nobody waits any longer.
    /// - Returns: false while it waits on.
    func retryReservation(isLast: Bool) -> Bool {
        guard case .reserving(let admission, let candidate) = stage else { return true }
        do throws(Rejection) {
            if try reserveBudget(admission, isLast: isLast) {
                try setOut(admission, candidate)
            } else if isLast {
                loop.budgets.count { $0.unavailable &+= 1 }
                throw .budgetUnavailable("the control plane did not answer in time")
            } else {
                return false
            }
        } catch {
            reject(error)
        }
        return true
    }

    /// What was held was never used: the request has not left.
    func releaseBudget(_ admission: Admission) {
        guard let hold = admission.budget else { return }
        admission.budget = nil
        loop.budgets.release(hold.parts + hold.extensions)
    }

    /// Makes sure that another attempt is covered as well, whatever the one before has cost.
    /// - Parameter before: where another model serves the request from now on: what it could come to with the one before.
    func coverAnother(_ admission: Admission, after outcome: AttemptOutcome, before: WorstCase? = nil) -> Bool {
        guard admission.budget != nil else { return true }
        let worst = WorstCase(admission)
        let isUnknown = outcome.isUnknown(of: admission)
        return cover(admission) { unit in
            let more =
                isUnknown
                ? (before ?? worst).amount(in: unit) : unit.amount(cost: outcome.cost.rawValue, tokens: outcome.usage.total, requests: 0)
            guard let before else { return more }
            return LeaseAmount.clamped(more &+ max(0, worst.amount(in: unit) &- before.amount(in: unit)))
        }
    }

    /// Makes sure that two attempts at one time are covered, whatever both may cost. They are one request.
    func coverBoth(_ admission: Admission) -> Bool {
        guard admission.budget != nil else { return true }
        let worst = WorstCase(admission)
        return cover(admission) { $0.amount(cost: worst.cost.rawValue, tokens: worst.tokens, requests: 0) }
    }

    /// Gives back what `coverBoth` took, in the same turn of the loop: nothing of it is written down.
    /// - Parameter before: what was held before.
    func coverOne(_ admission: Admission, as before: BudgetHold?) {
        guard let hold = admission.budget, let before else { return }
        let more = hold.extensions.dropFirst(before.extensions.count)
        loop.holdsWritten -= more.count
        admission.budget = before
        loop.budgets.release(Array(more))
    }

    /// Takes so much more of each budget that something is held of.
    /// - Returns: false where a budget that refuses has not as much; nothing is taken then.
    private func cover(_ admission: Admission, _ more: (Weir_V1_BudgetUnit) -> Int64) -> Bool {
        guard var hold = admission.budget else { return true }
        var taken: [HoldPart] = []
        for (rule, claim) in zip(hold.rules, hold.claims) where hold.parts.contains(where: { $0.account == claim.account }) {
            let more = more(rule.unit)
            guard more > 0 else { continue }
            guard let parts = loop.budgets.extend(Claim(account: claim.account, amount: more)) else {
                guard rule.refuses else { continue }
                loop.budgets.release(taken)
                return false
            }
            taken += parts
        }
        loop.holdsWritten += taken.count
        hold.extensions += taken
        admission.budget = hold
        return true
    }

    /// A stream that outruns what was reserved for it takes more, in pieces of a quarter.
    /// - Returns: false where there is no more of a budget that refuses.
    func coverStream(_ admission: Admission, _ soFar: AttemptSums) -> Bool {
        cover(admission, inPieces: true) { $0.amount(cost: soFar.cost.rawValue, tokens: soFar.usage.total, requests: 1) }
    }

    /// What was read of a request while it was sent on may ask for more than what came before.
    /// - Returns: false where there is no more of a budget that refuses.
    func coverRead(_ admission: Admission) -> Bool {
        guard admission.budget != nil else { return true }
        let worst = WorstCase(admission)
        return cover(admission, inPieces: false) {
            LeaseAmount.clamped(worst.amount(in: $0))
                + LeaseAmount.clamped($0.amount(cost: sums.cost.rawValue, tokens: sums.usage.total, requests: 0))
        }
    }

    private func cover(_ admission: Admission, inPieces: Bool, _ amount: (Weir_V1_BudgetUnit) -> Int64) -> Bool {
        guard var hold = admission.budget else { return true }
        for (rule, claim) in zip(hold.rules, hold.claims) {
            let used = amount(rule.unit)
            let parts = (hold.parts + hold.extensions).filter { $0.account == claim.account }
            let held = parts.reduce(Int64(0)) { $0 + $1.amount }
            guard !parts.isEmpty, used > held else { continue }
            let more = inPieces ? max(used - held, claim.amount / 4) : used - held
            guard hold.extensions.count < Self.maximumExtensions,
                let taken = loop.budgets.extend(Claim(account: claim.account, amount: more))
            else {
                if rule.refuses { return false }
                continue
            }
            loop.holdsWritten += taken.count
            hold.extensions += taken
            admission.budget = hold
        }
        return true
    }

    /// Of one request: its records have room for no more.
    private static let maximumExtensions = 16

    /// Into the intent.
    func encodeHolds(_ admission: Admission) {
        guard let hold = admission.budget else { return }
        loop.holdsWritten += hold.parts.count
        for part in hold.parts {
            var likely: Int64 = 0
            if hold.countsLikely, let index = hold.claims.firstIndex(where: { $0.account == part.account }) {
                likely = hold.likely(of: hold.rules[index]) ?? 0
            }
            loop.encoder.amount(.holds, slice: part.slice.bits, part.amount, unknown: likely)
        }
        for rule in hold.wouldHaveRefused { loop.encoder.field(.wouldHaveRefused, rule.id.bytes(prefix: BudgetRule.idPrefix)) }
    }

    /// Into each progress record: it replaces the one before.
    func encodeExtensions(_ admission: Admission) {
        guard let hold = admission.budget else { return }
        for part in hold.extensions { loop.encoder.amount(.extensions, slice: part.slice.bits, part.amount) }
    }

    /// Into the completion: what was held is spent, not known, or given back.
    func settleBudget(_ admission: Admission) {
        guard let hold = admission.budget else { return }
        admission.budget = nil
        loop.encoder.field(.progressRecords, progressRecords)
        let wasUsed = sums.cost.rawValue > 0 || !sums.usage.isNone
        var uncovered = 0
        loop.settlements.removeAll(keepingCapacity: true)
        for (rule, claim) in zip(hold.rules, hold.claims) {
            let spent = rule.unit.amount(cost: sums.cost.rawValue, tokens: sums.usage.total, requests: wasUsed ? 1 : 0)
            let most =
                hold.likely(of: rule).flatMap { sums.mayBeAnything ? nil : spent + LeaseAmount.clamped($0) * sums.unknownAttempts }
                ?? (hedging?.wasSent == true ? worst(of: rule, claim, spent: spent) : nil)
            var division = HoldDivision(spent: LeaseAmount.clamped(spent), isKnown: !sums.isUnknown, most: most)
            let before = loop.settlements.count
            for part in hold.parts where part.account == claim.account { settle(part, &division) }
            for part in hold.extensions where part.account == claim.account { settle(part, &division) }
            guard division.beyond > 0, !hold.wouldHaveRefused.contains(where: { $0.id == rule.id }) else { continue }
            if loop.settlements.count > before {
                // The provider charged more than the request could come to.
                loop.budgets.count { $0.beyond &+= 1 }
                let more = loop.budgets.takeWhatThereIs(Claim(account: claim.account, amount: division.beyond))
                loop.holdsWritten += more.count
                for part in more { settle(part, &division) }
            }
            // The rest was used as well, like everything of a request that did not wait for a slice: the intake takes it from the account.
            guard division.beyond > 0, uncovered < Self.maximumUncovered else { continue }
            uncovered += 1
            loop.encoder.amount(.uncovered, budget: rule.id.bytes(prefix: BudgetRule.idPrefix), division.beyond)
        }
        loop.budgets.settle(loop.settlements)
        loop.budgets.tellWaiting()
    }

    /// What two attempts at one time have come to at most: what is known of those whose end was seen, and the worst case of each of the others.
    /// What was held for one that ended otherwise goes back.
    private func worst(of rule: BudgetRule, _ claim: Claim, spent: Int64) -> Int64 {
        let known = LeaseAmount.clamped(spent) - rule.unit.amount(cost: sums.unknownCost, tokens: sums.unknownTokens, requests: 0)
        let (worst, overflow) = claim.amount.multipliedReportingOverflow(by: sums.unknownAttempts)
        return LeaseAmount.clamped(max(0, known) + (overflow ? LeaseAmount.maximum : LeaseAmount.clamped(worst)))
    }

    /// Each takes some 35 bytes of the room that a completion has, as parts do.
    private static let maximumUncovered = 12

    private func settle(_ part: HoldPart, _ division: inout HoldDivision) {
        let (spent, unknown) = division.take(part.amount)
        loop.settlements.append(SettledPart(part: part, spent: spent, unknown: unknown))
        loop.encoder.amount(.charges, slice: part.slice.bits, spent, unknown: unknown)
    }
}

extension AttemptOutcome {
    /// More may have been charged for it than is known here: it was sent, and its end was not seen. Of a stream that broke, what arrived is what
    /// was made: a provider stops when nobody reads. Pictures and transcripts say what they are at their end only, and so do answers to what
    /// the provider had already: its size stands nowhere here.
    func isUnknown(of admission: Admission) -> Bool {
        switch ending {
        case .lost: sentUpstream
        case .broken, .abandoned:
            // An error that the provider has stated costs nothing, though its words were not waited for.
            sentUpstream && providerStatus < 400
                && !(admission.isStreaming && admission.media == nil && !(admission.hidesInput && flags.contains(.estimated))
                    && (200..<300).contains(providerStatus))
        case .answered, .refused, .unusable, .unreachable, .exhausted, .notBegun: false
        }
    }
}
