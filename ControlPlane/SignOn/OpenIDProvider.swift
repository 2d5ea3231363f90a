import Crypto
package import Domain
package import Primitives

/// How an OpenID provider knows us, and what of its word counts.
package struct OpenIDSettings: Sendable {
    package var issuer: String
    package var clientID: String
    /// Nil: a public client, which PKCE alone protects.
    package var clientSecret: Secret?
    package var scopes: [String]
    /// The claim that lists groups; `realm_access.roles` means a member of an object.
    package var groupsClaim: String
    /// Whether an address counts that the provider does not say to have verified.
    package var trustsAddresses: Bool

    package init(
        issuer: String, clientID: String, clientSecret: Secret? = nil, scopes: [String] = ["openid", "email", "profile"],
        groupsClaim: String = "groups", trustsAddresses: Bool = false
    ) {
        self.issuer = issuer
        self.clientID = clientID
        self.clientSecret = clientSecret
        self.scopes = scopes
        self.groupsClaim = groupsClaim
        self.trustsAddresses = trustsAddresses
    }
}

/// An OpenID provider: authorization code flow with PKCE (OpenID Connect Core 1.0 §3.1, RFC 7636), found by discovery.
package struct OpenIDProvider: IdentityProvider {
    private let settings: OpenIDSettings
    private let outbound: any OutboundHTTP
    private let clock: any WallClock
    private let documents: ProviderDocuments

    package init(_ settings: OpenIDSettings, outbound: any OutboundHTTP, clock: any WallClock) {
        self.settings = settings
        self.outbound = outbound
        self.clock = clock
        documents = ProviderDocuments(issuer: settings.issuer, outbound: outbound, clock: clock)
    }

    package func authorization(_ attempt: SignOnAttempt, redirect: String) async throws(SignOnRefusal) -> String {
        let metadata = try await documents.metadata()
        let challenge = Base64URL.encode(SHA256.hash(data: Array(attempt.verifier.utf8)))
        let query = FormText.encode([
            ("response_type", "code"), ("client_id", settings.clientID), ("redirect_uri", redirect),
            ("scope", settings.scopes.joined(separator: " ")), ("state", attempt.state), ("nonce", attempt.nonce),
            ("code_challenge", challenge), ("code_challenge_method", "S256"),
        ])
        return metadata.authorization + (metadata.authorization.contains("?") ? "&" : "?") + query
    }

    package func identity(
        code: String, _ attempt: SignOnAttempt, redirect: String
    ) async throws(SignOnRefusal) -> VerifiedIdentity {
        let metadata = try await documents.metadata()
        let tokens = try await exchange(code, attempt, redirect, metadata)
        guard let text = tokens["id_token"]?.stringValue else { throw SignOnRefusal(.provider, "the provider gave no ID token") }
        let token = try await verified(text, nonce: attempt.nonce)
        var claims = token.claims
        if groups(claims) == nil || claims["email"] == nil, let more = await userInfo(tokens, metadata, of: token.subject) {
            claims = more + claims
        }
        return VerifiedIdentity(
            issuer: settings.issuer, subject: token.subject, name: claims["name"]?.stringValue, email: address(claims),
            groups: groups(claims) ?? [])
    }

    /// A key that is not known may have been made since the keys were read: they are read once more.
    private func verified(_ text: String, nonce: String) async throws(SignOnRefusal) -> IDToken {
        let expected = IDToken.Expectations(
            issuer: settings.issuer, clientID: settings.clientID, nonce: nonce, now: clock.nowMilliseconds() / 1000)
        for isFresh in [false, true] {
            let keys = try await documents.keys(fresh: isFresh)
            do throws(IDTokenRefusal) {
                return try await IDToken.verified(text, with: keys, expected)
            } catch {
                if case .unknownKey = error, !isFresh { continue }
                throw SignOnRefusal(.provider, error.text)
            }
        }
        throw SignOnRefusal(.provider, "the ID token's key is not known")
    }

    /// RFC 6749 §4.1.3; the client proves itself by the secret in a header or, where the provider takes only that, in the body (§2.3.1).
    private func exchange(
        _ code: String, _ attempt: SignOnAttempt, _ redirect: String, _ metadata: ProviderMetadata
    ) async throws(SignOnRefusal) -> JSONValue {
        var fields = [
            ("grant_type", "authorization_code"), ("code", code), ("redirect_uri", redirect), ("code_verifier", attempt.verifier),
            ("client_id", settings.clientID),
        ]
        var headers = [
            (name: "content-type", value: Secret("application/x-www-form-urlencoded")), (name: "accept", value: Secret("application/json")),
        ]
        if let secret = settings.clientSecret {
            if metadata.takesBasic {
                let pair = FormText.escaped(settings.clientID) + ":" + FormText.escaped(secret.reveal())
                headers.append((name: "authorization", value: Secret("Basic " + Base64.encode(Array(pair.utf8)))))
            } else {
                fields.append(("client_secret", secret.reveal()))
            }
        }
        let body = Array(FormText.encode(fields).utf8)
        let answer = try await ProviderDocuments.sent(
            OutboundRequest(.post, metadata.token, headers: headers, body: body, reach: .configured, limits: .init(bytes: 256 << 10)),
            outbound)
        guard answer.status == 200, let json = try? JSONValue(parsing: answer.body), json.objectValue != nil else {
            let code = (try? JSONValue(parsing: answer.body))?["error"]?.stringValue
            throw SignOnRefusal(
                .provider, "the provider's token endpoint answers \(answer.status)\(code.map { " \($0.prefix(64))" } ?? "")")
        }
        return json
    }

    /// What the ID token does not say (OpenID Connect Core 1.0 §5.3), when it is about the same person. Nil: it says nothing.
    private func userInfo(_ tokens: JSONValue, _ metadata: ProviderMetadata, of subject: String) async -> JSONValue? {
        guard let address = metadata.userInfo, let access = tokens["access_token"]?.stringValue else { return nil }
        let headers = [
            (name: "authorization", value: Secret("Bearer " + access)), (name: "accept", value: Secret("application/json")),
        ]
        let request = OutboundRequest(.get, address, headers: headers, reach: .configured, limits: .init(bytes: 256 << 10))
        guard let answer = try? await ProviderDocuments.sent(request, outbound), answer.status == 200,
            let json = try? JSONValue(parsing: answer.body), json["sub"] == .string(subject)
        else { return nil }
        return json
    }

    private func groups(_ claims: JSONValue) -> [String]? {
        var value: JSONValue? = claims[settings.groupsClaim]
        if value == nil { value = settings.groupsClaim.split(separator: ".").reduce(claims) { $0?[String($1)] } }
        switch value {
        case .string(let one): return [one]
        case .array(let several): return several.prefix(1000).compactMap(\.stringValue)
        default: return nil
        }
    }

    private func address(_ claims: JSONValue) -> String? {
        let isVerified = claims["email_verified"] == true || claims["email_verified"] == "true"
        guard isVerified || settings.trustsAddresses, let email = claims["email"]?.stringValue?.lowercased(), email.utf8.count <= 254 else {
            return nil
        }
        return email
    }
}

extension JSONValue {
    /// The members of both; of one name the second's.
    fileprivate static func + (a: JSONValue, b: JSONValue) -> JSONValue {
        guard var object = a.objectValue, let more = b.objectValue else { return b }
        for member in more.members { object[member.name] = member.value }
        return .object(object)
    }
}

/// `application/x-www-form-urlencoded`.
enum FormText {
    static func encode(_ fields: [(String, String)]) -> String {
        fields.map { escaped($0.0) + "=" + escaped($0.1) }.joined(separator: "&")
    }

    /// All but the unreserved characters of RFC 3986 §2.3.
    static func escaped(_ text: String) -> String {
        var out = ""
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: out.unicodeScalars.append(Unicode.Scalar(byte))
            default: out += "%" + Hex.encode([byte]).uppercased()
            }
        }
        return out
    }
}
