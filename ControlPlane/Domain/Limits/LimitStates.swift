import Nouns
import Primitives
import Storage

/// The limits that concern what a key is used for, and what is left of them as data planes have told. They count by themselves and tell once
/// a second of what is half used up; of the rest it is known that it is not. So what is left is at least so much, as of a time.
enum LimitStates {
    /// For a key, by how far it may look: of the others it is not told how much is in them.
    static func limits(of caller: KeyCaller, _ c: any SQLConnection) throws -> JSONValue {
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
        of limit: Limit, for caller: KeyCaller, _ planes: [DataPlane], _ told: [Place: [RateShareRow]]
    ) throws -> JSONValue? {
        let content = limit.content
        guard content.tenantID ?? caller.tenantID == caller.tenantID else { return nil }
        let subject: String?
        let isShown: Bool
        switch content.level {
        case .key where content.keyID ?? caller.keyID == caller.keyID: (subject, isShown) = (caller.keyID.suffix, true)
        case .project where content.projectID ?? caller.projectID == caller.projectID:
            (subject, isShown) = (caller.projectID.suffix, caller.reach != .key)
        case .tenant: (subject, isShown) = (caller.tenantID.suffix, caller.reach == .tenant)
        case .user:
            guard let user = caller.key.content.userID, content.userID ?? user == user else { return nil }
            (subject, isShown) = (user.suffix, true)
        // Others' requests are in it, or those of an address that is not known here.
        case .global, .ip: (subject, isShown) = (nil, false)
        case .key, .project, .app, .did: return nil
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
}
