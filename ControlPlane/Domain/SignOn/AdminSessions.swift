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

    /// Inside the transaction that signs the person on.
    func open(_ person: Person, _ c: any SQLConnection, now: Int64) throws -> Held {
        let held = Held.random()
        try AdminSessionsTable.removeEnded(c, at: now, unseenSince: now - policy.idle)
        try AdminSessionsTable.insert(
            c,
            AdminSessionRow(
                sha256: held.digest, personID: person.id.rawValue, tenantID: person.content.tenantID?.rawValue, createdAt: now,
                expiresAt: now + policy.lifetime, lastSeenAt: now))
        try AdminSessionsTable.removeOldest(c, of: person.id.rawValue, keeping: Self.maximumOfOne)
        return held
    }

    /// Who asks with this session. What the person may is read with each request.
    /// - Throws: `DomainError.unauthenticated` for one that is not there or has ended.
    package func authenticate(_ held: Held) async throws -> Actor {
        let refusal = DomainError.unauthenticated(detail: "The session has ended. Sign on again: /admin/login.")
        let digest = held.digest
        let found = try await domain.read(as: .all) { c in
            try AdminSessionsTable.find(c, digest).map { (row: $0, person: try PersonContent.find(c, $0.personID)) }
        }
        let now = domain.clock.nowMilliseconds()
        guard let (row, person) = found, let person, person.content.status == .active,
            person.content.tenantID?.rawValue == row.tenantID, row.expiresAt > now, row.lastSeenAt > now - policy.idle
        else { throw refusal }
        if row.lastSeenAt < now - min(60_000, policy.idle / 4) {
            try await domain.observe(as: .all) { c in try AdminSessionsTable.noteSeen(c, digest, at: now) }
        }
        return Actor(
            id: person.id.rawValue, name: person.content.name, role: person.content.role,
            scope: person.content.tenantID.map { .tenant($0.rawValue) } ?? .all)
    }

    /// Ends it; one that is not there has ended.
    package func close(_ held: Held) async throws {
        let digest = held.digest
        try await domain.observe(as: .all) { c in _ = try AdminSessionsTable.remove(c, digest) }
    }
}
