import Nouns
import Primitives
import Storage

/// The limits that concern what a key is used for, and what is left of them as data planes have told. They count by themselves and tell once
/// a second of what is half used up; of the rest it is known that it is not. So what is left is at least so much, as of a time.
enum LimitStates {
    /// Who asks: a key's holder, a DID's, or with neither a tenant's administrator.
    struct Reader {
        let tenantID: TenantID
        var key: KeyCaller?
        var did: Entity<DIDContent>?

        /// A DID looks no further than at what is its own.
        var reach: KeyCaller.Reach { key?.reach ?? (did == nil ? .tenant : .key) }
    }

    /// By how far who asks may look: of the others it is not told how much is in them.
    static func limits(of caller: Reader, _ c: any SQLConnection) throws -> JSONValue {
        let planes = try DataPlaneContent.all(c).filter { $0.content.standing == .active }
        let told = Dictionary(
            grouping: try RateSharesTable.all(c).compactMap { row in RateCounter(row.counter).map { ($0, row) } },
            by: { Place(limit: $0.0.limitID, subject: $0.0.subject) })
        let items = try LimitContent.all(c).sorted { ($0.content.name, $0.id) < ($1.content.name, $1.id) }.compactMap { limit in
            try state(of: limit, for: caller, planes, told.mapValues { $0.map(\.1) })
        }
        return .array(items)
    }

    private struct Place: Hashable {
        let limit: String
        /// An identifier's suffix.
        let subject: String
    }

    /// Nil where it is none of the caller's.
    private static func state(
        of limit: Limit, for caller: Reader, _ planes: [DataPlane], _ told: [Place: [RateShareRow]]
    ) throws -> JSONValue? {
        let content = limit.content
        guard content.tenantID ?? caller.tenantID == caller.tenantID else { return nil }
        let subject: String?
        let isShown: Bool
        switch content.level {
        case .key, .project, .app, .user, .did:
            guard caller.key != nil || caller.did != nil else {
                // A tenant's administrator: those of the tenant's own things.
                guard content.tenantID == caller.tenantID else { return nil }
                let named =
                    content.keyID?.suffix ?? content.projectID?.suffix ?? content.appID?.suffix ?? content.userID?.suffix
                    ?? content.didID?.suffix
                (subject, isShown) = (named, named != nil)
                break
            }
            guard let found = own(content, of: caller) else { return nil }
            (subject, isShown) = found
        case .tenant: (subject, isShown) = (caller.tenantID.suffix, caller.reach == .tenant)
        // Others' requests are in it, or those of an address that is not known here.
        case .global, .ip: (subject, isShown) = (nil, false)
        }
        var rows: [RateShareRow] = []
        if let subject { rows = told[Place(limit: limit.id.rawValue, subject: subject)] ?? [] }
        let sharing = planes.filter { $0.content.tenantIDs.named?.contains(caller.tenantID) ?? true }
        let used = rows.reduce(Int64(0)) { $0 &+ min(max(0, $1.had), content.amount &* 2) }
        // Who has told nothing has used half of its part at most.
        let silent = Int64(sharing.count { plane in !rows.contains { $0.dataPlaneID == plane.id.rawValue } })
        let beyond = silent &* (RateDivision.equalPart(of: content.amount, among: Int64(planes.count)) / 2)
        let isKnown = isShown && subject != nil
        return [
            "limit_id": .string(limit.id.rawValue), "name": .string(content.name), "level": .string(content.level.rawValue),
            "measure": .string(content.measure.rawValue), "amount": .int(content.amount),
            "window_seconds": content.measure == .concurrent ? .null : .int(content.windowSeconds),
            "algorithm": .string(content.algorithm.rawValue), "mode": .string(content.mode.rawValue),
            "channel": .optional(content.channel), "model": .optional(content.model),
            "used": isKnown ? .int(used) : .null, "left_at_least": isKnown ? .int(max(0, content.amount &- used &- beyond)) : .null,
            "as_of": isKnown ? .time(rows.map(\.updatedAt).min()) : .null,
        ]
    }

    /// Whose counter it is for who asks, and whether he may know what is in it; nil: none of his.
    private static func own(_ content: LimitContent, of caller: Reader) -> (subject: String, isShown: Bool)? {
        if let did = caller.did {
            switch content.level {
            case .did: return content.didID ?? did.id == did.id ? (did.id.suffix, true) : nil
            case .user: return did.content.userID.flatMap { content.userID ?? $0 == $0 ? ($0.suffix, true) : nil }
            default: return nil
            }
        }
        guard let key = caller.key else { return nil }
        return switch content.level {
        case .key: content.keyID ?? key.keyID == key.keyID ? (key.keyID.suffix, true) : nil
        case .project: content.projectID ?? key.projectID == key.projectID ? (key.projectID.suffix, key.reach != .key) : nil
        case .user: key.key.content.userID.flatMap { content.userID ?? $0 == $0 ? ($0.suffix, true) : nil }
        default: nil
        }
    }
}
