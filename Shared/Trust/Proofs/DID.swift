import Foundation
package import Primitives

/// A decentralised identifier (W3C DID Core 1.0) that stands for a key, an account or a document.
package struct DID: Sendable, Hashable {
    /// As it was written.
    package let text: String
    package let proof: Proof

    package enum Proof: Sendable, Hashable {
        /// did:key and did:jwk: the key itself.
        case key(VerificationKey)
        /// did:pkh with eip155: whoever signs for the account (EIP-191).
        case account(EthereumAddress)
        /// did:web: the address of its document, which holds the keys.
        case document(host: String, path: String)

        package var isDocument: Bool {
            if case .document = self { return true }
            return false
        }
    }

    /// The longest that is read.
    package static let maximumLength = 512

    /// - Throws: for a method that is not known, a DID that is not its method's canonical form, and a key that does not authenticate.
    package init(_ text: String) throws(ProofProblem) {
        guard text.utf8.count <= Self.maximumLength else { throw ProofProblem("The DID is longer than \(Self.maximumLength) characters.") }
        guard text.hasPrefix("did:") else { throw ProofProblem("A DID begins with did: and the name of its method.") }
        guard !text.utf8.contains(where: { $0 == UInt8(ascii: "#") || $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "/") }) else {
            throw ProofProblem("Send the DID alone, without a fragment, path or query.")
        }
        self.text = text
        let rest = text.dropFirst(4)
        guard let colon = rest.firstIndex(of: ":") else { throw ProofProblem("A DID has three parts: did:method:identifier.") }
        let identifier = rest[rest.index(after: colon)...]
        switch rest[..<colon] {
        case "key": proof = .key(try Self.multikey(identifier))
        case "jwk": proof = .key(try Self.jwk(identifier))
        case "pkh": proof = .account(try Self.account(identifier))
        case "web": proof = try Self.web(identifier)
        default:
            throw ProofProblem("DIDs of the methods key, jwk, pkh (eip155) and web are known; did:\(rest[..<colon].prefix(20)) is not.")
        }
    }

    /// What the DID is about, whatever its spelling: two DIDs of one key or one account have the same, 32 bytes.
    package var fingerprint: [UInt8] {
        switch proof {
        case .key(let key): key.fingerprint
        case .account(let address): SHA256Digest.of([64] + address.bytes)
        case .document: SHA256Digest.of([65] + Array(text.utf8))
        }
    }

    /// The DID that a `keyid` names, which may be the URL of one of its verification methods.
    package init(keyID: String) throws(ProofProblem) {
        guard let hash = keyID.firstIndex(of: "#") else {
            try self.init(keyID)
            return
        }
        try self.init(String(keyID[..<hash]))
        let fragment = keyID[keyID.index(after: hash)...]
        switch proof {
        case .key where text.hasPrefix("did:key:") && fragment == text.dropFirst(8): break
        case .key where text.hasPrefix("did:jwk:") && fragment == "0": break
        case .account where fragment == "blockchainAccountId": break
        case .document: break
        default: throw ProofProblem("\(text) has no verification method #\(fragment.prefix(100)).")
        }
    }

    /// Whether this DID signed the message. False for did:web, whose keys are in its document (`DIDDocument`).
    package func isValid(signature: [UInt8], over message: [UInt8]) -> Bool {
        switch proof {
        case .key(let key): key.isValid(signature: signature, over: message)
        case .account(let address): EthereumAddress.signer(of: message, signature: signature) == address
        case .document: false
        }
    }

    // MARK: The methods

    /// did:key 0.7: `z` (base58btc) of a multicodec code and a key.
    static func multikey(_ identifier: Substring) throws(ProofProblem) -> VerificationKey {
        guard identifier.hasPrefix("z") else { throw ProofProblem("A did:key's identifier begins with z (base58btc).") }
        guard let bytes = Base58.decode(identifier.dropFirst(), maximumCount: 128) else {
            throw ProofProblem("The did:key is not base58: it has a typing error, or is too long.")
        }
        // One key has one spelling: the code's shortest form, and the compressed point.
        guard bytes.count > 2, let code = Multicodec(rawValue: UInt16(bytes[0]) << 8 | UInt16(bytes[1])) else {
            throw ProofProblem("The did:key is of a kind that is not known here: Ed25519, P-256 and secp256k1 are.")
        }
        let key = Array(bytes.dropFirst(2))
        switch code {
        case .ed25519: return try VerificationKey(.ed25519, key)
        case .p256, .secp256k1:
            guard key.count == 33 else { throw ProofProblem("A did:key holds the compressed point, 33 bytes; this one has \(key.count).") }
            return try VerificationKey(code == .p256 ? .p256 : .secp256k1, key)
        case .x25519: throw ProofProblem("An X25519 key agrees on secrets and does not sign. Use the DID of a key that does.")
        case .p384, .p521: throw ProofProblem("Keys of P-384 and P-521 are not taken: use Ed25519, P-256 or secp256k1.")
        }
    }

    /// The two bytes of a code's varint (github.com/multiformats/multicodec, table.csv).
    private enum Multicodec: UInt16 {
        case ed25519 = 0xed01
        case x25519 = 0xec01
        case secp256k1 = 0xe701
        case p256 = 0x8024
        case p384 = 0x8124
        case p521 = 0x8224
    }

    /// did:jwk: base64url of a JWK (RFC 7517).
    private static func jwk(_ identifier: Substring) throws(ProofProblem) -> VerificationKey {
        guard let bytes = Base64URL.decode(identifier), !identifier.hasSuffix("=") else {
            throw ProofProblem("A did:jwk's identifier is base64url without padding.")
        }
        guard let json = try? JSONValue(parsing: bytes, maximumDepth: 4) else { throw ProofProblem("The did:jwk holds no JSON.") }
        return try VerificationKey(jwk: json)
    }

    /// did:pkh of CAIP-10 accounts: `eip155:<chain>:<address>`.
    private static func account(_ identifier: Substring) throws(ProofProblem) -> EthereumAddress {
        let parts = identifier.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == "eip155" else {
            throw ProofProblem("Of did:pkh, accounts of Ethereum's family are known: did:pkh:eip155:<chain>:<address>.")
        }
        guard (1...32).contains(parts[1].utf8.count), parts[1].utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }), parts[1].utf8.first != 48 else {
            throw ProofProblem("The chain of a did:pkh:eip155 is a number.")
        }
        return try EthereumAddress(parts[2])
    }

    /// did:web: a host, `%3A` and a port, and a path written with colons.
    private static func web(_ identifier: Substring) throws(ProofProblem) -> Proof {
        let parts = identifier.split(separator: ":", omittingEmptySubsequences: false)
        let allowed = identifier.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
            default: "-._:%".utf8.contains(byte)
            }
        }
        guard allowed, !parts.contains(where: { $0.isEmpty || $0 == "." || $0 == ".." }), let first = parts.first else {
            throw ProofProblem("A did:web is a host and, with colons, a path: did:web:example.org:people:ann.")
        }
        let host = first.replacingOccurrences(of: "%3A", with: ":")
        let halves = host.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let name = halves.first, name.utf8.contains(where: { $0 >= 97 && $0 <= 122 }), halves.count == 1 || UInt16(halves[1]) ?? 0 > 0
        else { throw ProofProblem("A did:web begins with the name of a host, which is no address, and perhaps %3A and a port.") }
        guard !host.contains("%"), host == host.lowercased(), !parts.dropFirst().contains(where: { $0.contains("%") }) else {
            throw ProofProblem("Write the host of a did:web in lower case, and nothing percent-encoded but the colon before a port (%3A).")
        }
        let path = parts.count == 1 ? "/.well-known/did.json" : "/" + parts.dropFirst().joined(separator: "/") + "/did.json"
        return .document(host: host, path: path)
    }
}

