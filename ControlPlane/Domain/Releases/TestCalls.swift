package import Contract
import Foundation
import Nouns
package import Primitives
import Storage

/// One request to a provider, to see whether it is there and takes our credential: `GET <base URL>/models`.
package struct ProviderCall: Sendable {
    package let address: ConfigValidation.BaseURL
    /// Whether it may lead into private networks.
    package let allowsPrivate: Bool
    /// Extra trust roots in PEM; empty: none.
    package let caPEM: String
    /// What carries the credential; nil: none is sent.
    package let header: (name: String, value: Secret)?
}

/// What came of it.
package enum ProviderAnswer: Sendable, Hashable {
    /// An HTTP status.
    case status(Int)
    /// No answer; why, in words for the operator.
    case failure(String)
}

/// Makes calls to providers on the control plane's own account. Bounded in time and in what it reads; follows no redirect.
package protocol ProviderCaller: Sendable {
    func call(_ call: ProviderCall) async -> ProviderAnswer
}

/// Where nothing outside is called.
package struct NoProviderCalls: ProviderCaller {
    package init() {}
    package func call(_ call: ProviderCall) async -> ProviderAnswer { .failure("This control plane makes no calls to providers.") }
}

/// Calls to the draft's endpoints, made because an operator asks for them: a configuration can be valid and lead to where nobody listens,
/// or with a key that nobody takes. What a data plane reaches from where it stands may be another thing.
package struct TestCalls: Sendable {
    /// Calls of one request at most: each endpoint times its credentials.
    package static let maximumCalls = 64
    private static let atOnce = 8

    package struct Result: Sendable, Hashable {
        package let endpointID: String
        package let endpointName: String
        package let credentialID: String?
        package let isGood: Bool
        package let status: Int?
        package let message: String
        package let milliseconds: Int64

        package var json: JSONValue {
            [
                "endpoint_id": .string(endpointID), "name": .string(endpointName),
                "credential_id": credentialID.map(JSONValue.string) ?? .null,
                "ok": .bool(isGood), "status": status.map { .int(Int64($0)) } ?? .null, "message": .string(message),
                "duration_ms": .int(milliseconds),
            ]
        }
    }

    private struct Plan: Sendable {
        let endpoint: Entity<EndpointContent>
        let provider: ProviderContent
        let credentialID: CredentialID?
    }

    private let domain: DomainContext
    private let credentials: CredentialService
    private let caller: any ProviderCaller

    package init(_ domain: DomainContext, credentials: CredentialService, caller: any ProviderCaller) {
        self.domain = domain
        self.credentials = credentials
        self.caller = caller
    }

    /// - Parameter endpoints: Those to call; nil: all that are enabled.
    /// - Throws: `DomainError.invalid` naming each endpoint that is not in the draft, or when it would be too many calls.
    package func run(_ endpoints: [EndpointID]?, actor: Actor) async throws -> [Result] {
        let now = domain.clock.nowMilliseconds()
        let plans = try await domain.write(as: .all) { c in
            let plans = try Self.plans(c, endpoints)
            let called: JSONValue = .strings(plans.map(\.endpoint.id.rawValue))
            try AuditLog.record(c, actor, "config_draft.test_calls", id: "draft", before: nil, after: ["endpoint_ids": called], at: now)
            return plans
        }
        return await withTaskGroup(of: (Int, Result).self) { group in
            var results = [Result?](repeating: nil, count: plans.count)
            var next = 0
            while next < min(Self.atOnce, plans.count) {
                group.addTask { [next] in (next, await call(plans[next])) }
                next += 1
            }
            for await (index, result) in group {
                results[index] = result
                guard next < plans.count else { continue }
                group.addTask { [next] in (next, await call(plans[next])) }
                next += 1
            }
            return results.compactMap(\.self)
        }
    }

    private static func plans(_ c: any SQLConnection, _ wanted: [EndpointID]?) throws -> [Plan] {
        let all = try EndpointContent.all(c)
        let providers = Dictionary(try ProviderContent.all(c).map { ($0.id, $0.content) }, uniquingKeysWith: { first, _ in first })
        let problems = (wanted ?? []).enumerated().filter { _, id in !all.contains { $0.id == id } }.map { index, _ in
            FieldProblem("endpoint_ids[\(index)]", "names no endpoint", remedy: "Name one that `weir endpoint list` lists.")
        }
        if !problems.isEmpty { throw DomainError.invalid(problems) }
        let chosen = all.filter { endpoint in wanted.map { $0.contains(endpoint.id) } ?? !endpoint.content.disabled }
        let plans = chosen.flatMap { endpoint -> [Plan] in
            guard let provider = providers[endpoint.content.providerID] else { return [] }
            let keys: [CredentialID?] = endpoint.content.credentialIDs.isEmpty ? [nil] : endpoint.content.credentialIDs
            return keys.map { Plan(endpoint: endpoint, provider: provider, credentialID: $0) }
        }
        guard plans.count <= maximumCalls else {
            throw DomainError.invalid(
                "endpoint_ids", "makes \(plans.count) calls, more than \(maximumCalls)", remedy: "Name some of the endpoints.")
        }
        return plans
    }

    private func call(_ plan: Plan) async -> Result {
        let start = MonotonicClock.nowMicroseconds()
        let (answer, hasCredential) = await answer(to: plan)
        func result(_ isGood: Bool, _ status: Int?, _ message: String) -> Result {
            Result(
                endpointID: plan.endpoint.id.rawValue, endpointName: plan.endpoint.content.name,
                credentialID: plan.credentialID?.rawValue, isGood: isGood,
                status: status, message: message, milliseconds: (MonotonicClock.nowMicroseconds() - start) / 1000)
        }
        switch answer {
        case .failure(let reason): return result(false, nil, reason)
        case .status(let status) where (200..<300).contains(status):
            return result(true, status, hasCredential ? "It answers and takes the credential." : "It answers.")
        case .status(let status) where [401, 403].contains(status):
            return result(false, status, hasCredential ? "It answers and refuses the credential." : "It answers and wants a credential.")
        case .status(let status) where [404, 405].contains(status):
            return result(true, status, "It answers and has no list of models, so the credential was not tried.")
        case .status(let status): return result(false, status, "It answers with the status \(status).")
        }
    }

    private func answer(to plan: Plan) async -> (ProviderAnswer, hasCredential: Bool) {
        let address: ConfigValidation.BaseURL
        switch ConfigValidation.parse(baseURL: plan.endpoint.content.baseURL ?? plan.provider.baseURL) {
        case .success(let url): address = url
        case .failure(let invalid): return (.failure("The base URL \(invalid.reason)."), false)
        }
        var header: (name: String, value: Secret)?
        if let id = plan.credentialID {
            do {
                header = Self.header(plan.provider, try await credentials.decrypt(id).secret)
            } catch {
                return (.failure("The credential \(id) cannot be read: it was deleted, or is encrypted with another master key."), false)
            }
        }
        let call = ProviderCall(
            address: address, allowsPrivate: plan.endpoint.content.privateAddresses, caPEM: plan.provider.caPEM ?? "", header: header)
        return (await caller.call(call), header != nil)
    }

    /// As a data plane sends it.
    private static func header(_ provider: ProviderContent, _ secret: Secret) -> (name: String, value: Secret)? {
        switch provider.auth.scheme {
        case .bearer: ("authorization", Secret("Bearer " + secret.reveal()))
        case .basic: ("authorization", Secret("Basic " + Data(secret.reveal().utf8).base64EncodedString()))
        case .header: (provider.auth.header ?? "", secret)
        case .none: nil
        }
    }
}
