import Contract
package import Nouns
package import Primitives
package import Storage

extension EndpointContent: Administered {
    package static var scope: NounScope { .draft }

    package func problems(replacing old: EndpointContent?, now: Int64) -> [FieldProblem] {
        (baseURL.map { BaseURLCheck.problems("base_url", $0) } ?? []) + healthProblems
    }

    private var healthProblems: [FieldProblem] {
        var problems: [FieldProblem] = []
        if healthCheck.intervalMS > 0, healthCheck.intervalMS < ConfigValidation.shortestHealthInterval {
            problems.append(
                FieldProblem(
                    "health_check.interval_ms", "is below \(ConfigValidation.shortestHealthInterval)",
                    remedy: "Each data plane asks so often: choose a longer time, or 0 for never."))
        }
        if !ConfigValidation.isRequestPath(healthCheck.path) {
            problems.append(
                FieldProblem("health_check.path", "is no path", remedy: "Write it like /models, without spaces or dot segments."))
        }
        return problems
    }

    /// One provider's secret is never sent to another, nor anything into private networks unsaid.
    package func problems(id: EndpointID, replacing old: EndpointContent?, beside c: any SQLConnection) throws -> [FieldProblem] {
        let provider = try ProviderContent.find(c, providerID.rawValue)?.content
        let inside = provider.flatMap { PrivateAddressCheck.problem("private_addresses", self, $0) }
        return try (inside.map { [$0] } ?? []) + credentialProblems(c)
    }

    private func credentialProblems(_ c: any SQLConnection) throws -> [FieldProblem] {
        try credentialIDs.enumerated().compactMap { index, credential in
            let named = try CredentialContent.find(c, credential.rawValue)?.content
            if named?.purpose == .management {
                return FieldProblem(
                    "credential_ids[\(index)]", "is a management key, which serves no requests",
                    remedy: "Name a credential of purpose requests; management keys are for a tenant's did_credential_id.")
            }
            guard named?.providerID != providerID else { return nil }
            return FieldProblem(
                "credential_ids[\(index)]", "belongs to another provider",
                remedy: "Name a credential of \(providerID.rawValue): one provider's secret is never sent to another.")
        }
    }
}

/// An address that is known to be of the inside without asking anybody. Names are judged by data planes, at each connection.
enum PrivateAddressCheck {
    static func problem(_ field: String, _ endpoint: EndpointContent, _ provider: ProviderContent) -> FieldProblem? {
        guard !endpoint.privateAddresses,
            case .success(let url) = ConfigValidation.parse(baseURL: endpoint.baseURL ?? provider.baseURL),
            let kind = LocalNetwork.kind(host: url.host), kind != .global
        else { return nil }
        return FieldProblem(
            field, "is false, and \(url.host) is \(kind == .loopback ? "this machine" : "no address of the public Internet")",
            remedy: "Set private_addresses to true (--private-addresses true) if data planes are to call it there.")
    }
}
