package import Primitives

/// What a budget counts.
package enum BudgetUnit: String, Word {
    case cost, tokens, requests
}

/// How long a budget lasts before it begins anew.
package enum BudgetPeriod: String, Word {
    case daily, monthly, never
}

/// Whether a budget refuses what it does not cover, or tells of it.
package enum BudgetStrictness: String, Word {
    case hard, soft
}

/// What requests count for whose end nobody saw.
package enum UnknownOutcomes: String, Word {
    case worstCase = "worst_case"
    case likely
}

/// Whether a limit refuses, or only counts what it would have refused.
package enum EnforcementMode: String, Word {
    case enforce, observe
}

/// An amount as its unit writes it: a plain decimal. Of equal amounts there is one text.
package struct AmountText: FieldValue, CustomStringConvertible {
    package var text: String

    package init(_ text: String = "0") { self.text = text }

    package static func read(_ json: JSONValue, as kind: FieldKind) -> AmountText? {
        switch json {
        case .string(let text), .number(let text): AmountText(normal(text))
        case .int(let whole): AmountText(String(whole))
        default: nil
        }
    }

    /// Without needless zeros; what is no decimal stays as it is.
    private static func normal(_ text: String) -> String {
        if let whole = Int64(text), !text.hasPrefix("+") { return String(whole) }
        guard let amount = NanoDollars(decimal: text) else { return text }
        let whole = amount.rawValue / 1_000_000_000
        return amount.rawValue % 1_000_000_000 == 0 ? String(whole) : amount.decimalString
    }

    package func json(as kind: FieldKind) -> JSONValue { .string(text) }
    package static func read(_ column: ColumnValue) -> AmountText? { String.read(column).map { AmountText($0) } }
    package var column: ColumnValue { .text(text) }
    package var description: String { text }
}

/// An account that may be spent from, and no more than its limit.
package struct BudgetContent: Noun {
    package typealias Kind = BudgetKind

    package var tenantID = TenantID("")
    package var projectID: ProjectID?
    package var appID: AppID?
    package var userID: UserID?
    package var keyID: KeyID?
    package var didID: DIDEntryID?
    package var name = ""
    package var unit = BudgetUnit.cost
    package var limit = AmountText()
    package var period = BudgetPeriod.monthly
    package var timeZone = "UTC"
    package var kind = BudgetStrictness.hard
    package var mode = EnforcementMode.enforce
    /// Nil: whatever is asked for counts.
    package var capability: String?
    /// What the tenant paid in adds to the limit, which is then the credit that it has beyond that.
    package var prepaid = false
    package var unknownOutcomes = UnknownOutcomes.worstCase

    package init() {}

    package static let words = NounWords(
        "budget", path: "budgets", "What a tenant, project, app, user, key or DID may spend, and no more.",
        create: "--tenant-id \(TenantKind.example) --name \"Search, monthly\" --limit 250.00 --period monthly", update: "--limit 300.00")

    package static let fields: [Field<Self>] = [
        Field("tenant_id", \.tenantID, "The tenant it belongs to; whose spending it bounds unless one of the next is named.").fixed.filter
            .heading("TENANT"),
        Field("project_id", \.projectID, "The project whose spending it bounds.").fixed.filter,
        Field("app_id", \.appID, "The app whose spending it bounds.").fixed.filter,
        Field("user_id", \.userID, "The user whose spending it bounds: as the one who asks, or who pays for an app.").fixed.filter,
        Field("key_id", \.keyID, "The key whose spending it bounds.").fixed.filter,
        Field("did_id", \.didID, "The DID whose spending it bounds.").fixed.filter,
        .name(\.name, "What people call it; unique in the tenant."),
        Field(computed: "level", .word(levels), "Whose spending it bounds.") { .string($0.level) }.heading("LEVEL"),
        Field("unit", \.unit, "What it counts: cost in US dollars, tokens (input and output), or requests.", or: .cost).fixed.filter
            .heading(
                "UNIT"),
        Field("limit", \.limit, .checked(format: nil), "How much of that in one period: a decimal, in US dollars for cost.").column(
            "limit_text"
        )
        .heading("LIMIT"),
        Field("period", \.period, "When it begins anew: each day, each calendar month, or never.", or: .monthly).fixed.heading("PERIOD"),
        Field(
            "time_zone", \.timeZone, .checked(format: nil), "The IANA time zone in which its days and months begin: Europe/Berlin.",
            or: "UTC"
        ).fixed,
        Field("kind", \.kind, "hard refuses what it does not cover; soft tells of it.", or: .hard).heading("KIND"),
        Field("mode", \.mode, "enforce; or observe: what would have been refused is counted and served.", or: .enforce).heading("MODE"),
        Field("capability", \.capability, .word(Vocabulary.capabilities), "Only requests for this count; null: all do.").fixed,
        Field(
            "prepaid", \.prepaid,
            "Whether what the tenant pays in (its ledger's top-ups and adjustments) adds to the limit, which is then the credit beyond that.",
            or: false
        ).fixed,
        Field(
            "unknown_outcomes", \.unknownOutcomes,
            "What requests count for whose end nobody saw, as when a data plane was killed: worst_case, the most that they can cost, until an "
                + "operator decides; or likely, what had come of a stream and what its provider makes until it notices.", or: .worstCase),
    ]

    package static let levels = ["tenant", "project", "app", "user", "key", "did"]
    package static let identity = ["tenant_id", "name"]
    package var title: String { name }

    /// Whose spending it bounds, and what that one is.
    private var subject: (level: String, id: String) {
        if let projectID { return ("project", projectID.rawValue) }
        if let appID { return ("app", appID.rawValue) }
        if let userID { return ("user", userID.rawValue) }
        if let keyID { return ("key", keyID.rawValue) }
        if let didID { return ("did", didID.rawValue) }
        return ("tenant", tenantID.rawValue)
    }

    package var level: String { subject.level }
    package var subjectID: String { subject.id }
    /// How many subjects beside the tenant it names: one at most makes sense.
    package var namedSubjects: [String] {
        [
            projectID != nil ? "project_id" : nil, appID != nil ? "app_id" : nil, userID != nil ? "user_id" : nil,
            keyID != nil ? "key_id" : nil, didID != nil ? "did_id" : nil,
        ].compactMap(\.self)
    }

    /// The limit in the unit's smallest: nano-dollars, tokens or requests. Nil where the text is none, or beyond what is counted.
    package var limitUnits: Int64? { Self.units(limit.text, unit) }

    /// A million dollars, or 10^15 tokens or requests.
    package static let maximumUnits: Int64 = 1_000_000_000_000_000

    package static func units(_ text: String, _ unit: BudgetUnit) -> Int64? {
        let units = unit == .cost ? NanoDollars(decimal: text)?.rawValue : Int64(text)
        return units.flatMap { (0...maximumUnits).contains($0) ? $0 : nil }
    }

    /// Units as a person reads them: `12.50` dollars, or the number.
    package static func text(_ units: Int64, _ unit: BudgetUnit) -> String {
        unit == .cost ? NanoDollars(units).decimalString : String(units)
    }
}
