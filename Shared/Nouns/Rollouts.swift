package import Primitives

/// A configuration version on its way into force: for some at first, then for all.
package struct RolloutContent: Noun {
    package typealias Kind = RolloutKind

    /// What was decided about it.
    package enum Stage: String, Word {
        case candidate, promoted, aborted
        case rolledBack = "rolled_back"
    }

    /// How it stands when it is looked at.
    package enum Status: String, CaseIterable, Sendable {
        /// The candidate, before `effectiveAt`.
        case scheduled
        /// The candidate, in force for those it selects.
        case active
        case promoted, aborted
        case rolledBack = "rolled_back"
    }

    package var version: Int64 = 0
    /// The baseline when it was created; 0: there was none.
    package var baselineVersion: Int64 = 0
    /// The selectors; all have to match.
    package var tenantIDs = Scope<TenantID>.all
    package var regions = Scope<String>.all
    package var dataPlaneIDs = Scope<DataPlaneID>.all
    package var percentage = Percentage.all
    /// Unix milliseconds; 0 in what is wanted: at once.
    package var effectiveAt: Int64 = 0
    package var stage = Stage.candidate
    /// Decides which keys a percentage selects.
    package var salt = ""
    package var authorID = ""
    package var authorName = ""
    package var endedAt: Int64?
    /// The name of who promoted, aborted or rolled it back.
    package var endedBy: String?
    /// When it is looked at.
    private var now: Int64 = 0

    package init() {}

    package static let words = NounWords(
        "rollout", path: "rollouts", "Bring a configuration version into force: for some at first, then for all; or go back.",
        create: "--version 4 --region eu --percentage 5", update: "--percentage 20")

    private static let versions = FieldKind.integer(1...Int64.max)
    private static let author = [
        FieldShape("id", .text(maximum: 128), "Of the administrator."), FieldShape("name", .text(maximum: 128), "What people call him."),
    ]

    package static let fields: [Field<Self>] = [
        Field("version", \.version, versions, "The configuration version.").fixed.filter.heading("VERSION"),
        Field("baseline_version", \.baselineVersion, .number, "What was in force for all when it was created; 0: nothing.", or: 0).shown,
        Field(computed: "status", .word(Status.allCases.map(\.rawValue)), "How it stands.") { .string($0.status.rawValue) }
            .heading("STATUS"),
        Field("percentage", \.percentage, "Of the virtual keys; the same ones each time.", or: .all).column("percentage_basis_points")
            .heading("PERCENT"),
        Field("tenant_ids", \.tenantIDs, "The tenants it is for.", or: .all).option("tenant-id").heading("TENANTS"),
        Field("regions", \.regions, .scope(.label), "The regions whose data planes follow it.", or: .all).option("region")
            .heading("REGIONS"),
        Field("data_plane_ids", \.dataPlaneIDs, "The data planes that follow it.", or: .all).option("data-plane-id")
            .heading("DATA PLANES"),
        Field("effective_at", \.effectiveAt, .time, "From when on.").or(as: "at once") { $0.effectiveAt = 0 }.heading("EFFECTIVE"),
        Field("stage", \.stage, "What was decided about it.").hidden.column("state"),
        Field("salt", \.salt, .text(maximum: 64), "Decides which keys a percentage selects.").hidden,
        Field("author_id", \.authorID, .text(maximum: 128), "Who created it.").hidden,
        Field("author_name", \.authorName, .text(maximum: 128), "Who created it.").hidden,
        Field(computed: "author", .object(author), "Who created it.") { ["id": .string($0.authorID), "name": .string($0.authorName)] },
        Field("ended_at", \.endedAt, .time, "When it was promoted, aborted or rolled back.").shown,
        Field("ended_by", \.endedBy, .text(maximum: 128), "Who did that.").shown,
    ]

    package var title: String { "version \(version)" }
    package mutating func seen(at now: Int64) { self.now = now }

    package var status: Status {
        switch stage {
        case .candidate: effectiveAt > now ? .scheduled : .active
        case .promoted: .promoted
        case .aborted: .aborted
        case .rolledBack: .rolledBack
        }
    }
}
