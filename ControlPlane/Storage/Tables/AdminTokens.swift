/// An administrator's token; of its secret only the digest is here.
package struct AdminTokenRow: EntityRow {
    package static let table = "admin_tokens"
    package static let columns = ["name", "role", "sha256", "expires_at"]

    package let id: String
    package var name: String
    package var role: String
    /// SHA-256 of the whole plaintext.
    package var sha256: [UInt8]
    /// Unix milliseconds; nil: never.
    package var expiresAt: Int64?
    package var meta: RowMeta

    package init(id: String, name: String, role: String, sha256: [UInt8], expiresAt: Int64?, meta: RowMeta) {
        self.id = id
        self.name = name
        self.role = role
        self.sha256 = sha256
        self.expiresAt = expiresAt
        self.meta = meta
    }

    package init(_ row: SQLRow) throws {
        self.init(
            id: try row.text("id"), name: try row.text("name"), role: try row.text("role"), sha256: try row.blob("sha256"),
            expiresAt: try row.optionalInt("expires_at"), meta: try RowMeta(row))
    }

    package var key: String { id }
    package var values: [SQLValue] { [.text(name), .text(role), .blob(sha256), .optional(expiresAt)] }
}

package enum AdminTokensTable: EntityTable {
    package typealias Row = AdminTokenRow
}
