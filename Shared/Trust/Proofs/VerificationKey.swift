import CSecp256k1
import CSodium
import Crypto
import Foundation
import Primitives

/// Why a key, a DID, a signature's form or a grant is none of ours. The text is for the caller: it says what to do and shows nothing secret.
package struct ProofProblem: Error, Hashable, Sendable {
    package let message: String
    package init(_ message: String) { self.message = message }
}

/// A public key that signs requests. One key has one value, however it was spelled.
package struct VerificationKey: Sendable, Hashable {
    package enum Curve: UInt8, Sendable {
        case ed25519 = 1
        case p256 = 2
        case secp256k1 = 3

        /// The signature's algorithm in a JWS (RFC 7518, RFC 8037, RFC 8812).
        package var joseAlgorithm: String {
            switch self {
            case .ed25519: "EdDSA"
            case .p256: "ES256"
            case .secp256k1: "ES256K"
            }
        }
    }

    package let curve: Curve
    /// Ed25519: the 32 bytes of RFC 8032 §5.1.2. The others: the compressed point (SEC 1 §2.3.3), 33 bytes.
    package let bytes: [UInt8]

    /// - Parameter bytes: 32 bytes for Ed25519; for the others a point, compressed or not.
    /// - Throws: for what is not on the curve, spelled in a way that is not the canonical one, or of small order.
    package init(_ curve: Curve, _ bytes: [UInt8]) throws(ProofProblem) {
        self.curve = curve
        switch curve {
        case .ed25519:
            guard bytes.count == 32 else { throw ProofProblem("An Ed25519 key has 32 bytes; this one has \(bytes.count).") }
            guard Ed25519Point.isCanonical(bytes) else {
                throw ProofProblem("The Ed25519 key is not in its canonical form (RFC 8032 §5.1.3).")
            }
            guard !Ed25519Point.isSmallOrder(bytes) else {
                throw ProofProblem("The Ed25519 key is a point of small order, for which anybody can make signatures.")
            }
            self.bytes = bytes
        case .p256:
            let key =
                bytes.count == 33
                ? try? P256.Signing.PublicKey(compressedRepresentation: bytes) : try? P256.Signing.PublicKey(x963Representation: bytes)
            guard let key, bytes.count == 33 || (bytes.count == 65 && bytes.first == 4) else {
                throw ProofProblem("That is no point of P-256.")
            }
            self.bytes = Array(key.compressedRepresentation)
        case .secp256k1:
            var compressed = [UInt8](repeating: 0, count: 33)
            guard !bytes.isEmpty, weir_secp256k1_compress(bytes, bytes.count, &compressed) == 1 else {
                throw ProofProblem("That is no point of secp256k1.")
            }
            self.bytes = compressed
        }
    }

    /// Whether `signature` is this key's over the message: 64 bytes, r ‖ s of ECDSA over SHA-256, or as in RFC 8032.
    ///
    /// secp256k1 has the rule that s is low (BIP 62, EIP-2), and every library that makes its signatures keeps it. P-256 has no such rule. A
    /// second form of a signature gives nobody anything here: what makes a request unique is its nonce.
    package func isValid(signature: [UInt8], over message: [UInt8]) -> Bool {
        guard signature.count == 64 else { return false }
        switch curve {
        case .ed25519:
            // libsodium's takes two thirds of the time of BoringSSL's. It checks that S is below the group's order and that R is what was
            // computed, byte for byte (RFC 8032 §5.1.7), and refuses an R of small order, which no signer makes.
            return crypto_sign_ed25519_verify_detached(signature, message, UInt64(message.count), bytes) == 0
        case .p256:
            guard let key = try? P256.Signing.PublicKey(compressedRepresentation: bytes),
                let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signature)
            else { return false }
            return key.isValidSignature(signature, for: message)
        case .secp256k1:
            guard Secp256k1.hasLowS(signature) else { return false }
            return weir_secp256k1_verify(bytes, SHA256Digest.of(message), signature) == 1
        }
    }

    /// SHA-256 over the curve and the key: what a key is known by, however a DID spells it.
    package var fingerprint: [UInt8] { SHA256Digest.of([curve.rawValue] + bytes) }
}

