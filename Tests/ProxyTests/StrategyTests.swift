import Contract
import Primitives
import Testing

@testable import Proxy

/// Each strategy's choices from a seed, with a clock of the test's own.
@Suite("Strategies of routes", .timeLimit(.minutes(10)))
struct StrategyTests {
    /// - Parameter targets: weight and priority of each.
    private func route(
        _ strategy: Weir_V1_RouteStrategy, _ targets: [(weight: UInt32, priority: UInt32)],
        adjust: (inout Weir_V1_ConfigPayload) -> Void = { _ in }, reusing known: [CompiledConfig] = []
    ) throws -> CompiledRoute {
        var payload = SnapshotFixture.smallConfig()
        let endpoint = payload.endpoints[0]
        payload.endpoints = targets.indices.map { index in
            var endpoint = endpoint
            endpoint.id = "ep_\(index)"
            endpoint.name = "e\(index)"
            return endpoint
        }
        payload.routes[0].strategy = strategy
        payload.routes[0].targets = targets.enumerated().map { index, given in
            var target = Weir_V1_RouteTarget()
            target.endpointID = "ep_\(index)"
            target.weight = given.weight
            target.priority = given.priority
            return target
        }
        payload.prices = []
        adjust(&payload)
        let config = try ConfigCompiler(reusing: known).compile(payload, version: 3, digest: [])
        return try #require(config.models["gpt-small"]?.route)
    }

    private func pick(_ route: CompiledRoute, _ random: inout SeededGenerator, now: Int64 = 0, tokens: Int64 = 1000, tried: UInt64 = 0)
        throws -> Int
    {
        let context = ChoiceContext(now: now, wallMilliseconds: 1000, inputTokens: tokens, outputTokens: tokens)
        return try #require(route.pick(route.strategy, random: random.next(), excluding: tried, context))
    }

    @Test func roundRobinTakesEachInTurn() throws {
        let route = try route(.roundRobin, [(1, 0), (0, 0), (1, 0), (1, 0)])
        var random = SeededGenerator(seed: 1)
        #expect(try (0..<7).map { _ in try pick(route, &random) } == [0, 2, 3, 0, 2, 3, 0])
        // One that was tried is passed over, and the weightless one waits until the others were.
        #expect(try Set((0..<10).map { _ in try pick(route, &random, tried: 0b0001) }) == [2, 3])
        #expect(try pick(route, &random, tried: 0b1101) == 1)
    }

    @Test func roundRobinHasNoLongGapsWithWeights() throws {
        let route = try route(.roundRobin, [(1, 0), (2, 0), (5, 0)])
        var random = SeededGenerator(seed: 1)
        let picks = try (0..<800).map { _ in try pick(route, &random) }
        #expect(zip([100, 200, 500], 0..<3).allSatisfy { expected, index in abs(picks.count { $0 == index } - expected) <= 3 })
        let rarest = picks.indices.filter { picks[$0] == 0 }
        #expect(zip(rarest, rarest.dropFirst()).allSatisfy { $1 - $0 <= 16 })
    }

    @Test func leastUsedKeepsWhatRunsInProportionToTheWeights() throws {
        let route = try route(.leastUsed, [(1, 0), (1, 0), (2, 0)])
        var random = SeededGenerator(seed: 7)
        var running: [(until: Int, target: Int, token: TargetMeter.Running)] = []
        var served = [0, 0, 0]
        for now in 0..<4000 {
            running.removeAll { $0.until <= now }
            let index = try pick(route, &random)
            // The first is four times as slow as the others.
            running.append((now + (index == 0 ? 80 : 20), index, TargetMeter.Running(route.targets[index].meter)))
            served[index] += 1
            guard now > 100 else { continue }
            let counts = (0..<3).map { target in running.count { $0.target == target } }
            #expect(abs(counts[0] - counts[1]) <= 2 && abs(counts[2] - 2 * counts[1]) <= 4, "\(counts)")
        }
        // As many at one time, each four times as long: a quarter as many.
        #expect(served[1] > 3 * served[0] && served[2] > 3 * served[1] / 2, "\(served)")
        running.removeAll()
        #expect(route.targets.allSatisfy { $0.meter.running == 0 })
    }

