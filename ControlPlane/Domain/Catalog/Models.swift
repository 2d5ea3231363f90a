import Contract
package import Primitives
package import Storage

package struct ModelContent: EntityContent {
    /// What callers put in `model`.
    package var name: String
    package var capabilities: [String]
    /// Tokens; 0: not known.
    package var contextWindow: Int64
    package var maxOutputTokens: Int64
    /// Who sees it; empty: all tenants.
    package var tenantIDs: [TenantID]
    package var ownedBy: String

    package init(
        name: String, capabilities: [String], contextWindow: Int64, maxOutputTokens: Int64, tenantIDs: [TenantID], ownedBy: String
    ) {
        self.name = name
        self.capabilities = capabilities
        self.contextWindow = contextWindow
        self.maxOutputTokens = maxOutputTokens
        self.tenantIDs = tenantIDs
        self.ownedBy = ownedBy
    }

    package var members: JSONObject {
        [
            "name": .string(name), "capabilities": .strings(capabilities), "context_window": .int(contextWindow),
            "max_output_tokens": .int(maxOutputTokens), "tenant_ids": .identifiers(tenantIDs), "owned_by": .string(ownedBy),
        ]
    }
}

package enum ModelNoun: CatalogNoun {
    package typealias Kind = ModelKind
    package typealias Content = ModelContent
    package typealias Table = ModelsTable

    package static let noun = "model"
    package static let taken = FieldProblem("name", "is taken by another model", remedy: "Choose another name.")
    /// Far above every model there is, and far from where sums would overflow.
    private static let maximumTokens: Int64 = 1_000_000_000

    package static func row(id: String, _ content: ModelContent, meta: RowMeta) -> ModelRow {
        ModelRow(
            id: id, name: content.name, capabilities: content.capabilities, contextWindow: content.contextWindow,
            maxOutputTokens: content.maxOutputTokens, tenantIDs: content.tenantIDs.map(\.rawValue), ownedBy: content.ownedBy, meta: meta)
    }

    package static func content(of row: ModelRow) throws -> ModelContent {
        ModelContent(
            name: row.name, capabilities: row.capabilities, contextWindow: row.contextWindow, maxOutputTokens: row.maxOutputTokens,
            tenantIDs: row.tenantIDs.map { ID($0) }, ownedBy: row.ownedBy)
    }

    package static func problems(of content: ModelContent) -> [FieldProblem] {
        var validation = Validation()
        validation.token("name", content.name)
        validation.words("capabilities", content.capabilities, among: ConfigValidation.capabilities.sorted())
        if content.capabilities.isEmpty {
            validation.add("capabilities", "is empty", remedy: "Name at least one of: chat, completions, embeddings.")
        }
        validation.range("context_window", content.contextWindow, 0...maximumTokens)
        validation.range("max_output_tokens", content.maxOutputTokens, 0...maximumTokens)
        validation.distinct("tenant_ids", content.tenantIDs)
        if !content.ownedBy.isEmpty { validation.name("owned_by", content.ownedBy) }
        return validation.problems
    }

    package static func problems(of content: ModelContent, id: ModelID, beside c: any SQLConnection) throws -> [FieldProblem] {
        var validation = Validation()
        for (index, tenant) in content.tenantIDs.enumerated() where try TenantsTable.find(c, tenant.rawValue) == nil {
            validation.add("tenant_ids[\(index)]", "names no tenant", remedy: "Name an existing tenant, or none for all.")
        }
        return validation.problems
    }

    package static func referrers(to id: ModelID, _ c: any SQLConnection) throws -> [Referrer] {
        let routes = try RoutesTable.all(c).filter { $0.modelID == id.rawValue }
        let prices = try PricesTable.all(c).filter { $0.modelID == id.rawValue }
        return routes.map { Referrer(kind: "route", id: $0.id, name: $0.name) }
            + prices.map { Referrer(kind: "price", id: $0.id, name: RFC3339.string(milliseconds: $0.effectiveFrom)) }
    }
}
