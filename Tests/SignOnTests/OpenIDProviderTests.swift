import Domain
import Primitives
import SignOn
import Synchronization
import Testing

/// A provider in memory: what it publishes, and what it gives for the code `good`.
private final class MemoryProvider: OutboundHTTP {
    struct State {
        var maker = TokenMaker()
        var discovery: JSONObject = [
            "issuer": .string(TokenMaker.issuer), "authorization_endpoint": "https://login.example/authorize?a=b",
            "token_endpoint": "https://login.example/token", "jwks_uri": "https://login.example/keys",
            "userinfo_endpoint": "https://login.example/userinfo",
        ]
        var claims = TokenMaker.claims
        var userInfo: JSONValue = ["sub": "ada"]
        var asked: [String: Int] = [:]
        var tokenRequest: OutboundRequest?
    }

    let state = Mutex(State())

    func send(_ request: OutboundRequest) async throws(OutboundFailure) -> OutboundAnswer {
        let (state, claims) = self.state.withLock { state in
            state.asked[request.url, default: 0] += 1
            if request.method == .post { state.tokenRequest = request }
            return (state, state.claims)
        }
        let answer: JSONValue
        switch request.url {
        case "https://login.example/.well-known/openid-configuration": answer = .object(state.discovery)
        case "https://login.example/keys": answer = ["keys": [state.maker.jwk()]]
        case "https://login.example/userinfo": answer = state.userInfo
        case "https://login.example/token":
            guard String(decoding: request.body ?? [], as: UTF8.self).contains("code=good&"), let token = try? state.maker.token(claims)
            else {
                return OutboundAnswer(status: 400, body: JSONValue.object(["error": "invalid_grant"]).bytes)
            }
            answer = ["id_token": .string(token), "access_token": "secret-access", "token_type": "Bearer"]
        default: throw OutboundFailure(.unreachable, "nobody is there")
        }
        return OutboundAnswer(status: 200, body: answer.bytes)
    }
}

@Suite("An OpenID provider")
struct OpenIDProviderTests {
    private let memory = MemoryProvider()
    private let clock = ManualClock(milliseconds: TokenMaker.now * 1000)
    private static let redirect = "https://weir.example/admin/callback"
    private let attempt = SignOnAttempt(
        state: "s-1", nonce: "n-1", verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", tenantID: nil, endsAt: .max)

    private func provider(_ change: (inout OpenIDSettings) -> Void = { _ in }) -> OpenIDProvider {
        var settings = OpenIDSettings(issuer: TokenMaker.issuer, clientID: "weir", clientSecret: Secret("s ä/"))
        change(&settings)
        return OpenIDProvider(settings, outbound: memory, clock: clock)
    }

    private func refusal(_ provider: OpenIDProvider, code: String = "good") async -> SignOnRefusal? {
        do {
            _ = try await provider.identity(code: code, attempt, redirect: Self.redirect)
            return nil
        } catch {
            return error
        }
    }

    @Test("the browser is sent there with state, nonce and the verifier's challenge (RFC 7636 appendix B)")
    func authorization() async throws {
        let url = try await provider().authorization(attempt, redirect: Self.redirect)
        #expect(url.hasPrefix("https://login.example/authorize?a=b&response_type=code&client_id=weir&"))
        #expect(url.contains("&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"))
        #expect(url.contains("&redirect_uri=https%3A%2F%2Fweir.example%2Fadmin%2Fcallback&"))
        #expect(url.contains("&state=s-1&nonce=n-1&") && url.contains("scope=openid%20email%20profile"))
        #expect(!url.contains(attempt.verifier))
    }

    @Test("a code becomes who it was, with a verified address and the groups; the secret goes in the header")
    func identity() async throws {
        memory.state.withLock {
            $0.claims["email"] = "Ada@Example.org"
            $0.claims["email_verified"] = true
            $0.claims["groups"] = ["platform", "staff"]
            $0.claims["name"] = "Ada"
        }
        let identity = try await provider().identity(code: "good", attempt, redirect: Self.redirect)
        #expect(
            identity
                == VerifiedIdentity(
                    issuer: TokenMaker.issuer, subject: "ada", name: "Ada", email: "ada@example.org", groups: ["platform", "staff"]))
        let request = try #require(memory.state.withLock { $0.tokenRequest })
        let header = request.headers.first { $0.name == "authorization" }?.value.reveal()
        #expect(header == "Basic " + Base64.encode(Array("weir:s%20%C3%A4%2F".utf8)))
        let body = String(decoding: request.body ?? [], as: UTF8.self)
        #expect(body.contains("code_verifier=\(attempt.verifier)") && !body.contains("client_secret"))
        #expect(memory.state.withLock { $0.asked["https://login.example/userinfo"] } == nil)
    }

