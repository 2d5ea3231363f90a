import Crypto
import Foundation
import Primitives

/// DSSE's pre-authentication encoding (github.com/secure-systems-lab/dsse, protocol.md): what is signed in place of the bytes alone,
/// so that a signature over one type of document is none over another.
package enum PreAuthenticationEncoding {
    package static func encode(type: String, body: some Collection<UInt8>) -> [UInt8] {
        var out = Array("DSSEv1 \(type.utf8.count) \(type) \(body.count) ".utf8)
        out.append(contentsOf: body)
        return out
    }
}

/// An Ed25519 key (RFC 8032) that signs documents, sessions or identities.
package struct SigningKey: Sendable, CustomStringConvertible {
    private let key: Curve25519.Signing.PrivateKey

    package init() { key = Curve25519.Signing.PrivateKey() }

    /// Nil unless `raw` is 32 bytes.
    package init?(raw: [UInt8]) {
        guard let key = try? Curve25519.Signing.PrivateKey(rawRepresentation: raw) else { return nil }
        self.key = key
    }

    /// The private seed, 32 bytes: for storing, encrypted.
    package var raw: [UInt8] { Array(key.rawRepresentation) }
    package var publicKey: [UInt8] { Array(key.publicKey.rawRepresentation) }
    package var keyID: String { Self.keyID(of: publicKey) }

    package static func keyID(of publicKey: [UInt8]) -> String { "sk_" + Hex.encode(SHA256Digest.of(publicKey).prefix(8)) }

    /// - Throws: `TrustError.signing` should the library refuse.
    package func sign(type: String, body: some Collection<UInt8>) throws(TrustError) -> [UInt8] {
        do {
            return Array(try key.signature(for: PreAuthenticationEncoding.encode(type: type, body: body)))
        } catch {
            throw .signing
        }
    }

    package var description: String { "SigningKey(\(keyID))" }
}

/// A data plane's identity is an Ed25519 key as well.
package typealias IdentityKey = SigningKey

package enum TrustError: Error, Hashable {
    case signing
    case sealing
    case opening
    case badKey
}

/// The public keys whose signatures are believed.
package struct TrustStore: Sendable, Hashable {
    package private(set) var keys: [String: [UInt8]]

    /// Keys that are not 32 bytes, or whose id is not theirs, are left out.
    package init(_ keys: [String: [UInt8]] = [:]) {
        self.keys = keys.filter { $0.value.count == 32 && SigningKey.keyID(of: $0.value) == $0.key }
    }

    package func contains(_ keyID: String) -> Bool { keys[keyID] != nil }

    package func verify(keyID: String, type: String, body: some Collection<UInt8>, signature: [UInt8]) -> Bool {
        guard let publicKey = keys[keyID] else { return false }
        return Self.verify(publicKey: publicKey, type: type, body: body, signature: signature)
    }

    package static func verify(publicKey: [UInt8], type: String, body: some Collection<UInt8>, signature: [UInt8]) -> Bool {
        guard signature.count == 64, let key = try? Curve25519.Signing.PublicKey(rawRepresentation: publicKey) else { return false }
        return key.isValidSignature(signature, for: PreAuthenticationEncoding.encode(type: type, body: body))
    }
}
