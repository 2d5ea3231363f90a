import Contract
package import Primitives
package import Storage
import SwiftProtobuf

/// A record that is kept apart, as its data plane reported it.
package struct QuarantinedUsage: Sendable, Hashable {
    private let row: QuarantinedUsageRow

    init(_ row: QuarantinedUsageRow) { self.row = row }

    fileprivate var cursor: Cursor { Cursor(list: UsageQuarantine.list, time: row.receivedAt, id: row.id) }

    package var json: JSONValue {
        // What it claims, made safe to be shown.
        let record = (try? Weir_V1_UsageRecord(serializedBytes: row.record)) ?? Weir_V1_UsageRecord()
        let claim = UsageSanitiser(
            dataPlaneID: row.dataPlaneID, incarnation: row.incarnation, sequence: row.sequence, now: row.receivedAt &* 1000
        ).row(record, position: Int(clamping: row.position))
        return [
            "id": .string(row.id), "reason": .string(row.reason), "received_at": .time(row.receivedAt),
            "data_plane_id": .string(row.dataPlaneID), "incarnation": .string(row.incarnation), "batch": .int(row.sequence),
            "position": .int(row.position), "request_id": .optional(RequestID(bytes: claim.requestID)?.text),
            "admitted_at": .time(claim.admittedAtMicroseconds / 1000), "tenant_id": .string(claim.tenantID),
            "project_id": .string(claim.projectID), "key_id": .string(claim.keyID), "model": .string(claim.model),
            "config_version": .int(claim.configVersion), "input_tokens": .int(claim.inputTokens),
            "output_tokens": .int(claim.outputTokens), "cost_nano": .int(claim.costNano), "record": .string(Base64.encode(row.record)),
        ]
    }
}

