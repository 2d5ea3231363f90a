package import Primitives

/// Whose requests a limit counts together.
package enum LimitLevel: String, Word {
    case global, tenant, project, app, user, key, did, ip
}

/// What a limit counts.
package enum LimitMeasure: String, Word {
    case requests, tokens, concurrent
}

/// How a limit forgets.
package enum LimitAlgorithm: String, Word {
    case slidingWindow = "sliding_window"
    case tokenBucket = "token_bucket"
}

/// How much of something may be had in a window of time, or at one time.
package struct LimitContent: Noun {
    package typealias Kind = LimitKind

    package var name = ""
    package var level = LimitLevel.tenant
    /// Nil: of every tenant.
    package var tenantID: TenantID?
    package var projectID: ProjectID?
    package var appID: AppID?
    package var userID: UserID?
    package var keyID: KeyID?
    package var didID: DIDEntryID?
    package var ip: String?
    package var channel: String?
    package var model: String?
    package var measure = LimitMeasure.requests
    package var amount: Int64 = 0
    package var windowSeconds: Int64 = 60
    package var algorithm = LimitAlgorithm.slidingWindow
    package var burst: Int64 = 0
    package var mode = EnforcementMode.enforce

    package init() {}

    package static let words = NounWords(
        "limit", path: "limits", "How many requests or tokens may be had in a window of time, and how many requests at one time.",
        create: "--name \"keys, a minute\" --level key --measure requests --amount 600 --window-seconds 60", update: "--amount 1200")

    /// Far above what anybody counts, and far from where sums would overflow.
    private static let amounts: ClosedRange<Int64> = 1...1_000_000_000_000
    private static let bursts: ClosedRange<Int64> = 0...1_000_000_000_000

    package static let fields: [Field<Self>] = [
        .name(\.name, "What people call it, and what those are told who are limited; unique in the deployment."),
        Field("level", \.level, "Whose requests count together: of each tenant, project, … for itself, unless one is named.").fixed.filter
            .heading("LEVEL"),
        Field("tenant_id", \.tenantID, "Only this tenant's requests count; null: every tenant's.").fixed.filter.heading("TENANT"),
        Field("project_id", \.projectID, "The project that is limited; null: each.").fixed.filter,
        Field("app_id", \.appID, "The app that is limited; null: each.").fixed.filter,
        Field("user_id", \.userID, "The user who is limited, as the one who asks or who pays for an app; null: each.").fixed.filter,
        Field("key_id", \.keyID, "The key that is limited; null: each.").fixed.filter,
        Field("did_id", \.didID, "The DID that is limited; null: each.").fixed.filter,
        Field("ip", \.ip, .token, "The address that is limited (of IPv6 with its /64); null: each.").fixed,
        Field("channel", \.channel, .word(Vocabulary.channels), "Only requests through this channel count; null: through all.").fixed,
        Field("model", \.model, .token, "Only requests for the model of this name count; null: for all.").fixed.filter,
        Field("measure", \.measure, "What counts: requests, tokens (input and output), or concurrent, which is what runs at one time.")
            .fixed
            .heading("MEASURE"),
        Field("amount", \.amount, .integer(amounts), "How many there may be.").heading("AMOUNT"),
        Field("window_seconds", \.windowSeconds, .integer(1...86_400), "In which time; of no meaning for concurrent.", or: 60).unit(
            "seconds"
        )
        .heading("WINDOW"),
        Field(
            "algorithm", \.algorithm,
            "sliding_window: in no window of that length are there more. token_bucket: so many come back in that time, evenly.",
            or: .slidingWindow),
        Field("burst", \.burst, .integer(bursts), "How many a full token bucket holds; 0: the amount.", or: 0),
        Field("mode", \.mode, "enforce; or observe: what would have been refused is counted and served.", or: .enforce).heading("MODE"),
    ]

    package static let identity = ["name"]
    package var title: String { name }

    /// What is named of those who could be, with the level that each makes sense for.
    package var named: [(field: String, level: LimitLevel, id: String)] {
        [
            projectID.map { ("project_id", LimitLevel.project, $0.rawValue) }, appID.map { ("app_id", .app, $0.rawValue) },
            userID.map { ("user_id", .user, $0.rawValue) }, keyID.map { ("key_id", .key, $0.rawValue) },
            didID.map { ("did_id", .did, $0.rawValue) }, ip.map { ("ip", .ip, $0) },
        ].compactMap(\.self)
    }
}
