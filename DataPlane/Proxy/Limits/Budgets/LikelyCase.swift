import Contract
import Formats
import Leases
import Primitives

/// What a stream has likely come to when it is cut off and nobody hears the end of it: with the process that died, or before the answer's
/// head. For budgets that count that and not the worst case (`unknown_outcomes` of a budget). It holds for providers that stop when their
/// caller leaves, and for models that say what they think: what they produce beyond what is known is what they make until they notice.
struct LikelyCase {
    var cost: Int64
    var tokens: Int64

    /// Before anything of an answer came.
    private static let unheardTokens: Int64 = 8
    /// For how long silence is taken for waiting; who says nothing for longer may be thinking.
    static let unheardMicroseconds: Int64 = 4_000_000
    /// The time that a provider takes to notice, and what it made while the last record was written.
    private static let noticeMicroseconds: Int64 = 200_000

    /// Of a request of which nothing came.
    init(unheard admission: Admission) {
        self.init(admission, output: Self.unheardTokens)
        for target in admission.route.targets {
            guard let price = target.price(atMilliseconds: admission.admittedAt / 1000) else { continue }
            cost = max(cost, Pricing.rate(usage(admission), price.card).rawValue)
        }
    }

    /// Of a stream that runs; nil where there is nothing to go by.
    init?(_ attempt: Attempt, now: Int64) {
        let admission = attempt.admission
        let produced = TokenEstimate.output(contentBytes: attempt.meter.contentBytes, pieces: attempt.meter.contentPieces)
        guard produced > 0 else {
            guard now - attempt.startedAt <= Self.unheardMicroseconds else { return nil }
            self.init(unheard: admission)
            return
        }
        let age = max(Self.noticeMicroseconds, now - attempt.firstByteAt)
        var ahead = attempt.progressInterval(now) + Self.noticeMicroseconds
        // What it may have thought of before it wrote.
        if attempt.firstByteAt - attempt.startedAt > Self.unheardMicroseconds { ahead += attempt.firstByteAt - attempt.startedAt }
        let (product, overflow) = produced.multipliedReportingOverflow(by: ahead)
        guard !overflow else { return nil }
        self.init(admission, output: produced + product / age + 2)
        if let price = attempt.price { cost = Pricing.rate(usage(admission), price.card).rawValue }
    }

    /// Of two attempts at one time.
    var doubled: LikelyCase {
        var both = self
        both.cost = LeaseAmount.clamped(both.cost &* 2)
        both.tokens = LeaseAmount.clamped(both.tokens &* 2)
        return both
    }

    private init(_ admission: Admission, output: Int64) {
        cost = 0
        tokens = LeaseAmount.clamped(Self.input(admission) + output)
    }

    /// Two bytes a token: text in no script and code of no kind has many more.
    private static func input(_ admission: Admission) -> Int64 { LeaseAmount.clamped(admission.estimatedInputTokens) * 2 }

    private func usage(_ admission: Admission) -> TokenUsage {
        let input = min(tokens, Self.input(admission))
        var usage = TokenUsage(input: input, output: tokens - input)
        usage.serviceTier = admission.serviceTier
        return usage
    }

    func amount(in unit: Weir_V1_BudgetUnit) -> Int64 { unit.amount(cost: cost, tokens: tokens, requests: 1) }
}

extension Exchange {
    /// Into each progress record of a stream that holds of a budget: what `LeaseStore` goes by when nothing follows.
    func encodeLikely(_ admission: Admission, _ likely: LikelyCase?) {
        guard let hold = admission.budget, hold.countsLikely else { return }
        var (cost, tokens) = (Int64.max, Int64.max)
        if let likely, !sums.isUnknown, !admission.hidesInput {
            // What earlier attempts came to is known.
            cost = LeaseAmount.clamped(likely.cost) + LeaseAmount.clamped(sums.cost.rawValue)
            tokens = likely.tokens + sums.usage.total
        }
        // The witness hears of it as of a hold: with a disk that lacks the last of these, less would count than may have been used.
        progressRecords &+= 1
        loop.holdsWritten += 1
        loop.encoder.field(.progressRecords, progressRecords)
        loop.encoder.field(.likelyCostNano, cost)
        loop.encoder.field(.likelyTokens, tokens)
    }
}

extension Attempt {
    /// Microseconds between two progress records: once a second; where a budget is held more often while the stream is young, so that
    /// little of what it came to is unknown when its process dies.
    func progressInterval(_ now: Int64) -> Int64 {
        admission.budget == nil ? 1_000_000 : min(1_000_000, max(90_000, (now - firstByteAt) / 8))
    }

    /// Whether what is known of it has to be written down: in the middle of a stream now and then, and once when nothing has come for so long
    /// that it may be thinking.
    func isDueForProgress(since last: Int64) -> Bool {
        guard admission.isStreaming else { return false }
        let now = loop.nowMicroseconds
        switch state {
        case .passing: return now - max(last, firstByteAt) >= progressInterval(now)
        case .awaitingHead, .deciding:
            return admission.budget != nil && last < startedAt && now - startedAt > LikelyCase.unheardMicroseconds
        case .connecting, .collecting, .leaving, .ended: return false
        }
    }
}