    @Test("what the token does not say is asked of userinfo, if that is about the same person")
    func userInfo() async throws {
        memory.state.withLock { $0.userInfo = ["sub": "ada", "email": "ada@example.org", "email_verified": true, "groups": "staff"] }
        let identity = try await provider().identity(code: "good", attempt, redirect: Self.redirect)
        #expect(identity.email == "ada@example.org" && identity.groups == ["staff"])
        memory.state.withLock { $0.userInfo = ["sub": "eve", "email": "root@example.org", "email_verified": true, "groups": ["owners"]] }
        let other = try await provider().identity(code: "good", attempt, redirect: Self.redirect)
        #expect(other.email == nil && other.groups == [])
    }

    @Test("an address counts when the provider has verified it, or the operator says so; groups may lie deeper")
    func addresses() async throws {
        memory.state.withLock {
            $0.claims["email"] = "ada@example.org"
            $0.claims["realm_access"] = ["roles": ["platform"]]
        }
        #expect(try await provider().identity(code: "good", attempt, redirect: Self.redirect).email == nil)
        let trusting = provider {
            $0.trustsAddresses = true
            $0.groupsClaim = "realm_access.roles"
        }
        let identity = try await trusting.identity(code: "good", attempt, redirect: Self.redirect)
        #expect(identity.email == "ada@example.org" && identity.groups == ["platform"])
    }

    @Test("a key that is not known is looked for once more, and no oftener")
    func rotation() async throws {
        let provider = provider()
        func asked() -> Int { memory.state.withLock { $0.asked["https://login.example/keys"] ?? 0 } }
        #expect(await refusal(provider) == nil)
        #expect(await refusal(provider) == nil)
        #expect(asked() == 1)
        memory.state.withLock { $0.maker = TokenMaker(kid: "two") }
        #expect(await refusal(provider) == nil)
        #expect(asked() == 2)
        // A signature that does not fit is not a key that is missing.
        memory.state.withLock { $0.claims["nonce"] = "other" }
        #expect(await refusal(provider)?.reason == .provider)
        #expect(asked() == 2)
        clock.advance(milliseconds: 3_600_001)
        _ = await refusal(provider)
        #expect(asked() == 3)
    }

    @Test("however many sign on at once, the provider is asked once; one that is away is left in peace for a moment")
    func crowd() async throws {
        let address = "https://login.example/.well-known/openid-configuration"
        let provider = provider()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<50 { group.addTask { _ = try? await provider.authorization(attempt, redirect: Self.redirect) } }
        }
        #expect(memory.state.withLock { $0.asked[address] } == 1)
        let nobody = self.provider { $0.issuer = "https://nobody.example" }
        func asked() -> Int { memory.state.withLock { $0.asked["https://nobody.example/.well-known/openid-configuration"] ?? 0 } }
        for _ in 0..<5 { #expect(await refusal(nobody)?.reason == .provider) }
        #expect(asked() == 1)
        clock.advance(milliseconds: 2001)
        _ = await refusal(nobody)
        #expect(asked() == 2)
    }

    @Test("a provider that is another, or answers wrongly, signs nobody on; secrets are in no reason")
    func wrong() async throws {
        #expect(await refusal(provider(), code: "bad")?.text.contains("invalid_grant") == true)
        for (name, value) in [
            ("issuer", "https://evil.example"), ("token_endpoint", "http://login.example/token"), ("jwks_uri", "file:///etc/passwd"),
            ("authorization_endpoint", nil), ("issuer", nil), ("jwks_uri", "https://login.example/nothing"),
            ("token_endpoint", "https://login.example/to ken"),
        ] as [(String, JSONValue?)] {
            let before = memory.state.withLock { $0.discovery }
            memory.state.withLock { $0.discovery[name] = value }
            let reason = await refusal(provider())
            #expect(reason?.reason == .provider, "\(name)")
            #expect(reason?.text.contains("s ä/") == false)
            memory.state.withLock { $0.discovery = before }
        }
        #expect(await refusal(provider { $0.issuer = "https://nobody.example" })?.reason == .provider)
        #expect(await refusal(provider { $0.clientID = "other" })?.reason == .provider)
    }
}
