import Contract
import Primitives

/// How a route chooses among targets of one priority.
package enum RouteStrategy: UInt8, Sendable, CaseIterable {
    case weighted
    case roundRobin
    case leastLatency
    case leastUsed
    case lowestCost
    case epsilonGreedy
    case ucb1
    case thompson

    init(_ message: Weir_V1_RouteStrategy) {
        switch message {
        case .roundRobin: self = .roundRobin
        case .leastLatency: self = .leastLatency
        case .leastUsed: self = .leastUsed
        case .lowestCost: self = .lowestCost
        case .epsilonGreedy: self = .epsilonGreedy
        case .ucb1: self = .ucb1
        case .thompson: self = .thompson
        // A newer control plane's: better by weight than not at all.
        case .weighted, .UNRECOGNIZED: self = .weighted
        }
    }

    init?(word: String) {
        guard let found = Self.allCases.first(where: { $0.word == word }) else { return nil }
        self = found
    }

    var word: String {
        switch self {
        case .weighted: "weighted"
        case .roundRobin: "round_robin"
        case .leastLatency: "least_latency"
        case .leastUsed: "least_used"
        case .lowestCost: "lowest_cost"
        case .epsilonGreedy: "epsilon_greedy"
        case .ucb1: "ucb1"
        case .thompson: "thompson"
        }
    }

    /// Whether it chooses by what the meters of the targets say.
    var observes: Bool { self == .leastLatency || self == .leastUsed || learns }
    /// Whether it chooses by what earlier choices brought (a bandit).
    var learns: Bool { self == .epsilonGreedy || self == .ucb1 || self == .thompson }
}

/// What a choice may depend on, beside the weights.
package struct ChoiceContext {
    /// Monotonic microseconds.
    var now: Int64
    /// Unix milliseconds: which price is in force.
    var wallMilliseconds: Int64
    /// Of this request, for what it would cost.
    var inputTokens: Int64
    var outputTokens: Int64

    package init(now: Int64, wallMilliseconds: Int64 = 0, inputTokens: Int64 = 0, outputTokens: Int64 = 0) {
        self.now = now
        self.wallMilliseconds = wallMilliseconds
        self.inputTokens = inputTokens
        self.outputTokens = outputTokens
    }
}

extension CompiledRoute {
    /// An index into `targets`, by a strategy, from 64 random bits. Targets without weight are chosen, in order, once every weighted one was
    /// tried, whatever the strategy.
    /// - Parameter tried: bit i is set when target i is out of the question. Nil when all are.
    package func pick(_ strategy: RouteStrategy, random: UInt64, excluding tried: UInt64, _ context: ChoiceContext) -> Int? {
        if strategy == .weighted { return pick(random: random, excluding: tried) }
        var open = tried
        for index in targets.indices where targets[index].weight == 0 { open |= 1 << UInt64(index) }
        let count = targets.count - (open & valid).nonzeroBitCount
        // What has no weight, or no choice.
        if count < 2 { return pick(random: random, excluding: tried) }
        switch strategy {
        case .weighted: return pick(random: random, excluding: tried)
        case .roundRobin: return inTurn(excluding: open, count: count)
        case .leastLatency:
            // The better of two drawn by weight: whoever is best by an old word does not get everything at once.
            guard let first = pick(random: random, excluding: open) else { return nil }
            guard let second = pick(random: RoutePlan.mixed(random), excluding: open | 1 << UInt64(first)) else { return first }
            return targets[second].meter.load(now: context.now) < targets[first].meter.load(now: context.now) ? second : first
        case .leastUsed:
            return least(excluding: open, random: random) { Double(max(0, $0.meter.running)) / Double($0.weight) }
        case .lowestCost:
            return least(excluding: open, random: random) { target in
                guard let price = target.price(atMilliseconds: context.wallMilliseconds) else { return .infinity }
                let usage = TokenUsage(input: context.inputTokens, output: context.outputTokens)
                return Double(Pricing.rate(usage, price.card).rawValue)
            }
        case .epsilonGreedy, .ucb1, .thompson: return learnt(strategy, random: random, excluding: open, now: context.now)
        }
    }

    /// One after the other where all weigh the same; else each as often as it weighs, and as evenly as can be.
    private func inTurn(excluding tried: UInt64, count: Int) -> Int? {
        let turn = state.takeTurn()
        var weight: UInt32?
        var isEven = true
        for index in targets.indices where tried & (1 << UInt64(index)) == 0 {
            if let weight, weight != targets[index].weight { isEven = false }
            weight = targets[index].weight
        }
        // Multiples of the golden ratio, which leave no large gaps.
        guard isEven else { return pick(random: turn &* 0x9E37_79B9_7F4A_7C15, excluding: tried) }
        var place = Int(turn % UInt64(count))
        for index in targets.indices where tried & (1 << UInt64(index)) == 0 {
            if place == 0 { return index }
            place -= 1
        }
        return nil
    }

    /// The target with the least of something; of several, one drawn by weight.
    func least(excluding tried: UInt64, random: UInt64, of amount: (CompiledTarget) -> Double) -> Int? {
        var least = Double.infinity
        var others = tried
        for index in targets.indices where tried & (1 << UInt64(index)) == 0 {
            let own = amount(targets[index])
            if own < least {
                least = own
                // All that came before have more.
                others |= (1 << UInt64(index)) &- 1
            } else if own > least {
                others |= 1 << UInt64(index)
            }
        }
        return pick(random: random, excluding: others)
    }
}
