import Contract
package import Primitives
import Storage
import SwiftProtobuf
package import Trust

package struct CredentialContent: EntityContent {
    /// Fixed when the credential is made: its secret is never sent to another provider.
    package var providerID: ProviderID
    package var name: String
    /// The end of a long secret; empty for a short one.
    package fileprivate(set) var secretHint: String

    package init(providerID: ProviderID, name: String) {
        self.providerID = providerID
        self.name = name
        secretHint = ""
    }

    package var members: JSONObject {
        ["provider_id": .string(providerID.rawValue), "name": .string(name), "secret_hint": .string(secretHint)]
    }
}

package typealias Credential = Entity<CredentialKind, CredentialContent>

extension Entity<CredentialKind, CredentialContent> {
    init(_ row: CredentialRow) {
        var content = CredentialContent(providerID: ID(row.providerID), name: row.name)
        content.secretHint = row.secretHint
        self.init(id: row.id, meta: row.meta, content: content)
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

/// The providers' own keys. Encrypted at rest, bound to their row; nothing here hands one out but for sealing to a data plane.
package struct CredentialService: Sendable {
    package static let list = "credentials"
    private static let taken = FieldProblem("name", "is taken by another credential", remedy: "Choose another name.")

    private let domain: DomainContext
    private let cipher: AtRestCipher

    package init(_ domain: DomainContext, cipher: AtRestCipher) {
        self.domain = domain
        self.cipher = cipher
    }

    // MARK: For administrators

    /// Oldest first.
    package func items(of provider: ProviderID?, _ page: PageRequest) async throws -> Page<Credential> {
        let items = try await domain.read { c in
            try CredentialsTable.list(
                c, matching: provider.map { [("provider_id", .text($0.rawValue))] } ?? [], after: page.after.map { ($0.time, $0.id) },
                limit: page.fetchLimit
            ).map { Credential($0) }
        }
        return Page(fetched: items, page) { $0.cursor(Self.list) }
    }

    /// - Throws: `DomainError.notFound`.
    package func get(_ id: CredentialID) async throws -> Credential {
        try await domain.read { c in Credential(try Self.present(c, id)) }
    }

    package func create(_ content: CredentialContent, secret: Secret, by actor: Actor) async throws -> Credential {
        let id = CredentialID.random()
        let now = domain.clock.nowMilliseconds()
        let cipher = cipher
        return try await domain.write(raising: .credentials, taken: Self.taken) { c in
            let number = try ChangeCounter.credentials.next(c)
            _ = try ChangeCounter.draft.next(c)
            let scheme = try ProvidersTable.find(c, content.providerID.rawValue)?.authScheme
            var validation = Validation()
            validation.name("name", content.name)
            if scheme == nil {
                validation.add("provider_id", "names no provider", remedy: "Create the provider first, or name another.")
            }
            Self.check(secret, scheme: scheme, &validation)
            try validation.throwIfAny()
            let row = CredentialRow(
                id: id.rawValue, providerID: content.providerID.rawValue, name: content.name,
                ciphertext: try Self.encrypt(secret, id, content.providerID, cipher), secretHint: Self.hint(secret),
                meta: RowMeta(revision: number, createdAt: now, updatedAt: now))
            try CredentialsTable.insert(c, row)
            let credential = Credential(row)
            try AuditLog.record(c, actor, "credential.create", id: row.id, before: nil, after: credential.json, at: now)
            return credential
        }
    }

    /// Renames it.
    package func replace(
        _ id: CredentialID, at revision: Int64, with content: CredentialContent, by actor: Actor
    ) async throws -> Credential {
        try await change(id, at: revision, "credential.update", by: actor) { _, row in
            var validation = Validation()
            validation.name("name", content.name)
            if row.providerID != content.providerID.rawValue {
                validation.add(
                    "provider_id", "cannot be changed", remedy: "Leave it as it is; make a new credential for the other provider.")
            }
            try validation.throwIfAny()
            row.name = content.name
        }
    }

    /// A new secret in the place of the old one, which is gone at once.
    package func rotate(_ id: CredentialID, at revision: Int64?, secret: Secret, by actor: Actor) async throws -> Credential {
        let cipher = cipher
        return try await change(id, at: revision, "credential.rotate", by: actor) { c, row in
            var validation = Validation()
            Self.check(secret, scheme: try ProvidersTable.find(c, row.providerID)?.authScheme, &validation)
            try validation.throwIfAny()
            row.ciphertext = try Self.encrypt(secret, id, ID(row.providerID), cipher)
            row.secretHint = Self.hint(secret)
        }
    }

    /// The ciphertext goes, too.
    /// - Throws: `DomainError.conflict` naming the endpoints that use it, in the draft and in what data planes serve just now: an edit
    ///   of the draft must not be able to stop live traffic.
    package func delete(_ id: CredentialID, at revision: Int64, by actor: Actor) async throws {
        let now = domain.clock.nowMilliseconds()
        _ = try await change(id, at: revision, "credential.delete", by: actor) { c, row in
            let users = try EndpointsTable.all(c).filter { $0.credentialIDs.contains(id.rawValue) }
            guard users.isEmpty else {
                throw Referrer.refusal(of: "credential", users.map { Referrer(kind: "endpoint", id: $0.id, name: $0.name) })
            }
            for version in try Self.versionsInForce(c) {
                guard let payload = try ConfigVersionsTable.payload(c, version) else { continue }
                let served = try Weir_V1_ConfigPayload(serializedBytes: payload)
                if let endpoint = served.endpoints.first(where: { $0.credentialIds.contains(id.rawValue) }) {
                    throw DomainError.conflict(
                        "id", "is used by endpoint \(endpoint.id) (\(endpoint.name)) of version \(version), which is in force",
                        remedy: "Roll out a version without it first. If the secret has leaked, rotate it: that is in force at once.")
                }
            }
            row.deletedAt = now
            row.ciphertext = []
            row.secretHint = ""
        }
    }

    private func change(
        _ id: CredentialID, at revision: Int64?, _ action: String, by actor: Actor,
        _ edit: @escaping @Sendable (any SQLConnection, inout CredentialRow) throws -> Void
    ) async throws -> Credential {
        let now = domain.clock.nowMilliseconds()
        return try await domain.write(raising: .credentials, taken: Self.taken) { c in
            let number = try ChangeCounter.credentials.next(c)
            _ = try ChangeCounter.draft.next(c)
            let old = try Self.present(c, id)
            if let revision { try checkRevision(revision, current: old.meta.revision) }
            var row = old
            try edit(c, &row)
            row.meta = RowMeta(revision: number, createdAt: old.meta.createdAt, updatedAt: now)
            guard try CredentialsTable.update(c, row, expecting: old.meta.revision) else {
                throw DomainError.preconditionFailed(current: old.meta.revision)
            }
            let credential = Credential(row)
            try AuditLog.record(
                c, actor, action, id: row.id, before: Credential(old).json, after: row.deletedAt == nil ? credential.json : nil, at: now)
            return credential
        }
    }

    // MARK: For the fleet

    /// Every credential with its secret.
    /// - Throws: `TrustError.opening` when the master key is not the one they were encrypted with.
    package func decryptAll() async throws -> [DecryptedCredential] {
        let rows = try await domain.read { c in try CredentialsTable.all(c) }
        return try rows.map { try decrypted($0) }
    }

    package func decrypt(_ id: CredentialID) async throws -> DecryptedCredential {
        try decrypted(try await domain.read { c in try Self.present(c, id) })
    }

    /// What changed after `revision`.
    package func changes(since revision: Int64) async throws -> CredentialChanges {
        let rows = try await domain.read { c in try CredentialsTable.changedSince(c, revision) }
        return CredentialChanges(
            revision: rows.map(\.meta.revision).max() ?? revision,
            present: try rows.filter { $0.deletedAt == nil }.map { try decrypted($0) },
            removed: rows.filter { $0.deletedAt != nil }.map { ID($0.id) })
    }

    private func decrypted(_ row: CredentialRow) throws -> DecryptedCredential {
        let bytes = try cipher.decrypt(row.ciphertext, aad: Self.binding(row.id, row.providerID))
        return DecryptedCredential(
            id: ID(row.id), providerID: ID(row.providerID), revision: row.meta.revision,
            secret: Secret(String(decoding: bytes, as: UTF8.self)))
    }

    // MARK: -

    private static func present(_ c: any SQLConnection, _ id: CredentialID) throws -> CredentialRow {
        guard let row = try CredentialsTable.find(c, id.rawValue) else { throw DomainError.notFound(kind: "credential", id: id.rawValue) }
        return row
    }

    /// The baseline and the candidate.
    private static func versionsInForce(_ c: any SQLConnection) throws -> [Int64] {
        let state = try RolloutStateTable.get(c)
        let candidate = try state.candidateRolloutID.flatMap { try RolloutsTable.find(c, id: $0)?.version }
        return [state.baselineVersion, candidate].compactMap { $0 }.filter { $0 > 0 }
    }

    /// A ciphertext opens only in its own row: moved to another credential or provider it is useless.
    private static func binding(_ id: String, _ providerID: String) -> [UInt8] { Array("credential\0\(id)\0\(providerID)".utf8) }

    private static func encrypt(
        _ secret: Secret, _ id: CredentialID, _ provider: ProviderID, _ cipher: AtRestCipher
    ) throws -> [UInt8] {
        try cipher.encrypt(Array(secret.reveal().utf8), aad: binding(id.rawValue, provider.rawValue))
    }

    /// Four characters help to tell keys apart; of a secret below 20 they would give too much away.
    private static func hint(_ secret: Secret) -> String {
        let text = secret.reveal()
        return text.unicodeScalars.count >= 20 ? String(String.UnicodeScalarView(text.unicodeScalars.suffix(4))) : ""
    }

    /// It ends up in a header, where a line break would forge others.
    private static func check(_ secret: Secret, scheme: String?, _ validation: inout Validation) {
        let text = secret.reveal()
        if text.isEmpty {
            validation.add("secret", "is empty", remedy: "Give the provider's key.")
        } else if text.utf8.count > 8192 {
            validation.add("secret", "is longer than 8192 bytes", remedy: "Give the key only.")
        } else if text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) {
            validation.add("secret", "holds a line break or another control character", remedy: "Paste the key without the line's end.")
        } else if text.hasPrefix(" ") || text.hasSuffix(" ") {
            validation.add("secret", "starts or ends with a space", remedy: "Remove it.")
        }
        if scheme == AuthScheme.basic.rawValue, !text.contains(":") {
            validation.add("secret", "has no colon, which the provider's scheme basic needs", remedy: "Write it as user:password.")
        } else if scheme == AuthScheme.bearer.rawValue || scheme == AuthScheme.header.rawValue, !text.utf8.allSatisfy({ $0 < 0x80 }) {
            validation.add("secret", "holds characters outside ASCII, which a header cannot carry", remedy: "Check what was pasted.")
        }
    }
}
