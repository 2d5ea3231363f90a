import Crypto
import Foundation
import Primitives

/// A data plane's X25519 key, to which provider credentials are sealed.
package struct SealingKey: Sendable, CustomStringConvertible {
    fileprivate let key: Curve25519.KeyAgreement.PrivateKey

    package init() { key = Curve25519.KeyAgreement.PrivateKey() }

    /// Nil unless `raw` is 32 bytes.
    package init?(raw: [UInt8]) {
        guard let key = try? Curve25519.KeyAgreement.PrivateKey(rawRepresentation: raw) else { return nil }
        self.key = key
    }

    package var raw: [UInt8] { Array(key.rawRepresentation) }
    package var publicKey: [UInt8] { Array(key.publicKey.rawRepresentation) }
    package var description: String { "SealingKey" }
}

/// HPKE (RFC 9180, base mode) with DHKEM(X25519), HKDF-SHA256 and ChaCha20-Poly1305; one message a key encapsulation.
package enum Sealing {
    private static let suite = HPKE.Ciphersuite.Curve25519_SHA256_ChachaPoly
    private static let info = Array("weir credential v1".utf8)

    /// - Parameter aad: binds the ciphertext to the row and the data plane it is for.
    /// - Throws: `TrustError.badKey` for a public key that is none, `.sealing` otherwise.
    package static func seal(_ plaintext: [UInt8], to publicKey: [UInt8], aad: [UInt8]) throws(TrustError) -> (
        encapsulatedKey: [UInt8], ciphertext: [UInt8]
    ) {
        guard let recipient = try? Curve25519.KeyAgreement.PublicKey(rawRepresentation: publicKey) else { throw .badKey }
        do {
            var sender = try HPKE.Sender(recipientKey: recipient, ciphersuite: suite, info: .init(info))
            let ciphertext = try sender.seal(plaintext, authenticating: aad)
            return (Array(sender.encapsulatedKey), Array(ciphertext))
        } catch {
            throw .sealing
        }
    }

    /// - Throws: `TrustError.opening` when anything does not match.
    package static func open(_ ciphertext: [UInt8], encapsulatedKey: [UInt8], with key: SealingKey, aad: [UInt8]) throws(TrustError)
        -> [UInt8]
    {
        do {
            var recipient = try HPKE.Recipient(
                privateKey: key.key, ciphersuite: suite, info: .init(info), encapsulatedKey: .init(encapsulatedKey))
            return Array(try recipient.open(ciphertext, authenticating: aad))
        } catch {
            throw .opening
        }
    }
}

/// AES-256-GCM for what rests in the control plane's database. Output: nonce (12) ‖ ciphertext ‖ tag (16).
///
/// Under one master key, or under two while it is replaced: everything new is encrypted with the first, what either encrypted is read.
package struct AtRestCipher: Sendable, CustomStringConvertible {
    private let key: SymmetricKey
    private let second: SymmetricKey?
    /// Names the master key that encrypts, and says nothing about it: stored beside each ciphertext.
    package let keyID: String

    /// Nil unless each key is 32 bytes.
    package init?(masterKey: [UInt8], second: [UInt8]? = nil) {
        guard masterKey.count == 32, (second ?? masterKey).count == 32 else { return nil }
        key = SymmetricKey(data: masterKey)
        self.second = second.map { SymmetricKey(data: $0) }
        keyID = "mk_" + Hex.encode(Self.derive(key, "master key id", count: 8))
    }

    private init(key: SymmetricKey, keyID: String) {
        self.key = key
        self.keyID = keyID
        second = nil
    }

    /// The first master key by itself.
    package var withoutSecond: AtRestCipher { AtRestCipher(key: key, keyID: keyID) }

    /// - Parameter aad: binds the ciphertext to its row, so that it cannot be moved to another.
    package func encrypt(_ plaintext: [UInt8], aad: [UInt8]) throws(TrustError) -> [UInt8] {
        guard let box = try? AES.GCM.seal(plaintext, using: key, authenticating: aad), let combined = box.combined else { throw .sealing }
        return Array(combined)
    }

    package func decrypt(_ bytes: [UInt8], aad: [UInt8]) throws(TrustError) -> [UInt8] {
        guard let box = try? AES.GCM.SealedBox(combined: bytes) else { throw .opening }
        for key in [key, second].compactMap({ $0 }) {
            if let plaintext = try? AES.GCM.open(box, using: key, authenticating: aad) { return Array(plaintext) }
        }
        throw .opening
    }

    /// A key for another purpose, from this one (HKDF-SHA256, RFC 5869).
    package func derivedKey(purpose: String) -> [UInt8] { Self.derive(key, purpose, count: 32) }

    /// The same from each master key, that of `derivedKey` first: for what another replica may have made under the other one.
    package func derivedKeys(purpose: String) -> [[UInt8]] {
        [key, second].compactMap { $0.map { Self.derive($0, purpose, count: 32) } }
    }

    private static func derive(_ key: SymmetricKey, _ purpose: String, count: Int) -> [UInt8] {
        let derived = HKDF<SHA256>.deriveKey(inputKeyMaterial: key, info: Array(purpose.utf8), outputByteCount: count)
        return derived.withUnsafeBytes { Array($0) }
    }

    package var description: String { "AtRestCipher" }
}
