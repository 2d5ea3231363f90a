import Domain
import HTTPTypes
import Nouns
import Primitives

/// The body of a write-off.
struct SliceWriteOff: Record {
    var force = false
    var charge = AmountText()

    static let fields: [Field<Self>] = [
        Field(
            "charge", \.charge, .checked(format: nil), "What was spent of it, beside what was said: a decimal in the budget's unit.",
            or: AmountText()),
        Field("force", \.force, "Also where its data plane may be spending from it: it is gone for good.", or: false),
    ]
}

/// The body of a decision about requests of unknown outcome.
struct SliceResolution: Record {
    var charge = AmountText()

    static let fields: [Field<Self>] = [
        Field(
            "charge", \.charge, .checked(format: nil),
            "What they have cost: a decimal in the budget's unit. The rest of what was held is free.")
    ]
}

/// Budgets: what they allow, what has become of them, and what is decided about slices whose holders are gone.
package struct BudgetRoutes: RouteGroup {
    let budgets: NounService<BudgetContent>
    let states: BudgetStateService

    package func addRoutes(to table: inout RouteTable) {
        NounRoutes(budgets).addRoutes(to: &table)
        let path = "/admin/api/budgets/{id}"
        let state = RouteDocs("Get what is spent, held and left of a budget in its present period.") { $0.answer = .object(Self.state) }
        table.get("\(path)/state", .admin(.readTenants), state) { request in
            try request.query.allow([])
            let json = try await states.state(of: request.id("budget"), as: request.actor.scope).json
            return .json(try request.actor.may(.read) ? json : Self.withoutPlanes(json))
        }
        let writeOff = RouteDocs("Write a slice off: whoever held it is gone, and what was not said to be spent of it is free again.") {
            $0.body = .optionalForm(SliceWriteOff.shapes)
            $0.answer = .object(Self.state)
        }
        table.post("\(path)/slices/{slice}/write-off", .admin(.operate), writeOff) { request in
            let body: SliceWriteOff = try request.form(mayBeEmpty: true)
            return .json(
                try await states.writeOff(
                    request.slice, of: request.id("budget"), charge: body.charge.text, force: body.force, by: request.actor
                ).json)
        }
        let resolve = RouteDocs("Say what the requests of a slice have cost of which the outcome is not known.") {
            $0.body = .form(SliceResolution.shapes)
            $0.answer = .object(Self.state)
        }
        table.post("\(path)/slices/{slice}/resolve", .admin(.operate), resolve) { request in
            let body: SliceResolution = try request.form()
            return .json(
                try await states.resolve(request.slice, of: request.id("budget"), charge: body.charge.text, by: request.actor).json)
        }
        addEvents(to: &table)
    }

    /// Who holds what is the operator's to see.
    private static func withoutPlanes(_ json: JSONValue) -> JSONValue {
        guard var object = json.objectValue else { return json }
        for name in ["waits_for", "data_planes", "slices"] where object[name] != nil { object[name] = [] }
        if object["data_plane_id"] != nil { object["data_plane_id"] = .null }
        return .object(object)
    }

    private func addEvents(to table: inout RouteTable) {
        let kind = FieldShape("kind", .word(SpendEvent.Kind.allCases.map(\.rawValue)), "Only events of this kind.")
        let since = FieldShape("since", .time, "From when on; included.")
        let docs = RouteDocs("List what somebody should hear of, oldest first: what webhooks are sent.") {
            $0.query = RouteDocs.page + [since, kind]
            $0.answer = .list(Self.event)
        }
        table.get("/admin/api/spend-events", .admin(.readTenants), docs) { request in
            try request.query.allow(Set(docs.query.map(\.name)))
            // The words are those of the kinds.
            _ = try request.query.filter(kind)
            let kind = request.query["kind"].flatMap(SpendEvent.Kind.init(rawValue:))
            let from = try request.query.time("since") ?? 0
            let seesPlanes = try request.actor.may(.read)
            return .list(
                try await states.events(
                    since: from, kind: kind, request.page(of: BudgetStateService.eventList), as: request.actor.scope)
            ) { seesPlanes ? $0.json : Self.withoutPlanes($0.json) }
        }
        let limits = RouteDocs(
            "Get the budgets and rate limits that bound what the key is used for, and as far as its rights reach what is left of them."
        ) {
            $0.answer = .object([
                .told("budgets", .objects(Self.limit, maximum: 10_000), "The tenant's first."),
                .told("rates", .objects(Self.rate, maximum: 10_000), "By name."),
            ])
        }
        table.get("/external/v1/limits", .virtualKey, limits) { request in
            try request.query.allow([])
            let caller = try request.keyCaller
            try caller.checkChannel("external")
            return .json(try await states.limits(of: caller))
        }
    }

    // MARK: Shapes

    private static let amount = FieldKind.text(maximum: 64)
    private static let units = FieldKind.word(BudgetUnit.allCases.map(\.rawValue))
    private static let kinds = FieldKind.word(BudgetStrictness.allCases.map(\.rawValue))
    private static let modes = FieldKind.word(EnforcementMode.allCases.map(\.rawValue))

    private static let state: [FieldShape] = [
        .told("budget_id", .id(BudgetKind.prefix), "The budget."), .told("name", .text(maximum: 128), "What people call it."),
        .told("tenant_id", .id(TenantKind.prefix), "Its tenant."), .told("level", .word(BudgetContent.levels), "Whose spending it bounds."),
        .told("subject_id", .token, "That one."), .told("unit", units, "What the amounts count."),
        .told("kind", kinds, "Whether it refuses."),
        .told("mode", modes, "Whether it only observes."),
        .told("period_start", .time, "When the period began; null: it never begins anew.", nullable: true),
        .told("resets_at", .time, "When the next one begins.", nullable: true),
        .told("limit", amount, "How much there is in a period: settled, unknown, leased and free together."),
        .told("settled", amount, "Spent."),
        .told("unknown", amount, "Held for requests of which nobody knows what they cost: as if they cost the most that they can."),
        .told("leased", amount, "In the hands of data planes, and not spent as far as they have said."),
        .told("free", amount, "To be given; negative where more is out than the limit allows."),
        .told(
            "would_have_refused", .number,
            "Requests of this period that it would have refused if it did not only observe, as far as their usage is known."),
        .told("used_percent", .anything, "Settled and unknown, of the limit; null for a limit of nothing."),
        .told(
            "forecast",
            .object([
                .told("amount", amount, "What it comes to at the period's end."),
                .told("exhausted_at", .time, "When the limit is reached; null: not in this period.", nullable: true),
            ]), "If it goes on as it did since the period's beginning; null: it cannot be told.", nullable: true),
        .told(
            "waits_for", .list(.id(DataPlaneKind.prefix), 0...100_000),
            "Data planes that have not told what they hold since the database was put back: nothing is given until then."),
        .told(
            "data_planes",
            .objects(
                [
                    .told("data_plane_id", .id(DataPlaneKind.prefix), "Who holds slices."), .told("slices", .number, "How many."),
                    .told("held", amount, "Of these, not spent."), .told("spent", amount, "Of these, spent."),
                ], maximum: 10_000), "Who holds something."),
        .told("slices", .objects(slice, maximum: 200), "Those that are held, then the newest of the others."),
    ]

    private static let slice: [FieldShape] = [
        .told("id", .token, "Its identifier."), .told("data_plane_id", .id(DataPlaneKind.prefix), "Whom it was given to."),
        .told(
            "state", .word(["open", "closed", "orphaned", "written_off", "unknown"]), "orphaned: its data plane does not spend from it."),
        .told("overdue", .flag, "It should have been given back by now."), .told("granted", amount, "How much was given."),
        .told("spent", amount, "How much is spent of it."), .told("unknown", amount, "Held for requests of unknown outcome."),
        .told("held", amount, "Not spent and not given back."), .told("granted_at", .time, "When it was given."),
        .told("expires_at", .time, "When it should be given back."), .told("updated_at", .time, "When its data plane said something new."),
    ]

    private static let event: [FieldShape] = [
        .told("id", .token, "Its identifier."), .told("at", .time, "When."),
        .told("kind", .word(SpendEvent.Kind.allCases.map(\.rawValue)), "What has come about."),
        .told("tenant_id", .token, "Whom it concerns; null: the installation.", nullable: true),
        .told("budget_id", .token, "The budget, if it is about one.", nullable: true),
        .told("data_plane_id", .token, "The data plane, if it is about one.", nullable: true),
        .told("detail", .anything, "What there is to know about it."),
    ]

    private static let limit: [FieldShape] = [
        .told("budget_id", .id(BudgetKind.prefix), "The budget."), .told("name", .text(maximum: 128), "What people call it."),
        .told("level", .word(BudgetContent.levels), "Whose spending it bounds."), .told("unit", units, "What the amounts count."),
        .told("kind", kinds, "Whether it refuses."), .told("mode", modes, "Whether it only observes."),
        .told("capability", .token, "Only requests for this count; null: all do.", nullable: true),
        .told("period", .word(BudgetPeriod.allCases.map(\.rawValue)), "How long it lasts."),
        .told("resets_at", .time, "When it begins anew; null: never.", nullable: true),
        .told("limit", amount, "How much there is; this and what follows are null where the key's rights do not reach.", nullable: true),
        .told("used", amount, "Spent.", nullable: true), .told("held", amount, "Reserved, and not spent so far.", nullable: true),
        .told("left", amount, "Neither.", nullable: true),
    ]

    private static let count = FieldKind.integer(0...Int64.max)

    private static let rate: [FieldShape] = [
        .told("limit_id", .id(LimitKind.prefix), "The limit."), .told("name", .text(maximum: 128), "What people call it."),
        .told("level", .word(LimitLevel.allCases.map(\.rawValue)), "Whose requests count together."),
        .told("measure", .word(LimitMeasure.allCases.map(\.rawValue)), "What counts."), .told("amount", count, "How many there may be."),
        .told("window_seconds", count, "In which time; null: at one time.", nullable: true),
        .told("algorithm", .word(LimitAlgorithm.allCases.map(\.rawValue)), "How it forgets."),
        .told("mode", modes, "Whether it only observes."),
        .told("channel", .token, "Only requests through this channel count; null: through all.", nullable: true),
        .told("model", .token, "Only requests for this model count; null: for all.", nullable: true),
        .told(
            "used", count,
            "As data planes have told, which each does once a second of what is half used up there; this and what follows are null where the "
                + "key's rights do not reach.", nullable: true),
        .told("left_at_least", count, "At least so much is left then, whatever those have used who had nothing to tell.", nullable: true),
        .told("as_of", .time, "When the data plane told that was longest silent; null: none had anything to tell.", nullable: true),
    ]
}

extension APIRequest {
    fileprivate var slice: String { parameters["slice"] ?? "" }
}