    @Test func leastLatencyLeavesASlowTargetAndComesBackToIt() throws {
        let route = try route(.leastLatency, [(1, 0), (1, 0), (1, 0)])
        var random = SeededGenerator(seed: 11)
        var now: Int64 = 1_000_000
        /// 100 requests a second; shares of the targets.
        func run(seconds: Int, latency: [Int64]) throws -> [Int] {
            var counts = [0, 0, 0]
            for _ in 0..<seconds * 100 {
                now += 10_000
                let index = try pick(route, &random, now: now)
                counts[index] += 1
                route.targets[index].meter.learn(latency: latency[index], failed: false, now: now)
            }
            return counts
        }
        let even = try run(seconds: 20, latency: [20_000, 20_000, 20_000])
        #expect(even.allSatisfy { $0 > 400 }, "\(even)")
        let slow = try run(seconds: 20, latency: [20_000, 20_000, 900_000])
        #expect(slow[2] < 40 && slow[0] > 700 && slow[1] > 700, "\(slow)")
        _ = try run(seconds: 30, latency: [20_000, 20_000, 20_000])
        let back = try run(seconds: 10, latency: [20_000, 20_000, 20_000])
        #expect(back[2] > 200, "\(back)")
    }

    @Test func leastLatencyGivesAnUnknownTargetOneRequestAtATime() throws {
        let route = try route(.leastLatency, [(1, 0), (1, 0)])
        var random = SeededGenerator(seed: 3)
        route.targets[0].meter.learn(latency: 30_000, failed: false, now: 0)
        #expect(try pick(route, &random) == 1)
        let held = TargetMeter.Running(route.targets[1].meter)
        #expect(try (0..<20).allSatisfy { _ in try pick(route, &random) == 0 })
        _ = held
    }

    @Test func failingFastIsNoMerit() {
        let meter = TargetMeter()
        meter.learn(latency: 50_000, failed: false, now: 0)
        for turn in 1...50 { meter.learn(latency: 100, failed: true, now: Int64(turn) * 1000) }
        #expect(meter.expectedLatency(now: 50_000).map { $0 > 100_000 } == true)
    }

    @Test func lowestCostReckonsWithThisRequest() throws {
        let route = try route(.lowestCost, [(1, 0), (1, 0), (1, 0), (1, 0)]) { payload in
            payload.prices = [(1, 4000, 0), (2, 1000, 2), (0, 1000, 2)].enumerated().map { index, given in
                var price = Weir_V1_Price()
                price.id = "price_\(index)"
                price.modelID = payload.models[0].id
                price.endpointID = "ep_\(given.0)"
                price.input = Int64(given.1) * 1_000_000
                price.output = Int64(given.1) * 1_000_000
                if given.2 > 0 {
                    var tier = Weir_V1_PriceTier()
                    tier.aboveInputTokens = 200_000
                    tier.input = Int64(given.1 * given.2 * 4) * 1_000_000
                    price.tiers = [tier]
                }
                return price
            }
        }
        var random = SeededGenerator(seed: 5)
        let small = try (0..<400).map { _ in try pick(route, &random) }
        // Two cost the same and are drawn by weight; what has no price comes last.
        #expect(small.count { $0 == 0 } > 150 && small.count { $0 == 2 } > 150 && small.allSatisfy { $0 == 0 || $0 == 2 })
        // Above the tier's size they are the dearer ones.
        #expect(try (0..<50).allSatisfy { _ in try pick(route, &random, tokens: 300_000) == 1 })
        #expect(try pick(route, &random, tried: 0b0111) == 3)
    }

    @Test func prioritiesAreSetsOfTargets() throws {
        #expect(try route(.weighted, [(1, 0), (1, 0)]).tiers == [.max])
        #expect(try route(.weighted, [(1, 2), (1, 0), (0, 2), (1, 5)]).tiers == [0b0010, 0b0101, 0b1000])
    }

    @Test func whatWasLearntOutlivesAConfiguration() throws {
        let first = try ConfigCompiler(reusing: [CompiledConfig]()).compile(SnapshotFixture.smallConfig(), version: 1, digest: [])
        let second = try ConfigCompiler(reusing: [first]).compile(SnapshotFixture.smallConfig(), version: 2, digest: [])
        let meters = [first, second].map { $0.models["gpt-small"]?.route?.targets[0].meter }
        #expect(meters[0] != nil && meters[0] === meters[1])
    }
}
