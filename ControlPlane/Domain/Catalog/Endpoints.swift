package import Primitives
package import Storage

package struct EndpointContent: EntityContent {
    package var providerID: ProviderID
    package var name: String
    /// Nil: the provider's.
    package var baseURL: String?
    package var credentialIDs: [CredentialID]
    package var disabled: Bool
    package var timeouts: Timeouts

    package init(
        providerID: ProviderID, name: String, baseURL: String?, credentialIDs: [CredentialID], disabled: Bool, timeouts: Timeouts
    ) {
        self.providerID = providerID
        self.name = name
        self.baseURL = baseURL
        self.credentialIDs = credentialIDs
        self.disabled = disabled
        self.timeouts = timeouts
    }

    package var members: JSONObject {
        [
            "provider_id": .string(providerID.rawValue), "name": .string(name), "base_url": .optional(baseURL),
            "credential_ids": .identifiers(credentialIDs), "disabled": .bool(disabled), "timeouts": timeouts.json,
        ]
    }
}

package enum EndpointNoun: CatalogNoun {
    package typealias Kind = EndpointKind
    package typealias Content = EndpointContent
    package typealias Table = EndpointsTable

    package static let noun = "endpoint"
    package static let taken = FieldProblem("name", "is taken by another endpoint", remedy: "Choose another name.")

    package static func row(id: String, _ content: EndpointContent, meta: RowMeta) -> EndpointRow {
        EndpointRow(
            id: id, providerID: content.providerID.rawValue, name: content.name, baseURL: content.baseURL,
            credentialIDs: content.credentialIDs.map(\.rawValue), disabled: content.disabled, timeouts: content.timeouts.columns, meta: meta
        )
    }

    package static func content(of row: EndpointRow) throws -> EndpointContent {
        EndpointContent(
            providerID: ID(row.providerID), name: row.name, baseURL: row.baseURL, credentialIDs: row.credentialIDs.map { ID($0) },
            disabled: row.disabled, timeouts: Timeouts(row.timeouts))
    }

    package static func problems(of content: EndpointContent) -> [FieldProblem] {
        var validation = Validation()
        validation.name("name", content.name)
        if let url = content.baseURL { validation.baseURL("base_url", url) }
        validation.distinct("credential_ids", content.credentialIDs, maximum: 100)
        content.timeouts.check(&validation)
        return validation.problems
    }

    package static func problems(of content: EndpointContent, id: EndpointID, beside c: any SQLConnection) throws -> [FieldProblem] {
        var validation = Validation()
        if try ProvidersTable.find(c, content.providerID.rawValue) == nil {
            validation.add("provider_id", "names no provider", remedy: "Create the provider first, or name another.")
        }
        for (index, credential) in content.credentialIDs.enumerated() {
            guard let row = try CredentialsTable.find(c, credential.rawValue) else {
                validation.add("credential_ids[\(index)]", "names no credential", remedy: "Create the credential first, or name another.")
                continue
            }
            if row.providerID != content.providerID.rawValue {
                validation.add(
                    "credential_ids[\(index)]", "belongs to another provider",
                    remedy: "Name a credential of \(content.providerID.rawValue): one provider's secret is never sent to another.")
            }
        }
        return validation.problems
    }

    package static func referrers(to id: EndpointID, _ c: any SQLConnection) throws -> [Referrer] {
        let routes = try RoutesTable.all(c).filter { route in route.targets.contains { $0.endpointID == id.rawValue } }
        let prices = try PricesTable.all(c).filter { $0.endpointID == id.rawValue }
        return routes.map { Referrer(kind: "route", id: $0.id, name: $0.name) }
            + prices.map { Referrer(kind: "price", id: $0.id, name: RFC3339.string(milliseconds: $0.effectiveFrom)) }
    }
}
