package import Primitives

/// What an administrator may do. Owners may do everything; the others are not ordered.
package enum Role: String, Word {
    case owner, `operator`, billing, auditor, viewer
}

package struct AdminTokenContent: Noun {
    package typealias Kind = AdminTokenKind

    package var name = ""
    package var role = Role.viewer
    /// Unix milliseconds; nil: never.
    package var expiresAt: Int64?
    /// SHA-256 of the whole plaintext.
    package var sha256 = StoredBytes()

    package init() {}

    package static let words = NounWords(
        "token", path: "tokens", "Administrators' tokens.", create: "--name ci --role operator --expires-at 2027-01-31",
        update: "--role viewer")

    package static let fields: [Field<Self>] = [
        .name(\.name),
        Field("role", \.role, "owner, operator, billing, auditor or viewer.").heading("ROLE"),
        Field("expires_at", \.expiresAt, .time, "When it ends; null: never.").heading("EXPIRES").reading(null: "never"),
        Field("sha256", \.sha256, "The secret's digest.").hidden,
    ]

    package var title: String { name }
}
