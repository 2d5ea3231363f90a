import ArgumentParser
import Nouns
import Primitives

enum Budgets: DeclaredResource {
    typealias Content = BudgetContent
    static var subcommands: [any ParsableCommand.Type] {
        standardSubcommands + [ShowBudgetState.self, WriteOffSlice.self, ResolveSlice.self, SpendEvents.self]
    }
}

struct ShowBudgetState: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "state", abstract: "What is spent, held and left of the budget in its present period.",
        discussion: example("budget state \(Budgets.exampleID)"))

    @Argument(help: "Its id, or its name where names are unique.")
    var id: String

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let client = try connection.client()
        try await Self.show(try await client.send("GET", "\(try await client.path(Budgets.self, id))/state"), connection, client)
    }

    static func show(_ answer: Answer, _ connection: ConnectionOptions, _ client: AdminClient) async throws {
        let rendering = await client.rendering(of: [answer.json] + answer.json.list("slices"))
        try connection.emit(answer) { screen(answer.json, rendering) }
    }

    private static let slices: [Column] = [
        Column("SLICE", "id", .id), Column("DATA PLANE", "data_plane_id", .reference), Column("STATE", "state"),
        Column("GRANTED", "granted"), Column("SPENT", "spent"), Column("UNKNOWN", "unknown"), Column("HELD", "held"),
        Column("EXPIRES", "expires_at", .time),
    ]

    /// Everything, for people.
    static func screen(_ state: JSONValue, _ rendering: Rendering) -> String {
        func text(_ path: String) -> String { (state.at(path)?.plain ?? "-").visible }
        let unit = state.string("unit") == "cost" ? "dollars" : text("unit")
        let percent = state.at("used_percent")?.intValue.map { " (\($0) %)" } ?? ""
        let resets = state.string("resets_at").map { "begins anew \(rendering.relative($0))" } ?? "never begins anew"
        var facts = [
            (
                "Budget",
                "\(text("name")), \(text("kind")), \(text("mode")), of the \(text("level")) \(rendering.named(state.at("subject_id") ?? .null, withIDs: true))"
            ),
            ("Limit", "\(text("limit")) \(unit); \(resets)"), ("Settled", text("settled") + percent),
            ("Unknown", text("unknown")), ("Leased", text("leased")), ("Free", text("free")),
        ]
        if state.string("mode") == EnforcementMode.observe.rawValue {
            facts.append(("Would have refused", "\(text("would_have_refused")) requests"))
        }
        if let amount = state.string("forecast.amount") {
            let when = state.string("forecast.exhausted_at").map { "; the limit is reached \(rendering.relative($0))" } ?? ""
            facts.append(("Forecast", "\(amount) at the period's end\(when)"))
        }
        let waiting = state.list("waits_for")
        if !waiting.isEmpty { facts.append(("Waits for", rendering.named(.array(waiting), withIDs: true))) }
        let held = state.list("slices")
        return Table.facts(facts) + (held.isEmpty ? "" : "\n\n" + Table.render(slices, held, rendering))
    }
}

struct WriteOffSlice: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "write-off", abstract: "Whoever held the slice is gone: what was not said to be spent of it is free again.",
        discussion: example("budget write-off \(Budgets.exampleID) slc_00000000000000a7"))

    @Argument(help: "The budget's id, or its name where names are unique.")
    var id: String

    @Argument(help: "The slice, as `weir budget state` shows it.")
    var slice: String

    @Option(help: "What was spent of it beside what was said, in the budget's unit; the rest is free again.")
    var charge: String?

    @Flag(help: "Also where its data plane may be spending from it: it is gone for good.")
    var force = false

    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try confirmation.ask("Write off \(slice)? If its data plane comes back, what it spends is spent beyond the limit.")
        let client = try connection.client()
        let path = "\(try await client.path(Budgets.self, id))/slices/\(try AdminClient.segment(slice))/write-off"
        try await ShowBudgetState.show(
            try await client.send("POST", path, body: ["force": .bool(force), "charge": .string(charge ?? "0")]), connection, client)
    }
}

struct ResolveSlice: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resolve", abstract: "Say what the requests of a slice have cost of which the outcome is not known.",
        discussion: example("budget resolve \(Budgets.exampleID) slc_00000000000000a7 --charge 0.25"))

    @Argument(help: "The budget's id, or its name where names are unique.")
    var id: String

    @Argument(help: "The slice, as `weir budget state` shows it.")
    var slice: String

    @Option(help: "What they have cost, in the budget's unit; the rest of what was held for them is free again.")
    var charge: String

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let client = try connection.client()
        let path = "\(try await client.path(Budgets.self, id))/slices/\(try AdminClient.segment(slice))/resolve"
        try await ShowBudgetState.show(
            try await client.send("POST", path, body: ["charge": .string(charge)]), connection, client)
    }
}

struct SpendEvents: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events", abstract: "What somebody should hear of, oldest first: what webhooks are sent.",
        discussion: example("budget events --since 2026-11-01"))

    static let columns: [Column] = [
        Column("AT", "at", .time), Column("KIND", "kind"), Column("TENANT", "tenant_id", .reference),
        Column("BUDGET", "budget_id", .reference), Column("DATA PLANE", "data_plane_id", .reference), Column("DETAIL", "detail"),
    ]

    struct Filters: ListFilters {
        @Option(help: "From when on: a time or a date.")
        var since: Moment?

        @Option(help: "Only events of this kind.")
        var kind: String?

        func query() -> [(String, String)] { pairs(("since", since?.text), ("kind", kind)) }
    }

    @OptionGroup var filters: Filters
    @OptionGroup var page: PageOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await connection.list("spend-events", columns: Self.columns, filters: filters, page: page)
    }
}