extension VerificationKey {
    /// A public JWK of a kind that signs: OKP Ed25519 (RFC 8037), EC P-256 (RFC 7518), EC secp256k1 (RFC 8812).
    package init(jwk: JSONValue) throws(ProofProblem) {
        guard case .object = jwk else { throw ProofProblem("A JWK is a JSON object.") }
        func text(_ name: String) throws(ProofProblem) -> String? {
            guard let value = jwk[name] else { return nil }
            guard let text = value.stringValue else { throw ProofProblem("The JWK's \"\(name)\" is no string.") }
            return text
        }
        guard jwk["d"] == nil else {
            throw ProofProblem("That JWK holds a private key. Make a new key, and give away its public part only.")
        }
        if let use = try text("use"), use != "sig" { throw ProofProblem("The JWK is for \"\(use.prefix(20))\", not for signing.") }
        if let operations = jwk["key_ops"] {
            guard operations.arrayValue?.contains(.string("verify")) == true else {
                throw ProofProblem("The JWK's key_ops do not allow \"verify\".")
            }
        }
        let curve: Curve
        switch (try text("kty"), try text("crv")) {
        case ("OKP", "Ed25519"): curve = .ed25519
        case ("EC", "P-256"): curve = .p256
        case ("EC", "secp256k1"): curve = .secp256k1
        case (_, "X25519"): throw ProofProblem("An X25519 key agrees on secrets and does not sign.")
        default: throw ProofProblem("The JWK is of a kind that is not known here: OKP Ed25519, EC P-256 and EC secp256k1 are.")
        }
        if let algorithm = try text("alg"), algorithm != curve.joseAlgorithm, !(curve == .ed25519 && algorithm == "Ed25519") {
            throw ProofProblem("The JWK's \"alg\" is not its curve's, which is \(curve.joseAlgorithm).")
        }
        func coordinate(_ name: String) throws(ProofProblem) -> [UInt8] {
            guard let text = try text(name), !text.hasSuffix("="), let bytes = Base64URL.decode(text), bytes.count == 32 else {
                throw ProofProblem("The JWK's \"\(name)\" is 32 bytes in base64url.")
            }
            return bytes
        }
        let x = try coordinate("x")
        if curve == .ed25519 {
            try self.init(.ed25519, x)
        } else {
            try self.init(curve, [4] + x + coordinate("y"))
        }
    }
}