enum Ed25519Point {
    /// y < 2²⁵⁵ − 19, and the point (0, ±1) not with the sign of a number that has none.
    static func isCanonical(_ bytes: [UInt8]) -> Bool {
        guard bytes.count == 32 else { return false }
        var y = bytes
        let isNegative = y[31] & 0x80 != 0
        y[31] &= 0x7f
        if y[31] == 0x7f, y[1..<31].allSatisfy({ $0 == 0xff }), y[0] >= 0xed { return false }
        let isOne = y[0] == 1 && y[1...].allSatisfy { $0 == 0 }
        let isMinusOne = y[0] == 0xec && y[1..<31].allSatisfy { $0 == 0xff } && y[31] == 0x7f
        return !(isNegative && (isOne || isMinusOne))
    }

    /// The y of the eight points whose order divides the cofactor: the identity, those of order 2 and 4, and the four of order 8.
    private static let smallOrderY: [[UInt8]] = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ].compactMap { Hex.decode($0) }

    static func isSmallOrder(_ bytes: [UInt8]) -> Bool {
        guard bytes.count == 32 else { return true }
        var y = bytes
        y[31] &= 0x7f
        return smallOrderY.contains(y)
    }
}

enum Secp256k1 {
    /// Half of the group's order, big-endian.
    private static let halfOrder: [UInt8] = Hex.decode("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0") ?? []

    static func hasLowS(_ signature: [UInt8]) -> Bool {
        signature.count == 64 && !halfOrder.lexicographicallyPrecedes(signature[32...])
    }
}

/// An account of Ethereum: the last 20 bytes of Keccak-256 over a secp256k1 key.
package struct EthereumAddress: Sendable, Hashable {
    package let bytes: [UInt8]

    /// `0x` and 40 hexadecimal digits. Mixed case is a checksum (EIP-55) and has to be right.
    package init(_ text: some StringProtocol) throws(ProofProblem) {
        guard text.hasPrefix("0x"), text.utf8.count == 42, let bytes = Hex.decode(text.dropFirst(2)) else {
            throw ProofProblem("An Ethereum address is 0x and 40 hexadecimal digits.")
        }
        self.bytes = bytes
        let digits = text.dropFirst(2)
        guard String(digits) == digits.lowercased() || String(digits) == digits.uppercased() || String(digits) == checksummed else {
            throw ProofProblem(
                "The address has a typing error: its upper and lower case letters are a checksum (EIP-55) that does not match.")
        }
    }

    private init(uncompressed point: [UInt8]) { bytes = Array(Keccak256.digest(point.dropFirst()).suffix(20)) }

    /// EIP-55.
    private var checksummed: String {
        let digits = Hex.encode(bytes)
        let digest = Hex.encode(Keccak256.digest(Array(digits.utf8)))
        return String(zip(digits, digest).map { digit, hash in hash >= "8" ? Character(digit.uppercased()) : digit })
    }

    /// Who signed a message with `personal_sign` (EIP-191, version 0x45): r ‖ s ‖ v, 65 bytes, v 27 or 28 (or 0 or 1). Nil when nobody did, or
    /// with a high s (EIP-2).
    package static func signer(of message: [UInt8], signature: [UInt8]) -> EthereumAddress? {
        guard signature.count == 65, Secp256k1.hasLowS(Array(signature.prefix(64))) else { return nil }
        let parity: Int32
        switch signature[64] {
        case 0, 27: parity = 0
        case 1, 28: parity = 1
        default: return nil
        }
        let digest = Keccak256.digest(Array("\u{19}Ethereum Signed Message:\n\(message.count)".utf8) + message)
        var point = [UInt8](repeating: 0, count: 65)
        guard weir_secp256k1_recover(digest, signature, parity, &point) == 1 else { return nil }
        return EthereumAddress(uncompressed: point)
    }
}
