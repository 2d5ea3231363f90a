import JWTKit
package import Primitives

/// Why an ID token was not believed. Texts are for the operator's log and hold nothing of the token but names of algorithms and keys.
package enum IDTokenRefusal: Error, Hashable, Sendable {
    case malformed(String)
    case algorithm(String)
    /// No key of the provider has this name: it may have been made since its keys were read.
    case unknownKey(String)
    case signature
    /// What it says is not for us, or not for now.
    case claim(String)

    package var text: String {
        switch self {
        case .malformed(let what): "the ID token is malformed: \(what)"
        case .algorithm(let name): "the ID token is signed with \(name), which is not accepted"
        case .unknownKey(let kid): "the ID token is signed with the key \(kid), which the provider does not publish"
        case .signature: "the ID token's signature does not fit"
        case .claim(let what): "the ID token \(what)"
        }
    }
}

/// An ID token whose signature and claims were checked (OpenID Connect Core 1.0 §3.1.3.7).
package struct IDToken: Sendable {
    package let subject: String
    package let claims: JSONValue

    package struct Expectations: Sendable {
        package let issuer: String
        package let clientID: String
        package let nonce: String
        /// Unix seconds.
        package let now: Int64

        package init(issuer: String, clientID: String, nonce: String, now: Int64) {
            self.issuer = issuer
            self.clientID = clientID
            self.nonce = nonce
            self.now = now
        }
    }

    private static let maximumBytes = 32 << 10
    /// How far the provider's clock may be from ours.
    private static let skewSeconds: Int64 = 60
    /// No sign-on takes longer; a token that was made before is of another one.
    private static let maximumAgeSeconds: Int64 = 900

    /// - Parameter text: As the token endpoint gave it (JWS compact form, RFC 7515 §3.1).
    package static func verified(_ text: String, with keys: ProviderKeys, _ expected: Expectations) async throws(IDTokenRefusal) -> IDToken
    {
        guard text.utf8.count <= maximumBytes else { throw .malformed("it is longer than \(maximumBytes) bytes") }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, !parts[2].isEmpty else { throw .malformed("it has not three parts") }
        let (header, claims) = (try object(parts[0]), try object(parts[1]))
        let algorithm = header["alg"]?.stringValue ?? "none"
        guard ProviderKeys.algorithms.contains(algorithm) else { throw .algorithm(String(algorithm.prefix(32))) }
        // Extensions that have to be understood, and of which we understand none (RFC 7515 §4.1.11).
        guard header["crit"] == nil else { throw .malformed("its header asks for extensions") }
        try await checkSignature(text, kid: header["kid"]?.stringValue, algorithm, keys)
        return IDToken(subject: try check(claims, expected), claims: claims)
    }

    private static func object(_ part: Substring) throws(IDTokenRefusal) -> JSONValue {
        guard let bytes = Base64URL.decode(part), let value = try? JSONValue(parsing: bytes), value.objectValue != nil else {
            throw .malformed("a part of it is no JSON object in base64url")
        }
        return value
    }

    /// What is signed is read by us and not from here: this is about the signature only.
    private struct Signed: JWTPayload {
        func verify(using algorithm: some JWTAlgorithm) async throws {}
    }

    private static func checkSignature(
        _ text: String, kid: String?, _ algorithm: String, _ keys: ProviderKeys
    ) async throws(IDTokenRefusal) {
        let candidates = keys.candidates(kid: kid, algorithm: algorithm).compactMap { $0.key(algorithm) }
        guard !candidates.isEmpty else { throw .unknownKey(String((kid ?? "without a name").prefix(128))) }
        for key in candidates {
            let collection = JWTKeyCollection()
            if (try? await collection.add(jwk: key)) != nil, (try? await collection.verify(text, as: Signed.self)) != nil { return }
        }
        throw .signature
    }

    /// - Returns: its subject.
    private static func check(_ claims: JSONValue, _ expected: Expectations) throws(IDTokenRefusal) -> String {
        guard claims["iss"] == .string(expected.issuer) else { throw .claim("is of another issuer") }
        let audience: [String] =
            switch claims["aud"] {
            case .string(let one): [one]
            case .array(let several): several.compactMap(\.stringValue)
            default: []
            }
        guard audience.contains(expected.clientID) else { throw .claim("is meant for another client") }
        let party = claims["azp"]?.stringValue
        guard audience.count == 1 || party != nil, party == nil || party == expected.clientID else {
            throw .claim("was made for another client (azp)")
        }
        let now = expected.now
        guard let expires = seconds(claims["exp"]), expires > now - skewSeconds else { throw .claim("has expired, or never does") }
        guard let issued = seconds(claims["iat"]), issued <= now + skewSeconds, issued > now - maximumAgeSeconds else {
            throw .claim("was not made now: compare the clocks of the provider and of this machine")
        }
        if let start = claims["nbf"] {
            guard let start = seconds(start), start <= now + skewSeconds else { throw .claim("is not valid yet") }
        }
        guard let nonce = claims["nonce"]?.stringValue, ConstantTime.equal(Array(nonce.utf8), Array(expected.nonce.utf8)) else {
            throw .claim("belongs to another sign-on (nonce)")
        }
        guard let subject = claims["sub"]?.stringValue, !subject.isEmpty, subject.utf8.count <= 255 else {
            throw .claim("names nobody (sub)")
        }
        return subject
    }

    /// A NumericDate (RFC 7519 §2): seconds, maybe with a fraction.
    private static func seconds(_ value: JSONValue?) -> Int64? {
        switch value {
        case .int(let seconds): seconds
        case .number(let text): Double(text).flatMap { $0 > 0 && $0 < 1e11 ? Int64($0) : nil }
        default: nil
        }
    }
}
