import Domain
import HTTPTypes
import Nouns
import Primitives

/// The whole installation on one screen, and what is wrong with it.
package struct StatusRoutes: RouteGroup {
    let status: StatusService

    package func addRoutes(to table: inout RouteTable) {
        let docs = RouteDocs("What is in force, how the fleet follows, and what needs somebody's attention.") {
            $0.answer = .object([
                .told("version", Shapes.words, "Of the control plane's software."), .told("time", .time, "By the control plane's clock."),
                .told("database", .word(["sqlite", "postgres"]), "Which kind it is."),
                .told("latest_version", .number, "The newest that was published.", nullable: true),
                .told("baseline_version", .number, "What serves all but the candidate's.", nullable: true),
                .told("candidate", .object(Self.candidate), "The rollout that is under way.", nullable: true),
                .told("draft", .object(Self.draft), "What publishing the draft would change."),
                .told("data_planes", .objects(Self.planes, maximum: 200), "Those that are not revoked, newest first."),
                .told("endpoints_in_trouble", .objects(Shapes.endpointState, maximum: 100), "What is failing or refused somewhere."),
                .told("retention", .objects(Self.retention, maximum: 10), "What was purged last, kind by kind."),
                .told("findings", .objects(Self.findings, maximum: 10_000), "What needs attention, the worst first."),
            ])
        }
        table.report("/admin/api/status", .admin(.read), docs) { request in
            try request.query.allow([])
            return .json(try await status.status(for: request.actor).json)
        }
    }

    private static let candidate: [FieldShape] = [
        .told("id", .id(RolloutKind.prefix), "Its identifier."), .told("version", .number, "The version that it offers."),
        .told("percentage", .percentage, "Of the virtual keys."), .told("effective_at", .time, "From when on."),
        .told("created_at", .time, "When it was made."),
    ]

    private static let draft: [FieldShape] = [
        .told("changes", .number, "How many resources would change."),
        .told("authors", .list(Shapes.words, 0...100_000), "Who changed them."),
    ]

    private static let planes: [FieldShape] = [
        .told("id", .id(DataPlaneKind.prefix), "Its identifier."), .told("name", Shapes.words, "What people call it."),
        .told("region", Shapes.words, "Its region."), .told("status", Shapes.words, "What is wrong with it, if anything; ok otherwise."),
        .told("version", Shapes.words, "Of its software."), .told("connected", .flag, "Whether it is connected."),
        .told("last_seen_at", .time, "When it was heard last.", nullable: true),
        .told("config_versions", .list(.number, 0...100_000), "The versions that it holds."),
        .told("behind", .flag, "Whether it has yet to take what is in force."),
        .told("outbox_batches", .number, "Batches of usage that it has not delivered.", nullable: true),
        .told("clock_ahead_ms", .anything, "How far its clock is ahead of the control plane's; null: it did not say."),
    ]

    private static let retention: [FieldShape] = [
        .told("records", .word(RetainedRecords.allCases.map(\.rawValue)), "Which kind."),
        .told("ran_at", .time, "When it was looked through last; null: not yet.", nullable: true),
        .told("before", .time, "What is from before is gone."), .told("removed", .number, "By the last run."),
        .told("removed_total", .number, "By all of them."),
        .told("held", Shapes.words, "Why more is kept than was asked for.", nullable: true),
    ]

    private static let findings: [FieldShape] = [
        .told("severity", .word(Finding.Severity.allCases.map(\.rawValue)), "How bad it is."),
        .told("code", .word(Finding.Code.allCases.map(\.rawValue)), "What kind of finding it is."),
        .told("subject", Shapes.words, "What it is about."), .told("message", Shapes.words, "What is wrong."),
        .told("command", Shapes.words, "The command that mends it, or tells more."),
    ]
}
