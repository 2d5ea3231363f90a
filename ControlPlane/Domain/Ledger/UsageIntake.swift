package import Contract
package import Logging
package import Primitives
package import Storage
import SwiftProtobuf
package import Telemetry

/// Takes in the batches of usage records that data planes ship: each exactly once, whatever is repeated, overlaps or comes out of order.
///
/// A batch and its data plane's watermark are stored in one transaction that holds the watermark's row, so two streams of one data plane
/// take turns, and a batch that was stored moves the mark beyond itself for good. What a data plane may not report is stored in the same
/// transaction, apart: acknowledged like the rest, billed to nobody.
package struct UsageIntake: Sendable {
    /// What one batch may hold; data planes make them far smaller.
    package static let maximumRecords = 10_000
    /// A data plane begins a new life when its database is lost or restored: hardly once a year.
    package static let maximumIncarnationsPerDay: Int64 = 20
    /// Records of one data plane that are kept apart before no more are taken from it: some 60 MB.
    package static let maximumQuarantined: Int64 = 200_000

    private let database: any Database
    private let prices: any PriceBook
    private let clock: any WallClock
    private let logger: Logger
    private let parties: UsageParties
    private let keyUses = KeyUses()
    private let identities = UsageIdentities()
    private let quarantined: [QuarantineReason: Counter]
    private let chainBreaks: [ChainBreak: Counter]
    private let forks: Counter

    package init(
        database: any Database, prices: any PriceBook, clock: any WallClock, logger: Logger = Logger(label: "weir.usage"),
        metrics: MetricsRegistry = MetricsRegistry()
    ) {
        self.database = database
        self.prices = prices
        self.clock = clock
        self.logger = logger
        parties = UsageParties(database: database)
        chainBreaks = Dictionary(
            uniqueKeysWithValues: ChainBreak.allCases.map { fault in
                (
                    fault,
                    metrics.counter(
                        "weir_usage_chain_breaks_total",
                        help: "Signed heads of chains of usage records that do not go with the records that were stored.",
                        labels: [("reason", fault.rawValue)])
                )
            })
        forks = metrics.counter(
            "weir_usage_forks_total", help: "Usage batches of a number that is stored with other contents: of a copied or restored disk.")
        quarantined = Dictionary(
            uniqueKeysWithValues: QuarantineReason.allCases.map { reason in
                (
                    reason,
                    metrics.counter(
                        "weir_usage_quarantined_records_total", help: "Usage records kept apart: their data plane may not report them.",
                        labels: [("reason", reason.rawValue)])
                )
            })
    }

    /// With the prices of the published configurations.
    package init(_ domain: DomainContext, logger: Logger = Logger(label: "weir.usage"), metrics: MetricsRegistry = MetricsRegistry()) {
        self.init(
            database: domain.database, prices: PublishedPriceBook(database: domain.database), clock: domain.clock,
            logger: logger, metrics: metrics)
    }

    /// As below, of one batch.
    package func store(dataPlaneID: String, batch: Weir_V1_UsageBatch) async throws -> Weir_V1_UsageAck {
        try await store(dataPlaneID: dataPlaneID, batches: [UsageBatchBytes(batch)]).first ?? Weir_V1_UsageAck()
    }

    /// Stores, of each incarnation in one transaction, those batches that are the next ones. The answer to each says up to where everything
    /// is stored; a batch beyond the next leaves it where it was, and the data plane sends from there again.
    /// - Throws: `DomainError.invalid` for a batch without a usable incarnation or sequence, with too many records or with what is none;
    ///   `UsageRefusal` for a data plane that has reached a bound; `DatabaseError` when they could not be stored (or, the connection having
    ///   broken, may have been: sent again, they are told apart). It is then all or none of an incarnation's.
    package func store(dataPlaneID: String, batches: [UsageBatchBytes]) async throws -> [Weir_V1_UsageAck] {
        guard let incarnation = batches.first?.incarnation else { return [] }
        let run = Array(batches.prefix { $0.incarnation == incarnation })
        let acks = try await store(dataPlaneID, incarnation, run)
        return acks + (try await store(dataPlaneID: dataPlaneID, batches: Array(batches.dropFirst(run.count))))
    }

    private func store(_ dataPlaneID: String, _ incarnation: String, _ batches: [UsageBatchBytes]) async throws -> [Weir_V1_UsageAck] {
        for batch in batches { try Self.check(batch) }
        let now = clock.nowMicroseconds()
        // What is stored already needs no rating; the transaction decides, this only spares work.
        let reports = try await ReportedUsage(batches, of: dataPlaneID, parties, prices, now: now)
        let reported = ReportedChains(batches, of: dataPlaneID)
        let outcome = try await database.transaction(as: .all, isolation: .readCommitted) { [keyUses, identities] c -> Outcome in
            var mark = try UsageWatermarksTable.lock(c, dataPlaneID: dataPlaneID, incarnation: incarnation, now: now / 1000)
            var outcome = Outcome(marks: [], before: mark.sequence)
            var recent = RecentBatches(mark.recent)
            var due: [Int] = []
            var told: [FollowedChains.Told] = []
            for (index, batch) in batches.enumerated() {
                let sequence = Int64(clamping: batch.sequence)
                if sequence == outcome.mark &+ 1 {
                    due += reports.places[index]
                    told += reported.heads(index).map { .init(head: $0, after: reports.places[index].upperBound) }
                    recent.append(sequence, reported.digests[index])
                    outcome.marks.append(sequence)
                } else {
                    if sequence <= outcome.mark, recent.isOther(sequence, reported.digests[index]) { outcome.forks.insert(index) }
                    outcome.marks.append(outcome.mark)
                }
            }
            guard outcome.mark != outcome.before else { return outcome }
            if outcome.before == 0 { try Self.checkIncarnations(c, dataPlaneID, now / 1000) }
            if mark.followed != outcome.before {
                try UsageChainsTable.lose(c, dataPlaneID: dataPlaneID, incarnation: incarnation)
                mark.lost = outcome.before
            }
            let chains = try FollowedChains(
                c, reported, dataPlaneID: dataPlaneID, incarnation: incarnation, due: due, told: told,
                publicKey: told.isEmpty ? nil : identities.publicKey(c, of: dataPlaneID), beginsAnew: mark.lost == 0, now: now / 1000)
            let (places, apart) = try Self.divide(c, reports, due, dataPlaneID, now / 1000)
            let stored = try StoredUsage(c, reports.rows, at: places)
            // Each transaction locks accounts first and observations after them.
            let refused = try UncoveredUse.store(c, reports.uncovered, storedAt: stored.places, now: now / 1000)
            try BudgetObservations.store(c, reports.observations, storedAt: stored.places, and: refused)
            try Self.keepApart(c, apart, batches, reports, chains.numbers, dataPlaneID)
            try chains.store(
                c, reports.rows, repeated: stored.places.count == places.count ? [] : Set(places).subtracting(stored.places),
                apart: Set(apart.map(\.place)))
            (mark.sequence, mark.followed, mark.recent) = (outcome.mark, outcome.mark, recent.bytes)
            try UsageWatermarksTable.set(c, dataPlaneID: dataPlaneID, incarnation: incarnation, mark)
            outcome.breaks = chains.breaks.map { (tenantID: $0.key.tenantID, fault: $0.fault) }
            outcome.uses = keyUses.due(stored.groups, of: reports.rows, dataPlaneID)
            try KeyUsesTable.note(c, dataPlaneID: dataPlaneID, outcome.uses)
            outcome.repeated = places.count - stored.places.count
            outcome.apart = apart.map(\.reason)
            outcome.mismatches = places.count { reports.rows[$0, UsagePlace.flags] & Int64(UsageFlags.costMismatch.rawValue) != 0 }
            return outcome
        }
        keyUses.remember(outcome.uses, of: dataPlaneID)
        report(outcome, batches, dataPlaneID)
        return outcome.marks.enumerated().map { index, mark in
            var ack = Weir_V1_UsageAck()
            ack.incarnation = incarnation
            ack.storedSequence = UInt64(clamping: mark)
            if outcome.forks.contains(index) { ack.forkedSequence = batches[index].sequence }
            return ack
        }
    }

    /// Makes the partitions of this month and the next two. For the reconciler, daily or oftener; on SQLite it does nothing.
    /// - Throws: `DatabaseError`.
    package func preparePartitions() async throws {
        let current = UsageMonth(containingMicroseconds: clock.nowMicroseconds())
        let months: Set = [current, current.next, current.next.next]
        let made = try await database.transaction(as: .all, isolation: .readCommitted) { try UsagePartitions.ensure($0, months) }
        if !made.isEmpty {
            logger.info("usage partitions made", metadata: ["months": "\(made.map(\.description).joined(separator: " "))"])
        }
    }

    private struct Outcome: Sendable {
        /// After each batch.
        var marks: [Int64]
        let before: Int64
        var repeated = 0
        /// Batches of numbers that are stored with other contents, by their place.
        var forks: Set<Int> = []
        var breaks: [(tenantID: String, fault: ChainBreak)] = []
        var apart: [QuarantineReason] = []
        var uses: [KeyUse] = []
        var mismatches = 0

        var mark: Int64 { marks.last ?? before }
    }

    /// What is kept apart: the record's place, and why.
    private struct Apart {
        let place: Int
        let reason: QuarantineReason
    }

    private static func check(_ batch: UsageBatchBytes) throws(DomainError) {
        let incarnation = batch.incarnation.utf8
        guard (1...64).contains(incarnation.count), incarnation.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw .invalid("incarnation", "is not 1 to 64 printable characters", remedy: "Send 32 hexadecimal digits.")
        }
        guard batch.sequence >= 1 else { throw .invalid("sequence", "is 0", remedy: "Number batches from 1.") }
        guard batch.records.count <= maximumRecords else {
            throw .invalid("records", "are more than \(maximumRecords)", remedy: "Make smaller batches.")
        }
    }

    // MARK: What may be reported

    private static func checkIncarnations(_ c: any SQLConnection, _ dataPlaneID: String, _ now: Int64) throws {
        let lives = try UsageWatermarksTable.incarnations(c, dataPlaneID: dataPlaneID, since: now &- 86_400_000)
        // The one that begins now is among them.
        guard lives <= maximumIncarnationsPerDay else { throw UsageRefusal.tooManyIncarnations }
    }

    /// What is billed of the records that are due, and what is not.
    private static func divide(
        _ c: any SQLConnection, _ reports: ReportedUsage, _ due: [Int], _ dataPlaneID: String, _ now: Int64
    ) throws -> (places: [Int], apart: [Apart]) {
        guard !due.isEmpty else { return ([], []) }
        let scope = try FormerTenantsTable.scope(c, dataPlaneID: dataPlaneID)
        if let scope, scope.former.values.contains(where: { $0.toldAt == nil }) {
            try FormerTenantsTable.told(c, dataPlaneID: dataPlaneID, now: now)
        }
        if let scope, scope.isActive, scope.serves == .everyone, reports.isBlameless { return (due, []) }
        var places: [Int] = []
        var apart: [Apart] = []
        // By where the tenant's id lies.
        var tenants: [Int64: String] = [:]
        for place in due {
            let tenant = reports.rows[place, UsagePlace.tenantID]
            let id = tenants[tenant] ?? reports.rows.text(at: tenant)
            tenants[tenant] = id
            if let reason = reason(id, reports.rows[place, UsagePlace.admittedAt], reports.reason(place), scope, now) {
                apart.append(Apart(place: place, reason: reason))
            } else {
                places.append(place)
            }
        }
        return (places, apart)
    }

    private static func reason(
        _ tenantID: String, _ admittedAt: Int64, _ known: QuarantineReason?, _ scope: DataPlaneScope?, _ now: Int64
    ) -> QuarantineReason? {
        if scope?.isActive == false { return .revokedDataPlane }
        if known == .unknownTenant { return .unknownTenant }
        guard let scope, UsageConfinement.serves(scope, tenantID, admittedAtMicroseconds: admittedAt, now: now) else {
            return .tenantNotServed
        }
        return known
    }

    private static func keepApart(
        _ c: any SQLConnection, _ apart: [Apart], _ batches: [UsageBatchBytes], _ reports: ReportedUsage,
        _ numbers: [Int64], _ dataPlaneID: String
    ) throws {
        guard !apart.isEmpty else { return }
        let present = try UsageQuarantineTable.totals(c, dataPlaneID: dataPlaneID).reduce(0) { $0 &+ $1.records }
        guard present &+ Int64(apart.count) <= maximumQuarantined else { throw UsageRefusal.quarantineFull }
        try UsageQuarantineTable.insert(
            c,
            apart.compactMap { one in
                let row = try UsageRow(packed: reports.rows, one.place)
                guard let batch = zip(batches, reports.places).first(where: { $1.contains(one.place) })?.0 else { return nil }
                return QuarantinedUsageRow(
                    id: "qua_" + Base32.encode(SecureRandom.bytes(10)), receivedAt: row.receivedAt, reason: one.reason.rawValue,
                    dataPlaneID: dataPlaneID, incarnation: row.incarnation, sequence: row.sequence, position: row.position,
                    tenantID: row.tenantID, record: batch.recordBytes(Int(clamping: row.position)),
                    chainNumber: numbers[one.place] > 0 ? numbers[one.place] : nil)
            })
    }

    private func report(_ outcome: Outcome, _ batches: [UsageBatchBytes], _ dataPlaneID: String) {
        let sequence = batches.last?.sequence ?? 0
        let about: Logger.Metadata = ["data_plane": "\(dataPlaneID)", "sequence": "\(sequence)", "mark": "\(outcome.mark)"]
        if !outcome.forks.isEmpty {
            forks.increment(by: UInt64(outcome.forks.count))
            logger.error(
                "usage batch of a number that is stored with other contents: two processes work with copies of one disk, or it was restored",
                metadata: about)
        }
        for (tenantID, fault) in outcome.breaks {
            chainBreaks[fault]?.increment(by: 1)
            logger.error(
                "signed head of a usage chain does not go with its records: bills cannot be proved from there on",
                metadata: about.merging(["tenant": "\(tenantID)", "reason": "\(fault.rawValue)"]) { a, _ in a })
        }
        guard outcome.mark != outcome.before else {
            logger.debug(
                Int64(clamping: sequence) <= outcome.mark ? "usage batch repeated" : "usage batch ahead of its turn", metadata: about)
            return
        }
        if outcome.repeated > 0 {
            let more = about.merging(["left_out": "\(outcome.repeated)"]) { a, _ in a }
            logger.error("usage batch repeats requests of earlier ones", metadata: more)
        }
        if !outcome.apart.isEmpty {
            let counts = Dictionary(grouping: outcome.apart, by: { $0 }).mapValues(\.count)
            for (reason, count) in counts { quarantined[reason]?.increment(by: UInt64(count)) }
            let words = counts.map { "\($0.key.rawValue) \($0.value)" }.sorted().joined(separator: ", ")
            logger.error(
                "usage records kept apart: the data plane may not report them; see `weir usage quarantine`",
                metadata: about.merging(["reasons": "\(words)"]) { a, _ in a })
        }
        if outcome.mismatches > 0 {
            logger.warning(
                "usage records rated differently", metadata: about.merging(["records": "\(outcome.mismatches)"]) { a, _ in a })
        }
    }
}

