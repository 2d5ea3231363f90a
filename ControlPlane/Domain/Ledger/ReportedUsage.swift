import Contract
import Primitives
import Storage

/// The records of some batches as they would be billed, and for each what already speaks against it.
struct ReportedUsage: Sendable {
    let rows: PackedRows
    /// Of each batch, where its records stand.
    let places: [Range<Int>]
    /// Requests that a budget would have refused if it did not only observe.
    let observations: [BudgetObservations.Observation]
    /// What requests used of budgets beyond what was held for them.
    let uncovered: [UncoveredUse]
    /// By place; empty: nothing speaks against any of them, as nearly always.
    private let reasons: [QuarantineReason?]

    /// Whether nothing speaks against any of them.
    var isBlameless: Bool { reasons.isEmpty }

    /// What speaks against the record at this place.
    func reason(_ place: Int) -> QuarantineReason? { reasons.indices.contains(place) ? reasons[place] : nil }

    /// Everything that a judgement depends on, by where the texts lie.
    private struct Party: Hashable {
        let tenant: Int64
        let project: Int64
        let key: Int64
        let app: Int64
        let user: Int64
        let owner: Int64
        let did: Int64
        let model: Int64
        let config: Int64
        let capability: Int64

        init(_ rows: PackedRows, _ row: Int) {
            tenant = rows[row, UsagePlace.tenantID]
            project = rows[row, UsagePlace.projectID]
            key = rows[row, UsagePlace.keyID]
            app = rows[row, UsagePlace.appID]
            user = rows[row, UsagePlace.userID]
            owner = rows[row, UsagePlace.ownerID]
            did = rows[row, UsagePlace.did]
            model = rows[row, UsagePlace.model]
            config = rows[row, UsagePlace.configVersion]
            capability = rows[row, UsagePlace.capability]
        }

        /// A record that names it.
        func record(_ rows: PackedRows) -> Weir_V1_UsageRecord {
            var record = Weir_V1_UsageRecord()
            record.tenantID = rows.text(at: tenant)
            record.projectID = rows.text(at: project)
            record.keyID = rows.text(at: key)
            record.appID = rows.text(at: app)
            record.userID = rows.text(at: user)
            record.ownerID = rows.text(at: owner)
            record.did = rows.text(at: did)
            record.model = rows.text(at: model)
            record.configVersion = UInt64(clamping: config)
            record.capability = Weir_V1_Capability(rawValue: Int(clamping: capability)) ?? .unspecified
            return record
        }
    }

    /// Of records with the same parties: one of them, and what comes of it.
    private struct Judgement {
        let record: Weir_V1_UsageRecord
        var config: PublishedConfig?
        var reason: QuarantineReason?
    }

    /// A record that was decoded in full, and where its row stands.
    private struct Unusual {
        let row: Int
        var usage: UsageRow
        let record: Weir_V1_UsageRecord
    }

    init(
        _ batches: [UsageBatchBytes], of dataPlaneID: String, _ parties: UsageParties, _ prices: any PriceBook, now: Int64
    ) async throws {
        var reader = try UsageRecordReader(
            UsageRow.packed(), dataPlaneID: dataPlaneID, incarnation: batches.first?.incarnation ?? "", now: now)
        var unusual: [Unusual] = []
        places = try batches.map { try Self.read($0, of: dataPlaneID, &reader, &unusual, now: now) }
        var (judgements, ofRow) = Self.parties(reader.rows, unusual)
        observations = unusual.compactMap { one in
            guard !one.record.wouldHaveRefused.isEmpty else { return nil }
            return BudgetObservations.Observation(
                place: one.row, tenantID: one.usage.tenantID, admittedAt: one.usage.admittedAtMicroseconds / 1000,
                budgets: one.record.wouldHaveRefused)
        }
        uncovered = unusual.flatMap { UncoveredUse.of($0.record, $0.usage, at: $0.row) }
        let known = try await parties.known(judgements.map(\.record), of: dataPlaneID)
        var configs: [UInt64: PublishedConfig?] = [:]
        for index in judgements.indices {
            let record = judgements[index].record
            if configs[record.configVersion] == nil {
                // One that the data plane was not sent is not even read.
                let version = Int64(exactly: record.configVersion).flatMap { known.held.contains($0) ? $0 : nil }
                configs[record.configVersion] = .some(version == nil ? nil : try await prices.config(version: version ?? 0))
            }
            judgements[index].config = configs[record.configVersion] ?? nil
            judgements[index].reason = UsageConfinement.reason(record, known, judgements[index].config)
        }
        Self.rate(&reader, judgements, ofRow, unusual)
        rows = reader.rows
        reasons = judgements.allSatisfy { $0.reason == nil } ? [] : ofRow.map { judgements[$0].reason }
    }

    private static func read(
        _ batch: UsageBatchBytes, of dataPlaneID: String, _ reader: inout UsageRecordReader, _ unusual: inout [Unusual], now: Int64
    ) throws -> Range<Int> {
        let sequence = Int64(clamping: batch.sequence)
        let sanitiser = UsageSanitiser(dataPlaneID: dataPlaneID, incarnation: batch.incarnation, sequence: sequence, now: now)
        let first = reader.rows.count
        try batch.bytes.withUnsafeBytes { bytes in
            for (position, range) in batch.records.enumerated() where !reader.read(bytes, range, sequence: sequence, position: position) {
                let record = try batch.record(position)
                let usage = sanitiser.row(record, position: position)
                unusual.append(Unusual(row: reader.rows.count, usage: usage, record: record))
                try reader.append(usage)
            }
        }
        return first..<reader.rows.count
    }

