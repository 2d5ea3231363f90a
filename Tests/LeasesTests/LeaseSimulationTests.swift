import Foundation
import Leases
import Primitives
import Testing

/// `WEIR_LEASE_SEEDS=count` runs more seeds, `WEIR_LEASE_SEED=seed` one that failed.
@Suite struct LeaseSimulationTests {
    private static let environment = ProcessInfo.processInfo.environment

    @Test func noBudgetIsOverspentAndNoMoneyIsLostWhateverHappens() throws {
        if let seed = Self.environment["WEIR_LEASE_SEED"].flatMap({ UInt64($0) }) {
            for faults in LeaseSimulation.Faults.allCases { _ = try Self.run(seed, faults) }
            return
        }
        let count = Self.environment["WEIR_LEASE_SEEDS"].flatMap { UInt64($0) } ?? 200
        var totals = LeaseSimulation.Statistics()
        for seed in 1...max(1, count) {
            totals.add(try Self.run(seed, seed.isMultiple(of: 2) ? .disks : .restores))
        }
        // A simulation that meets no trouble proves nothing.
        #expect(totals.served > 0 && totals.unknown > 0 && totals.kills > 0 && totals.continued > 0 && totals.orphans > 0)
        #expect(
            totals.restores > 0 && totals.adopted > 0 && totals.neverReceived > 0 && totals.extended > 0 && totals.clones > 0
                && totals.usedUp > 0)
    }

    private static func run(_ seed: UInt64, _ faults: LeaseSimulation.Faults) throws -> LeaseSimulation.Statistics {
        let simulation = LeaseSimulation(seed: seed, faults: faults)
        do {
            try simulation.run(steps: 300)
            try simulation.heal()
        } catch {
            Issue.record("WEIR_LEASE_SEED=\(seed) (\(faults)): \(error)")
            throw error
        }
        return simulation.statistics
    }

    /// Three data planes, each with as many requests at a time as it can get: the last of the budget lies with nobody who does not use it.
    @Test(arguments: [1, 2, 3, 4, 5] as [UInt64]) func almostAllOfABudgetIsUsable(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let key = AccountKey(high: 1, low: 1, periodStart: 0)
        let limit: Int64 = 10_000_000_000
        var account = LeaseAccount(limit: limit)
        var slices: [SliceID: LeasedSlice] = [:]
        var wallets = Array(repeating: Wallet(), count: 3)
        var rows: [SliceID: HeldSlice] = [:]
        let holders = (0..<3).map { LeaseHolder(dataPlane: "dp_\($0)", boot: "b\($0)") }
        var running = Array(repeating: [[HoldPart]](), count: 3)
        var now: Int64 = 1_000_000
        var spent: Int64 = 0
        for _ in 0..<400 {
            now += 500
            for plane in 0..<3 {
                for parts in running[plane] {
                    let held = parts.reduce(0) { $0 + $1.amount }
                    let divided = HoldDivision.divide(
                        parts.map(\.amount), spent: Int64.random(in: held / 8...held / 2, using: &random), isKnown: true)
                    for (part, sums) in zip(parts, divided.parts) {
                        wallets[plane].settle(part, spent: sums.spent)
                        rows[part.slice]?.charge(spent: sums.spent, unknown: 0)
                        spent += sums.spent
                    }
                }
                running[plane] = []
                for _ in 0..<(plane == 0 ? 8 : 3) {
                    let claim = Claim(account: key, amount: Int64.random(in: 2_000_000...30_000_000, using: &random))
                    if case .held(let parts) = wallets[plane].reserve([claim], nowMilliseconds: now) { running[plane].append(parts) }
                }
                for change in wallets[plane].look(nowMilliseconds: now) {
                    let id: SliceID
                    switch change {
                    case .lowered(let slice, let ceiling):
                        id = slice
                        rows[id]?.lower(to: ceiling)
                    case .closing(let slice, let spent, let unknown):
                        id = slice
                        if rows[id]?.close(spent: spent, unknown: unknown) == true { wallets[plane].closed(id, of: key) }
                    }
                    if let row = rows[id], var slice = slices[id] {
                        #expect(account.take(row.report, of: &slice, from: holders[plane]).isEmpty)
                        slices[id] = slice
                    }
                }
                for ask in wallets[plane].asks(nowMilliseconds: now, using: &random) {
                    do throws(LeaseRefusal) {
                        let slice = try account.grant(
                            ask, as: .random(using: &random), to: holders[plane], holders: 3, epoch: 1, periodEnd: nil, nowMilliseconds: now
                        )
                        slices[slice.id] = slice
                        let held = HeldSlice(
                            SliceReport(
                                slice: slice.id, account: key, boot: slice.boot, granted: slice.granted, ceiling: slice.granted, spent: 0,
                                unknown: 0, state: .open, expires: slice.expires, epoch: 1))
                        rows[slice.id] = held
                        wallets[plane].add(held, nowMilliseconds: now)
                    } catch {
                        wallets[plane].refused(ask, RefusedAccount(reason: error, resetsAt: 0), nowMilliseconds: now)
                        if error == .held { for other in 0..<3 where other != plane { wallets[other].recall(key) } }
                    }
                }
            }
        }
        #expect(spent <= limit)
        #expect(spent >= limit / 100 * 95, "\(spent) of \(limit) was used")
    }
}

extension LeaseSimulation.Statistics {
    mutating func add(_ other: Self) {
        served += other.served
        refused += other.refused
        unknown += other.unknown
        kills += other.kills
        orphans += other.orphans
        restores += other.restores
        clones += other.clones
        adopted += other.adopted
        continued += other.continued
        extended += other.extended
        neverReceived += other.neverReceived
        usedUp += other.usedUp
    }
}
