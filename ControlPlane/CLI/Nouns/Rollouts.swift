import ArgumentParser
import Primitives

enum RolloutNoun: Resource {
    static let name = "rollout"
    static let abstract = "Bring a configuration version into force: for some at first, then for all; or go back."
    static let path = "rollouts"
    static let columns: [Column] = [
        .id, Column("VERSION", "version", .number), Column("STATE", "state"), Column("PERCENT", "percentage", .number),
        Column("TENANTS", "tenants"), Column("REGIONS", "regions"), Column("DATA PLANES", "data_planes"),
        Column("EFFECTIVE", "effective_at", .id),
    ]
    static let exampleID = "ro_aaaaaaaaaaaaaaaa"
    static var subcommands: [any ParsableCommand.Type] {
        [
            CreateRollout.self, ListCommand<Self>.self, ShowCommand<Self>.self, UpdateRollout.self, ActionCommand<PromoteRollout>.self,
            ActionCommand<AbortRollout>.self,
            Rollback.self, RolloutStatus.self,
        ]
    }
}

/// Whom a rollout selects; all that is given has to match.
struct SelectorOptions: ParsableArguments {
    @Option(name: .customLong("tenant"), help: ArgumentHelp("Only this tenant; may be repeated.", valueName: "id"))
    var tenants: [String] = []

    @Option(name: .customLong("region"), help: ArgumentHelp("Only data planes of this region; may be repeated.", valueName: "name"))
    var regions: [String] = []

    @Option(name: .customLong("data-plane"), help: ArgumentHelp("Only this data plane; may be repeated.", valueName: "id"))
    var dataPlanes: [String] = []

    @Option(help: "Percent of the virtual keys, with up to two decimals: 0.25. The same keys each time. (default when created: 100)")
    var percentage: String?

    @Option(help: "From when on: 2027-01-31 or 2027-01-31T12:00:00Z. (default when created: at once)")
    var effectiveAt: Moment?

    func body() -> Body {
        var body = Body()
        body.set("tenants", tenants)
        body.set("regions", regions)
        body.set("data_planes", dataPlanes)
        body.set("percentage", percentage)
        body.set("effective_at", effectiveAt?.text)
        return body
    }
}

struct CreateRollout: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make a version the candidate. It replaces the baseline for those it selects.",
        discussion: example("rollout create --version 4 --region eu --percentage 5"))

    @Option(help: "The configuration version.")
    var version: Int64

    @OptionGroup var selectors: SelectorOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        var body = selectors.body()
        body.set("version", version)
        try connection.show(try await connection.client().send("POST", RolloutNoun.path, body: body.json))
    }
}

struct UpdateRollout: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "update",
        abstract: "Widen, narrow or postpone the candidate. Keys once selected stay selected as the percentage grows.",
        discussion: example("rollout update \(RolloutNoun.exampleID) --percentage 20"))

    @Argument(help: "Its id.")
    var id: String

    @Option(help: ArgumentHelp("Drop this selector: tenants, regions or data_planes. May be repeated.", valueName: "selector"))
    var clear: [String] = []

    @OptionGroup var selectors: SelectorOptions
    @OptionGroup var revision: RevisionOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        var body = selectors.body()
        for selector in clear { body.set(selector, json: []) }
        try connection.show(try await connection.update(RolloutNoun.self, id, body, revision: revision))
    }
}

enum PromoteRollout: ItemAction {
    typealias Target = RolloutNoun
    static let verb = "promote"
    static let abstract = "Make the candidate the baseline for all, at once."
}

enum AbortRollout: ItemAction {
    typealias Target = RolloutNoun
    static let verb = "abort"
    static let abstract = "Withdraw the candidate: the baseline serves all again."
}

struct Rollback: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollback",
        abstract: "Go back, in one call: withdraw the candidate or, without one, bring the previous baseline's content back into force.",
        discussion: example("rollout rollback"))

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let answer = try await connection.client().send("POST", "\(RolloutNoun.path)/rollback")
        try connection.emit(answer) {
            let baseline = answer.json.at("baseline_version")?.plain ?? "-"
            var lines: [String] = []
            if let aborted = answer.json.string("aborted.id") {
                lines.append("Withdrew rollout \(aborted). Version \(baseline) serves all.")
            } else {
                lines.append("Version \(baseline) serves all: it repeats version \(answer.json.at("published.restores")?.plain ?? "-").")
            }
            for warning in answer.json.list("warnings") {
                lines.append("warning: \((warning.string("field") ?? "").visible): \((warning.string("message") ?? "").visible)")
            }
            return lines.joined(separator: "\n")
        }
    }
}

struct RolloutStatus: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show the baseline and the candidate.", discussion: example("rollout status"))

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try connection.show(try await connection.client().send("GET", "\(RolloutNoun.path)/status"))
    }
}
