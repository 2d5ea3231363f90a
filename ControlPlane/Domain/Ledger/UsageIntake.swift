package import Contract
package import Logging
package import Primitives
package import Storage

/// Takes in the batches of usage records that data planes ship: each exactly once, whatever is repeated, overlaps or comes out of order.
///
/// A batch and its data plane's watermark are stored in one transaction that holds the watermark's row, so two streams of one data plane
/// take turns, and a batch that was stored moves the mark beyond itself for good.
package struct UsageIntake: Sendable {
    private let database: any Database
    private let prices: any PriceBook
    private let clock: any WallClock
    private let logger: Logger

    package init(database: any Database, prices: any PriceBook, clock: any WallClock, logger: Logger = Logger(label: "weir.usage")) {
        self.database = database
        self.prices = prices
        self.clock = clock
        self.logger = logger
    }

    /// With the prices of the published configurations.
    package init(_ domain: DomainContext, logger: Logger = Logger(label: "weir.usage")) {
        self.init(
            database: domain.database, prices: PublishedPriceBook(database: domain.database, clock: domain.clock), clock: domain.clock,
            logger: logger)
    }

    /// Stores a batch if it is the next one of its incarnation. The answer says up to where everything is stored; a batch beyond the
    /// next leaves it where it was, and the data plane sends from there again.
    /// - Throws: `DomainError.invalid` for a batch without a usable incarnation or sequence; `DatabaseError` when it could not be stored
    ///   (or, the connection having broken, may have been: sent again, it is told apart).
    package func store(dataPlaneID: String, batch: Weir_V1_UsageBatch) async throws -> Weir_V1_UsageAck {
        try Self.check(batch)
        let sequence = Int64(clamping: batch.sequence)
        let now = clock.nowMicroseconds()
        let incarnation = batch.incarnation
        // What is stored already needs no rating; the transaction decides, this only spares work.
        let rows = try await rows(of: batch, dataPlaneID: dataPlaneID, sequence: sequence, now: now)
        let outcome = try await database.transaction(isolation: .readCommitted) { c -> Outcome in
            let mark = try UsageWatermarksTable.lock(c, dataPlaneID: dataPlaneID, incarnation: incarnation, now: now / 1000)
            guard sequence == mark &+ 1 else { return Outcome(mark: mark, stored: nil) }
            try UsagePartitions.ensure(c, Set(rows.map { UsageMonth(containingMicroseconds: $0.admittedAtMicroseconds) }))
            let stored = try UsageTable.insert(c, rows)
            try UsageWatermarksTable.set(c, dataPlaneID: dataPlaneID, incarnation: incarnation, sequence: sequence)
            try UsageDailyTable.add(c, stored)
            return Outcome(mark: sequence, stored: stored.count)
        }
        report(outcome, rows, dataPlaneID, sequence)
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
        let made = try await database.transaction(isolation: .readCommitted) { try UsagePartitions.ensure($0, months) }
        if !made.isEmpty {
            logger.info("usage partitions made", metadata: ["months": "\(made.map(\.description).joined(separator: " "))"])
        }
    }

    private struct Outcome: Sendable {
        let mark: Int64
        /// How many records were stored; nil when the batch was not the next.
        let stored: Int?
    }

    private static func check(_ batch: Weir_V1_UsageBatch) throws(DomainError) {
        let incarnation = batch.incarnation.utf8
        guard (1...64).contains(incarnation.count), incarnation.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw .invalid("incarnation", "is not 1 to 64 printable characters", remedy: "Send 32 hexadecimal digits.")
        }
        guard batch.sequence >= 1 else { throw .invalid("sequence", "is 0", remedy: "Number batches from 1.") }
    }

    private func rows(of batch: Weir_V1_UsageBatch, dataPlaneID: String, sequence: Int64, now: Int64) async throws -> [UsageRow] {
        let sanitiser = UsageSanitiser(dataPlaneID: dataPlaneID, incarnation: batch.incarnation, sequence: sequence, now: now)
        var rows: [UsageRow] = []
        rows.reserveCapacity(batch.records.count)
        for (position, record) in batch.records.enumerated() {
            var row = sanitiser.row(record, position: position)
            try await rate(&row)
            rows.append(row)
        }
        return rows
    }

    /// Our own rating, beside the data plane's.
    private func rate(_ row: inout UsageRow) async throws {
        var flags = UsageFlags(rawValue: UInt32(truncatingIfNeeded: row.flags))
        let usage = TokenUsage(
            input: row.inputTokens, output: row.outputTokens, cachedInput: row.cachedInputTokens, cacheWrite: row.cacheWriteTokens,
            reasoning: row.reasoningTokens)
        // The data plane's rule (its Settle stage): a request that the provider did not serve is not charged for having been made.
        let isCharged = usage.input > 0 || usage.output > 0 || row.status == Int64(Weir_V1_UsageStatus.completed.rawValue)
        if row.priceID.isEmpty || !isCharged {
            row.reratedCostNano = 0
        } else if let price = try await prices.price(configVersion: row.configVersion, priceID: row.priceID) {
            row.reratedCostNano = min(Pricing.rate(usage, price).rawValue, UsageSanitiser.Limits.cost)
        } else {
            flags.insert(.priceMissing)
        }
        if let rerated = row.reratedCostNano, rerated != row.costNano { flags.insert(.costMismatch) }
        row.flags = Int64(flags.rawValue)
    }

    private func report(_ outcome: Outcome, _ rows: [UsageRow], _ dataPlaneID: String, _ sequence: Int64) {
        let about: Logger.Metadata = ["data_plane": "\(dataPlaneID)", "sequence": "\(sequence)", "mark": "\(outcome.mark)"]
        guard let stored = outcome.stored else {
            logger.debug(sequence <= outcome.mark ? "usage batch repeated" : "usage batch ahead of its turn", metadata: about)
            return
        }
        if stored < rows.count {
            let more = about.merging(["left_out": "\(rows.count - stored)"]) { a, _ in a }
            logger.error("usage batch repeats requests of earlier ones", metadata: more)
        }
        let mismatches = rows.count { $0.flags & Int64(UsageFlags.costMismatch.rawValue) != 0 }
        if mismatches > 0 {
            logger.warning("usage records rated differently", metadata: about.merging(["records": "\(mismatches)"]) { a, _ in a })
        }
    }
}
