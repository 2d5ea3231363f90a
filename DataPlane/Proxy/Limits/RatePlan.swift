/// What the requests of a caller count for: found once and not with each of them.
///
/// `@unchecked Sendable`: confined to the loop that made it.
package final class RatePlan: @unchecked Sendable {
    package let claims: [RateLedger.Claim]
    /// Where the ledger found each one's counter last.
    var places: [Int]

    package init(_ claims: [RateLedger.Claim]) {
        self.claims = claims
        places = Array(repeating: .max, count: claims.count)
    }
}

/// What a request has taken of its limits. Given back when it ends without having been settled, however it ends.
///
/// `@unchecked Sendable`: confined to its request's loop.
final class RateCharge: @unchecked Sendable {
    /// Which of a plan's claims it is about.
    enum Part {
        case all
        /// Those that count for one model alone.
        case ofModel
        case others
    }

    /// By how much too little was counted for each claim of a kind; negative: too much.
    struct Correction: Hashable {
        var requests: Int64 = 0
        var tokens: Int64 = 0
    }

    let plan: RatePlan
    /// What it was taken for.
    let tokens: Int64
    /// Monotonic microseconds.
    let at: Int64
    let part: Part
    /// See `RateLedger.Taken`.
    private let counters: [RateLedger.Key]
    /// The same in the counters that data planes share; nil: it was not counted there.
    var shared: SharedCharge?
    private let ledger: RateLedger
    private var isOpen = true

    init(_ plan: RatePlan, _ part: Part = .all, tokens: Int64, _ taken: RateLedger.Taken, of ledger: RateLedger) {
        self.plan = plan
        self.part = part
        self.tokens = tokens
        at = taken.at
        counters = taken.counters
        self.ledger = ledger
    }

    @inline(__always)
    func holds(_ claim: RateLedger.Claim) -> Bool {
        switch part {
        case .all: true
        case .ofModel: claim.rule.model != nil
        case .others: claim.rule.model == nil
        }
    }

    /// What the plan's claim of this position was counted in.
    @inline(__always)
    func counter(_ position: Int) -> RateLedger.Key { counters.isEmpty ? plan.claims[position].key : counters[position] }

    /// - Returns: nil when it was settled before.
    func settle(tokens: Int64, now: Int64) -> Correction? {
        guard isOpen else { return nil }
        shared?.settle(tokens: tokens)
        return close(Correction(tokens: max(0, tokens) &- self.tokens), now)
    }

    /// The request was never begun, for no fault of its caller's: it counts for nothing.
    /// - Returns: as `settle`.
    func undo() -> Correction? {
        guard isOpen else { return nil }
        shared?.settle(tokens: nil, wasServed: false)
        return close(Correction(requests: -1, tokens: -tokens), 0)
    }

    private func close(_ correction: Correction, _ now: Int64) -> Correction {
        isOpen = false
        ledger.settle(self, correction, now: now)
        return correction
    }

    deinit {
        guard isOpen else { return }
        shared?.settle(tokens: nil)
        ledger.settle(self, Correction(tokens: -tokens), now: 0)
    }
}
