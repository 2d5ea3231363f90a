import Domain
import Primitives

/// What a provider says about itself (OpenID Connect Discovery 1.0 §3).
struct ProviderMetadata: Sendable {
    let authorization: String
    let token: String
    let keys: String
    let userInfo: String?
    let takesBasic: Bool

    init(_ json: JSONValue, issuer: String) throws(SignOnRefusal) {
        guard json["issuer"] == .string(issuer) else {
            throw SignOnRefusal(.provider, "the provider's discovery document is another issuer's than \(issuer)")
        }
        // Where the issuer is reached over TLS, so is everything that it names.
        func address(_ name: String) throws(SignOnRefusal) -> String {
            guard let text = json[name]?.stringValue,
                text.hasPrefix("https://") || !issuer.hasPrefix("https://") && text.hasPrefix("http://"),
                text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
            else { throw SignOnRefusal(.provider, "the provider's discovery document has no good \(name)") }
            return text
        }
        authorization = try address("authorization_endpoint")
        token = try address("token_endpoint")
        keys = try address("jwks_uri")
        userInfo = try? address("userinfo_endpoint")
        let methods = json["token_endpoint_auth_methods_supported"]?.arrayValue
        takesBasic = methods?.contains("client_secret_basic") ?? true
    }
}

/// The provider's documents, kept for an hour. A provider that is away is asked again with the next sign-on.
actor ProviderDocuments {
    private static let lifetime: Int64 = 3_600_000
    private static let patience: Int64 = 2000

    private let issuer: String
    private let outbound: any OutboundHTTP
    private let clock: any WallClock
    private var known: (metadata: ProviderMetadata, at: Int64)?
    private var failed: (refusal: SignOnRefusal, at: Int64)?
    private var asking: Task<Result<ProviderMetadata, SignOnRefusal>, Never>?
    private var knownKeys: (keys: ProviderKeys, at: Int64)?

    init(issuer: String, outbound: any OutboundHTTP, clock: any WallClock) {
        self.issuer = issuer
        self.outbound = outbound
        self.clock = clock
    }

    /// However many sign on at once, the provider is asked once; while it is away, at most every few seconds.
    func metadata() async throws(SignOnRefusal) -> ProviderMetadata {
        let now = clock.nowMilliseconds()
        if let known, known.at > now - Self.lifetime { return known.metadata }
        if let failed, failed.at > now - Self.patience, failed.at <= now { throw failed.refusal }
        let asking = asking ?? Task { await self.read() }
        self.asking = asking
        let answer = await asking.value
        self.asking = nil
        switch answer {
        case .success(let metadata):
            known = (metadata, now)
            return metadata
        case .failure(let refusal):
            failed = (refusal, now)
            throw refusal
        }
    }

    private func read() async -> Result<ProviderMetadata, SignOnRefusal> {
        let base = issuer.hasSuffix("/") ? String(issuer.dropLast()) : issuer
        do throws(SignOnRefusal) {
            return .success(try ProviderMetadata(try await document(base + "/.well-known/openid-configuration"), issuer: issuer))
        } catch {
            return .failure(error)
        }
    }

    /// - Parameter isFresh: Read anew, whatever is known.
    func keys(fresh isFresh: Bool) async throws(SignOnRefusal) -> ProviderKeys {
        let now = clock.nowMilliseconds()
        if !isFresh, let knownKeys, knownKeys.at > now - Self.lifetime { return knownKeys.keys }
        guard let keys = ProviderKeys(try await document(try await metadata().keys)) else {
            throw SignOnRefusal(.provider, "the provider's jwks_uri gives no key set")
        }
        knownKeys = (keys, now)
        return keys
    }

    private func document(_ url: String) async throws(SignOnRefusal) -> JSONValue {
        let request = OutboundRequest(
            .get, url, headers: [(name: "accept", value: Secret("application/json"))], reach: .configured, limits: .init(bytes: 512 << 10))
        let answer = try await Self.sent(request, outbound)
        guard answer.status == 200, let json = try? JSONValue(parsing: answer.body), json.objectValue != nil else {
            throw SignOnRefusal(.provider, "\(url) answers \(answer.status), or no JSON object")
        }
        return json
    }

    static func sent(_ request: OutboundRequest, _ outbound: any OutboundHTTP) async throws(SignOnRefusal) -> OutboundAnswer {
        do throws(OutboundFailure) {
            return try await outbound.send(request)
        } catch {
            throw SignOnRefusal(.provider, "the identity provider cannot be asked: \(error.text)")
        }
    }
}
