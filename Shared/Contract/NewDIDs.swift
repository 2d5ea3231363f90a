import Primitives
package import Trust

/// What a tenant says of DIDs that nobody knows: both planes decide by it, the data plane before it verifies anything.
package struct NewDIDPolicy: Sendable, Hashable {
    /// Hosts, in lower case and without a port, for which a request has to be signed; empty: any.
    package let hosts: Set<String>
    /// DIDs, or beginnings of DIDs with `*` at their end; empty: any.
    package let patterns: [String]

    package init(hosts: Set<String>, patterns: [String]) {
        self.hosts = hosts
        self.patterns = patterns
    }

    /// Whether the DID may become one of the tenant's, by its text as its holder writes it.
    package func takes(_ did: String) -> Bool {
        patterns.isEmpty
            || patterns.contains { pattern in pattern.hasSuffix("*") ? did.hasPrefix(pattern.dropLast()) : did == pattern }
    }

    /// The host of `Host` without its port: `API.example:8443` → `api.example`.
    package static func host(_ field: String) -> String {
        let field = field.lowercased()
        if field.hasPrefix("[") { return String(field.prefix { $0 != "]" }) + "]" }
        return String(field.prefix { $0 != ":" })
    }

    /// Whose a DID becomes that signed for this host: the tenant that names the host, else the only one that names none.
    /// - Returns: nil where there is none, or no single one.
    package static func tenant<Tenant>(for host: String, among tenants: [(tenant: Tenant, policy: NewDIDPolicy)]) -> Tenant? {
        let host = Self.host(host)
        let naming = tenants.filter { $0.policy.hosts.contains(host) }
        let found = naming.isEmpty ? tenants.filter { $0.policy.hosts.isEmpty } : naming
        return found.count == 1 ? found.first?.tenant : nil
    }
}

/// That a DID has signed a request, as it crosses the link: the signed bytes hold a digest of the body and not the body.
package struct NewcomerProof: Sendable {
    package let did: DID
    /// Host as it was signed.
    package let host: String

    /// How far the request's time may lie from the control plane's clock, beside the data plane's own check by its own clock.
    private static let skewSeconds: Int64 = 3900
    /// Above every head that a data plane reads.
    private static let maximumBytes = 1 << 17

    /// - Throws: unless the DID signed these bytes, lately, for this host.
    package init(did text: String, host: String, signed: [UInt8], signature: [UInt8], nowMilliseconds: Int64) throws(ProofProblem) {
        let did = try DID(text)
        guard signed.count <= Self.maximumBytes, signature.count <= 65 else { throw ProofProblem("The proof is too long.") }
        let lines = String(decoding: signed, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        if lines.first.map(String.init) == SignedRequest.Scheme.did.text.description {
            guard lines.count == 9, lines[2] == host.lowercased(), lines[5] == text else {
                throw ProofProblem("The signed bytes are about something else.")
            }
            try SignatureTime.check(String(lines[6]), nowMilliseconds: nowMilliseconds, skewSeconds: Self.skewSeconds)
        } else {
            guard lines.contains("\"@authority\": \(host.lowercased())"), let last = lines.last, last.hasPrefix(Self.parameters),
                let found = try MessageSignature.parse(input: "s=" + last.dropFirst(Self.parameters.count), signature: "s=:AA==:").first,
                let keyID = found.keyID, let created = found.created, try DID(keyID: keyID).fingerprint == did.fingerprint
            else { throw ProofProblem("The signature base is about something else.") }
            try SignatureTime.check(seconds: created, nowMilliseconds: nowMilliseconds, skewSeconds: Self.skewSeconds)
        }
        guard did.isValid(signature: signature, over: signed) else { throw ProofProblem("The signature does not match.") }
        self.did = did
        self.host = host
    }

    private static let parameters = "\"@signature-params\": "
}
