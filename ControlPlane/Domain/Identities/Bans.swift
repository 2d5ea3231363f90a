package import Nouns
package import Primitives
package import Storage

package typealias Ban = Entity<BanContent>

/// Who is shut out.
extension BanContent: Administered {
    /// Data planes are sent all that are in force with each change.
    private static let maximum: Int64 = 10_000
    /// Of these, what one tenant's administrators see of theirs.
    private static let tenantMaximum: Int64 = 500

    package static var scope: NounScope {
        NounScope(counters: [.bans], topics: [.bans], changeColumn: "ban_revision", isDeclared: false)
    }

    package static var permission: Permission { .manage }
    package static var readPermission: Permission { .readTenants }

    package static var taken: FieldProblem {
        FieldProblem("subject_id", "is banned already", remedy: "Change that ban, or lift it first.")
    }

    package func problems(replacing old: BanContent?, now: Int64) -> [FieldProblem] {
        (expiresAt == old?.expiresAt ? [] : FieldProblem.past("expires_at", expiresAt, now: now))
            + (covers == .signatures && !subjectID.hasPrefix(KeyKind.prefix)
                ? [FieldProblem("covers", "is for keys: others sign with what they are", remedy: "Ban everything.")] : [])
    }

    package mutating func willWrite(_ id: BanID, replacing old: BanContent?, _ change: NounChange) throws {
        if let old {
            try Self.checkMayChange(old, change)
        } else {
            isTenants = change.actor.scope != .all
            if let tenant = try Self.tenant(of: subjectID, change.connection) { tenantID = tenant }
        }
    }

    package static func willDelete(_ ban: Ban, _ change: NounChange) throws { try checkMayChange(ban.content, change) }

    /// The operator's ban is not for those to lift who are shut out by it.
    private static func checkMayChange(_ ban: BanContent, _ change: NounChange) throws {
        guard change.actor.scope != .all, !ban.isTenants else { return }
        throw DomainError.conflict("id", "is a ban that the operator made", remedy: "Ask the operator to change or lift it.")
    }

    package func problems(id: BanID, replacing old: BanContent?, beside c: any SQLConnection) throws -> [FieldProblem] {
        guard old == nil else { return [] }
        let isTenants = c.scope != .all
        if try isTenants && subjectID.hasPrefix(TenantKind.prefix) || Self.tenant(of: subjectID, c) == nil {
            return [
                FieldProblem(
                    "subject_id", "names no tenant, user, app, key or DID",
                    remedy: "Give the identifier (ten_, usr_, app_, key_ or did_) of one.")
            ]
        }
        let maximum = isTenants ? Self.tenantMaximum : Self.maximum
        if try BansTable.bans.count(c) >= maximum {
            return [
                FieldProblem(
                    "subject_id", "is one too many: \(maximum) bans are there", remedy: "Disable keys, users and apps, or lift bans.")
            ]
        }
        return []
    }

    /// Whose the subject is; nil: there is no such one.
    static func tenant(of subject: String, _ c: any SQLConnection) throws -> TenantID? {
        switch subjects[String(subject.prefix { $0 != "_" }) + "_"] {
        case "tenant": try TenantContent.find(c, subject).map { TenantID($0.id.rawValue) }
        case "user": try UserContent.find(c, subject)?.content.tenantID
        case "app": try AppContent.find(c, subject)?.content.tenantID
        case "did": try DIDContent.find(c, subject)?.content.tenantID
        case "key": try VirtualKeyContent.find(c, subject)?.content.tenantID
        default: nil
        }
    }
}

/// What travels in the lane of the bans.
package protocol BanLike: Administered {
    /// Whose data planes it concerns; nil: all.
    var concerned: TenantID? { get }
}

extension BanContent: BanLike {
    package var concerned: TenantID? { tenantID }
}

extension KillSwitchContent: BanLike {
    package var concerned: TenantID? { tenantID }
}

/// Bans, or kill switches, and how far each has come.
package struct BanService<Content: BanLike>: Sendable {
    package let nouns: NounService<Content>

    package init(_ domain: DomainContext) {
        nouns = NounService(domain)
    }

    /// By data plane, oldest first.
    package func reach(of ban: Entity<Content>) async throws -> [BanReach] {
        let now = nouns.now
        return try await nouns.domain.read(as: .all) { c in
            let receipts = try BansTable.receipts(c, ban.id.rawValue)
            var planes = try DataPlaneContent.all(c).filter { plane in
                plane.content.standing == .active
                    && ban.content.concerned.map { plane.content.tenantIDs.named?.contains($0) ?? true } ?? true
            }
            try DataPlaneContent.observe(&planes, c)
            return planes.map { $0.seen(at: now) }.map { plane in
                let acted = receipts[plane.id.rawValue]
                return BanReach(
                    dataPlaneID: plane.id.rawValue, name: plane.content.name,
                    state: acted != nil ? .acted : plane.content.isConnected ? .pending : .unreachable, actedAt: acted,
                    lastSeenAt: plane.content.lastSeenAt)
            }
        }
    }
}

/// A data plane that serves whom a ban or kill switch is about, and what is known of it.
package struct BanReach: Sendable, Hashable {
    package enum State: String, Sendable, CaseIterable {
        /// It has said that it is in force there.
        case acted
        /// It is connected and has not said so yet.
        case pending
        /// It is not connected: what it heard last holds there.
        case unreachable
    }

    package let dataPlaneID: String
    package let name: String
    package let state: State
    /// Unix milliseconds: when its answer came.
    package let actedAt: Int64?
    /// When it was last in contact.
    package let lastSeenAt: Int64?

    package var json: JSONValue {
        [
            "data_plane_id": .string(dataPlaneID), "name": .string(name), "state": .string(state.rawValue), "acted_at": .time(actedAt),
            "last_seen_at": .time(lastSeenAt),
            // A data plane without its control plane serves on, by what it holds, without an end.
            "holds_until": .null,
        ]
    }
}
