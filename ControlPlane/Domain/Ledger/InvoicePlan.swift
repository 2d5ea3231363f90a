import Primitives
import Storage
import Trust

/// Which stretches of which chains a month's bill is proved by.
///
/// Of each chain: from the last head before the month's first record to the first head that was signed after the month and contains its last
/// one. Between them lie all records, those of other months, too: left out, they could not be told from dropped ones.
struct InvoicePlan: Sendable {
    struct Chain: Sendable {
        let key: UsageChainKey
        /// What the stretch follows; nil: it begins with the chain, or with the first record that is here.
        let opening: UsageHeadRow?
        /// Signed after the month, or the latest that there is; nil: there is none.
        let last: UsageHeadRow?
        /// Numbers of the records; empty: the chain rested.
        let numbers: Range<Int64>
        /// By number: what became of records that were not charged when they came.
        let verdicts: [Int64: UsageVerdictRow]
        let broken: String?
    }

    struct DataPlane: Sendable {
        let id: String
        let name: String
        let publicKey: [UInt8]
    }

    let statement: BillingStatement
    /// Used and not posted yet, by day.
    let unposted: [Int64: BillingSum]
    let chains: [Chain]
    let dataPlanes: [DataPlane]
    /// Records from before (Unix milliseconds) are gone, those of the whole month among them; nil: they are here.
    let purgedBefore: Int64?

    init(_ c: any SQLConnection, of tenantID: TenantID, month: BillingMonth) throws {
        statement = try BillingLedger.statement(c, of: tenantID, month: month)
        unposted = try BillingLedger.unposted(c, tenantID.rawValue, month.days).mapValues { lines in
            lines.reduce(into: BillingSum()) { $0.add(requests: $1.requests, nano: $1.amountNano) }
        }
        chains = try Self.chains(c, tenantID: tenantID.rawValue, month: month)
        dataPlanes = try Self.dataPlanes(c, Set(chains.map(\.key.dataPlaneID)))
        let purged = try RetentionRunsTable.before(c, kind: RetainedRecords.invoices.rawValue) ?? 0
        purgedBefore = month.milliseconds.upperBound <= purged ? purged : nil
    }

    static func dataPlanes(_ c: any SQLConnection, _ ids: Set<String>) throws -> [DataPlane] {
        try ids.sorted().compactMap { id in
            try DataPlanesTable.find(c, id: id).map { DataPlane(id: id, name: $0.name, publicKey: $0.identityPublicKey) }
        }
    }

    static func chains(_ c: any SQLConnection, tenantID: String, month: BillingMonth) throws -> [Chain] {
        let stretches = try SignedUsageTable.stretches(c, tenantID: tenantID, days: month.days)
        let times = month.milliseconds
        return try UsageChainsTable.list(c, tenantID: tenantID).compactMap { row in
            let stretch = stretches[row.key]
            // One that was over before the month, and has nothing of it.
            guard stretch != nil || row.signedAt >= times.lowerBound else { return nil }
            let heads = try UsageHeadsTable.list(c, row.key)
            // One that began after it.
            guard stretch != nil || heads.first.map({ $0.signedAt < times.upperBound }) ?? false else { return nil }
            let opening = Self.opening(heads, before: times.lowerBound, stretch)
            let through = stretch?.upperBound ?? opening?.number ?? 0
            let last = heads.first { $0.signedAt >= times.upperBound && $0.number >= through } ?? heads.last
            let first = (opening?.number ?? 0) + 1
            let end = max(through, last?.number ?? 0, first - 1)
            return Chain(
                key: row.key, opening: opening, last: last.flatMap { $0.number >= first - 1 ? $0 : nil }, numbers: first..<end + 1,
                verdicts: first <= end ? try UsageVerdictsTable.find(c, row.key, numbers: first...end) : [:], broken: row.broken)
        }
    }
}

extension InvoicePlan {
    /// What a month's stretch of a chain follows.
    /// - Parameters:
    ///   - start: Of the month, Unix milliseconds.
    ///   - stretch: Where its records are, about; nil: there are none.
    static func opening(_ heads: [UsageHeadRow], before start: Int64, _ stretch: ClosedRange<Int64>?) -> UsageHeadRow? {
        heads.last { head in head.signedAt < start && stretch.map { head.number < $0.lowerBound } ?? true }
            ?? stretch.flatMap { stretch in heads.last { $0.number < stretch.lowerBound } }
    }
}

/// Requests, and what was charged for them.
struct BillingSum: Hashable, Sendable {
    var requests: Int64 = 0
    var nano: Int64 = 0

    mutating func add(requests: Int64, nano: Int64) {
        self.requests = self.requests &+ requests
        self.nano = self.nano &+ nano
    }
}
