import Domain
import Nouns
import Primitives

/// What is answered about the draft, versions and rollouts.
extension Shapes {
    private static let number = FieldKind.number

    static let author = FieldKind.object([told("id", words, "Of the administrator."), told("name", words, "What people call it.")])

    // MARK: Configuration

    /// What is wrong with a configuration, and where in it.
    static let findings = FieldKind.objects(
        [told("path", words, "Where."), told("message", words, "What is wrong."), told("remedy", words, "What to do about it.")],
        maximum: 100_000)

    static let validation: [FieldShape] = [
        told("valid", .flag, "Whether it can be published."), told("problems", findings, "What keeps it from being published."),
        told("warnings", findings, "What is allowed and most likely not meant."),
    ]

    static let testCalls: [FieldShape] = [
        told("ok", .flag, "Whether every endpoint answered well."),
        told(
            "items",
            .objects(
                [
                    told("endpoint_id", words, "The endpoint."), told("name", words, "What people call it."),
                    told("credential_id", words, "The credential it was called with.", nullable: true),
                    told("ok", .flag, "Whether it answered well."), told("status", number, "HTTP's; null: no answer.", nullable: true),
                    told("message", words, "What came of it."), told("duration_ms", number, "How long it took."),
                ], maximum: TestCalls.maximumCalls), "One call each."),
    ]

    static let plan: [FieldShape] = [
        told("channel", words, "Whose requests go through it."),
        told("workflow", words, "The channel's workflow; null: the default one.", nullable: true),
        told(
            "checks",
            .objects(
                [
                    told("stage", words, "Of the spine."), told("step", words, "Of the workflow; null: the stage itself.", nullable: true),
                    told("kind", words, "Of the step.", nullable: true), told("about", words, "What is checked."),
                    told("failure", words, "What a failure does.", nullable: true),
                ], maximum: 64), "In the order in which they run."),
        told("text", words, "The same as a picture in text."),
    ]

    /// A configuration's parts, as they are administered.
    private static let sections: [FieldShape] = [
        section(ProviderContent.self), section(EndpointContent.self),
        section(ModelContent.self, [told("created_at", .time, "When it was made.")]), section(RouteContent.self),
        section(PriceContent.self), section(WorkflowContent.self),
    ]

    private static func section<Content: Noun>(_ noun: Content.Type, _ more: [FieldShape] = []) -> FieldShape {
        let shown = [told("id", .id(Content.Kind.prefix), "Its identifier.")] + Content.shapes.filter(\.isShown) + more
        return told(Content.words.path, .objects(shown, maximum: 1_000_000), Content.words.about)
    }

    private static let rolledBack = told(
        "rolled_back",
        .objects(
            [
                told("version", number, "The version that was left."), told("restored_version", number, "What serves all instead."),
                told("by", words, "Who went back."), told("at", .time, "When."),
                told(
                    "still_in_draft",
                    .objects(
                        [
                            told("resource", words, "Of which kind."), told("id", words, "Its identifier."),
                            told("name", words, "What people call it."),
                        ], maximum: 1_000_000), "What of it the draft still holds."),
            ], maximum: 100_000), "Versions that were rolled back and of which the draft still holds something.")

    static let draft: [FieldShape] =
        [
            told("base_version", number, "The version that the edits started from.", nullable: true),
            told("latest_version", number, "The newest version.", nullable: true),
            told("changed", .flag, "Whether publishing would make something new."), rolledBack,
        ] + sections

    private static let difference: [FieldShape] = [
        told("id", words, "Its identifier."), told("name", words, "What people call it."),
        told(
            "fields",
            .objects(
                [
                    told("path", words, "Which field."), told("from", .anything, "What it was; null: not there."),
                    told("to", .anything, "What it is; null: not there."),
                ], maximum: 100_000), "What differs."),
    ]

    private static let changes = told(
        "changes",
        .objects(
            difference + [
                told("resource", words, "Of which kind."), told("change", .word(["added", "removed", "changed"]), "What became of it."),
                told(
                    "edits",
                    .objects(
                        [
                            told("actor", author, "Who."), told("action", words, "What was done."), told("at", .time, "When."),
                        ], maximum: 100), "Who did that, newest first."),
            ], maximum: 1_000_000), "What differs from the version before, and who changed it.")

    static let draftChanges: [FieldShape] = [
        told("revision", number, "The draft's."), told("since_version", number, "What it is compared with.", nullable: true), changes,
        rolledBack,
    ]

    static let configVersion: [FieldShape] = [
        told("id", words, "Its number, as a text."), told("version", number, "Its number."),
        told("digest", words, "SHA-256 of what is signed, hexadecimal."), told("payload_bytes", number, "Its size, in bytes."),
        told("note", words, "Why it was published."), told("author", author, "Who published it."),
        told("restores", number, "The version whose content it repeats.", nullable: true),
        told("created_at", .time, "When it was published."), told("updated_at", .time, "The same: nothing about a version changes."),
    ]
    static let publication = configVersion + [changes]
    static let versionWithContent = configVersion + [told("config", .object(sections), "Its content.")]

    private static let compared: [FieldShape] = [
        told("from", words, "A version's number, or draft."), told("to", words, "A version's number, or draft."),
        told("identical", .flag, "Whether nothing differs."),
    ]
    private static let differences: [FieldShape] = sections.map { section -> FieldShape in
        let list = FieldKind.objects(difference, maximum: 1_000_000)
        let kind = FieldKind.object([
            told("added", list, "Only in the second."), told("removed", list, "Only in the first."),
            told("changed", list, "In both, not the same."),
        ])
        return told(section.name, kind, section.about)
    }
    static let diff: [FieldShape] = compared + differences

    // MARK: Rollouts

    static let reach: [FieldShape] = [
        told("keys", number, "Virtual keys that work and get it on at least one data plane."),
        told("all_keys", number, "Virtual keys that work in all."), told("tenants", number, "The tenants of those keys."),
        told("data_planes", number, "Data planes that follow it."), told("warnings", problems, "What is odd about it."),
    ]

    static let rolloutKey: [FieldShape] = [
        told("id", .id(KeyKind.prefix), "The key."), told("name", words, "What people call it."),
        told("project_id", .id(ProjectKind.prefix), "Its project."), told("tenant_id", .id(TenantKind.prefix), "Its tenant."),
    ]

    static let rolloutStanding: [FieldShape] = [
        told("document_version", number, "Of the signed rollout document; 0: none was made yet."),
        told("baseline_version", number, "In force for all whom the candidate does not reach; 0: none."),
        told("previous_baseline_version", number, "What a rollback returns to.", nullable: true),
        told("candidate", .object(RolloutContent.shown), "The rollout that is under way.", nullable: true),
    ]

    static let rollback: [FieldShape] = [
        told("aborted", .object(RolloutContent.shown), "The candidate that was withdrawn.", nullable: true),
        told("published", .object(configVersion), "The version that repeats an older baseline.", nullable: true),
        told("baseline_version", number, "In force for all now."), told("warnings", problems, "What is wrong with what came back."),
        told("repeated", .flag, "It had been done before; nothing was changed now."),
    ]
}
