import Contract
package import Nouns
package import Primitives
import Storage
import SwiftProtobuf
package import Trust

package typealias Credential = Entity<CredentialContent>

/// The providers' own keys. Encrypted at rest, bound to their row; nothing here hands one out but for sealing to a data plane.
extension CredentialContent: Administered {
    package static var scope: NounScope { .secrets }
    /// Tenants may name it.
    package static var deletionCounters: [ChangeCounter] { [.directory] }

    package mutating func forget() {
        ciphertext = StoredBytes()
        masterKeyID = nil
        secretHint = ""
    }

    /// - Throws: `DomainError.conflict` naming the endpoint that uses it in what data planes serve just now or would serve after a rollback:
    ///   an edit of the draft must not be able to stop live traffic.
    package static func willDelete(_ credential: Credential, _ change: NounChange) throws {
        for (version, why) in try neededVersions(change.connection) {
            guard let payload = try ConfigVersionsTable.payload(change.connection, version) else { continue }
            let served = try Weir_V1_ConfigPayload(serializedBytes: payload)
            if let endpoint = served.endpoints.first(where: { $0.credentialIds.contains(credential.id.rawValue) }) {
                throw DomainError.conflict(
                    "id", "is used by endpoint \(endpoint.id) (\(endpoint.name)) of version \(version), which \(why)",
                    remedy: "Roll out a version without it first. If the secret has leaked, rotate it: that is in force at once.")
            }
        }
    }

    /// The baseline, the candidate and what a rollback would return to; the others are checked again before they are rolled out.
    private static func neededVersions(_ c: any SQLConnection) throws -> [(version: Int64, why: String)] {
        let state = try RolloutStateTable.get(c)
        let candidate = try state.candidateRolloutID.flatMap { try RolloutContent.find(c, $0)?.content.version }
        let before = try BaselinesTable.find(c, version: state.baselineVersion)?.previousVersion
        return [(state.baselineVersion, "is in force"), (candidate ?? 0, "is in force for some"), (before ?? 0, "a rollback returns to")]
            .filter { $0.0 > 0 }
    }

    /// Takes the secret that was given: it ends up in a header, where a line break would forge others.
    fileprivate mutating func seal(_ id: CredentialID, _ c: any SQLConnection, with cipher: AtRestCipher) throws {
        guard let secret else { return }
        let scheme = try ProviderContent.find(c, providerID.rawValue)?.content.auth.scheme
        try NounService<Self>.check(Self.problems(of: secret, scheme: scheme))
        ciphertext = StoredBytes(try cipher.encrypt(Array(secret.reveal().utf8), aad: Self.binding(id.rawValue, providerID.rawValue)))
        masterKeyID = cipher.keyID
        secretHint = Self.hint(secret)
        self.secret = nil
    }

    /// A ciphertext opens only in its own row: moved to another credential or provider it is useless.
    static func binding(_ id: String, _ providerID: String) -> [UInt8] { Array("credential\0\(id)\0\(providerID)".utf8) }

    /// Four characters help to tell keys apart; of a secret below 20 they would give too much away.
    private static func hint(_ secret: Secret) -> String {
        let text = secret.reveal()
        return text.unicodeScalars.count >= 20 ? String(String.UnicodeScalarView(text.unicodeScalars.suffix(4))) : ""
    }

    private static func problems(of secret: Secret, scheme: AuthScheme?) -> [FieldProblem] {
        let text = secret.reveal()
        func problem(_ message: String, _ remedy: String) -> FieldProblem { FieldProblem("secret", message, remedy: remedy) }
        var problems: [FieldProblem] = []
        if text.isEmpty {
            problems.append(problem("is empty", "Give the provider's key."))
        } else if text.utf8.count > 8192 {
            problems.append(problem("is longer than 8192 bytes", "Give the key only."))
        } else if text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) {
            problems.append(problem("holds a line break or another control character", "Paste the key without the line's end."))
        } else if text.hasPrefix(" ") || text.hasSuffix(" ") {
            problems.append(problem("starts or ends with a space", "Remove it."))
        }
        if scheme == .basic, !text.contains(":") {
            problems.append(problem("has no colon, which the provider's scheme basic needs", "Write it as user:password."))
        } else if scheme == .bearer || scheme == .header, !text.utf8.allSatisfy({ $0 < 0x80 }) {
            problems.append(problem("holds characters outside ASCII, which a header cannot carry", "Check what was pasted."))
        }
        return problems
    }
}

/// A provider's key as the fleet needs it. The secret is for sealing and for nothing else.
package struct DecryptedCredential: Sendable {
    package let id: CredentialID
    package let providerID: ProviderID
    /// The number of its last change among all credentials.
    package let revision: Int64
    package let secret: Secret
}

/// What a data plane has to be told about credentials.
package struct CredentialChanges: Sendable {
    /// The highest change in here, or the one that was asked from.
    package let revision: Int64
    package let present: [DecryptedCredential]
    package let removed: [CredentialID]
}

/// The credentials with their secrets.
package struct CredentialService: Sendable {
    package let nouns: NounService<CredentialContent>
    private let cipher: AtRestCipher

    package init(_ domain: DomainContext, cipher: AtRestCipher) {
        nouns = NounService(
            domain,
            comparing: { present, given in
                guard let secret = given.secret, let held = try? Self.decrypted(present, with: cipher) else { return false }
                return ConstantTime.equal(Array(held.secret.reveal().utf8), Array(secret.reveal().utf8))
            },
            completing: { content, id, c in try content.seal(id, c, with: cipher) })
        self.cipher = cipher
    }

    /// A new secret in the place of the old one, which is gone at once.
    package func rotate(_ id: CredentialID, at revision: Int64?, secret: Secret, by actor: Actor) async throws -> Credential {
        try await nouns.change(id, at: revision, "rotate", by: actor) { [cipher] credential, change in
            credential.secret = secret
            try credential.seal(id, change.connection, with: cipher)
        }
    }

    // MARK: For the fleet

    /// Every credential with its secret.
    /// - Throws: `TrustError.opening` when the master key is not the one they were encrypted with.
    package func decryptAll() async throws -> [DecryptedCredential] {
        try await nouns.domain.read(as: .all) { c in try CredentialContent.all(c) }.map { try decrypted($0) }
    }

    package func decrypt(_ id: CredentialID) async throws -> DecryptedCredential {
        try decrypted(try await nouns.get(id, as: .all))
    }

    /// What changed after `revision`.
    package func changes(since revision: Int64) async throws -> CredentialChanges {
        let rows = try await nouns.domain.read(as: .all) { c in try CredentialContent.changed(c, since: revision) }
        return CredentialChanges(
            revision: rows.map(\.revision).max() ?? revision,
            present: try rows.filter { $0.deletedAt == nil }.map { try decrypted($0) },
            removed: rows.filter { $0.deletedAt != nil }.map(\.id))
    }

    private func decrypted(_ credential: Credential) throws -> DecryptedCredential { try Self.decrypted(credential, with: cipher) }

    private static func decrypted(_ credential: Credential, with cipher: AtRestCipher) throws -> DecryptedCredential {
        let content = credential.content
        let bytes = try cipher.decrypt(
            content.ciphertext.bytes, aad: CredentialContent.binding(credential.id.rawValue, content.providerID.rawValue))
        return DecryptedCredential(
            id: credential.id, providerID: content.providerID, revision: credential.revision,
            secret: Secret(String(decoding: bytes, as: UTF8.self)))
    }
}
