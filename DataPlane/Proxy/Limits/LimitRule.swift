package import Contract
import Primitives

/// A limit as requests are held against it.
package final class LimitRule: Sendable {
    package enum Level: String, Sendable, CaseIterable {
        case global, tenant, project, user, key, app, did, ip

        fileprivate var idPrefix: StaticString? {
            switch self {
            case .global, .ip: nil
            case .tenant: TenantEntry.idPrefix
            case .project: ProjectEntry.idPrefix
            case .app: AppEntry.idPrefix
            case .user: UserEntry.idPrefix
            case .key: KeyEntry.idPrefix
            case .did: DIDEntry.idPrefix
            }
        }

        /// Whom a request counts for at this level; nil: for nobody.
        fileprivate func subject(of principal: Principal, _ address: LimitSubject?) -> LimitSubject? {
            switch self {
            case .global: .all
            case .tenant: LimitSubject(principal.tenant.bits)
            case .project: principal.project.map { LimitSubject($0.bits) }
            case .app: principal.kind == .app ? LimitSubject(principal.id) : nil
            case .user: (principal.kind == .user ? principal.id : principal.user ?? principal.owner).map { LimitSubject($0) }
            case .key: (principal.kind == .key ? principal.id : principal.delegate).map { LimitSubject($0) }
            case .did: principal.kind == .did ? LimitSubject(principal.id) : nil
            case .ip: address
            }
        }
    }

    package enum Measure: String, Sendable {
        case requests, tokens, concurrent
    }

    package static let idPrefix: StaticString = "lim_"

    package let id: IDBits
    /// What callers are told.
    package let name: String
    package let level: Level
    /// The one that is limited; nil: each of the level for itself.
    package let subject: LimitSubject?
    /// Only this tenant's requests count; nil: all.
    package let tenant: IDBits?
    package let channel: String?
    package let model: String?
    package let measure: Measure
    package let amount: Int64
    /// Microseconds; 0 for what is concurrent.
    package let window: Int64
    package let isBucket: Bool
    /// What a window, or a full bucket, lets in at most.
    package let capacity: Int64
    package let observes: Bool
    /// Milliseconds for which what is counted matters: of a bucket, until it is full again.
    let memory: Int64
    /// Callers are told how it stands.
    let isTold: Bool
    /// What it counts is kept for the next process.
    let isNoted: Bool

    /// Nil for one that this release cannot hold anybody against: of a level or measure that it does not know.
    /// - Throws: for one that is malformed.
    package init?(_ limit: Weir_V1_Limit) throws(DocumentRefusal) {
        func malformed(_ what: String) -> DocumentRefusal { DocumentRefusal(.malformedPayload, "limit \(limit.id.prefix(48)): \(what)") }
        func bits(_ text: String, _ prefix: StaticString) throws(DocumentRefusal) -> IDBits {
            guard let bits = Array(text.utf8).withUnsafeBytes({ IDBits(identifier: $0, prefix: prefix) }) else {
                throw malformed("\"\(text.prefix(48))\" is not a \(prefix)… identifier")
            }
            return bits
        }
        id = try bits(limit.id, Self.idPrefix)
        name = limit.name
        guard let level = Level(rawValue: limit.level), let measure = Measure(rawValue: limit.measure) else { return nil }
        guard (1...1_000_000_000_000).contains(limit.amount), (0...1_000_000_000_000).contains(limit.burst) else {
            throw malformed("the amount or the burst is out of range")
        }
        guard measure == .concurrent || (1...86_400_000).contains(limit.windowMs) else { throw malformed("the window is out of range") }
        self.level = level
        self.measure = measure
        tenant = limit.tenantID.isEmpty ? nil : try bits(limit.tenantID, TenantEntry.idPrefix)
        if limit.subjectID.isEmpty {
            subject = level == .global ? .all : nil
        } else if let prefix = level.idPrefix {
            subject = LimitSubject(try bits(limit.subjectID, prefix))
        } else {
            guard let address = LimitSubject(address: limit.subjectID) else { throw malformed("the subject is no IP address") }
            subject = address
        }
        channel = limit.channel.isEmpty ? nil : limit.channel
        model = limit.model.isEmpty ? nil : limit.model
        amount = limit.amount
        window = measure == .concurrent ? 0 : limit.windowMs * 1000
        isBucket = limit.tokenBucket && measure != .concurrent
        capacity = isBucket && limit.burst > 0 ? limit.burst : limit.amount
        observes = limit.observe
        memory =
            isBucket ? Int64(clamping: Int128(capacity) * Int128(window) / Int128(max(1, amount)) / 1000 + 1) : window / 1000
        isTold = !observes && measure != .concurrent
        isNoted = measure != .concurrent && window >= RateNote.shortest
    }

    /// What a window, or a full bucket, lets in where so much of the amount may be had.
    func capacity(ofPart part: Int64) -> Int64 {
        guard part < amount else { return capacity }
        return isBucket ? max(1, Int64(clamping: Int128(capacity) * Int128(part) / Int128(amount))) : part
    }

    /// Whom a request counts for; nil: it is none of this limit's.
    fileprivate func counted(_ principal: Principal, _ channel: Caller.Channel, _ model: String, _ address: LimitSubject?) -> LimitSubject?
    {
        if let own = self.channel, own != channel.rawValue { return nil }
        if let own = self.model, own != model { return nil }
        if let tenant, tenant != principal.tenant.bits { return nil }
        guard let found = level.subject(of: principal, address) else { return nil }
        if let subject, subject != found { return nil }
        return found
    }
}

