import Contract
import Primitives

/// Who is shut out, in force at once and whatever the directory says. Few: looked at by each request only where there are any.
package struct BanSet: Sendable {
    private struct Subject: Hashable {
        /// Of a principal's kind; 0: a tenant.
        let kind: UInt8
        let id: IDBits

        static func tenant(_ id: IDBits) -> Subject { Subject(kind: 0, id: id) }
        static func principal(_ kind: Principal.Kind, _ id: IDBits) -> Subject { Subject(kind: kind.rawValue, id: id) }
    }

    /// Unix milliseconds; `Int64.max` until it is lifted.
    private var until: [Subject: Int64] = [:]

    package static let empty = BanSet()
    package var isEmpty: Bool { until.isEmpty }
    package var count: Int { until.count }

    private init() {}

    /// Subjects of kinds that this release does not know are passed over.
    init(_ payload: Weir_V1_BansPayload) {
        for ban in payload.bans {
            guard let subject = Self.subject(ban.subjectID) else { continue }
            let end = ban.expiresMs == 0 ? Int64.max : ban.expiresMs
            until[subject] = max(until[subject] ?? end, end)
        }
    }

    private static func subject(_ text: String) -> Subject? {
        let bytes = Array(text.utf8)
        return bytes.withUnsafeBytes { bytes in
            if let id = IDBits(identifier: bytes, prefix: TenantEntry.idPrefix) { return .tenant(id) }
            for kind in [Principal.Kind.key, .app, .user, .did] {
                if let id = IDBits(identifier: bytes, prefix: kind.idPrefix) { return .principal(kind, id) }
            }
            return nil
        }
    }

    /// Why nothing may run for a principal; nil while it may. Who is linked follows: a banned user's keys, and the apps it owns.
    func interruption(of principal: Principal, nowMilliseconds: Int64) -> Interruption? {
        func isBanned(_ subject: Subject) -> Bool { until[subject].map { nowMilliseconds < $0 } ?? false }
        func banned(_ who: StaticString) -> Interruption {
            .disabled("banned", "The \(who) is banned. Ask the gateway's operator.", status: 403)
        }
        if isBanned(.tenant(principal.tenant.bits)) { return banned("tenant") }
        if isBanned(.principal(principal.kind, principal.id)) { return banned(principal.kind.word) }
        if let key = principal.delegate, isBanned(.principal(.key, key)) { return banned("key") }
        if let user = principal.user, isBanned(.principal(.user, user)) { return banned("user") }
        if let owner = principal.owner, isBanned(.principal(.user, owner)) { return banned("app's owner") }
        return nil
    }
}
