import Contract
import Formats
import Logging
import Primitives

/// What an attempt was worth: half for an answer, and up to a quarter each for how soon it began and how little it cost.
enum Reward {
    /// An answer that begins after so long is worth half of what one at once is, of that quarter.
    private static let halfLatency = 2_000_000.0

    /// - Parameters:
    ///   - latency: microseconds to the first byte.
    ///   - cost: what the cheapest target of the route costs for the request, as a part of what this one does; nil where that is not known.
    static func answered(latency: Int64, cost: Double?) -> Double {
        0.5 + 0.25 * (halfLatency / (halfLatency + Double(max(0, latency)))) + 0.25 * min(max(cost ?? 0.5, 0), 1)
    }
}

extension Attempt {
    /// Tells the route's bandit what came of its choice.
    func learn(from outcome: AttemptOutcome) {
        guard admission.plan.strategy.learns, let meter = running?.meter else { return }
        let gained: Double
        let succeeded: Bool
        switch (outcome.ending, outcome.blamesEndpoint) {
        case (.answered, false?):
            gained = Reward.answered(latency: outcome.timeToFirstByte ?? outcome.latency, cost: costShare)
            succeeded = true
        case (.refused(let error, _), _) where error.concern == .rateLimit: (gained, succeeded) = (0, false)
        // Too slow to answer first: worth what an answer at that time would have been, at most. A hedge began later, and says nothing.
        case (.abandoned, _) where outcome.isOvertaken && !isHedge:
            gained = Reward.answered(latency: outcome.latency, cost: costShare)
            succeeded = true
        case (_, true?): (gained, succeeded) = (0, false)
        // The caller's fault, or nobody's.
        default: return
        }
        guard meter.learn(gained, succeeded: succeeded, now: loop.nowMicroseconds) else { return }
        loop.logger.warning(
            "a target of a route that learns has degraded: the others are chosen by weight for a while",
            metadata: ["route": "\(admission.route.id)", "endpoint": "\(candidate.endpoint.id)"])
    }

    private var costShare: Double? {
        guard let own = price else { return nil }
        let context = admission.choice(now: loop.nowMicroseconds)
        let usage = TokenUsage(input: context.inputTokens, output: context.outputTokens)
        let cost = Double(Pricing.rate(usage, own.card).rawValue)
        guard cost > 0 else { return 1 }
        var least = cost
        for target in admission.route.targets {
            guard let price = target.price(atMilliseconds: context.wallMilliseconds) else { continue }
            least = min(least, Double(Pricing.rate(usage, price.card).rawValue))
        }
        return least / cost
    }
}
