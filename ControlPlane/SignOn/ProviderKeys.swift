import JWTKit
package import Primitives

/// The public keys of an OpenID provider (a JWK set, RFC 7517), those that may have signed an ID token.
package struct ProviderKeys: Sendable {
    /// Signature algorithms that are believed: with a public key, all of them. `none` and the HMAC family, which would take a public key for
    /// a shared secret, are not among them.
    package static let algorithms = [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    ]
    private static let maximumKeys = 64

    struct Key: Sendable {
        let kid: String?
        let type: String
        let curve: String?
        /// The only algorithm that it is for, if it says so.
        let algorithm: String?
        fileprivate let members: JSONValue

        /// Whether a signature of this algorithm may be checked with it: its type is the algorithm's (RFC 7518 §3.1, RFC 8037).
        func fits(_ algorithm: String) -> Bool {
            if let own = self.algorithm, own != algorithm { return false }
            return switch algorithm {
            case "ES256": type == "EC" && curve == "P-256"
            case "ES384": type == "EC" && curve == "P-384"
            case "ES512": type == "EC" && curve == "P-521"
            case "EdDSA": type == "OKP" && curve == "Ed25519"
            default: type == "RSA"
            }
        }

        /// Nil: it lacks what a public key of its type has.
        func key(_ algorithm: String) -> JWK? {
            guard let algorithm = JWK.Algorithm(rawValue: algorithm) else { return nil }
            let (x, y) = (members["x"]?.stringValue, members["y"]?.stringValue)
            let id = JWKIdentifier(string: "key")
            switch type {
            case "RSA":
                guard let modulus = members["n"]?.stringValue, let exponent = members["e"]?.stringValue else { return nil }
                return .rsa(algorithm, identifier: id, modulus: modulus, exponent: exponent)
            case "EC":
                guard let x, let y, let curve = curve.flatMap(ECDSACurve.init(rawValue:)) else { return nil }
                return .ecdsa(algorithm, identifier: id, x: x, y: y, curve: curve)
            default:
                guard let x, let curve = curve.flatMap(EdDSACurve.init(rawValue:)) else { return nil }
                return .octetKeyPair(algorithm, identifier: id, x: x, y: nil, curve: curve)
            }
        }
    }

    let keys: [Key]

    /// Reads a JWK set; keys of unknown types and those that are not for signatures are left out.
    /// - Returns: nil for what is no JWK set.
    package init?(_ json: JSONValue) {
        guard let list = json["keys"]?.arrayValue else { return nil }
        keys = list.prefix(Self.maximumKeys).compactMap { key in
            guard let type = key["kty"]?.stringValue, ["RSA", "EC", "OKP"].contains(type) else { return nil }
            if let use = key["use"]?.stringValue, use != "sig" { return nil }
            if let operations = key["key_ops"]?.arrayValue, !operations.contains("verify") { return nil }
            return Key(
                kid: key["kid"]?.stringValue, type: type, curve: key["crv"]?.stringValue, algorithm: key["alg"]?.stringValue, members: key)
        }
    }

    /// Those that a token's header may mean. A header that names a key means that one; one that names none, any that fits.
    func candidates(kid: String?, algorithm: String) -> [Key] {
        keys.filter { $0.fits(algorithm) && (kid == nil || $0.kid == kid) }
    }
}