/// Whose requests count together, as 128 bits: an identifier's, or an address. IPv6 counts by its /64, which is what one host is given.
package struct LimitSubject: Hashable, Sendable {
    package let high: UInt64
    package let low: UInt64

    package static let all = LimitSubject(high: 0, low: 0)

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    init(_ id: IDBits) { self.init(high: UInt64(id.high), low: id.low) }

    package init?(address text: String) {
        guard let bytes = NetworkList.bytes(text) else { return nil }
        let word = bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        // No /64 has bits in its lower half, so the two kinds cannot meet.
        self = bytes.count == 4 ? LimitSubject(high: 0, low: 1 << 32 | word) : LimitSubject(high: word, low: 0)
    }
}

/// All limits of a directory, found by whom they are about: what a request looks at does not grow with their number.
package final class LimitSet: Sendable {
    private struct Place: Hashable {
        let level: LimitRule.Level
        let subject: LimitSubject
    }

    package static let empty = LimitSet([:])

    let rules: [IDBits: LimitRule]
    /// Whether addresses of callers are needed.
    package let needsAddress: Bool
    private let everybodys: [LimitRule]
    private let tenants: [IDBits: [LimitRule]]
    private let subjects: [Place: [LimitRule]]
    /// Levels of which some are limited by name.
    private let namedLevels: [LimitRule.Level]

    package var isEmpty: Bool { rules.isEmpty }

    package init(_ rules: [IDBits: LimitRule]) {
        self.rules = rules
        var everybodys: [LimitRule] = []
        var tenants: [IDBits: [LimitRule]] = [:]
        var subjects: [Place: [LimitRule]] = [:]
        for rule in rules.values.sorted(by: { ($0.id.high, $0.id.low) < ($1.id.high, $1.id.low) }) {
            if let subject = rule.subject, rule.level != .global {
                subjects[Place(level: rule.level, subject: subject), default: []].append(rule)
            } else if let tenant = rule.tenant {
                tenants[tenant, default: []].append(rule)
            } else {
                everybodys.append(rule)
            }
        }
        needsAddress = rules.values.contains { $0.level == .ip }
        namesModels = rules.values.contains { $0.model != nil }
        self.everybodys = everybodys
        self.tenants = tenants
        self.subjects = subjects
        let named = Set(subjects.keys.map(\.level))
        namedLevels = LimitRule.Level.allCases.filter { named.contains($0) }
    }

    /// Some concern one model alone.
    let namesModels: Bool

    /// What a request counts for, limit by limit.
    func plan(_ principal: Principal, _ channel: Caller.Channel, model: String, address: LimitSubject?) -> RatePlan {
        var claims: [RateLedger.Claim] = []
        func take(_ rules: [LimitRule]) {
            for rule in rules {
                guard let subject = rule.counted(principal, channel, model, address) else { continue }
                claims.append(RateLedger.Claim(rule: rule, key: RateLedger.Key(rule: rule.id, subject: subject)))
            }
        }
        take(everybodys)
        if let own = tenants[principal.tenant.bits] { take(own) }
        for level in namedLevels {
            guard let subject = level.subject(of: principal, address), let own = subjects[Place(level: level, subject: subject)] else {
                continue
            }
            take(own)
        }
        return RatePlan(claims)
    }
}
