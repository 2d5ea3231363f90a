import Contract
package import Nouns
package import Primitives

extension ProviderContent: Administered {
    package static var scope: NounScope { .draft }

    package func problems(replacing old: ProviderContent?, now: Int64) -> [FieldProblem] {
        var problems = BaseURLCheck.problems("base_url", baseURL)
        if auth != old?.auth || old == nil { problems += headerProblems }
        if !ConfigValidation.isAPIVersion(apiVersion ?? "") {
            problems.append(
                FieldProblem(
                    "api_version", "has other characters than letters, digits, '-', '.' and '_'", remedy: "Write it as 2024-10-21."))
        }
        if let caPEM, caPEM != old?.caPEM {
            if caPEM.utf8.count > 65_536 {
                problems.append(
                    FieldProblem("ca_pem", "is longer than 64 KiB", remedy: "Give only the certificates that this provider needs."))
            } else if !caPEM.contains("-----BEGIN CERTIFICATE-----") || !caPEM.contains("-----END CERTIFICATE-----") {
                problems.append(
                    FieldProblem(
                        "ca_pem", "holds no certificate", remedy: "Give certificates in PEM, or null for the system's trust roots."))
            } else if caPEM.contains("PRIVATE KEY") {
                problems.append(
                    FieldProblem("ca_pem", "holds a private key", remedy: "Give certificates only, and treat that key as disclosed."))
            }
        }
        return problems
    }

    private var headerProblems: [FieldProblem] {
        guard auth.scheme == .header else {
            return auth.header == nil
                ? []
                : [
                    FieldProblem(
                        "auth.header", "belongs to the scheme header only", remedy: "Leave it out, or set auth.scheme to header.")
                ]
        }
        let name = auth.header ?? ""
        // RFC 9110 §5.6.2, token.
        let isToken = name.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                || "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
        let ours = ["host", "content-length", "transfer-encoding", "connection", "content-type"]
        if name.isEmpty || name.utf8.count > 128 || !isToken {
            return [FieldProblem("auth.header", "is not a header's name", remedy: "Name the header that carries the key, such as api-key.")]
        } else if ours.contains(name.lowercased()) {
            return [FieldProblem("auth.header", "is set by Weir itself", remedy: "Name another header.")]
        }
        return []
    }
}

/// What data planes dial: http or https, without credentials, query or fragment.
enum BaseURLCheck {
    /// The same for what is called as it stands: it may have a query.
    static func address(_ field: String, _ value: String) -> [FieldProblem] {
        guard value.utf8.count <= 2048, value.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            return [FieldProblem(field, "is not a URL", remedy: "Write it as https://host[:port]/path.")]
        }
        return problems(field, String(value.prefix { $0 != "?" }))
    }

    static func problems(_ field: String, _ value: String) -> [FieldProblem] {
        guard case .failure(let invalid) = ConfigValidation.parse(baseURL: value) else { return [] }
        return [
            FieldProblem(field, invalid.reason, remedy: "Write it as https://host[:port][/path], without credentials, query or fragment.")
        ]
    }
}
