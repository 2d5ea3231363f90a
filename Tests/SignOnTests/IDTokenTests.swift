import Crypto
import Primitives
import SignOn
import Testing

/// Signs tokens as a provider would, and as somebody who is none.
struct TokenMaker {
    static let now: Int64 = 1_800_000_000
    static let issuer = "https://login.example"

    let key = P256.Signing.PrivateKey()
    var kid = "one"

    /// Its public key, as a provider publishes it.
    func jwk(_ change: (inout JSONObject) -> Void = { _ in }) -> JSONValue {
        let point = Array(key.publicKey.rawRepresentation)
        var object: JSONObject = [
            "kty": "EC", "crv": "P-256", "kid": .string(kid), "use": "sig", "x": .string(Base64URL.encode(point[..<32])),
            "y": .string(Base64URL.encode(point[32...])),
        ]
        change(&object)
        return .object(object)
    }

    func keys(_ change: (inout JSONObject) -> Void = { _ in }) throws -> ProviderKeys {
        try #require(ProviderKeys(["keys": [jwk(change)]]))
    }

    static let claims: JSONObject = [
        "iss": .string(issuer), "aud": "weir", "sub": "ada", "nonce": "n-1", "iat": .int(now - 5), "exp": .int(now + 300),
    ]

    func token(_ claims: JSONObject = Self.claims, header: JSONObject? = nil, sign: ((String) throws -> [UInt8])? = nil) throws -> String {
        let header = header ?? ["alg": "ES256", "kid": .string(kid), "typ": "JWT"]
        let text = Base64URL.encode(JSONValue.object(header).bytes) + "." + Base64URL.encode(JSONValue.object(claims).bytes)
        let signature = try sign?(text) ?? Array(key.signature(for: Array(text.utf8)).rawRepresentation)
        return text + "." + Base64URL.encode(signature)
    }
}

@Suite("ID tokens")
struct IDTokenTests {
    private let maker = TokenMaker()
    private let expected = IDToken.Expectations(issuer: TokenMaker.issuer, clientID: "weir", nonce: "n-1", now: TokenMaker.now)

    private func refusal(_ text: String, _ keys: ProviderKeys? = nil) async throws -> IDTokenRefusal? {
        let keys = try keys ?? maker.keys()
        do {
            _ = try await IDToken.verified(text, with: keys, expected)
            return nil
        } catch {
            return error
        }
    }

    @Test("one that is signed by the provider's key and made for us, now, is believed")
    func good() async throws {
        let token = try await IDToken.verified(try maker.token(), with: try maker.keys(), expected)
        #expect(token.subject == "ada")
        var several = TokenMaker.claims
        several["aud"] = ["weir", "other"]
        several["azp"] = "weir"
        #expect(try await refusal(try maker.token(several)) == nil)
        // A provider with one key need not name it.
        #expect(try await refusal(try maker.token(header: ["alg": "ES256"]), try maker.keys { $0["kid"] = nil }) == nil)
    }

    @Test(
        "what it says must be about us, by this issuer, for this sign-on, and now",
        arguments: [
            ("iss", "https://login.example/"), ("iss", nil), ("aud", "other"), ("aud", ["other"]), ("aud", nil),
            ("aud", ["weir", "other"]), ("azp", "other"), ("exp", .int(TokenMaker.now - 61)), ("exp", nil), ("exp", "never"),
            ("iat", .int(TokenMaker.now + 61)), ("iat", .int(TokenMaker.now - 3600)), ("iat", nil), ("nbf", .int(TokenMaker.now + 61)),
            ("nonce", "n-2"), ("nonce", nil), ("sub", nil), ("sub", ""), ("exp", .number("1e300")), ("nbf", "x"),
        ] as [(String, JSONValue?)])
    func claims(name: String, value: JSONValue?) async throws {
        var claims = TokenMaker.claims
        claims[name] = value
        guard case .claim? = try await refusal(try maker.token(claims)) else {
            Issue.record("\(name) \(value?.text ?? "left out") is believed")
            return
        }
    }

    @Test("no signature, a signature by a shared secret, another's, or one over other claims is none")
    func signatures() async throws {
        let publicKey = Array(maker.key.publicKey.pemRepresentation.utf8)
        let hmac: (String) -> [UInt8] = { text in
            Array(HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: SymmetricKey(data: publicKey)))
        }
        #expect(try await refusal(try maker.token(header: ["alg": "HS256", "kid": "one"], sign: hmac)) == .algorithm("HS256"))
        for none in ["none", "None", "NONE", "", "es256"] {
            #expect(try await refusal(try maker.token(header: ["alg": .string(none), "kid": "one"])) == .algorithm(none))
        }
        #expect(try await refusal(try maker.token(header: ["kid": "one"])) == .algorithm("none"))
        let other = TokenMaker()
        #expect(try await refusal(try other.token()) == .signature)
        let parts = try maker.token().split(separator: ".").map(String.init)
        var claims = TokenMaker.claims
        claims["sub"] = "root"
        let forged = [parts[0], Base64URL.encode(JSONValue.object(claims).bytes), parts[2]].joined(separator: ".")
        #expect(try await refusal(forged) == .signature)
    }

    @Test("a key is for its own algorithm, for signatures, and has the name that the token says")
    func keys() async throws {
        let token = try maker.token()
        #expect(try await refusal(token, try maker.keys { $0["kid"] = "two" }) == .unknownKey("one"))
        #expect(try await refusal(token, try maker.keys { $0["use"] = "enc" }) == .unknownKey("one"))
        #expect(try await refusal(token, try maker.keys { $0["alg"] = "ES384" }) == .unknownKey("one"))
        #expect(try await refusal(token, try maker.keys { $0["crv"] = "P-384" }) == .unknownKey("one"))
        #expect(try await refusal(token, try maker.keys { $0["x"] = nil }) == .unknownKey("one"))
        #expect(try await refusal(token, try maker.keys { $0["x"] = "AAAA" }) == .signature)
        #expect(try await refusal(try maker.token(header: ["alg": "RS256", "kid": "one"])) == .unknownKey("one"))
        #expect(ProviderKeys([:]) == nil)
    }

    @Test("what is no token is refused", arguments: ["", ".", "..", "a.b.c", "e30.e30.e30", "e30.e30.", "e30.e30.e30.e30", "W10.e30.AAAA"])
    func malformed(text: String) async throws {
        #expect(try await refusal(text) != nil)
    }

    @Test("extensions that have to be understood are not")
    func extensions() async throws {
        let token = try maker.token(header: ["alg": "ES256", "kid": "one", "crit": ["b64"], "b64": false])
        guard case .malformed? = try await refusal(token) else {
            Issue.record("it is believed")
            return
        }
    }
}
