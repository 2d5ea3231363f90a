import ArgumentParser
import Nouns
import Primitives

enum RolloutNoun: DeclaredResource {
    typealias Content = RolloutContent
    static var subcommands: [any ParsableCommand.Type] {
        [
            CreateRollout.self, ListCommand<Self>.self, GetCommand<Self>.self, ShowCommand<Self>.self, UpdateRollout.self,
            DecisionCommand<PromoteRollout>.self,
            DecisionCommand<AbortRollout>.self, RolloutTargets.self, Rollback.self, RolloutStatus.self,
        ]
    }
}

struct CreateRollout: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create",
        abstract: "Make a version the candidate. It replaces the baseline for those it selects, who are counted first.",
        usage: creationUsage(RolloutNoun.self),
        discussion: example("rollout create --version 4 --region eu --percentage 5", "rollout create --version 4 --percentage 5 --dry-run"))

    @Flag(help: "Count whom it would reach, and do nothing.")
    var dryRun = false

    @OptionGroup var fields: RecordOptions<RolloutContent, Creation>
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let client = try connection.client()
        let body = try await client.resolved(try fields.body(), RolloutContent.shapes)
        try requireMembers(body, of: RolloutNoun.self)
        let reach = try await client.send("POST", "\(RolloutNoun.path)/preview", body: body.json)
        if dryRun {
            try connection.emit(reach) { describe(reach: reach.json) }
            return
        }
        remark(describe(reach: reach.json))
        try confirmation.ask("Make version \(body.object["version"]?.plain ?? "?") the candidate?")
        try await connection.show(try await client.send("POST", RolloutNoun.path, body: body.json))
    }
}

/// "Version 4 would reach 3 of 21 keys …", and what is odd about it.
private func describe(reach: JSONValue) -> String {
    func number(_ name: String) -> String { reach.at(name)?.plain ?? "?" }
    let counts =
        "It reaches \(number("keys")) of \(number("all_keys")) keys, \(number("tenants")) tenants, \(number("data_planes")) data planes."
    let warnings = reach.list("warnings").map { warning in
        "warning: \((warning.string("field") ?? "").visible) \((warning.string("message") ?? "").visible)"
            + (warning.string("remedy").map { "\n  → \($0.visible)" } ?? "")
    }
    return ([counts] + warnings).joined(separator: "\n")
}

extension ConnectionOptions {
    /// The rollout that is named or, where there is one under way, that one.
    fileprivate func rolloutID(_ given: String?) async throws -> String {
        if let given { return given }
        let status = try await client().send("GET", "\(RolloutNoun.path)/status")
        guard let id = status.json.string("candidate.id") else { throw Failure.usage("no rollout is under way; name one by its id") }
        return id
    }
}

struct UpdateRollout: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "update",
        abstract: "Widen, narrow or postpone the candidate. Keys once selected stay selected as the percentage grows.",
        discussion: example("rollout update \(RolloutNoun.exampleID) --percentage 20"))

    @Argument(help: "Its id. (default: the one that is under way)")
    var id: String?

    @OptionGroup var fields: RecordOptions<RolloutContent, Change>
    @OptionGroup var revision: RevisionOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let body = try fields.body()
        try await connection.show(
            try await connection.update(RolloutNoun.self, connection.rolloutID(id), body, RolloutContent.shapes, revision: revision))
    }
}

/// What becomes of the candidate.
protocol RolloutDecision {
    static var verb: String { get }
    static var abstract: String { get }
}

enum PromoteRollout: RolloutDecision {
    static let verb = "promote"
    static let abstract = "Make the candidate the baseline for all, at once."
}

enum AbortRollout: RolloutDecision {
    static let verb = "abort"
    static let abstract = "Withdraw the candidate: the baseline serves all again."
}

struct DecisionCommand<Decision: RolloutDecision>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: Decision.verb, abstract: Decision.abstract,
            discussion: example("rollout \(Decision.verb)", "rollout \(Decision.verb) \(RolloutNoun.exampleID)"))
    }

    @Argument(help: "Its id. (default: the one that is under way)")
    var id: String?

    @OptionGroup var revision: RevisionOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let id = try await connection.rolloutID(id)
        try await connection.show(try await connection.act(RolloutNoun.self, id, Decision.verb, revision: revision))
    }
}

