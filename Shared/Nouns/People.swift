package import Primitives

/// Who says which role a person has.
package enum RoleSource: String, Word {
    /// Another administrator.
    case hand
    /// The groups that the identity provider tells at each sign-on.
    case groups
}

/// An administrator who signs on.
package struct PersonContent: Noun {
    package typealias Kind = PersonKind

    /// Nil: of the whole deployment.
    package var tenantID: TenantID?
    /// In lower case.
    package var email: String?
    package var name = ""
    package var role = Role.viewer
    package var status = Standing.active
    package var roleSource = RoleSource.hand
    /// Who it is to the identity provider; nil: has not signed on yet.
    package var issuer: String?
    package var subject: String?
    /// Unix milliseconds; nil: never.
    package var lastSignInAt: Int64?

    package init() {}

    package static let words = NounWords(
        "person", path: "people", "Administrators who sign on, for the whole deployment or for one tenant.",
        create: "--email ada@example.org --role operator", update: "--status disabled")

    package static let fields: [Field<Self>] = [
        Field("tenant_id", \.tenantID, "The tenant whose administrator it is; null: of the whole deployment.").fixed.filter.heading(
            "TENANT"
        )
        .reading(null: "all"),
        Field(
            "email", \.email, .token,
            "By which the identity provider's first sign-on is known to be this person's; null: known already."
        ).filter.heading("EMAIL"),
        Field.name(\.name).or(as: "the email") { $0.name = $0.email?.lowercased() ?? "" },
        Field("role", \.role, "owner, operator, billing, auditor or viewer.").filter.heading("ROLE"),
        Field("status", \.status, "active or disabled; a disabled person's sessions and tokens end at once.", or: .active).filter
            .heading("STATUS"),
        Field("role_source", \.roleSource, "hand: the role was given here; groups: the identity provider's groups give it at each sign-on.")
            .shown,
        Field("issuer", \.issuer, .text(maximum: 512), "The identity provider; null: has not signed on yet.").shown.nullable,
        Field("subject", \.subject, .text(maximum: 255), "Who it is there.").shown.nullable,
        Field("last_sign_in_at", \.lastSignInAt, .time, "When it signed on last; null: never.").observed.heading("SIGNED ON")
            .reading(null: "never"),
    ]

    package static let identity = ["tenant_id", "email"]
    package var title: String { name }
}

/// Whom the identity provider counts in this group, has this role.
package struct GroupRoleContent: Noun {
    package typealias Kind = GroupRoleKind

    /// Everybody whom the provider signs on.
    package static let everybody = "*"

    package var tenantID: TenantID?
    package var group = ""
    package var role = Role.viewer

    package init() {}

    package static let words = NounWords(
        "group role", path: "group-roles", "Roles that the identity provider's groups give at each sign-on.",
        create: "--group platform-team --role operator", update: "--role viewer")

    package static let fields: [Field<Self>] = [
        Field("tenant_id", \.tenantID, "The tenant that the role is for; null: the whole deployment.").fixed.filter.heading("TENANT")
            .reading(null: "all"),
        Field("group", \.group, .name, "As the provider's groups claim has it; * means everybody whom it signs on.").column("group_name")
            .fixed
            .heading("GROUP"),
        Field("role", \.role, "owner, operator, billing, auditor or viewer. Of several, the first in this order counts.").heading("ROLE"),
    ]

    package static let identity = ["tenant_id", "group"]
    package var title: String { group }
}
