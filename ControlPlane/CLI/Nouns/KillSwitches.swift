import ArgumentParser
import Nouns
import Primitives

/// `weir kill-switch`: what the operator has stopped.
enum KillSwitchNoun: DeclaredResource {
    typealias Content = KillSwitchContent
    static var plural: String { "kill switches" }
}

struct Kill: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kill", abstract: "Stop everything of a tenant, project, key, app or model, or of the world, at once.",
        discussion: example("kill model:gpt-4o --reason \"leaks its prompt\"", "kill tenant:Acme", "kill world"))

    @Argument(help: "\"world\", an id, or what kind of thing it is and its name: tenant:Acme, model:gpt-4o.")
    var subject: String

    @Option(help: "Why; for administrators.")
    var reason: String?

    @Option(help: "When it ends by itself: a date or an RFC 3339 time. (default: when it is lifted)")
    var expiresAt: Moment?

    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let client = try connection.client()
        var body = Body()
        body.set("subject_id", try await client.killed(subject))
        body.set("reason", reason)
        body.set("expires_at", expiresAt?.text)
        try confirmation.ask("Stop everything of \(subject), running requests included?")
        try await connection.show(try await client.send("POST", KillSwitchNoun.path, body: body.json), of: KillSwitchNoun.shown)
    }
}

struct Unkill: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unkill", abstract: "Lift the kill switch of something.", discussion: example("unkill model:gpt-4o"))

    @Argument(help: "What was stopped, as `weir kill` takes it.")
    var subject: String

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let client = try connection.client()
        let id = try await client.killed(subject)
        let found = try await client.send("GET", KillSwitchNoun.path, query: [("subject_id", id)]).json.list("items").first
        guard let kill = found?.string("id") else {
            throw Failure.usage("nothing is stopped by \"\(subject)\"; see `weir kill-switch list`")
        }
        let answer = try await client.send("DELETE", "\(KillSwitchNoun.path)/\(try AdminClient.segment(kill))", ifMatch: "*")
        try connection.done("Lifted the kill switch of \(subject).", answer)
    }
}

extension AdminClient {
    /// The subject of a kill switch: `tenant:Acme` is looked up by its name, all else is taken as it is.
    fileprivate func killed(_ text: String) async throws -> String {
        guard let colon = text.firstIndex(of: ":"),
            let prefix = KillSwitchContent.subjects.first(where: { $0.value == text[..<colon] })?.key
        else { return text }
        let name = String(text[text.index(after: colon)...])
        // Apps have an alias of their own.
        if prefix == AppKind.prefix, !name.hasPrefix(prefix) {
            return try await send("GET", "apps/\(try Self.segment(name))").json.string("id") ?? name
        }
        return try await id(name, prefix: prefix)
    }
}
