import Contract
import Leases
import Primitives
import SwiftProtobuf

/// Whom a budget is about.
struct BudgetSubject: Hashable, Sendable {
    enum Level: UInt8, Sendable, CaseIterable {
        case tenant, project, app, user, key, did

        var idPrefix: StaticString {
            switch self {
            case .tenant: TenantEntry.idPrefix
            case .project: ProjectEntry.idPrefix
            case .app: AppEntry.idPrefix
            case .user: UserEntry.idPrefix
            case .key: KeyEntry.idPrefix
            case .did: DIDEntry.idPrefix
            }
        }

        /// For people.
        var word: StaticString {
            switch self {
            case .tenant: "tenant"
            case .project: "project"
            case .app: "app"
            case .user: "user"
            case .key: "key"
            case .did: "DID"
            }
        }
    }

    let level: Level
    let id: IDBits

    /// Nil for what this release does not know.
    init?(identifier bytes: UnsafeRawBufferPointer) {
        for level in Level.allCases {
            guard let id = IDBits(identifier: bytes, prefix: level.idPrefix) else { continue }
            self.init(level, id)
            return
        }
        return nil
    }

    init(_ level: Level, _ id: IDBits) {
        self.level = level
        self.id = id
    }
}

/// A budget or quota, without its amount: that is known in slices only.
package final class BudgetRule: Sendable {
    static let idPrefix: StaticString = "bgt_"

    let id: IDBits
    let tenant: IDBits
    let name: String
    let subject: BudgetSubject
    let unit: Weir_V1_BudgetUnit
    /// Told of, or counted as if it refused: nobody is refused for it.
    let refuses: Bool
    /// Counted as if it refused.
    let observes: Bool
    /// Nil: all.
    let capability: Weir_V1_Capability?
    /// Unix milliseconds; of a budget that never begins anew one from 0 to 0.
    let periods: [Range<Int64>]
    let neverResets: Bool
    /// Requests whose end nobody saw count by what is likely, and not at their worst.
    let countsLikely: Bool

    init(
        id: IDBits, tenant: IDBits, name: String, subject: BudgetSubject, unit: Weir_V1_BudgetUnit, refuses: Bool, observes: Bool,
        capability: Weir_V1_Capability?, periods: [Range<Int64>], neverResets: Bool, countsLikely: Bool
    ) {
        self.id = id
        self.tenant = tenant
        self.name = name
        self.subject = subject
        self.unit = unit
        self.refuses = refuses
        self.observes = observes
        self.capability = capability
        self.periods = periods
        self.neverResets = neverResets
        self.countsLikely = countsLikely
    }

    /// Those that refuse first.
    static func inOrder(_ rules: [BudgetRule]) -> [BudgetRule] { rules.filter(\.refuses) + rules.filter { !$0.refuses } }

    /// The account of a request that is admitted now; nil where no period is known for this time.
    func account(atMilliseconds now: Int64) -> AccountKey? {
        if neverResets { return AccountKey(high: id.high, low: id.low, periodStart: 0) }
        return periods.first { $0.contains(now) }.map { AccountKey(high: id.high, low: id.low, periodStart: $0.lowerBound) }
    }
}

/// The budgets of the tenants that this data plane serves, found by whom they are about.
struct BudgetTable: Sendable {
    private(set) var rules: [IDBits: BudgetRule] = [:]
    private var bySubject: [BudgetSubject: [IDBits]] = [:]
    private var perTenant: [IDBits: Int] = [:]

    var isEmpty: Bool { rules.isEmpty }

    /// Whether anybody of the tenant has one.
    func concerns(_ tenant: TenantEntry) -> Bool { !rules.isEmpty && perTenant[tenant.bits] != nil }

    /// All that a request of the principal counts in.
    func rules(of principal: Principal, for capability: RequestTarget.Capability) -> [BudgetRule] {
        var found: [BudgetRule] = []
        func look(_ level: BudgetSubject.Level, _ id: IDBits?) {
            guard let id, let ids = bySubject[BudgetSubject(level, id)] else { return }
            for id in ids {
                guard let rule = rules[id], rule.tenant == principal.tenant.bits else { continue }
                if let only = rule.capability, only.rawValue != Int(capability.rawValue) { continue }
                found.append(rule)
            }
        }
        look(.tenant, principal.tenant.bits)
        look(.project, principal.project?.bits)
        switch principal.kind {
        case .key: look(.key, principal.id)
        case .app: look(.app, principal.id)
        case .did: look(.did, principal.id)
        case .user, .revokedGrant: break
        }
        look(.key, principal.delegate)
        // Who pays: an app's owner, else who asks.
        look(.user, principal.owner ?? principal.user)
        return found
    }

    mutating func upsert(_ rule: BudgetRule) {
        remove(rule.id)
        rules[rule.id] = rule
        bySubject[rule.subject, default: []].append(rule.id)
        perTenant[rule.tenant, default: 0] += 1
    }

    mutating func remove(_ id: IDBits) {
        guard let rule = rules.removeValue(forKey: id) else { return }
        bySubject[rule.subject]?.removeAll { $0 == id }
        if bySubject[rule.subject]?.isEmpty == true { bySubject[rule.subject] = nil }
        let left = (perTenant[rule.tenant] ?? 1) - 1
        perTenant[rule.tenant] = left > 0 ? left : nil
    }

    mutating func removeAll(of tenant: IDBits) {
        for (id, rule) in rules where rule.tenant == tenant { remove(id) }
    }
}

extension DirectoryReader {
    static func budgets(_ payload: UnsafeRawBufferPointer, _ builder: inout DirectoryBuilder) throws {
        var reader = WireReader(payload)
        while let field = try reader.next() {
            switch field.number {
            case 60:
                if let rule = try budget(reader.bytes(field)) { try builder.upsert(rule) }
            case 61: builder.removeBudget(try identifier(reader.bytes(field), BudgetRule.idPrefix))
            default: try reader.skip(field)
            }
        }
    }

    /// - Returns: nil for one about whom, or in what, this release does not know.
    private static func budget(_ bytes: UnsafeRawBufferPointer) throws -> BudgetRule? {
        let entry = try Weir_V1_BudgetEntry(serializedBytes: Array(bytes))
        func bits(_ text: String, _ prefix: StaticString) throws -> IDBits {
            try Array(text.utf8).withUnsafeBytes { try identifier($0, prefix) }
        }
        let id = try bits(entry.id, BudgetRule.idPrefix)
        let tenant = try bits(entry.tenantID, TenantEntry.idPrefix)
        guard let subject = Array(entry.subjectID.utf8).withUnsafeBytes({ BudgetSubject(identifier: $0) }),
            [.nanoDollars, .tokens, .requests].contains(entry.unit)
        else { return nil }
        let neverResets = entry.periods.contains { $0.startMs == 0 && $0.endMs == 0 }
        let periods = entry.periods.compactMap { $0.startMs > 0 && $0.startMs < $0.endMs ? $0.startMs..<$0.endMs : nil }
        return BudgetRule(
            id: id, tenant: tenant, name: entry.name, subject: subject, unit: entry.unit, refuses: !entry.soft && !entry.observe,
            observes: entry.observe, capability: entry.capability == .unspecified ? nil : entry.capability, periods: periods,
            neverResets: neverResets, countsLikely: entry.likely)
    }
}
