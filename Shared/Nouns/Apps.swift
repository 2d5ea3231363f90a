package import Primitives

/// A program of the operator's own that asks on behalf of users; its owner pays.
package struct AppContent: Noun {
    package typealias Kind = AppKind

    package var tenantID = TenantID("")
    /// What the program calls itself; unique in the deployment, since a header carries nothing else.
    package var appID = ""
    package var name = ""
    package var description = ""
    /// The user who pays.
    package var ownerID = UserID("")
    package var status = Standing.active
    /// SHA-256 of the whole plaintext.
    package var sha256: StoredBytes?
    /// The digest that a rotation replaced; valid until `previousExpiresAt`.
    package var previousSHA256: StoredBytes?
    package var previousExpiresAt: Int64?
    /// When it is looked at.
    private var now: Int64 = 0

    package init() {}

    package static let words = NounWords(
        "app", path: "apps", "Programs that ask on behalf of users, on the internal channel. Their owners pay.",
        create: "--app-id billing --name \"Billing assistant\" --owner-id \(UserKind.example)", update: "--name \"Billing bot\"")

    package static let fields: [Field<Self>] = [
        Field("tenant_id", \.tenantID, "The tenant it belongs to.").or(as: "its owner's") { _ in }.fixed.filter.heading("TENANT"),
        Field("app_id", \.appID, .token, "What X-App-Id names; unique in the deployment.").fixed.filter.heading("APP ID"),
        // Found by its app id.
        .name(\.name).with { $0.isFilter = false },
        Field("description", \.description, .text(maximum: 1000), "What it is for.", or: ""),
        Field("owner_id", \.ownerID, "The user who pays for it; the API takes an oid, too.").or(as: "the query's owner_id") { _ in }.filter
            .heading("OWNER"),
        Field("status", \.status, "active or disabled; a disabled app is refused at once.", or: .active).heading("STATUS"),
        Field("sha256", \.sha256, "The secret's digest.").hidden,
        Field("previous_sha256", \.previousSHA256, "The digest of the secret before.").hidden,
        Field("previous_expires_at", \.previousExpiresAt, .time, "Until when the secret before works.").hidden,
        Field(computed: "previous_secret_expires_at", .time, "Until when the secret that a rotation replaced still works.") { app in
            app.previousExpiresAt.flatMap { $0 > app.now ? $0.json(as: .time) : nil } ?? .null
        }.with { $0.isNullable = true },
    ]

    package static let identity = ["app_id"]
    package var title: String { name }
    package mutating func seen(at now: Int64) { self.now = now }
}
