/// One way to reach a provider: a base URL and the credentials to use there. In the draft.
package struct EndpointRow: EntityRow {
    package static let table = "endpoints"
    package static let columns = ["provider_id", "name", "base_url", "credential_ids", "disabled"] + TimeoutsColumns.columns

    package let id: String
    package var providerID: String
    package var name: String
    /// Nil: the provider's.
    package var baseURL: String?
    package var credentialIDs: [String]
    package var disabled: Bool
    package var timeouts: TimeoutsColumns
    package var meta: RowMeta

    package init(
        id: String, providerID: String, name: String, baseURL: String?, credentialIDs: [String], disabled: Bool, timeouts: TimeoutsColumns,
        meta: RowMeta
    ) {
        self.id = id
        self.providerID = providerID
        self.name = name
        self.baseURL = baseURL
        self.credentialIDs = credentialIDs
        self.disabled = disabled
        self.timeouts = timeouts
        self.meta = meta
    }

    package init(_ row: SQLRow) throws {
        self.init(
            id: try row.text("id"), providerID: try row.text("provider_id"), name: try row.text("name"),
            baseURL: try row.optionalText("base_url"), credentialIDs: try TextList.decode(row.text("credential_ids")),
            disabled: try row.bool("disabled"), timeouts: try TimeoutsColumns(row), meta: try RowMeta(row))
    }

    package var key: String { id }
    package var values: [SQLValue] {
        [.text(providerID), .text(name), .optional(baseURL), .text(TextList.encode(credentialIDs)), .bool(disabled)] + timeouts.values
    }
}

package enum EndpointsTable: EntityTable {
    package typealias Row = EndpointRow
}
