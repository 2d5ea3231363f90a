package import Primitives

/// A one-time permission to enrol a data plane. What it says of the data plane is fixed by it, not by who enrols.
package struct EnrollmentTokenContent: Noun {
    package typealias Kind = EnrollmentTokenKind

    /// Empty: the data plane chooses.
    package var name = ""
    package var region = "default"
    package var tenantIDs = Scope<TenantID>.all
    /// For how long it can be used; only on its way to `expiresAt`.
    package var ttlSeconds: Int64 = 3600
    /// Unix milliseconds.
    package var expiresAt: Int64 = 0
    package var usedAt: Int64?
    /// Whom it let in.
    package var dataPlaneID: DataPlaneID?
    /// SHA-256 of the secret in its text.
    package var sha256 = StoredBytes()

    package init() {}

    package static let words = NounWords(
        "enrolment token", path: "enrollment-tokens", "Enrolment tokens: a new data plane presents one, once.",
        create: "--name eu-1 --region eu --ttl-seconds 3600", update: "")

    package static let fields: [Field<Self>] = [
        Field("name", \.name, .text(maximum: 128), "What people will call the data plane.", or: "").fixed.heading("NAME"),
        Field("region", \.region, .label, "The data plane's region.", or: "default").fixed.heading("REGION"),
        Field("tenant_ids", \.tenantIDs, "The tenants it serves.", or: .all).fixed.option("tenant-id").heading("TENANTS"),
        Field("ttl_seconds", \.ttlSeconds, .integer(1...2_592_000), "For how long the token can be used.", or: 3600).fixed.transient,
        Field("expires_at", \.expiresAt, .time, "Until when it can be used.", or: 0).shown.heading("EXPIRES"),
        Field("used_at", \.usedAt, .time, "When it was used.").shown.heading("USED"),
        Field("data_plane_id", \.dataPlaneID, "Whom it let in.").shown.heading("DATA PLANE"),
        Field("sha256", \.sha256, "The secret's digest.").hidden.column("token_sha256"),
    ]

    package var title: String { name.isEmpty ? region : name }
}
