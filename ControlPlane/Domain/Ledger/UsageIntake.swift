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
    private let quarantined: [QuarantineReason: Counter]

    package init(
        database: any Database, prices: any PriceBook, clock: any WallClock, logger: Logger = Logger(label: "weir.usage"),
        metrics: MetricsRegistry = MetricsRegistry()
    ) {
        self.database = database
        self.prices = prices
        self.clock = clock
        self.logger = logger
        parties = UsageParties(database: database)
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

    /// Stores a batch if it is the next one of its incarnation. The answer says up to where everything is stored; a batch beyond the
    /// next leaves it where it was, and the data plane sends from there again.
    /// - Throws: `DomainError.invalid` for a batch without a usable incarnation or sequence, or with too many records; `UsageRefusal` for
    ///   a data plane that has reached a bound; `DatabaseError` when it could not be stored (or, the connection having broken, may have
    ///   been: sent again, it is told apart).
    package func store(dataPlaneID: String, batch: Weir_V1_UsageBatch) async throws -> Weir_V1_UsageAck {
        try Self.check(batch)
        let sequence = Int64(clamping: batch.sequence)
        let now = clock.nowMicroseconds()
        let incarnation = batch.incarnation
        // What is stored already needs no rating; the transaction decides, this only spares work.
        let reports = try await reports(of: batch, dataPlaneID: dataPlaneID, sequence: sequence, now: now)
        let outcome = try await database.transaction(as: .all, isolation: .readCommitted) { [keyUses] c -> Outcome in
            let mark = try UsageWatermarksTable.lock(c, dataPlaneID: dataPlaneID, incarnation: incarnation, now: now / 1000)
            guard sequence == mark &+ 1 else { return Outcome(mark: mark, stored: nil) }
            if mark == 0 { try Self.checkIncarnations(c, dataPlaneID, now / 1000) }
            let (rows, apart) = try Self.divide(c, reports, dataPlaneID, now / 1000)
            try UsagePartitions.ensure(c, Set(rows.map { UsageMonth(containingMicroseconds: $0.admittedAtMicroseconds) }))
            let stored = try UsageTable.insert(c, rows)
            try Self.keepApart(c, apart, batch, dataPlaneID)
            try UsageWatermarksTable.set(c, dataPlaneID: dataPlaneID, incarnation: incarnation, sequence: sequence)
            try UsageDailyTable.add(c, stored)
            let uses = keyUses.due(stored)
            try KeyUsesTable.note(c, dataPlaneID: dataPlaneID, uses)
            return Outcome(
                mark: sequence, stored: stored.count, repeated: rows.count - stored.count, apart: apart.map(\.reason), uses: uses)
        }
        keyUses.remember(outcome.uses, of: dataPlaneID)
        report(outcome, reports, dataPlaneID, sequence)
        var ack = Weir_V1_UsageAck()
        ack.incarnation = incarnation
        ack.storedSequence = UInt64(clamping: outcome.mark)
        return ack
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
        let mark: Int64
        /// How many records were stored; nil when the batch was not the next.
        let stored: Int?
        var repeated = 0
        var apart: [QuarantineReason] = []
        var uses: [KeyUse] = []
    }

    /// The records of a batch as they would be billed, and for each what already speaks against it. Arrays beside each other: where nothing
    /// does, as in nearly every batch, the rows go on as they are.
    private struct Reports: Sendable {
        var rows: [UsageRow] = []
        var reasons: [QuarantineReason?] = []
    }

    /// What is kept apart: the record's place in its batch, its row, and why.
    private struct Apart {
        let place: Int
        let row: UsageRow
        let reason: QuarantineReason
    }

    private static func check(_ batch: Weir_V1_UsageBatch) throws(DomainError) {
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

    /// What is billed, and what is not.
    private static func divide(
        _ c: any SQLConnection, _ reports: Reports, _ dataPlaneID: String, _ now: Int64
    ) throws -> (rows: [UsageRow], apart: [Apart]) {
        guard !reports.rows.isEmpty else { return ([], []) }
        let scope = try FormerTenantsTable.scope(c, dataPlaneID: dataPlaneID)
        if let scope, scope.former.values.contains(where: { $0.toldAt == nil }) {
            try FormerTenantsTable.told(c, dataPlaneID: dataPlaneID, now: now)
        }
        // By index: an iterator would make a copy of each row, with all its texts.
        let reasons = reports.rows.indices.map { reason(reports.rows[$0], reports.reasons[$0], scope, now) }
        if reasons.allSatisfy({ $0 == nil }) { return (reports.rows, []) }
        var rows: [UsageRow] = []
        var apart: [Apart] = []
        for (place, (row, reason)) in zip(reports.rows, reasons).enumerated() {
            if let reason { apart.append(Apart(place: place, row: row, reason: reason)) } else { rows.append(row) }
        }
        return (rows, apart)
    }

    private static func reason(
        _ row: UsageRow, _ known: QuarantineReason?, _ scope: DataPlaneScope?, _ now: Int64
    ) -> QuarantineReason? {
        if scope?.isActive == false { return .revokedDataPlane }
        if known == .unknownTenant { return .unknownTenant }
        guard let scope,
            UsageConfinement.serves(scope, row.tenantID, admittedAtMicroseconds: row.admittedAtMicroseconds, now: now)
        else { return .tenantNotServed }
        return known
    }

    private static func keepApart(
        _ c: any SQLConnection, _ apart: [Apart], _ batch: Weir_V1_UsageBatch, _ dataPlaneID: String
    ) throws {
        guard !apart.isEmpty else { return }
        let present = try UsageQuarantineTable.totals(c, dataPlaneID: dataPlaneID).reduce(0) { $0 &+ $1.records }
        guard present &+ Int64(apart.count) <= maximumQuarantined else { throw UsageRefusal.quarantineFull }
        try UsageQuarantineTable.insert(
            c,
            apart.map { one in
                QuarantinedUsageRow(
                    id: "qua_" + Base32.encode(SecureRandom.bytes(10)), receivedAt: one.row.receivedAt, reason: one.reason.rawValue,
                    dataPlaneID: dataPlaneID, incarnation: one.row.incarnation, sequence: one.row.sequence,
                    position: one.row.position, tenantID: one.row.tenantID, record: try batch.records[one.place].serializedBytes())
            })
    }

    // MARK: Rating

    private func reports(of batch: Weir_V1_UsageBatch, dataPlaneID: String, sequence: Int64, now: Int64) async throws -> Reports {
        guard !batch.records.isEmpty else { return Reports() }
        let sanitiser = UsageSanitiser(dataPlaneID: dataPlaneID, incarnation: batch.incarnation, sequence: sequence, now: now)
        let known = try await parties.known(batch.records, of: dataPlaneID)
        var configs: [UInt64: PublishedConfig?] = [:]
        var reports = Reports()
        reports.rows.reserveCapacity(batch.records.count)
        for (position, record) in batch.records.enumerated() {
            let config: PublishedConfig?
            if let read = configs[record.configVersion] {
                config = read
            } else {
                // One that the data plane was not sent is not even read.
                let version = Int64(exactly: record.configVersion).flatMap { known.held.contains($0) ? $0 : nil }
                config = if let version { try await prices.config(version: version) } else { nil }
                configs[record.configVersion] = .some(config)
            }
            var row = sanitiser.row(record, position: position)
            let reason = UsageConfinement.reason(record, known, config)
            // As the configuration has it, however unusual its characters are.
            if reason == nil { row.model = record.model }
            UsageRating.rate(&row, record, config)
            reports.rows.append(row)
            reports.reasons.append(reason)
        }
        return reports
    }

    private func report(_ outcome: Outcome, _ reports: Reports, _ dataPlaneID: String, _ sequence: Int64) {
        let about: Logger.Metadata = ["data_plane": "\(dataPlaneID)", "sequence": "\(sequence)", "mark": "\(outcome.mark)"]
        guard outcome.stored != nil else {
            logger.debug(sequence <= outcome.mark ? "usage batch repeated" : "usage batch ahead of its turn", metadata: about)
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
        let mismatches = reports.rows.indices.count { place in
            reports.reasons[place] == nil && reports.rows[place].flags & Int64(UsageFlags.costMismatch.rawValue) != 0
        }
        if mismatches > 0 {
            logger.warning("usage records rated differently", metadata: about.merging(["records": "\(mismatches)"]) { a, _ in a })
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
        if record.attemptList.isEmpty {
            var usage = TokenUsage(
                input: row.inputTokens, output: row.outputTokens, cachedInput: row.cachedInputTokens, cacheWrite: row.cacheWriteTokens,
                reasoning: row.reasoningTokens)
            usage.cacheWriteHour = record.cacheWriteHourTokens
            usage.audioInput = record.audioInputTokens
            usage.imageInput = record.imageInputTokens
            usage.audioOutput = record.audioOutputTokens
            usage.imageOutput = record.imageOutputTokens
            row.reratedCostNano = cost(
                usage, priceID: row.priceID, isServed: row.status == Int64(Weir_V1_UsageStatus.completed.rawValue), config)
        } else {
            // Each try has a price of its own; the record's cost is their sum.
            row.reratedCostNano = record.attemptList.reduce(Int64(0) as Int64?) { sum, attempt in
                var usage = TokenUsage(
                    input: attempt.inputTokens, output: attempt.outputTokens, cachedInput: attempt.cachedInputTokens,
                    cacheWrite: attempt.cacheWriteTokens, reasoning: attempt.reasoningTokens)
                usage.cacheWriteHour = attempt.cacheWriteHourTokens
                usage.audioInput = attempt.audioInputTokens
                usage.imageInput = attempt.imageInputTokens
                usage.audioOutput = attempt.audioOutputTokens
                usage.imageOutput = attempt.imageOutputTokens
                let isServed = attempt.errorCode.isEmpty && record.status == .completed
                guard let sum, let cost = cost(usage, priceID: attempt.priceID, isServed: isServed, config) else { return nil }
                return min(sum + cost, UsageSanitiser.Limits.cost)
            }
        }
        if row.reratedCostNano == nil { flags.insert(.priceMissing) }
        if let rerated = row.reratedCostNano, rerated != row.costNano { flags.insert(.costMismatch) }
        row.flags = Int64(flags.rawValue)
    }

    /// Nano-dollars; nil: the price is not known. The data plane's rule (its Settle stage): a request that the provider did not serve is
    /// not charged for having been made.
    private static func cost(_ usage: TokenUsage, priceID: String, isServed: Bool, _ config: PublishedConfig?) -> Int64? {
        if priceID.isEmpty || !(usage.input > 0 || usage.output > 0 || isServed) { return 0 }
        return config?.prices[priceID].map { min(Pricing.rate(usage, $0).rawValue, UsageSanitiser.Limits.cost) }
    }
}
