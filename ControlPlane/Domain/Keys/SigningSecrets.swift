package import Nouns
package import Primitives
import Storage
package import Trust

package typealias SigningSecret = Entity<SigningSecretContent>

extension SigningSecretContent: Administered {
    /// Sent to data planes like credentials, and numbered with them; no part of the draft.
    package static var scope: NounScope {
        NounScope(counters: [.credentials], topics: [.credentials], changeColumn: "revision", isDeclared: false)
    }

    package static var permission: Permission { .manage }
    package static var readPermission: Permission { .readTenants }

    /// It goes with its key.
    package static var holding: String? { "1 = 0" }

    package static var taken: FieldProblem {
        FieldProblem("key_id", "has a signing secret already", remedy: "Rotate that one, or delete it first.")
    }

    package mutating func forget() {
        ciphertext = StoredBytes()
        masterKeyID = nil
        previousExpiresAt = nil
    }

    /// A ciphertext opens only in its own row.
    static func binding(_ id: String, _ keyID: String) -> [UInt8] { Array("signing secret\0\(id)\0\(keyID)".utf8) }
}

/// A signing secret as the fleet needs it.
package struct DecryptedSigningSecret: Sendable {
    package let keyID: KeyID
    /// The number of its last change among all secrets.
    package let revision: Int64
    /// `SigningSecrets.bytes`.
    package let bytes: [UInt8]
}

/// Signing secrets of keys: made, rotated and deleted; shown once and never again.
package struct SigningSecretService: Sendable {
    package struct Issued: Sendable {
        package let item: SigningSecret
        package let plaintext: Secret
    }

    package let nouns: NounService<SigningSecretContent>
    private let cipher: AtRestCipher

    package init(_ domain: DomainContext, cipher: AtRestCipher) {
        nouns = NounService(domain) { content, _, c in
            if let key = try VirtualKeyContent.find(c, content.keyID.rawValue) { content.tenantID = key.content.tenantID }
        }
        self.cipher = cipher
    }

    package func create(_ content: SigningSecretContent, by actor: Actor) async throws -> Issued {
        let id = SigningSecretID.random()
        let text = SigningSecrets.generate()
        var content = content
        try seal(SigningSecrets(current: text), id, &content)
        return Issued(item: try await nouns.create(content, id: id, by: actor), plaintext: text)
    }

    /// A new secret for the same key. The one it replaces works for `graceSeconds` more.
    /// - Parameter force: Ends the grace that an earlier rotation promised.
    /// - Throws: `DomainError.conflict` while that grace lasts, unless forced.
    package func rotate(
        _ id: SigningSecretID, at revision: Int64?, graceSeconds: Int64, force: Bool, by actor: Actor
    ) async throws -> Issued {
        let text = SigningSecrets.generate()
        let item = try await nouns.change(id, at: revision, "rotate", by: actor) { [self] content, change in
            if !force, let until = content.previousExpiresAt, until > change.now {
                throw DomainError.conflict(
                    "id",
                    "was rotated already: the secret before its present one works until \(RFC3339.string(milliseconds: until))",
                    remedy: "Wait until then. To end that secret at once and rotate again, send \"force\": true.")
            }
            let present = SigningSecrets(
                try cipher.decrypt(content.ciphertext.bytes, aad: SigningSecretContent.binding(id.rawValue, content.keyID.rawValue)))
            let until = change.now &+ graceSeconds &* 1000
            content.previousExpiresAt = graceSeconds > 0 ? until : nil
            try seal(graceSeconds > 0 ? present.replaced(by: text, until: until) : SigningSecrets(current: text), id, &content)
        }
        return Issued(item: item, plaintext: text)
    }

    private func seal(_ secrets: SigningSecrets, _ id: SigningSecretID, _ content: inout SigningSecretContent) throws {
        content.ciphertext = StoredBytes(
            try cipher.encrypt(secrets.bytes, aad: SigningSecretContent.binding(id.rawValue, content.keyID.rawValue)))
        content.masterKeyID = cipher.keyID
    }

    // MARK: For the fleet

    /// Of every key of these tenants that has one: its key and the number of its last change. Nil: of all tenants.
    static func present(_ c: any SQLConnection, tenants: [String]?) throws -> [SigningSecret] {
        let all = try SigningSecretContent.all(c)
        guard let tenants else { return all }
        return all.filter { tenants.contains($0.content.tenantID.rawValue) }
    }

    func decrypt(_ item: SigningSecret) throws -> DecryptedSigningSecret {
        let content = item.content
        return DecryptedSigningSecret(
            keyID: content.keyID, revision: item.revision,
            bytes: try cipher.decrypt(
                content.ciphertext.bytes, aad: SigningSecretContent.binding(item.id.rawValue, content.keyID.rawValue)))
    }
}
