package import Primitives

/// A key's signing secrets as they travel to a data plane: the present one and, for a while after a rotation, the one before it:
/// `wsig_…` or `wsig_…,wsig_…:<Unix milliseconds>`. A secret's text is the HMAC key, byte for byte.
package struct SigningSecrets: Sendable, CustomStringConvertible {
    package static let prefix = "wsig_"

    private let current: [UInt8]
    private let previous: (secret: [UInt8], until: Int64)?

    package init(current: Secret, previous: Secret? = nil, until: Int64 = 0) {
        self.current = Array(current.reveal().utf8)
        self.previous = previous.map { (Array($0.reveal().utf8), until) }
    }

    package init(_ bytes: [UInt8]) {
        let parts = bytes.split(separator: UInt8(ascii: ","), maxSplits: 1)
        current = parts.first.map { Array($0) } ?? []
        let before = parts.count > 1 ? parts[1].split(separator: UInt8(ascii: ":")) : []
        previous =
            before.count == 2
            ? Int64(String(decoding: before[1], as: UTF8.self)).map { (Array(before[0]), $0) } : nil
    }

    /// For sealing, and for nothing else.
    package var bytes: [UInt8] {
        guard let previous else { return current }
        return current + Array(",".utf8) + previous.secret + Array(":\(previous.until)".utf8)
    }

    /// Those that work now.
    package func all(nowMilliseconds: Int64) -> [[UInt8]] {
        guard !current.isEmpty else { return [] }
        if let previous, previous.until > nowMilliseconds { return [current, previous.secret] }
        return [current]
    }

    /// After a rotation: the present one works until then.
    package func replaced(by new: Secret, until: Int64) -> SigningSecrets {
        SigningSecrets(current: new, previous: Secret(String(decoding: current, as: UTF8.self)), until: until)
    }

    /// A new one: 256 random bits.
    package static func generate() -> Secret { Secret(prefix + Base32.encode(SecureRandom.bytes(32))) }

    package var description: String { "SigningSecrets" }
}

extension VerificationKey.Curve {
    /// The algorithm's name in RFC 9421 §6.2.2; nil for secp256k1, which has none there.
    package var messageAlgorithm: String? {
        switch self {
        case .ed25519: "ed25519"
        case .p256: "ecdsa-p256-sha256"
        case .secp256k1: nil
        }
    }
}