struct RolloutTargets: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "targets", abstract: "List the virtual keys that get the candidate.",
        discussion: example("rollout targets --all", "rollout targets \(RolloutNoun.exampleID)"))

    @Argument(help: "The rollout's id. (default: the one that is under way)")
    var id: String?

    @OptionGroup var page: PageOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let columns = [Column.id, .name, Column("PROJECT", "project_id", .reference), Column("TENANT", "tenant_id", .reference)]
        let id = try AdminClient.segment(try await connection.rolloutID(id))
        try await connection.list("\(RolloutNoun.path)/\(id)/keys", columns: columns, page: page)
    }
}

struct Rollback: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollback",
        abstract: "Go back: withdraw the candidate or, without one, bring an older baseline's content back into force.",
        discussion: example("rollout rollback --undo 7", "rollout rollback --to 5"))

    @Option(help: "The version to leave: the candidate or the baseline. At a terminal, what is in force is shown and asked for.")
    var undo: Int64?

    @Option(help: "The version whose content is to serve all. (default: the one before)")
    var to: Int64?

    @Flag(help: "Although what comes back cannot be served as it was, such as with a credential deleted since.")
    var despiteFaults = false

    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let client = try connection.client()
        var body = Body()
        body.set("undo", undo)
        body.set("to", to)
        if undo == nil, to == nil { body.set("undo", try await chosen(client)) }
        if despiteFaults { body.set("despite_faults", json: true) }
        let answer = try await client.send("POST", "\(RolloutNoun.path)/rollback", body: body.json)
        try connection.emit(answer) { Self.describe(answer.json) }
    }

    /// What is in force and would be left, once the person has agreed to it.
    private func chosen(_ client: AdminClient) async throws -> Int64 {
        let status = try await client.send("GET", "\(RolloutNoun.path)/status").json
        let baseline = status.at("baseline_version")?.intValue ?? 0
        guard let version = status.at("candidate.version")?.intValue ?? (baseline > 0 ? baseline : nil) else {
            throw Failure.usage("no version is in force, so there is nothing to go back from")
        }
        guard ConfirmationOptions.isInteractive else {
            throw Failure.usage("name the version to leave: --undo \(version) is what is in force now")
        }
        if status.at("candidate.version") != nil {
            try confirmation.ask("Version \(version) is the candidate. Withdraw it, so that version \(baseline) serves all?")
        } else {
            let before = status.at("previous_baseline_version")?.plain ?? "none"
            try confirmation.ask("Version \(version) serves all. Go back to the content of version \(before)?")
        }
        return version
    }

    private static func describe(_ answer: JSONValue) -> String {
        let baseline = answer.at("baseline_version")?.plain ?? "-"
        var lines: [String] = []
        if answer.at("repeated")?.boolValue == true {
            lines.append("That was done before. Version \(baseline) serves all.")
        } else if let aborted = answer.string("aborted.id") {
            lines.append("Withdrew rollout \(aborted). Version \(baseline) serves all.")
        } else {
            lines.append("Version \(baseline) serves all: it repeats version \(answer.at("published.restores")?.plain ?? "-").")
        }
        for warning in answer.list("warnings") {
            lines.append("warning: \((warning.string("field") ?? "").visible): \((warning.string("message") ?? "").visible)")
        }
        lines.append("The draft still holds what was undone; `weir config draft` shows it.")
        return lines.joined(separator: "\n")
    }
}

struct RolloutStatus: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show the baseline and the candidate.",
        discussion: example("rollout status", "rollout status --watch"))

    @OptionGroup var watching: WatchOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let client = try connection.client()
        guard watching.watch else { return try await connection.show(try await client.send("GET", "\(RolloutNoun.path)/status")) }
        try await watching.run(connection.format) {
            let answer = try await client.send("GET", "\(RolloutNoun.path)/status")
            let screen = Table.details(answer.json, await client.rendering(of: [answer.json]))
            let candidate = answer.json.at("candidate")?.objectValue.map { _ in
                let percentage = answer.json.at("candidate.percentage")?.plain ?? "100"
                return "candidate \(answer.json.at("candidate.version")?.plain ?? "?") for \(percentage) % of the keys"
            }
            let news = "baseline \(answer.json.at("baseline_version")?.plain ?? "none"), \(candidate ?? "no candidate")"
            return Look(screen: screen, lines: [.init(key: "rollout", text: news, news: news, json: answer.text)])
        }
    }
}
