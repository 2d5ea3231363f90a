import Foundation
import GRDB
import Testing

/// `WEIR_USAGE_SEEDS=count` runs more seeds, `WEIR_USAGE_SEED=seed` one that failed.
@Suite struct UsageSimulationTests {
    private static let environment = ProcessInfo.processInfo.environment

    @Test func everyRecordArrivesExactlyOnceThroughFaultsAndKills() throws {
        let database = try UsageSimulation.makeDatabase()
        if let seed = Self.environment["WEIR_USAGE_SEED"].flatMap({ UInt64($0) }) {
            try Self.run(seed, database)
            return
        }
        let count = Self.environment["WEIR_USAGE_SEEDS"].flatMap { UInt64($0) } ?? 300
        var totals = UsageSimulation.Statistics()
        for seed in 1...max(1, count) {
            let statistics = try Self.run(seed, database)
            totals.complete += statistics.complete
            totals.interrupted += statistics.interrupted
            totals.kills += statistics.kills
            totals.failedFlushes += statistics.failedFlushes
            totals.refusals += statistics.refusals
            totals.failedFolds += statistics.failedFolds
            totals.renames += statistics.renames
            totals.heads += statistics.heads
        }
        // A simulation that meets no trouble proves nothing.
        #expect(totals.complete > 0 && totals.interrupted > 0 && totals.kills > 0)
        #expect(totals.heads > 300, "chains are signed, and go with what arrives")
        #expect(totals.renames > 50, "files of folded segments are used again")
        #expect(totals.failedFlushes > 0 && totals.refusals > 0 && totals.failedFolds > 0)
        print("usage simulation: \(count) seeds, \(totals)")
    }

    @discardableResult
    private static func run(_ seed: UInt64, _ database: DatabaseQueue) throws -> UsageSimulation.Statistics {
        let simulation = try UsageSimulation(seed: seed, database: database)
        do {
            // Some processes live long enough to fill their files more than once.
            try simulation.run(steps: seed.isMultiple(of: 4) ? 800 : 200)
        } catch {
            Issue.record("WEIR_USAGE_SEED=\(seed): \(error)")
            throw error
        }
        return simulation.statistics
    }
}
