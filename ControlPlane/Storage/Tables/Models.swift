/// What callers put in `model`, in the draft.
package struct ModelRow: EntityRow {
    package static let table = "models"
    package static let columns = ["name", "capabilities", "context_window", "max_output_tokens", "tenant_ids", "owned_by"]

    package let id: String
    package var name: String
    package var capabilities: [String]
    /// Tokens; 0: not known.
    package var contextWindow: Int64
    package var maxOutputTokens: Int64
    /// Who sees it; empty: all tenants.
    package var tenantIDs: [String]
    package var ownedBy: String
    package var meta: RowMeta

    package init(
        id: String, name: String, capabilities: [String], contextWindow: Int64, maxOutputTokens: Int64, tenantIDs: [String],
        ownedBy: String,
        meta: RowMeta
    ) {
        self.id = id
        self.name = name
        self.capabilities = capabilities
        self.contextWindow = contextWindow
        self.maxOutputTokens = maxOutputTokens
        self.tenantIDs = tenantIDs
        self.ownedBy = ownedBy
        self.meta = meta
    }

    package init(_ row: SQLRow) throws {
        self.init(
            id: try row.text("id"), name: try row.text("name"), capabilities: try TextList.decode(row.text("capabilities")),
            contextWindow: try row.int("context_window"), maxOutputTokens: try row.int("max_output_tokens"),
            tenantIDs: try TextList.decode(row.text("tenant_ids")), ownedBy: try row.text("owned_by"), meta: try RowMeta(row))
    }

    package var key: String { id }
    package var values: [SQLValue] {
        [
            .text(name), .text(TextList.encode(capabilities)), .int(contextWindow), .int(maxOutputTokens),
            .text(TextList.encode(tenantIDs)),
            .text(ownedBy),
        ]
    }
}

package enum ModelsTable: EntityTable {
    package typealias Row = ModelRow
}
