import Glibc
import Primitives

/// What the choices of one target brought: the state of an arm of a bandit. A value with the time handed in, in monotonic microseconds.
struct BanditArm: Sendable {
    /// Of this data plane. They fade: above `memory`, both are halved, so that what a target was long ago does not decide for ever.
    private(set) var pulls = 0.0
    private(set) var reward = 0.0
    /// Of the other data planes, by way of the control plane.
    private(set) var priorPulls = 0.0
    private(set) var priorReward = 0.0
    /// The part of the last attempts that succeeded.
    private var success = 1.0
    /// Until then the route falls back to its weights, without this one.
    private(set) var coolingUntil: Int64 = .min
    private var isRestored = false

    static let memory = 5000.0
    /// Of the whole fleet, at most: a data plane's own experience soon weighs more.
    static let largestPrior = 200.0
    static let cooldown: Int64 = 30_000_000
    /// What is left of what was known when a target degrades: it has to show anew what it is worth.
    private static let keptWhenDegraded = 0.1
    private static let degraded = 0.5
    private static let recency = 0.15

    /// - Parameter reward: 0 to 1.
    /// - Returns: whether the arm is found to have degraded by this.
    mutating func learn(_ gained: Double, succeeded: Bool, now: Int64) -> Bool {
        if pulls >= Self.memory {
            pulls /= 2
            reward /= 2
        }
        pulls += 1
        reward += min(max(gained, 0), 1)
        success += Self.recency * ((succeeded ? 1 : 0) - success)
        guard success < Self.degraded, now >= coolingUntil else { return false }
        coolingUntil = now &+ Self.cooldown
        success = 1
        pulls *= Self.keptWhenDegraded
        reward *= Self.keptWhenDegraded
        priorPulls = 0
        priorReward = 0
        return true
    }

    /// What an earlier process had learnt. Once.
    mutating func restore(pulls: Double, reward: Double) {
        guard !isRestored else { return }
        isRestored = true
        guard let (pulls, reward) = Self.sound(pulls, reward, most: Self.memory) else { return }
        self.pulls += pulls
        self.reward += reward
    }

    /// What others have learnt, in place of what they had before.
    mutating func take(priorPulls: Double, priorReward: Double, now: Int64) {
        guard now >= coolingUntil, let (pulls, reward) = Self.sound(priorPulls, priorReward, most: Self.largestPrior) else { return }
        self.priorPulls = pulls
        self.priorReward = reward
    }

    /// Numbers from elsewhere: nil for none, and never more than so much.
    static func sound(_ pulls: Double, _ reward: Double, most: Double) -> (pulls: Double, reward: Double)? {
        guard pulls.isFinite, reward.isFinite, pulls > 0, reward >= 0, reward <= pulls else { return nil }
        let share = min(1, most / pulls)
        return (pulls * share, reward * share)
    }

    var allPulls: Double { pulls + priorPulls }
    var allReward: Double { reward + priorReward }
    /// Nothing is known: worth a try.
    var mean: Double { allPulls > 0 ? allReward / allPulls : 1 }
}

extension CompiledRoute {
    private static let exploration = 0.1

    /// By what the targets brought; by weight, among the others, while one of them has just degraded.
    func learnt(_ strategy: RouteStrategy, random: UInt64, excluding tried: UInt64, now: Int64) -> Int? {
        var degraded: UInt64 = 0
        var arms = [BanditArm](repeating: BanditArm(), count: targets.count)
        for index in targets.indices where tried & (1 << UInt64(index)) == 0 {
            arms[index] = targets[index].meter.arm
            if arms[index].coolingUntil > now { degraded |= 1 << UInt64(index) }
        }
        if degraded != 0 {
            let left = tried | degraded
            return pick(random: random, excluding: left & valid == valid ? tried : left)
        }
        var generator = SeededGenerator(seed: random)
        var scores = [Double](repeating: 0, count: targets.count)
        switch strategy {
        case .epsilonGreedy:
            if Double.random(in: 0..<1, using: &generator) < Self.exploration { return pick(random: generator.next(), excluding: tried) }
            for index in scores.indices { scores[index] = arms[index].mean }
        case .ucb1:
            // Auer et al. 2002. What runs counts as tried: an unknown target does not get everything until its first answer.
            let running = targets.indices.map { Double(max(0, targets[$0].meter.running)) }
            var all = 0.0
            for index in targets.indices where tried & (1 << UInt64(index)) == 0 { all += arms[index].allPulls + running[index] }
            for index in scores.indices {
                let pulls = arms[index].allPulls + running[index]
                scores[index] = pulls > 0 ? arms[index].mean + (2 * log(max(1, all)) / pulls).squareRoot() : .greatestFiniteMagnitude
            }
        case .thompson:
            for index in scores.indices where tried & (1 << UInt64(index)) == 0 {
                scores[index] = BetaDistribution.sample(
                    1 + arms[index].allReward, 1 + max(0, arms[index].allPulls - arms[index].allReward), using: &generator)
            }
        case .weighted, .roundRobin, .leastLatency, .leastUsed, .lowestCost: break
        }
        return best(scores, excluding: tried, random: generator.next())
    }

    /// The highest score; of several, one drawn by weight.
    private func best(_ scores: [Double], excluding tried: UInt64, random: UInt64) -> Int? {
        var others = tried
        var highest = -Double.infinity
        for index in targets.indices where tried & (1 << UInt64(index)) == 0 { highest = max(highest, scores[index]) }
        for index in targets.indices where scores[index] < highest { others |= 1 << UInt64(index) }
        return pick(random: random, excluding: others)
    }
}

enum BetaDistribution {
    /// - Parameters: both at least 1.
    static func sample(_ a: Double, _ b: Double, using generator: inout SeededGenerator) -> Double {
        let x = gamma(a, &generator)
        let y = gamma(b, &generator)
        return x + y > 0 ? x / (x + y) : 0.5
    }

    /// Marsaglia and Tsang 2000, for shapes of at least 1.
    private static func gamma(_ shape: Double, _ generator: inout SeededGenerator) -> Double {
        let d = shape - 1.0 / 3
        let c = 1 / (9 * d).squareRoot()
        // Each round succeeds with more than 95 %: a bound that is never reached, in place of none.
        for _ in 0..<1000 {
            let x = normal(&generator)
            let v = (1 + c * x) * (1 + c * x) * (1 + c * x)
            guard v > 0 else { continue }
            let u = Double.random(in: Double.leastNormalMagnitude..<1, using: &generator)
            if log(u) < 0.5 * x * x + d - d * v + d * log(v) { return d * v }
        }
        return d
    }

    /// Box and Muller.
    private static func normal(_ generator: inout SeededGenerator) -> Double {
        let u = Double.random(in: Double.leastNormalMagnitude..<1, using: &generator)
        let v = Double.random(in: 0..<1, using: &generator)
        return (-2 * log(u)).squareRoot() * cos(2 * Double.pi * v)
    }
}
