package import Contract
import Foundation
import Nouns
import Primitives
import Storage

/// How one counter of a limit is divided between the data planes that serve whom it is about. Pure. What all of them together may be using
/// never passes the amount: a share is only raised by what nobody else may be using any more, and it counts as used until its holder has
/// said that it uses less. So a data plane that is out of reach keeps what it heard last, and the others divide the rest.
package struct RateDivision: Sendable {
    package let amount: Int64
    /// All that serve whom it is about, the asker included.
    package let dataPlanes: Int64

    package init(amount: Int64, dataPlanes: Int) {
        self.amount = max(1, amount)
        self.dataPlanes = Int64(max(1, dataPlanes))
    }

    /// What a data plane uses that was told nothing: an equal part. Not nothing: where there are more data planes than there is to divide, each
    /// may have one until shares are told.
    package static func equalPart(of amount: Int64, among dataPlanes: Int64) -> Int64 { max(1, amount / max(1, dataPlanes)) }
    package var equalPart: Int64 { Self.equalPart(of: amount, among: dataPlanes) }

    /// The share of one that wants so much, while all want `total` and the others may be using `others`. Who wants nothing keeps a little, so
    /// that its first request need not wait for the next message.
    package func share(wanted: Int64, total: Int64, others: Int64) -> Int64 {
        let free = max(0, amount &- others)
        guard total > 0 else { return min(equalPart, free) }
        let reserve = amount / (8 * dataPlanes)
        let rest = amount &- reserve &* dataPlanes
        let (high, low) = rest.multipliedFullWidth(by: min(max(0, wanted), total))
        return min(reserve &+ total.dividingFullWidth((high, low)).quotient, free)
    }
}

