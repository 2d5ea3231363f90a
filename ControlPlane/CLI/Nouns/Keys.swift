import ArgumentParser
import Primitives

enum Keys: EditableNoun {
    static let name = "key"
    static let abstract = "Virtual keys: what applications authenticate with."
    static let path = "keys"
    static let columns: [Column] = [
        .id, .name, Column("PROJECT", "project_id", .id), Column("STATUS", "status"), Column("MODELS", "models"),
        Column("EXPIRES", "expires_at"),
        .created,
    ]
    static let exampleID = "key_aaaaaaaaaaaaaaaa"
    static let createExample = "--project-id \(Projects.exampleID) --name backend --model gpt-4o-mini --tag team=search"
    static let updateExample = "--model gpt-4o --model gpt-4o-mini"
    static var subcommands: [any ParsableCommand.Type] { standardSubcommands + [RotateKey.self, ActionCommand<RevokeKey>.self] }

    struct Fields: BodyFields {
        static let required = ["project_id", "name"]
        static let empty: [String: JSONValue] = ["models": [], "capabilities": [], "channels": [], "tags": [:]]

        @Option(help: "The project it belongs to; only when it is created.")
        var projectID: String?

        @Option(help: "What people call it.")
        var name: String?

        @Option(help: "When it ends: 2027-01-31 or 2027-01-31T12:00:00Z.")
        var expiresAt: Moment?

        @Option(name: .customLong("model"), help: "A model it may use; may be repeated. None: all.")
        var models: [String] = []

        @Option(name: .customLong("capability"), help: "chat, completions or embeddings; may be repeated. None: all.")
        var capabilities: [String] = []

        @Option(name: .customLong("channel"), help: "A channel it may use (default, external); may be repeated. None: all.")
        var channels: [String] = []

        @Option(name: .customLong("tag"), help: ArgumentHelp("A label for reports; may be repeated.", valueName: "name=value"))
        var tags: [Tag] = []

        func body() -> Body {
            var body = Body()
            body.set("project_id", projectID)
            body.set("name", name)
            body.set("expires_at", expiresAt?.text)
            body.set("models", models)
            body.set("capabilities", capabilities)
            body.set("channels", channels)
            if !tags.isEmpty {
                body.set("tags", json: .object(JSONObject(members: tags.map { .init(name: $0.name, value: .string($0.value)) })))
            }
            return body
        }
    }

    struct Filters: ListFilters {
        @Option(help: "Only this tenant's.")
        var tenantID: String?

        @Option(help: "Only this project's.")
        var projectID: String?

        func query() -> [(String, String)] { pairs(("tenant_id", tenantID), ("project_id", projectID)) }
    }

    struct Tag: ExpressibleByArgument {
        let name: String
        let value: String

        init?(argument: String) {
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty else { return nil }
            name = String(parts[0])
            value = String(parts[1])
        }
    }
}

struct RotateKey: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate", abstract: "Give the key a new secret; the old one works on for the grace period.",
        discussion: example("key rotate \(Keys.exampleID) --grace-seconds 86400"))

    @Argument(help: "Its id.")
    var id: String

    @Option(help: "For how long the old secret works beside the new one.")
    var graceSeconds: Int64?

    @OptionGroup var revision: RevisionOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        var body = Body()
        body.set("grace_seconds", graceSeconds)
        try connection.show(try await connection.act(Keys.self, id, "rotate", body: body.json, revision: revision))
    }
}

enum RevokeKey: ItemAction {
    typealias Target = Keys
    static let verb = "revoke"
    static let abstract = "End the key at once and for good."
}