/// Why nothing more is taken from a data plane for now. It keeps what it has and comes again: nothing is lost.
package enum UsageRefusal: Error, Hashable, Sendable {
    case tooManyIncarnations
    /// Somebody has to look at what was kept apart, and release or discard it.
    case quarantineFull

    /// For the logs of both planes.
    package var detail: String {
        switch self {
        case .tooManyIncarnations:
            "more than \(UsageIntake.maximumIncarnationsPerDay) new incarnations of its usage within a day: is its data folder lost again and again?"
        case .quarantineFull:
            "\(UsageIntake.maximumQuarantined) of its usage records are kept apart: release or discard them (weir usage quarantine)"
        }
    }
}

/// The control plane's own rating, beside the data plane's.
enum UsageRating {
    /// - Parameter config: The one that the record names; nil: there is none.
    static func rate(_ row: inout UsageRow, _ record: Weir_V1_UsageRecord, _ config: PublishedConfig?) {
        var flags = UsageFlags(rawValue: UInt32(truncatingIfNeeded: row.flags))
        if record.capability == .forward {
            // No price of ours: it is the provider's word, or not known.
            if !flags.contains(.priceMissing) { row.reratedCostNano = row.costNano }
            return
        }
        if record.attemptList.isEmpty {
            var usage = TokenUsage(
                input: row.inputTokens, output: row.outputTokens, cachedInput: row.cachedInputTokens, cacheWrite: row.cacheWriteTokens,
                reasoning: row.reasoningTokens)
            usage.takeKinds(of: record)
            usage.serviceTier = record.serviceTier.tier
            row.reratedCostNano = cost(
                usage, priceID: row.priceID, isServed: row.status == Int64(Weir_V1_UsageStatus.completed.rawValue),
                stated: flags.contains(.providerStatedCost) ? row.costNano : nil, config)
        } else {
            // Each try has a price of its own; the record's cost is their sum.
            row.reratedCostNano = record.attemptList.reduce(Int64(0) as Int64?) { sum, attempt in
                var usage = TokenUsage(
                    input: attempt.inputTokens, output: attempt.outputTokens, cachedInput: attempt.cachedInputTokens,
                    cacheWrite: attempt.cacheWriteTokens, reasoning: attempt.reasoningTokens)
                usage.takeKinds(of: attempt)
                usage.serviceTier = attempt.serviceTier.tier
                let isServed = attempt.errorCode.isEmpty && record.status == .completed
                let stated = UsageFlags(rawValue: attempt.flags).contains(.providerStatedCost) ? attempt.costNano : nil
                guard let sum, let cost = cost(usage, priceID: attempt.priceID, isServed: isServed, stated: stated, config) else {
                    return nil
                }
                return min(sum + cost, UsageSanitiser.Limits.cost)
            }
        }
        if row.reratedCostNano == nil { flags.insert(.priceMissing) }
        if let rerated = row.reratedCostNano, rerated != row.costNano { flags.insert(.costMismatch) }
        row.flags = Int64(flags.rawValue)
    }

    /// Nano-dollars; nil: the price is not known. The data plane's rule (its Settle stage): a request that the provider did not serve is
    /// not charged for having been made.
    /// - Parameter stated: what the record says that the provider stated; it counts where the price takes the provider's word.
    static func cost(_ usage: TokenUsage, priceID: String, isServed: Bool, stated: Int64?, _ config: PublishedConfig?) -> Int64? {
        if priceID.isEmpty || (usage.isNone && !isServed) { return 0 }
        return config?.prices[priceID].map { card in
            let cost =
                if let stated, card.takesStatedCost { Pricing.stated(stated, usage, card) } else { Pricing.rate(usage, card) }
            return min(cost.rawValue, UsageSanitiser.Limits.cost)
        }
    }
}
