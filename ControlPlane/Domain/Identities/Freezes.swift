import Nouns
import Primitives
import Storage

/// A key whose signatures a data plane has stopped looking at, since too many in its name were wrong.
package struct ReportedFreeze: Sendable, Hashable {
    package let keyID: String
    /// For how long it holds there from now on.
    package let milliseconds: Int64

    package init(keyID: String, milliseconds: Int64) {
        self.keyID = keyID
        self.milliseconds = milliseconds
    }
}

/// Makes a data plane's freeze a ban of the key's signatures, for a time, at every data plane of its tenant.
package struct FreezeService: Sendable {
    /// Whatever a data plane says: the longest freeze, and how many of a tenant's keys are frozen at one time.
    package static let longestMilliseconds: Int64 = 3_600_000
    package static let maximumOfATenant = 100
    /// A freeze that is over is seen for so long.
    private static let shownMilliseconds: Int64 = 86_400_000

    private let bans: NounService<BanContent>

    package init(_ domain: DomainContext) { bans = NounService(domain) }

    /// What a data plane may not say, such as of another tenant's key, is passed over.
    /// - Returns: how many bans it made.
    /// - Throws: `FleetRefusal.revoked`; `DomainError.unavailable`.
    @discardableResult
    package func take(_ freezes: [ReportedFreeze], from dataPlaneID: String) async throws -> Int {
        var made = 0
        for freeze in freezes where freeze.milliseconds > 0 {
            let found = try await bans.domain.read(as: .all) { c -> (tenantID: String, plane: String)? in
                guard let row = try DataPlanesTable.find(c, id: dataPlaneID), row.status == .active else { throw FleetRefusal.revoked }
                guard let key = try VirtualKeyContent.find(c, freeze.keyID), key.deletedAt == nil, key.content.revokedAt == nil else {
                    return nil
                }
                let tenant = key.content.tenantID.rawValue
                return DirectoryScope(tenantIDs: row.tenantIDs).contains(tenant) ? (tenant, row.name) : nil
            }
            guard let found else { continue }
            // As the tenant's own, so that its administrators may lift it; and nothing of another tenant's is in reach.
            let actor = Actor(
                id: dataPlaneID, name: "data plane \(found.plane)", role: .operator, scope: .tenant(found.tenantID))
            do {
                if try await ban(freeze, at: found.plane, by: actor) { made += 1 }
            } catch DomainError.invalid, DomainError.conflict {
                // As many bans as there may be, or one of another at the same moment.
                continue
            }
        }
        return made
    }

    private func ban(_ freeze: ReportedFreeze, at plane: String, by actor: Actor) async throws -> Bool {
        try await bans.write(by: actor) { [bans] change in
            let c = change.connection
            let until = change.now + min(freeze.milliseconds, Self.longestMilliseconds)
            func fill(_ content: inout BanContent) {
                content.subjectID = freeze.keyID
                content.covers = .signatures
                content.reason = "too many wrong signatures in the key's name at the data plane \(plane)"
                content.expiresAt = until
            }
            let frozen = try BanContent.listed(c, where: "covers", is: BanCoverage.signatures.rawValue).filter {
                Self.isInForce($0, change.now)
            }
            if let old = try BanContent.listed(c, where: "subject_id", is: freeze.keyID).first {
                guard !Self.isInForce(old, change.now), frozen.count < Self.maximumOfATenant else { return false }
                var content = old.content
                fill(&content)
                try NounService<BanContent>.put(content, over: old, "freeze", change)
                return true
            }
            guard frozen.count < Self.maximumOfATenant else { return false }
            var content = BanContent()
            fill(&content)
            _ = try bans.insert(content, id: .random(), change)
            return true
        }
    }

    private static func isInForce(_ ban: Ban, _ now: Int64) -> Bool { ban.content.expiresAt.map { $0 > now } ?? true }

    /// Takes away those that have been over for a while.
    package func removeOld() async throws {
        try await bans.write(by: .system("freezes")) { change in
            for ban in try BanContent.listed(change.connection, where: "covers", is: BanCoverage.signatures.rawValue).prefix(500)
            where ban.content.expiresAt.map({ $0 < change.now - Self.shownMilliseconds }) ?? false {
                try NounService<BanContent>.remove(ban, change)
            }
        }
    }
}
