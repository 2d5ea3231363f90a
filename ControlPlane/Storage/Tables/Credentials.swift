/// A provider's key, encrypted. `meta.revision` is the number of its last change among all credentials.
package struct CredentialRow: EntityRow {
    package static let table = "credentials"
    package static let columns = ["provider_id", "name", "ciphertext", "secret_hint", "deleted_at"]

    package let id: String
    package let providerID: String
    package var name: String
    /// AES-256-GCM, bound to the row; empty once it is deleted.
    package var ciphertext: [UInt8]
    /// The end of a long secret, for people; empty for a short one.
    package var secretHint: String
    package var meta: RowMeta
    package var deletedAt: Int64?

    package init(
        id: String, providerID: String, name: String, ciphertext: [UInt8], secretHint: String, meta: RowMeta, deletedAt: Int64? = nil
    ) {
        self.id = id
        self.providerID = providerID
        self.name = name
        self.ciphertext = ciphertext
        self.secretHint = secretHint
        self.meta = meta
        self.deletedAt = deletedAt
    }

    package init(_ row: SQLRow) throws {
        self.init(
            id: try row.text("id"), providerID: try row.text("provider_id"), name: try row.text("name"),
            ciphertext: try row.blob("ciphertext"), secretHint: try row.text("secret_hint"), meta: try RowMeta(row),
            deletedAt: try row.optionalInt("deleted_at"))
    }

    package var key: String { id }
    package var values: [SQLValue] {
        [.text(providerID), .text(name), .blob(ciphertext), .text(secretHint), .optional(deletedAt)]
    }
}

package enum CredentialsTable: EntityTable {
    package typealias Row = CredentialRow
    package static let present: String? = "deleted_at IS NULL"

    /// What changed after the credentials' revision `revision`, removed rows included.
    package static func changedSince(_ c: any SQLConnection, _ revision: Int64) throws -> [CredentialRow] {
        try changed(c, "revision", above: revision)
    }
}
