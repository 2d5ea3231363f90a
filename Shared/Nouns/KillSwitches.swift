package import Primitives

/// Stops everything of a tenant, project, key, app or model, or of the world, at once, on every data plane and with what runs. Nobody is
/// blamed: who asks is told that the operator has stopped it. Lifted by deleting it.
package struct KillSwitchContent: Noun {
    package typealias Kind = KillSwitchKind

    /// What is stopped: `world`, or the identifier of a tenant, project, key, app or model.
    package var subjectID = ""
    /// The subject's; nil for the world and for models.
    package var tenantID: TenantID?
    package var reason = ""
    /// Unix milliseconds; nil: until it is lifted.
    package var expiresAt: Int64?

    package init() {}

    package static let words = NounWords(
        "kill switch", path: "kill-switches", "What is stopped at once, running requests included. Deleting one lifts it.",
        create: "--subject-id \(ProjectKind.example) --reason \"runaway agent\"", update: "--expires-at 2027-01-31")

    /// Everything that every data plane serves.
    package static let world = "world"

    /// Prefixes of what can be stopped, and the words for it.
    package static let subjects = [
        TenantKind.prefix: "tenant", ProjectKind.prefix: "project", KeyKind.prefix: "key", AppKind.prefix: "app", ModelKind.prefix: "model",
    ]

    package static let fields: [Field<Self>] = [
        Field("subject_id", \.subjectID, .token, "What: the id of a tenant, project, key, app or model, or \"world\" for everything.")
            .fixed
            .filter
            .heading("WHAT"),
        Field("tenant_id", \.tenantID, "The tenant of that one; null for models and the world.").shown.filter.heading("TENANT"),
        Field(computed: "kind", .word(KillSwitchContent.subjects.values.sorted() + [world]), "What kind of thing is stopped.") { kill in
            .string(KillSwitchContent.subjects.first { kill.subjectID.hasPrefix($0.key) }?.value ?? world)
        }.heading("KIND"),
        Field("reason", \.reason, .text(maximum: 500), "Why; for administrators.", or: "").heading("REASON"),
        Field("expires_at", \.expiresAt, .time, "When it ends by itself; null: when it is lifted.").heading("EXPIRES"),
    ]

    package var title: String { subjectID }
}
