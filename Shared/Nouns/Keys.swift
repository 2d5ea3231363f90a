package import Primitives

/// A key that callers authenticate with. Its secret was shown once; of it only the digest is here.
package struct VirtualKeyContent: Noun {
    package typealias Kind = KeyKind

    /// Fixed when the key is made.
    package var projectID = ProjectID("")
    /// Its project's, which never changes.
    package var tenantID = TenantID("")
    package var name = ""
    /// Whose key it is; nil: nobody's in particular.
    package var userID: UserID?
    /// Unix milliseconds; nil: never.
    package var expiresAt: Int64?
    package var models = Scope<String>.all
    package var capabilities = Scope<String>.all
    package var channels = Scope<String>.all
    package var tags: [String: String] = [:]
    /// What its holder may read about others than the key itself.
    package var rights: [String] = []
    /// From where it may be used; empty: anywhere.
    package var networks: [String] = []
    package var domains: [String] = []
    /// Of an endpoint's credentials only these; empty: any of them.
    package var credentialIDs: [CredentialID] = []
    package var revokedAt: Int64?
    /// SHA-256 of the whole plaintext.
    package var sha256 = StoredBytes()
    /// The digest that a rotation replaced; valid until `previousExpiresAt`.
    package var previousSHA256: StoredBytes?
    package var previousExpiresAt: Int64?
    /// When it is looked at.
    private var now: Int64 = 0
    /// Unix milliseconds; nil: never, or nobody has looked.
    package var lastUsedAt: Int64?

    package init() {}

    package static let words = NounWords(
        "key", path: "keys", "Virtual keys: what applications authenticate with.",
        create: "--project-id \(ProjectKind.example) --name backend --model gpt-4o-mini --tag team=search",
        update: "--model gpt-4o --model gpt-4o-mini")

    package static let fields: [Field<Self>] = [
        Field("project_id", \.projectID, "The project it belongs to.").fixed.filter.heading("PROJECT"),
        Field("tenant_id", \.tenantID, "Its project's tenant.").shown.filter,
        .name(\.name),
        Field("user_id", \.userID, "The user it belongs to: goes and is blocked with that one.").fixed.filter,
        Field(computed: "status", .word(["active", "revoked", "expired"]), "Whether it works.") { .string($0.status) }.heading("STATUS"),
        Field("expires_at", \.expiresAt, .time, "When it ends; null: never.").heading("EXPIRES").reading(null: "never"),
        Field("models", \.models, .scope(.token), "The models it may use, by name.", or: .all).option("model").heading("MODELS"),
        Field("capabilities", \.capabilities, .scope(.word(Vocabulary.capabilities)), "What it may ask for.", or: .all)
            .option("capability"),
        Field("channels", \.channels, .scope(.word(Vocabulary.channels)), "The channels it may use.", or: .all).option("channel"),
        Field("tags", \.tags, "Labels for reports.", or: [:]).option("tag"),
        Field(
            "rights", \.rights, .list(.word(Vocabulary.keyRights), 0...4),
            "What its holder may do beside asking: read its project's or tenant's usage, choose its requests' endpoints, see which one served.",
            or: []
        ).option("right"),
        Field(
            "networks", \.networks, .list(.token, 0...64),
            "Networks from which it may be used (10.0.0.0/8, fd00::/16, 192.0.2.7); empty: from anywhere.", or: []
        ).option("network"),
        Field(
            "domains", \.domains, .list(.token, 0...64),
            "Hosts whose pages may use it (app.example, *.app.example), by what their browsers say; empty: any.", or: []
        ).option("domain"),
        Field(
            "credential_ids", \.credentialIDs, .list(.id(CredentialKind.prefix), 0...16),
            "Provider credentials that it uses: of an endpoint's own these and no others; empty: any of them.", or: []
        ).option("credential-id"),
        Field("revoked_at", \.revokedAt, .time, "When it was ended for good.").shown,
        Field(computed: "last_used_at", .time, "When it was used last, to the minute; null: never.") { $0.lastUsedAt.json(as: .time) }.with
        {
            $0.isNullable = true
            $0.nullWord = "never"
            $0.isObserved = true
            $0.heading = "LAST USED"
        },
        Field("sha256", \.sha256, "The secret's digest.").hidden,
        Field("previous_sha256", \.previousSHA256, "The digest of the secret before.").hidden,
        Field("previous_expires_at", \.previousExpiresAt, .time, "Until when the secret before works.").hidden,
        Field(computed: "previous_secret_expires_at", .time, "Until when the secret that a rotation replaced still works.") { key in
            key.previousExpiresAt.flatMap { $0 > key.now ? $0.json(as: .time) : nil } ?? .null
        }.nullable,
    ]

    package var title: String { name }
    package mutating func seen(at now: Int64) { self.now = now }

    /// `active`, `revoked` or `expired`, when it was looked at.
    package var status: String {
        if revokedAt != nil { return "revoked" }
        return expiresAt.map { $0 <= now } == true ? "expired" : "active"
    }
}
