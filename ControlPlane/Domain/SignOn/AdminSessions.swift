import Nouns
package import Primitives
import Storage
import Trust

/// Sessions of people who have signed on: rows, so that they end on every replica at once. The browser holds 256 random bits; here is their
/// SHA-256.
package struct AdminSessions: Sendable {
    /// What a browser holds.
    package struct Held: Sendable, Hashable {
        package let text: Secret

        /// What a change has to bring beside the cookie: another site can have it sent, and not read it.
        package var changeToken: String { Hex.encode(SHA256Digest.of(Array("weir csrf\0\(text.reveal())".utf8)).prefix(16)) }
        fileprivate var digest: [UInt8] { SHA256Digest.of(Array(text.reveal().utf8)) }

        package init(_ text: String) { self.text = Secret(text) }
        fileprivate static func random() -> Held { Held("wses_" + Base32.encode(SecureRandom.bytes(32))) }
    }

    /// Of one person; the oldest gives way.
    private static let maximumOfOne = 20

    private let domain: DomainContext
    package let policy: SignOnPolicy

    package init(_ domain: DomainContext, policy: SignOnPolicy) {
        self.domain = domain
        self.policy = policy
    }

    /// Inside the transaction that signs somebody on.
    /// - Parameter holder: The id of a person, or of the token that a browser was signed on with.
    func open(_ holder: String, of tenantID: TenantID?, _ c: any SQLConnection, now: Int64) throws -> Held {
        let held = Held.random()
        try AdminSessionsTable.removeEnded(c, at: now, unseenSince: now - policy.idle)
        try AdminSessionsTable.insert(
            c,
            AdminSessionRow(
                sha256: held.digest, personID: holder, tenantID: tenantID?.rawValue, createdAt: now,
                expiresAt: now + policy.lifetime, lastSeenAt: now))
        try AdminSessionsTable.removeOldest(c, of: holder, keeping: Self.maximumOfOne)
        return held
    }

    /// Who asks with this session. What the person may is read with each request.
    /// - Parameter isUse: Whether somebody asks: what a page does by itself keeps no session from ending.
    /// - Throws: `DomainError.unauthenticated` for one that is not there or has ended.
    package func authenticate(_ held: Held, isUse: Bool = true) async throws -> Actor {
        let refusal = DomainError.unauthenticated(detail: "The session has ended. Sign on again: /admin/login.")
        let digest = held.digest
        let now = domain.clock.nowMilliseconds()
        let found = try await domain.read(as: .all) { c in
            try AdminSessionsTable.find(c, digest).flatMap { row in try Self.actor(of: row, c, at: now).map { (row: row, actor: $0) } }
        }
        guard let (row, actor) = found, row.expiresAt > now, row.lastSeenAt > now - policy.idle else { throw refusal }
        if isUse, row.lastSeenAt < now - min(60_000, policy.idle / 4) {
            try await domain.observe(as: .all) { c in try AdminSessionsTable.noteSeen(c, digest, at: now) }
        }
        return actor
    }

    /// Whose session it is, as far as they may still do something.
    private static func actor(of row: AdminSessionRow, _ c: any SQLConnection, at now: Int64) throws -> Actor? {
        let actor: Actor?
        if let token = try AdminTokenContent.find(c, row.personID) {
            let person = try token.content.personID.flatMap { try PersonContent.find(c, $0.rawValue) }
            actor = AdminTokenService.actor(with: token, person, at: now)
        } else if let person = try PersonContent.find(c, row.personID), person.content.status == .active {
            actor = Actor(
                id: person.id.rawValue, name: person.content.name, role: person.content.role,
                scope: person.content.tenantID.map { .tenant($0.rawValue) } ?? .all)
        } else {
            actor = nil
        }
        return actor?.tenantID?.rawValue == row.tenantID ? actor : nil
    }

    /// Ends it; one that is not there has ended.
    package func close(_ held: Held) async throws {
        let digest = held.digest
        try await domain.observe(as: .all) { c in _ = try AdminSessionsTable.remove(c, digest) }
    }
}