/// The usage that data planes reported and may not report: looked at, then released or discarded by somebody.
package struct UsageQuarantine: Sendable {
    package static let list = "usage-quarantine"
    /// Records that are decided on in one transaction.
    private static let chunk = 500

    /// Which records are decided on: a data plane's, all of them or those of one reason.
    package struct Selection: Sendable, Hashable {
        package var dataPlaneID: DataPlaneID
        package var reason: QuarantineReason?

        package init(dataPlaneID: DataPlaneID, reason: QuarantineReason? = nil) {
            self.dataPlaneID = dataPlaneID
            self.reason = reason
        }

        fileprivate var filter: QuarantineFilter { QuarantineFilter(dataPlaneID: dataPlaneID.rawValue, reason: reason?.rawValue) }
    }

    /// What became of the records that were selected.
    package struct Decision: Sendable, Hashable {
        package var decided: Int64 = 0
        /// Records that cannot be billed to anybody: their tenant, project or key does not exist.
        package var left: Int64 = 0

        package init(decided: Int64 = 0, left: Int64 = 0) {
            self.decided = decided
            self.left = left
        }

        package func json(_ verb: String) -> JSONValue { .object([verb: .int(decided), "left": .int(left)]) }
    }

    private let domain: DomainContext
    private let prices: any PriceBook

    package init(_ domain: DomainContext) {
        self.domain = domain
        prices = PublishedPriceBook(database: domain.database)
    }

    /// Newest first.
    package func items(
        dataPlaneID: DataPlaneID?, tenantID: TenantID?, reason: QuarantineReason?, _ page: PageRequest
    ) async throws -> Page<QuarantinedUsage> {
        let filter = QuarantineFilter(dataPlaneID: dataPlaneID?.rawValue, reason: reason?.rawValue, tenantID: tenantID?.rawValue)
        let items = try await domain.read(as: .all) { c in
            try UsageQuarantineTable.list(c, filter, before: page.after.map { ($0.time, $0.id) }, limit: page.fetchLimit)
                .map(QuarantinedUsage.init)
        }
        return Page(fetched: items, page) { $0.cursor }
    }

    /// How much there is, by data plane and reason.
    package func totals() async throws -> [QuarantineTotal] {
        try await domain.read(as: .all) { try UsageQuarantineTable.totals($0) }
    }

    /// Bills the records after all: somebody has found that they are honest. A record whose tenant, project or key does not exist stays.
    package func release(_ selection: Selection, by actor: Actor) async throws -> Decision {
        let parties = UsageParties(database: domain.database)
        return try await decide("usage_quarantine.release", selection, by: actor) { rows in
            var billed: [(row: QuarantinedUsageRow, usage: UsageRow)] = []
            let records = rows.map { (row: $0, record: (try? Weir_V1_UsageRecord(serializedBytes: $0.record)) ?? Weir_V1_UsageRecord()) }
            let known = try await parties.known(records.map(\.record), of: nil)
            for (row, record) in records where known.isOf(record) {
                let sanitiser = UsageSanitiser(
                    dataPlaneID: row.dataPlaneID, incarnation: row.incarnation, sequence: row.sequence, now: row.receivedAt &* 1000)
                var usage = sanitiser.row(record, position: Int(clamping: row.position))
                let version = Int64(exactly: record.configVersion)
                let config: PublishedConfig? = if let version { try await prices.config(version: version) } else { nil }
                UsageRating.rate(&usage, record, config)
                billed.append((row, usage))
            }
            return billed
        }
    }

    /// Throws the records away: somebody has found that they are not honest. The audit log keeps how many there were.
    package func discard(_ selection: Selection, by actor: Actor) async throws -> Decision {
        try await decide("usage_quarantine.discard", selection, by: actor) { rows in rows.map { ($0, nil) } }
    }

    /// What those that are billed took of budgets beyond what was held for them.
    private static func uncovered(_ decided: [(row: QuarantinedUsageRow, usage: UsageRow?)]) -> [UncoveredUse] {
        let billed = decided.compactMap { one in one.usage.map { (record: one.row.record, usage: $0) } }
        return billed.enumerated().flatMap { place, one in
            UncoveredUse.of((try? Weir_V1_UsageRecord(serializedBytes: one.record)) ?? Weir_V1_UsageRecord(), one.usage, at: place)
        }
    }

    /// What bills say of records that are in chains.
    /// - Parameter stored: of those that are billed, by their order, which were not billed before.
    private static func verdicts(
        _ decided: [(row: QuarantinedUsageRow, usage: UsageRow?)], _ stored: Set<Int>, _ now: Int64
    ) -> [UsageVerdictRow] {
        var verdicts: [UsageVerdictRow] = []
        var billed = 0
        for (row, usage) in decided {
            let isStored = usage != nil && stored.contains(billed)
            if usage != nil { billed += 1 }
            guard let number = row.chainNumber else { continue }
            verdicts.append(
                UsageVerdictRow(
                    key: UsageChainKey(tenantID: row.tenantID, dataPlaneID: row.dataPlaneID, incarnation: row.incarnation), number: number,
                    state: usage == nil ? .discarded : isStored ? .charged : .repeated,
                    chargedNano: isStored ? usage?.costNano ?? 0 : 0, day: (usage?.admittedAtMicroseconds ?? 0) / 86_400_000_000,
                    decidedAt: now))
        }
        return verdicts
    }

    /// Chunk by chunk, oldest last; each is removed in the transaction that bills it.
    private func decide(
        _ action: String, _ selection: Selection, by actor: Actor,
        _ choose: ([QuarantinedUsageRow]) async throws -> [(row: QuarantinedUsageRow, usage: UsageRow?)]
    ) async throws -> Decision {
        var decision = Decision()
        var before: (receivedAt: Int64, id: String)?
        while true {
            let place = before
            let rows = try await domain.read(as: .all) {
                try UsageQuarantineTable.list($0, selection.filter, before: place, limit: Self.chunk)
            }
            guard let last = rows.last else { return decision }
            before = (last.receivedAt, last.id)
            let chosen = try await choose(rows)
            decision.left += Int64(rows.count - chosen.count)
            guard !chosen.isEmpty else { continue }
            let now = domain.clock.nowMilliseconds()
            decision.decided += try await domain.database.transaction(as: .all, isolation: .readCommitted) { c in
                // Somebody else may have decided meanwhile.
                let present = try UsageQuarantineTable.lock(c, ids: chosen.map(\.row.id))
                let decided = chosen.filter { present.contains($0.row.id) }
                guard !decided.isEmpty else { return 0 }
                var usage = UsageRow.packed()
                for row in decided { try row.usage?.append(to: &usage) }
                let stored = Set(try StoredUsage(c, usage, at: Array(0..<usage.count)).places)
                let refused = try UncoveredUse.store(c, Self.uncovered(decided), storedAt: Array(stored), now: now)
                try BudgetObservations.store(c, [], storedAt: [], and: refused)
                try UsageVerdictsTable.insert(c, Self.verdicts(decided, stored, now))
                try UsageQuarantineTable.remove(c, decided.map(\.row))
                try AuditLog.record(
                    c, actor, action, id: selection.dataPlaneID.rawValue,
                    before: ["records": .int(Int64(decided.count)), "reason": .optional(selection.reason?.rawValue)], after: nil, at: now)
                return Int64(decided.count)
            }
        }
    }
}
