package import Primitives

/// What an administrator may do. Owners may do everything; the others are not ordered.
package enum Role: String, Word {
    case owner, `operator`, billing, auditor, viewer
}

package struct AdminTokenContent: Noun {
    package typealias Kind = AdminTokenKind

    /// Nil: of the whole deployment.
    package var tenantID: TenantID?
    /// Who made it for himself; nil: it is nobody's in particular.
    package var personID: PersonID?
    package var name = ""
    package var role = Role.viewer
    /// Unix milliseconds; nil: never.
    package var expiresAt: Int64?
    /// Made at the server for an emergency.
    package var isBreakGlass = false
    /// Unix milliseconds; nil: never.
    package var lastUsedAt: Int64?
    /// SHA-256 of the whole plaintext.
    package var sha256 = StoredBytes()

    package init() {}

    package static let words = NounWords(
        "token", path: "tokens", "Administrators' tokens.", create: "--name ci --role operator --expires-at 2027-01-31",
        update: "--role viewer")

    package static let fields: [Field<Self>] = [
        Field("tenant_id", \.tenantID, "The tenant whose administrator it is; null: of the whole deployment.").fixed.filter.heading(
            "TENANT"
        )
        .reading(null: "all"),
        .name(\.name),
        Field("role", \.role, "owner, operator, billing, auditor or viewer.").heading("ROLE"),
        Field("expires_at", \.expiresAt, .time, "When it ends; null: never.").heading("EXPIRES").reading(null: "never"),
        Field("person_id", \.personID, "Whose it is: it may do what that person may, at most. null: nobody's in particular.").shown.filter,
        Field("break_glass", \.isBreakGlass, "Whether it was made at the server for an emergency.").shown,
        Field("last_used_at", \.lastUsedAt, .time, "When it was used last, to the minute; null: never.").observed.reading(null: "never"),
        Field("sha256", \.sha256, "The secret's digest.").hidden,
    ]

    package static let identity = ["tenant_id", "name"]
    package var title: String { name }
}
