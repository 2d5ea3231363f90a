package import Nouns
package import Primitives
package import Storage
import Trust

package typealias AdminToken = Entity<AdminTokenContent>

extension AdminTokenContent: Administered {
    package static var scope: NounScope { .administration }
    package static var tableName: String { "admin_tokens" }
    package static var permission: Permission { .administer }
    package static var readPermission: Permission { .administer }

    package func problems(replacing old: AdminTokenContent?, now: Int64) -> [FieldProblem] {
        expiresAt == old?.expiresAt ? [] : FieldProblem.past("expires_at", expiresAt, now: now)
    }

    /// An owner whose token does not run out stays: nobody could let anybody in again.
    package func problems(id: AdminTokenID, replacing old: AdminTokenContent?, beside c: any SQLConnection) throws -> [FieldProblem] {
        if role != .owner || expiresAt != nil { try Self.checkAnotherOwner(c, than: id, old) }
        return []
    }

    package static func willDelete(_ token: AdminToken, _ change: NounChange) throws {
        try checkAnotherOwner(change.connection, than: token.id, token.content)
    }

    private static func checkAnotherOwner(_ c: any SQLConnection, than id: AdminTokenID, _ present: AdminTokenContent?) throws {
        guard present?.isLastingOwner == true else { return }
        if try !all(c).contains(where: { $0.id != id && $0.content.isLastingOwner }) {
            throw DomainError.conflict(
                "id", "is the last owner whose token does not expire", remedy: "Create another owner without an expiry first.")
        }
    }

    private var isLastingOwner: Bool { role == .owner && expiresAt == nil }
}

/// Administrators: bearer tokens with a role each.
package struct AdminTokenService: Sendable {
    /// A token and its plaintext, which is shown now and never again.
    package struct Issued: Sendable {
        package let token: AdminToken
        package let plaintext: Secret
    }

    package let nouns: NounService<AdminTokenContent>

    package init(_ domain: DomainContext) {
        nouns = NounService(domain)
    }

    /// Who holds this plaintext. Looked up by the id in it, compared as a SHA-256 digest in constant time.
    /// - Throws: `DomainError.unauthenticated`, which does not say whether it is unknown, wrong or expired.
    package func authenticate(_ plaintext: String) async throws -> AdminToken {
        let refusal = DomainError.unauthenticated(detail: "The token is not valid.")
        guard let text = VirtualKeyText(parsing: plaintext, prefix: VirtualKeyText.adminTokenPrefix) else { throw refusal }
        let digest = SHA256Digest.of(Array(plaintext.utf8))
        let token = try await nouns.domain.read(as: .all) { c in try AdminTokenContent.find(c, AdminTokenKind.prefix + text.idSuffix) }
        guard let token, ConstantTime.equal(token.content.sha256.bytes, digest) else { throw refusal }
        if let expires = token.content.expiresAt, expires <= nouns.now { throw refusal }
        return token
    }

    package func create(_ content: AdminTokenContent, by actor: Actor) async throws -> Issued {
        let (id, content, plaintext) = Self.prepared(content)
        return Issued(token: try await nouns.create(content, id: id, by: actor), plaintext: plaintext)
    }

    /// For the command line of a first start.
    /// - Parameters:
    ///   - onlyIfNone: Create nothing, and answer nil, when there is an administrator.
    ///   - deliver: Hands the plaintext over before the token exists: a crash in between leaves a token that is not valid, never
    ///     a valid one that nobody has. Called again when the transaction is.
    package func create(
        _ content: AdminTokenContent, by actor: Actor, onlyIfNone: Bool, deliver: @escaping @Sendable (Secret) throws -> Void
    ) async throws -> Issued? {
        let (id, content, plaintext) = Self.prepared(content)
        let token = try await nouns.write(by: actor) { change -> AdminToken? in
            if onlyIfNone, try !AdminTokenContent.table.list(change.connection, limit: 1).isEmpty { return nil }
            let token = try nouns.insert(content, id: id, change)
            try deliver(plaintext)
            return token
        }
        return token.map { Issued(token: $0, plaintext: plaintext) }
    }

    private static func prepared(_ content: AdminTokenContent) -> (AdminTokenID, AdminTokenContent, Secret) {
        let id = AdminTokenID.random()
        let text = VirtualKeyText.generate(prefix: VirtualKeyText.adminTokenPrefix, idSuffix: id.suffix).text
        var content = content
        content.sha256 = StoredBytes(SHA256Digest.of(Array(text.utf8)))
        return (id, content, Secret(text))
    }
}
