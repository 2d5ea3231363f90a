import Contract
package import Primitives
package import Storage

/// How a provider wants to be told who calls.
package enum AuthScheme: String, CaseIterable, Sendable {
    case bearer, header, basic, none
}

/// Milliseconds; 0 leaves it to the data plane's own setting.
package struct Timeouts: Sendable, Hashable {
    package static let maximumMS: Int64 = 3_600_000

    package var connectMS: Int64
    package var firstByteMS: Int64
    package var idleMS: Int64
    package var totalMS: Int64

    package init(connectMS: Int64 = 0, firstByteMS: Int64 = 0, idleMS: Int64 = 0, totalMS: Int64 = 0) {
        self.connectMS = connectMS
        self.firstByteMS = firstByteMS
        self.idleMS = idleMS
        self.totalMS = totalMS
    }

    init(_ columns: TimeoutsColumns) {
        self.init(connectMS: columns.connectMS, firstByteMS: columns.firstByteMS, idleMS: columns.idleMS, totalMS: columns.totalMS)
    }

    var columns: TimeoutsColumns {
        TimeoutsColumns(connectMS: connectMS, firstByteMS: firstByteMS, idleMS: idleMS, totalMS: totalMS)
    }

    var json: JSONValue {
        ["connect_ms": .int(connectMS), "first_byte_ms": .int(firstByteMS), "idle_ms": .int(idleMS), "total_ms": .int(totalMS)]
    }

    func check(_ validation: inout Validation) {
        validation.range("timeouts.connect_ms", connectMS, 0...Self.maximumMS)
        validation.range("timeouts.first_byte_ms", firstByteMS, 0...Self.maximumMS)
        validation.range("timeouts.idle_ms", idleMS, 0...Self.maximumMS)
        validation.range("timeouts.total_ms", totalMS, 0...Self.maximumMS)
    }
}

package struct ProviderContent: EntityContent {
    package var name: String
    package var kind: String
    package var baseURL: String
    package var authScheme: AuthScheme
    /// For the scheme `header`: its name; else empty.
    package var authHeader: String
    /// Extra trust roots in PEM; empty: none.
    package var caPEM: String
    package var timeouts: Timeouts

    package init(
        name: String, kind: String, baseURL: String, authScheme: AuthScheme, authHeader: String, caPEM: String, timeouts: Timeouts
    ) {
        self.name = name
        self.kind = kind
        self.baseURL = baseURL
        self.authScheme = authScheme
        self.authHeader = authHeader
        self.caPEM = caPEM
        self.timeouts = timeouts
    }

    package var members: JSONObject {
        var auth: JSONObject = ["scheme": .string(authScheme.rawValue)]
        if authScheme == .header { auth["header"] = .string(authHeader) }
        return [
            "name": .string(name), "kind": .string(kind), "base_url": .string(baseURL), "auth": .object(auth),
            "ca_pem": caPEM.isEmpty ? .null : .string(caPEM), "timeouts": timeouts.json,
        ]
    }
}

package enum ProviderNoun: CatalogNoun {
    package typealias Kind = ProviderKind
    package typealias Content = ProviderContent
    package typealias Table = ProvidersTable

    package static let noun = "provider"
    package static let taken = FieldProblem("name", "is taken by another provider", remedy: "Choose another name.")

    package static func row(id: String, _ content: ProviderContent, meta: RowMeta) -> ProviderRow {
        ProviderRow(
            id: id, name: content.name, kind: content.kind, baseURL: content.baseURL, authScheme: content.authScheme.rawValue,
            authHeader: content.authHeader, caPEM: content.caPEM, timeouts: content.timeouts.columns, meta: meta)
    }

    package static func content(of row: ProviderRow) throws -> ProviderContent {
        guard let scheme = AuthScheme(rawValue: row.authScheme) else {
            throw DatabaseError.unexpectedValue("providers.auth_scheme holds something else")
        }
        return ProviderContent(
            name: row.name, kind: row.kind, baseURL: row.baseURL, authScheme: scheme, authHeader: row.authHeader, caPEM: row.caPEM,
            timeouts: Timeouts(row.timeouts))
    }

    package static func problems(of content: ProviderContent) -> [FieldProblem] {
        var validation = Validation()
        validation.name("name", content.name)
        if !ConfigValidation.providerKinds.contains(content.kind) {
            let known = ConfigValidation.providerKinds.sorted().joined(separator: ", ")
            validation.add("kind", "is not a kind of provider", remedy: "Use one of: \(known).")
        }
        validation.baseURL("base_url", content.baseURL)
        checkHeader(content, &validation)
        if !content.caPEM.isEmpty {
            if content.caPEM.utf8.count > 65_536 {
                validation.add("ca_pem", "is longer than 64 KiB", remedy: "Give only the certificates that this provider needs.")
            } else if !content.caPEM.contains("-----BEGIN CERTIFICATE-----") || !content.caPEM.contains("-----END CERTIFICATE-----") {
                validation.add("ca_pem", "holds no certificate", remedy: "Give certificates in PEM, or null for the system's trust roots.")
            } else if content.caPEM.contains("PRIVATE KEY") {
                validation.add("ca_pem", "holds a private key", remedy: "Give certificates only, and treat that key as disclosed.")
            }
        }
        content.timeouts.check(&validation)
        return validation.problems
    }

    private static func checkHeader(_ content: ProviderContent, _ validation: inout Validation) {
        guard content.authScheme == .header else {
            if !content.authHeader.isEmpty {
                validation.add("auth.header", "belongs to the scheme header only", remedy: "Leave it out, or set auth.scheme to header.")
            }
            return
        }
        let name = content.authHeader
        // RFC 9110 §5.6.2, token.
        let isToken = name.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                || "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
        let ours = ["host", "content-length", "transfer-encoding", "connection", "content-type"]
        if name.isEmpty || name.utf8.count > 128 || !isToken {
            validation.add("auth.header", "is not a header's name", remedy: "Name the header that carries the key, such as api-key.")
        } else if ours.contains(name.lowercased()) {
            validation.add("auth.header", "is set by Weir itself", remedy: "Name another header.")
        }
    }

    package static func problems(of content: ProviderContent, id: ProviderID, beside c: any SQLConnection) throws -> [FieldProblem] { [] }

    package static func referrers(to id: ProviderID, _ c: any SQLConnection) throws -> [Referrer] {
        let endpoints = try EndpointsTable.all(c).filter { $0.providerID == id.rawValue }
        let credentials = try CredentialsTable.all(c).filter { $0.providerID == id.rawValue }
        return endpoints.map { Referrer(kind: "endpoint", id: $0.id, name: $0.name) }
            + credentials.map { Referrer(kind: "credential", id: $0.id, name: $0.name) }
    }
}
