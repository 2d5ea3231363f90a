package import Primitives

/// A grant with which a DID passed a part of its right on to a key, and which does not count any more.
package struct RevokedGrantContent: Noun {
    package typealias Kind = RevokedGrantKind

    /// The DID that granted.
    package var didID = DIDEntryID("")
    /// Its DID's tenant.
    package var tenantID = TenantID("")
    /// The grant's `jti`.
    package var grantID = ""
    /// What data planes know it by.
    package var grantName = StoredBytes()

    package init() {}

    package static let words = NounWords(
        "revoked grant", path: "revoked-grants", "Grants of DIDs to keys that do not count any more, by their ids.",
        create: "--did-id \(DIDKind.example) --grant-id 5f3c1d7e", update: "")

    package static let fields: [Field<Self>] = [
        Field("did_id", \.didID, "The DID that granted.").fixed.filter.heading("DID"),
        Field("tenant_id", \.tenantID, "Its DID's tenant.").shown.filter,
        Field("grant_id", \.grantID, .token, "The grant's id: its jti.").fixed.filter.heading("GRANT"),
        Field("grant_name", \.grantName, "What data planes know it by.").hidden,
    ]

    package static let identity = ["did_id", "grant_id"]
    package var title: String { grantID }
}
