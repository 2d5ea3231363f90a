package import Primitives

/// What a ban shuts out.
package enum BanCoverage: String, Word {
    case everything
    /// Requests that are signed in a key's name; the plain key works on, which nobody can guess.
    case signatures

    package static var unknown: BanCoverage? { .everything }
}

/// Shuts somebody out at once, on every data plane and with what runs. Lifted by deleting it.
package struct BanContent: Noun {
    package typealias Kind = BanKind

    /// Whom: a tenant, user, app, key or DID.
    package var subjectID = ""
    /// The subject's.
    package var tenantID = TenantID("")
    package var covers = BanCoverage.everything
    package var reason = ""
    /// Unix milliseconds; nil: until it is lifted.
    package var expiresAt: Int64?
    /// Made by an administrator of the tenant, who may lift it.
    package var isTenants = false

    package init() {}

    package static let words = NounWords(
        "ban", path: "bans", "Who is shut out at once, running requests included. Deleting one lifts it.",
        create: "--subject-id \(UserKind.example) --reason \"stolen card\"", update: "--expires-at 2027-01-31")

    /// Prefixes of what can be banned, and the words for it.
    package static let subjects = [
        TenantKind.prefix: "tenant", UserKind.prefix: "user", AppKind.prefix: "app", KeyKind.prefix: "key", DIDKind.prefix: "did",
    ]

    package static let fields: [Field<Self>] = [
        Field("subject_id", \.subjectID, .token, "Whom: a tenant, user, app, key or DID. A user's keys, DIDs and the apps it owns follow.")
            .fixed
            .filter
            .heading("WHOM"),
        Field("tenant_id", \.tenantID, "The tenant of that one.").shown.filter.heading("TENANT"),
        Field(computed: "kind", .word(BanContent.subjects.values.sorted()), "What is banned.") { ban in
            .string(BanContent.subjects.first { ban.subjectID.hasPrefix($0.key) }?.value ?? "")
        }.heading("KIND"),
        Field(
            "covers", \.covers, "everything; or signatures: of a key, only requests that are signed in its name (a data plane freezes so).",
            or: .everything
        ).heading("COVERS"),
        Field("reason", \.reason, .text(maximum: 500), "Why; for administrators.", or: "").heading("REASON"),
        Field("expires_at", \.expiresAt, .time, "When it ends by itself; null: when it is lifted.").heading("EXPIRES"),
        Field("by_tenant", \.isTenants, "Whether an administrator of the tenant made it; others are changed and lifted by the operator.")
            .shown,
    ]

    package var title: String { subjectID }
}
