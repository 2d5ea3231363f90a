import Nouns
import Primitives
import Storage
package import Trust

/// Re-encrypts everything in the database with another master key, row by row. It can be stopped and started again: what is done says so.
/// Replicas that know both keys serve on meanwhile.
package struct MasterKeyRotation: Sendable {
    package struct Result: Sendable, Hashable {
        package var reencrypted = 0
        /// Rows that neither key opens, by table and key.
        package var unreadable: [String] = []

        package init(reencrypted: Int = 0, unreadable: [String] = []) {
            self.reencrypted = reencrypted
            self.unreadable = unreadable
        }
    }

    private static let chunk = 100

    private let domain: DomainContext
    private let cipher: AtRestCipher

    /// - Parameter cipher: The new master key first, the old one second.
    package init(_ domain: DomainContext, cipher: AtRestCipher) {
        self.domain = domain
        self.cipher = cipher
    }

    /// - Throws: `DomainError.unavailable` without a database.
    package func run(by actor: Actor) async throws -> Result {
        var result = Result()
        for place in CiphertextsTable.Place.allCases { try await run(place, &result) }
        let (now, done, keyID) = (domain.clock.nowMilliseconds(), result, cipher.keyID)
        try await domain.write(as: .all) { c in
            try AuditLog.record(
                c, actor, "master_key.rotate", id: keyID, before: nil,
                after: ["reencrypted": .int(Int64(done.reencrypted)), "unreadable": .strings(done.unreadable)], at: now)
        }
        return result
    }

    private func run(_ place: CiphertextsTable.Place, _ result: inout Result) async throws {
        let cipher = cipher
        let alone = cipher.withoutSecond
        var last = ""
        while true {
            let after = last
            let rows = try await domain.read(as: .all) { c in
                try CiphertextsTable.list(c, place, names: Self.secretNames, after: after, limit: Self.chunk)
            }
            guard let end = rows.last else { return }
            last = end.key
            for row in rows {
                let aad = Self.binding(place, row)
                // Not only what the row says: a release that knows of no rotation may have written it since.
                if row.masterKeyID == cipher.keyID, (try? alone.decrypt(row.ciphertext, aad: aad)) != nil { continue }
                guard let plaintext = try? cipher.decrypt(row.ciphertext, aad: aad) else {
                    result.unreadable.append("\(place.rawValue) \(row.key)")
                    continue
                }
                let ciphertext = try cipher.encrypt(plaintext, aad: aad)
                let isDone = try await domain.write(as: .all) { c in
                    try CiphertextsTable.replace(c, place, row, with: ciphertext, keyID: cipher.keyID)
                }
                if isDone { result.reencrypted += 1 }
            }
        }
    }

    private static let secretNames = [FleetAuthorityStore.privateKeyName, MasterKeyCheck.name]

    /// What each ciphertext is bound to; see where they are made.
    private static func binding(_ place: CiphertextsTable.Place, _ row: CiphertextsTable.Row) -> [UInt8] {
        switch place {
        case .credentials: CredentialContent.binding(row.key, row.ownerID)
        case .signingSecrets: SigningSecretContent.binding(row.key, row.ownerID)
        case .upstreamKeys: UpstreamKeyService.binding(row.key, row.ownerID)
        case .webhooks: WebhookContent.binding(row.key)
        case .signingKeys: SigningKeyService.binding(row.key)
        case .answers:
            IdempotencyService.binding(
                actorID: String(row.key.prefix { $0 != " " }), key: String(row.key.drop { $0 != " " }.dropFirst()))
        case .fleetState: row.key == MasterKeyCheck.name ? MasterKeyCheck.binding : FleetAuthorityStore.binding
        }
    }
}
