import Contract
import Domain
import Primitives
import Storage
import Testing

/// Data planes that ship over bad links: batches repeated, reordered, overlapping, in several streams at once, across restarts of the
/// control plane and new lives of a data plane. What is stored in the end is what was produced, to the token and the nano-dollar.
@Suite("Usage under a bad network")
struct UsageSimulationTests {
    typealias Support = UsageSupport

    struct Source: Sendable {
        let dataPlaneID: String
        let incarnation: String
        let batches: [Weir_V1_UsageBatch]
    }

    struct Truth: Equatable {
        var requests: Int64 = 0
        var input: Int64 = 0
        var output: Int64 = 0
        var cost: Int64 = 0
    }

    @Test("stores each record exactly once", arguments: TestDatabases.all, [1, 2, 3, 4] as [UInt64])
    func exactlyOnce(_ kind: TestDatabase, _ seed: UInt64) async throws {
        try await kind.withURL { url in
            var generator = SeededGenerator(seed: seed)
            let (sources, truth) = Self.produce(&generator)
            for round in 0..<4 {
                let database = try await DatabaseFactory.open(url: url)
                try await MigrationRunner.run(database)
                let intake = try await Support.intake(database)
                // The last round delivers the rest in order, as a data plane that sees the answers does.
                let isLast = round == 3
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for source in sources {
                        for _ in 0..<(isLast ? 1 : 3) {
                            let seed = generator.next()
                            group.addTask { try await Self.ship(source, intake, seed: seed, untilDone: isLast) }
                        }
                    }
                    try await group.waitForAll()
                }
                await database.close()
            }
            let database = try await DatabaseFactory.open(url: url)
            let found = try await Self.stored(database)
            await database.close()
            #expect(found == truth, "seed \(seed)")
        }
    }

    /// One stream: starts somewhere, jumps about, repeats itself, and follows the answers when it has to finish.
    static func ship(_ source: Source, _ intake: UsageIntake, seed: UInt64, untilDone: Bool) async throws {
        var generator = SeededGenerator(seed: seed)
        var next = Int.random(in: 0...source.batches.count, using: &generator)
        var acknowledged: UInt64 = 0
        var budget = untilDone ? Int.max : Int.random(in: 0...(source.batches.count * 2), using: &generator)
        while budget > 0 {
            budget -= 1
            guard source.batches.indices.contains(next) else {
                if untilDone, acknowledged >= UInt64(source.batches.count) { return }
                next = 0
                continue
            }
            let ack = try await intake.store(dataPlaneID: source.dataPlaneID, batch: source.batches[next])
            #expect(ack.storedSequence >= acknowledged, "an answer went back, seed \(seed)")
            acknowledged = ack.storedSequence
            switch Int.random(in: 0..<10, using: &generator) {
            case 0: next = Int.random(in: 0...source.batches.count, using: &generator)
            case 1: break
            case 2: next += 2
            case 3: next = max(0, next - Int.random(in: 0...3, using: &generator))
            default: next = Int(acknowledged)
            }
        }
    }

    static func produce(_ generator: inout SeededGenerator) -> ([Source], [String: Truth]) {
        var truth: [String: Truth] = [:]
        var number: UInt64 = 0
        var sources: [Source] = []
        for (dataPlane, incarnation) in [("dp_a", "first"), ("dp_a", "second"), ("dp_b", "first")] {
            let count = UInt64.random(in: 8...14, using: &generator)
            let batches = (1...count).map { sequence in
                let records = (0..<Int.random(in: 0...6, using: &generator)).map { _ in
                    number += 1
                    let tenant = "ten_\(Int.random(in: 0..<3, using: &generator))"
                    let record = Support.record(
                        number, tenant: tenant, input: Int64.random(in: 0...100_000, using: &generator),
                        output: Int64.random(in: 0...10_000, using: &generator),
                        at: Support.now - Int64.random(in: 0...(60 * 86_400_000), using: &generator))
                    truth[tenant, default: Truth()].requests += 1
                    truth[tenant, default: Truth()].input += record.inputTokens
                    truth[tenant, default: Truth()].output += record.outputTokens
                    truth[tenant, default: Truth()].cost += record.costNano
                    return record
                }
                return Support.batch(incarnation, sequence, records)
            }
            sources.append(Source(dataPlaneID: dataPlane, incarnation: incarnation, batches: batches))
        }
        return (sources, truth)
    }

    static func stored(_ database: any Database) async throws -> [String: Truth] {
        var found: [String: Truth] = [:]
        for sums in try await Support.queries(database).sums(Support.everything, by: [.tenant], as: .all).rows {
            #expect(sums.costMismatches == 0)
            guard case .text(let tenant)? = sums.group.first else { continue }
            found[tenant] = Truth(
                requests: sums.requests, input: sums.inputTokens, output: sums.outputTokens, cost: sums.reratedCostNano)
        }
        return found
    }
}