/// Tells data planes their shares of limits by what they need. Several replicas do it together: what each was told is in the database.
package struct RateShareService: Sendable {
    /// Counters of which one data plane may want more.
    package static let maximumUses = 256
    /// What is remembered of all of them together: beyond it an equal part has to do. No data plane fills the table.
    private static let maximumRows = 8192
    /// What was not asked for so long is not wanted any more; milliseconds.
    private static let forgetsAfter: Int64 = 20_000

    private let domain: DomainContext

    package init(_ domain: DomainContext) {
        self.domain = domain
    }

    /// The answer to a report; nil where there are no limits.
    /// - Throws: `FleetRefusal.revoked`.
    package func answer(_ report: Weir_V1_RateReport, from dataPlaneID: String) async throws -> Weir_V1_RateShares? {
        let now = domain.clock.nowMilliseconds()
        return try await domain.write(as: .all) { c -> Weir_V1_RateShares? in
            guard try DirectoryTables.limitCount(c) > 0 else { return nil }
            let planes = try DataPlaneContent.all(c).filter { $0.content.standing == .active }
            guard let asker = planes.first(where: { $0.id.rawValue == dataPlaneID }) else { throw FleetRefusal.revoked }
            var shares = Weir_V1_RateShares()
            shares.dataPlanes = UInt32(clamping: planes.count)
            let region = planes.filter { $0.content.region == asker.content.region }
            if report.countsByRegion { shares.regionDataPlanes = UInt32(clamping: region.count) }
            if planes.count <= 1, report.uses.isEmpty { return shares }
            var uses: [[UInt8]: Weir_V1_RateUse] = [:]
            for use in report.uses.prefix(Self.maximumUses) where use.counter.count == RateCounter.byteCount {
                uses[Array(use.counter)] = use
            }
            let stored = try RateSharesTable.all(c)
            let rows = Dictionary(grouping: stored, by: \.counter)
            // Rises whatever this replica's clock does.
            let last = stored.lazy.filter { $0.dataPlaneID == dataPlaneID }.map(\.number).max() ?? 0
            shares.number = UInt64(max(now, last &+ 1, Int64(clamping: report.taken), 1))
            var limits: [String: Limit?] = [:]
            for counter in Set(uses.keys).union(rows.keys) {
                if rows[counter] == nil, stored.count >= Self.maximumRows { continue }
                guard let place = RateCounter(counter) else { continue }
                let known = try limits[place.limitID] ?? LimitContent.find(c, place.limitID)
                limits[place.limitID] = .some(known)
                guard let limit = known else {
                    try RateSharesTable.remove(c, counter)
                    continue
                }
                let tenant = try limit.content.tenantID ?? place.tenant(at: limit.content.level, c)
                let sharing = planes.filter { plane in
                    guard let tenant, let named = plane.content.tenantIDs.named else { return true }
                    return named.contains(tenant)
                }
                // What is said of others' tenants counts for nothing.
                guard sharing.contains(where: { $0.id == asker.id }) else { continue }
                let share = try Self.divide(
                    limit.content.amount, counter, use: uses[counter], taken: Int64(clamping: report.taken), of: dataPlaneID,
                    among: sharing.map(\.id.rawValue), all: planes.count, rows[counter] ?? [], number: Int64(clamping: shares.number),
                    now: now,
                    c)
                guard let share else { continue }
                var message = Weir_V1_RateShare()
                message.counter = Data(counter)
                message.amount = share
                if report.countsByRegion {
                    let others = sharing.filter { $0.id != asker.id && $0.content.region == asker.content.region }
                    message.regionAmount =
                        others.count + 1 == sharing.count
                        ? limit.content.amount
                        : Self.together(share, others.map(\.id.rawValue), rows[counter] ?? [], limit.content.amount, all: planes.count)
                }
                shares.shares.append(message)
            }
            return shares
        }
    }

    /// What the data planes of a region that count together may have: all that they were told.
    /// - Parameter share: the asker's; -1: an equal part.
    private static func together(_ share: Int64, _ others: [String], _ rows: [RateShareRow], _ amount: Int64, all: Int) -> Int64 {
        let untold = RateDivision.equalPart(of: amount, among: Int64(all))
        let known = Dictionary(rows.map { ($0.dataPlaneID, $0.told) }, uniquingKeysWith: { first, _ in first })
        let sum = others.reduce(share < 0 ? untold : share) { $0 &+ min(known[$1] ?? untold, amount) }
        return min(max(1, sum), amount)
    }

    /// - Returns: what it is told; -1: an equal part again. Nil: nothing new.
    private static func divide(
        _ amount: Int64, _ counter: [UInt8], use: Weir_V1_RateUse?, taken: Int64, of dataPlaneID: String, among sharing: [String], all: Int,
        _ rows: [RateShareRow], number: Int64, now: Int64, _ c: any SQLConnection
    ) throws -> Int64? {
        let division = RateDivision(amount: amount, dataPlanes: sharing.count)
        // The one that was told nothing divides among all data planes, whomever they serve.
        let untold = RateDivision.equalPart(of: amount, among: Int64(all))
        let known = Dictionary(rows.map { ($0.dataPlaneID, $0) }, uniquingKeysWith: { first, _ in first })
        var own =
            known[dataPlaneID] ?? RateShareRow(counter: counter, dataPlaneID: dataPlaneID, ceiling: untold, told: untold, updatedAt: now)
        own.wanted = min(max(0, use?.wanted ?? 0), amount &* 2)
        own.had = min(max(0, use?.had ?? 0), amount &* 2)
        own.updatedAt = now
        let held = max(0, use?.held ?? untold)
        own.ceiling = taken >= own.number ? max(own.told, held) : max(own.ceiling, held)
        var (others, total) = (Int64(0), own.wanted)
        for id in sharing where id != dataPlaneID {
            others &+= min(known[id]?.ceiling ?? untold, amount &* 2)
            if let row = known[id], now &- row.updatedAt < forgetsAfter { total &+= row.wanted }
        }
        let share = division.share(wanted: own.wanted, total: total, others: others)
        if total == 0, own.ceiling <= untold, share >= untold || known[dataPlaneID] == nil {
            // Nobody wants more than an equal part: it need not be remembered.
            if known[dataPlaneID] != nil { try RateSharesTable.remove(c, counter, dataPlaneID: dataPlaneID) }
            return known[dataPlaneID] == nil ? nil : -1
        }
        own.told = share
        own.ceiling = max(own.ceiling, share)
        own.number = number
        try RateSharesTable.put(c, own)
        return share
    }
}

/// A counter as it crosses the link: the limit's 80 bits, and 128 of who is limited.
struct RateCounter {
    static let byteCount = 26

    private let bytes: [UInt8]

    init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        self.bytes = bytes
    }

    var limitID: String { LimitKind.prefix + Base32.encode(Array(bytes[..<10])) }

    /// Of the one that is limited: its identifier's suffix.
    var subject: String { Base32.encode(Array(bytes[16...])) }

    /// Whose the one is that is limited; nil: no tenant's in particular, or it is not there.
    func tenant(at level: LimitLevel, _ c: any SQLConnection) throws -> TenantID? {
        let suffix = subject
        return switch level {
        case .global, .ip: nil
        case .tenant: TenantID(TenantKind.prefix + suffix)
        case .project: try ProjectContent.find(c, ProjectKind.prefix + suffix)?.content.tenantID
        case .app: try AppContent.find(c, AppKind.prefix + suffix)?.content.tenantID
        case .user: try UserContent.find(c, UserKind.prefix + suffix)?.content.tenantID
        case .key: try VirtualKeyContent.find(c, KeyKind.prefix + suffix)?.content.tenantID
        case .did: try DIDContent.find(c, DIDKind.prefix + suffix)?.content.tenantID
        }
    }
}
