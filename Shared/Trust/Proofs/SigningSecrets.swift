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

    /// Made ready for many signatures.
    package struct Keys: Sendable {
        fileprivate let current: RequestMAC.Key?
        fileprivate let previous: (key: RequestMAC.Key, until: Int64)?

        /// Whether `tag` was made with a secret that works now.
        package func isValid(_ tag: [UInt8], over message: [UInt8], nowMilliseconds: Int64) -> Bool {
            guard let current else { return false }
            if current.isValid(tag, over: message) { return true }
            guard let previous, previous.until > nowMilliseconds else { return false }
            return previous.key.isValid(tag, over: message)
        }
    }

    package var keys: Keys {
        Keys(
            current: current.isEmpty ? nil : RequestMAC.Key(current),
            previous: previous.flatMap { $0.secret.isEmpty ? nil : (RequestMAC.Key($0.secret), $0.until) })
    }

    /// Those that work at a time, the present one first.
    package func working(atMilliseconds now: Int64) -> [[UInt8]] {
        guard let previous, previous.until > now else { return current.isEmpty ? [] : [current] }
        return [current, previous.secret]
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