    /// For each row, the place of its judgement, which is to be made.
    private static func parties(_ rows: PackedRows, _ unusual: [Unusual]) -> (judgements: [Judgement], ofRow: [Int]) {
        var judgements: [Judgement] = []
        var ofRow = [Int](repeating: 0, count: rows.count)
        var found: [Party: Int] = [:]
        var latest: (party: Party, judgement: Int)?
        var others = unusual[...]
        for row in 0..<rows.count {
            if others.first?.row == row, let other = others.popFirst() {
                // By what was reported, which its row may not hold.
                judgements.append(Judgement(record: other.record))
                ofRow[row] = judgements.count - 1
                continue
            }
            let party = Party(rows, row)
            if let latest, latest.party == party {
                ofRow[row] = latest.judgement
                continue
            }
            if let known = found[party] {
                ofRow[row] = known
            } else {
                judgements.append(Judgement(record: party.record(rows)))
                found[party] = judgements.count - 1
                ofRow[row] = judgements.count - 1
            }
            latest = (party, ofRow[row])
        }
        return (judgements, ofRow)
    }

    private static func rate(_ reader: inout UsageRecordReader, _ judgements: [Judgement], _ ofRow: [Int], _ unusual: [Unusual]) {
        var others = unusual[...]
        var price: (place: Int64, id: String) = (0, "")
        for row in ofRow.indices {
            let judgement = judgements[ofRow[row]]
            if others.first?.row == row, var other = others.popFirst() {
                UsageRating.rate(&other.usage, other.record, judgement.config)
                // As the configuration has it, however unusual its characters are.
                if judgement.reason == nil, other.record.capability != .forward {
                    reader.setText(row, UsagePlace.model, other.record.model)
                }
                reader.set(row, UsagePlace.reratedCostNano, other.usage.reratedCostNano ?? PackedRows.null)
                reader.set(row, UsagePlace.flags, other.usage.flags)
                continue
            }
            let id = reader.rows[row, UsagePlace.priceID]
            if id != price.place { price = (id, reader.rows.text(at: id)) }
            rate(&reader, row, price.id, judgement.config)
        }
    }

    private static func rate(_ reader: inout UsageRecordReader, _ row: Int, _ priceID: String, _ config: PublishedConfig?) {
        if reader.rows[row, UsagePlace.capability] == Int64(Weir_V1_Capability.forward.rawValue) {
            // No price of ours: it is the provider's word, or not known.
            let flags = UsageFlags(rawValue: UInt32(truncatingIfNeeded: reader.rows[row, UsagePlace.flags]))
            let cost = flags.contains(.priceMissing) ? PackedRows.null : reader.rows[row, UsagePlace.costNano]
            return reader.set(row, UsagePlace.reratedCostNano, cost)
        }
        let usage = TokenUsage(
            input: reader.rows[row, UsagePlace.inputTokens], output: reader.rows[row, UsagePlace.outputTokens],
            cachedInput: reader.rows[row, UsagePlace.cachedInputTokens], cacheWrite: reader.rows[row, UsagePlace.cacheWriteTokens],
            reasoning: reader.rows[row, UsagePlace.reasoningTokens])
        let isServed = reader.rows[row, UsagePlace.status] == Int64(Weir_V1_UsageStatus.completed.rawValue)
        var flags = UsageFlags(rawValue: UInt32(truncatingIfNeeded: reader.rows[row, UsagePlace.flags]))
        let stated = flags.contains(.providerStatedCost) ? reader.rows[row, UsagePlace.costNano] : nil
        let cost = UsageRating.cost(usage, priceID: priceID, isServed: isServed, stated: stated, config)
        if cost == nil { flags.insert(.priceMissing) }
        if let cost, cost != reader.rows[row, UsagePlace.costNano] { flags.insert(.costMismatch) }
        reader.set(row, UsagePlace.reratedCostNano, cost ?? PackedRows.null)
        reader.set(row, UsagePlace.flags, Int64(flags.rawValue))
    }
}

/// Records that were just stored, in the transaction that did it, with everything that counts them.
struct StoredUsage {
    let places: [Int]
    let groups: UsageGroupSums

    /// Stores the rows at these places; one whose request its data plane has reported before is left out, and counted nowhere.
    /// For a transaction of isolation `readCommitted`.
    init(_ c: any SQLConnection, _ rows: PackedRows, at places: [Int]) throws {
        guard !places.isEmpty else {
            (self.places, groups) = ([], UsageGroupSums(rows, at: []))
            return
        }
        try UsagePartitions.ensure(c, Set(UsageTable.months(rows, places).keys))
        self.places = try UsageTable.insert(c, rows, at: places)
        groups = UsageGroupSums(rows, at: self.places)
        try UsageDailyTable.add(c, groups, of: rows)
        try UsageLatenciesTable.add(c, rows, at: self.places)
    }
}
