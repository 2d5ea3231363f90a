import Contract
import Foundation
package import Primitives
import Storage
import SwiftProtobuf
import Synchronization
import Trust

/// A signing key as its reader sees it: everything but the private part.
package struct SigningKeyInfo: Sendable, Hashable {
    package let id: String
    package let publicKey: [UInt8]
    /// `active`, `retiring` or `retired`.
    package let status: String
    package let createdAt: Int64
    /// Of a retiring key, Unix milliseconds.
    package let trustedUntil: Int64?
    package let retiredAt: Int64?

    init(_ row: SigningKeyRow) {
        id = row.id
        publicKey = row.publicKey
        status = row.state.rawValue
        createdAt = row.createdAt
        trustedUntil = row.trustedUntil
        retiredAt = row.retiredAt
    }

    package var json: JSONValue {
        [
            "id": .string(id), "public_key": .string(Base64.encode(publicKey)), "status": .string(status),
            "trusted_until": .time(trustedUntil), "retired_at": .time(retiredAt), "created_at": .time(createdAt),
            "updated_at": .time(retiredAt ?? createdAt),
        ]
    }
}

/// The keys that sign documents, and the keyrings that tell data planes which to trust.
///
/// A data plane trusts what it was given when it enrolled and what a keyring signed by a trusted key adds or drops. So a keyring is
/// signed by the key that was active before the change, and all of them are kept: a data plane that slept through three rotations
/// is handed the three keyrings one after the other.
package struct SigningKeyService: Sendable {
    /// How long data planes go on trusting a replaced key when nothing else is said: long enough for a data plane that is switched off
    /// over a weekend and holds documents signed with it.
    package static let defaultGraceSeconds: Int64 = 7 * 86_400
    package static let maximumGraceSeconds: Int64 = 366 * 86_400
    /// Keyrings are activated in sequence long after they were made.
    static let keyringLifetimeMilliseconds: Int64 = 10 * 366 * 86_400_000

    private let fleet: FleetContext
    private let cache = KeyCache()

    package init(_ fleet: FleetContext) {
        self.fleet = fleet
    }

    /// Makes the first key and the first keyring, unless there are some. Every replica calls it at its start.
    package func establish() async throws {
        let now = fleet.domain.clock.nowMilliseconds()
        do {
            try await fleet.write(as: .all) { c in
                guard try SigningKeysTable.active(c) == nil else { return }
                let key = SigningKey()
                try insert(c, row(for: key, now: now))
                try issueKeyring(c, signedWith: key, now: now)
            }
        } catch DatabaseError.uniqueViolation {
            // Another replica started at the same moment and made them.
        }
        fleet.domain.signal.raise(.keyring)
    }

    /// Newest first.
    package func list() async throws -> [SigningKeyInfo] {
        try await fleet.read(as: .all) { try SigningKeysTable.all($0).map(SigningKeyInfo.init) }
    }

    /// Replaces the active key. The new one is announced by a keyring that the old one signs; from then on everything is signed
    /// with the new one, and the old one stays trusted for `graceSeconds` (0: only for as long as it takes to read the keyring).
    package func rotate(_ actor: Actor, graceSeconds: Int64) async throws -> SigningKeyInfo {
        guard (0...Self.maximumGraceSeconds).contains(graceSeconds) else {
            throw DomainError.invalid(
                "grace_seconds", "is out of range", remedy: "Give a number of seconds from 0 to \(Self.maximumGraceSeconds).")
        }
        let now = fleet.domain.clock.nowMilliseconds()
        let key = SigningKey()
        return try await fleet.write(as: actor.scope, raising: .keyring) { c in
            guard let old = try SigningKeysTable.active(c) else { throw DomainError.unavailable(detail: "There is no signing key yet.") }
            let oldKey = try decrypt(old)
            try SigningKeysTable.startRetiring(c, id: old.id, trustedUntil: now + graceSeconds * 1000)
            let row = try row(for: key, now: now)
            try insert(c, row)
            try issueKeyring(c, signedWith: oldKey, now: now, dropping: graceSeconds == 0 ? old.id : nil)
            try AuditLog.record(
                c, actor, "signing_key.rotate", id: row.id, before: ["id": .string(old.id)],
                after: ["id": .string(row.id), "grace_seconds": .int(graceSeconds)], at: now)
            return SigningKeyInfo(row)
        }
    }

    /// Retires the keys whose grace is over and tells the data planes. For the reconciler: repeating it changes nothing.
    package func retireExpired() async throws {
        let now = fleet.domain.clock.nowMilliseconds()
        guard try await fleet.read(as: .all, { try SigningKeysTable.hasExpired($0, now: now) }) else { return }
        try await fleet.write(as: .all, raising: .keyring) { c in
            guard try SigningKeysTable.retireExpired(c, now: now) > 0, let active = try SigningKeysTable.active(c) else { return }
            try issueKeyring(c, signedWith: decrypt(active), now: now)
        }
    }

    /// Starts a new epoch, which orders before every version: after a restore from a backup the counters have gone back, and data
    /// planes would refuse everything as older than what they hold. Answers the new epoch.
    package func raiseEpoch(_ actor: Actor) async throws -> Int64 {
        let now = fleet.domain.clock.nowMilliseconds()
        return try await fleet.write(as: actor.scope, raising: .keyring, .rollout, .config, .directory) { c in
            let old = try FleetCounter.epoch(c)
            try CountersTable.raise(c, FleetCounter.epoch, to: old + 1)
            guard let active = try SigningKeysTable.active(c) else { throw DomainError.unavailable(detail: "There is no signing key yet.") }
            try issueKeyring(c, signedWith: decrypt(active), now: now)
            try AuditLog.record(
                c, actor, "epoch.raise", id: String(old + 1), before: ["epoch": .int(old)], after: ["epoch": .int(old + 1)], at: now)
            return old + 1
        }
    }

    /// The key that signs now.
    func active(_ c: any SQLConnection) throws -> SigningKey {
        guard let row = try SigningKeysTable.active(c) else { throw DomainError.unavailable(detail: "There is no signing key yet.") }
        return try decrypt(row)
    }

    /// What a data plane that enrols now has to trust, and the keyring that says so.
    func trusted(_ c: any SQLConnection) throws -> (keys: [Weir_V1_TrustedKey], keyring: KeyringRow) {
        guard let keyring = try KeyringsTable.latest(c) else { throw DomainError.unavailable(detail: "There is no signing key yet.") }
        let envelope = try Weir_V1_Envelope(serializedBytes: keyring.envelope)
        return (try Weir_V1_KeyringPayload(serializedBytes: envelope.payload).keys, keyring)
    }

    // MARK: -

    private func row(for key: SigningKey, now: Int64) throws -> SigningKeyRow {
        let encrypted = try fleet.cipher.encrypt(key.raw, aad: Self.binding(key.keyID))
        return SigningKeyRow(id: key.keyID, publicKey: key.publicKey, encryptedPrivateKey: encrypted, state: .active, createdAt: now)
    }

    private func insert(_ c: any SQLConnection, _ row: SigningKeyRow) throws {
        try SigningKeysTable.insert(c, row)
        try CiphertextsTable.mark(c, .signingKeys, key: row.id, keyID: fleet.cipher.keyID)
    }

    private func decrypt(_ row: SigningKeyRow) throws -> SigningKey {
        try cache.key(row.id) {
            let raw = try fleet.cipher.decrypt(row.encryptedPrivateKey, aad: Self.binding(row.id))
            guard let key = SigningKey(raw: raw), key.keyID == row.id else { throw TrustError.badKey }
            return key
        }
    }

    static func binding(_ id: String) -> [UInt8] { Array("signing_keys/\(id)".utf8) }

    /// Signs and stores the keyring of the keys as the transaction sees them. Taking the counter first makes changes of the keys
    /// happen one after the other.
    private func issueKeyring(_ c: any SQLConnection, signedWith key: SigningKey, now: Int64, dropping dropped: String? = nil) throws {
        let version = try CountersTable.next(c, FleetCounter.keyring)
        let epoch = try FleetCounter.epoch(c)
        var payload = Weir_V1_KeyringPayload()
        payload.keys = try SigningKeysTable.all(c).filter { $0.state != .retired && $0.id != dropped }.sorted { $0.id < $1.id }.map { row in
            var trusted = Weir_V1_TrustedKey()
            trusted.keyID = row.id
            trusted.publicKey = Data(row.publicKey)
            return trusted
        }
        var header = Weir_V1_Header()
        header.deployment = fleet.deployment
        header.audience = SignedDocument.everyone
        header.epoch = UInt64(epoch)
        header.version = UInt64(version)
        header.notBeforeMs = now
        header.expiresMs = now + Self.keyringLifetimeMilliseconds
        let bytes: [UInt8] = try payload.serializedBytes()
        let envelope = try SignedDocument.sign(kind: .keyring, header: header, payload: bytes, with: key)
        try KeyringsTable.insert(
            c,
            KeyringRow(
                epoch: epoch, version: version, digest: SHA256Digest.of(bytes), envelope: try envelope.serializedBytes(), createdAt: now))
    }
}

/// Decrypted keys by id, so that not every signature costs a decryption.
private final class KeyCache: Sendable {
    private let keys = Mutex<[String: SigningKey]>([:])

    func key(_ id: String, or make: () throws -> SigningKey) throws -> SigningKey {
        if let key = keys.withLock({ $0[id] }) { return key }
        let key = try make()
        keys.withLock { keys in
            if keys.count >= 16 { keys.removeAll() }
            keys[id] = key
        }
        return key
    }
}
