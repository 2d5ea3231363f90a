package import Primitives

/// A decentralised identifier whose holder signs requests.
package struct DIDContent: Noun {
    package typealias Kind = DIDKind

    package var tenantID = TenantID("")
    /// As its holder writes it.
    package var did = ""
    /// Whose it is; nil: nobody's in particular.
    package var userID: UserID?
    package var status = Standing.active
    /// SHA-256 of the key or account it stands for: another spelling of the same has the same.
    package var fingerprint = StoredBytes()
    /// The data plane at which it made its first request; nil: it was registered by an administrator.
    package var provisionedBy: DataPlaneID?

    package init() {}

    package static let words = NounWords(
        "did", path: "dids", "Decentralised identifiers that may sign requests: did:key, did:jwk, did:pkh (eip155).",
        create: "--tenant-id \(TenantKind.example) --did did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH",
        update: "--status disabled")

    package static let fields: [Field<Self>] = [
        Field("tenant_id", \.tenantID, "The tenant it belongs to.").fixed.filter.heading("TENANT"),
        Field("did", \.did, .checked(format: nil), "The identifier; unique in the deployment, by the key or account it stands for.").fixed
            .filter
            .heading("DID"),
        Field("user_id", \.userID, "The user it belongs to."),
        Field("status", \.status, "active or disabled; a disabled DID is refused at once.", or: .active).heading("STATUS"),
        Field("provisioned_by", \.provisionedBy, "The data plane where its first request made it; null: an administrator did.").shown,
        Field("fingerprint", \.fingerprint, "What it stands for.").hidden,
    ]

    package static let identity = ["did"]
    package var title: String { did }
}
