import ArgumentParser
import Nouns
import Primitives

/// `weir webhook`: where alerts are sent.
enum WebhookNoun: DeclaredResource {
    typealias Content = WebhookContent
    static var subcommands: [any ParsableCommand.Type] {
        standardSubcommands + [RotateWebhook.self, TestWebhook.self, WebhookDeliveries.self, RedeliverWebhook.self]
    }
}

struct RotateWebhook: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate", abstract: "Give the webhook a new secret; for the grace period messages are signed with both.",
        discussion: example("webhook rotate \(WebhookNoun.exampleID) --grace-seconds 86400"))

    @Argument(help: "Its id, or its name where names are unique.")
    var id: String

    @OptionGroup var rotation: RotationOptions
    @OptionGroup var revision: RevisionOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await connection.show(
            try await connection.act(WebhookNoun.self, id, "rotate", body: rotation.body, revision: revision), of: WebhookNoun.shown)
    }
}

struct TestWebhook: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test", abstract: "Send it a message of the kind test and say what became of it; 1 when it was not taken.",
        discussion: example("webhook test \(WebhookNoun.exampleID)"))

    @Argument(help: "Its id, or its name where names are unique.")
    var id: String

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let client = try connection.client()
        let answer = try await client.send("POST", "\(try await client.path(WebhookNoun.self, id))/test")
        try await WebhookDeliveries.show(answer, connection, client)
    }
}

struct RedeliverWebhook: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "redeliver", abstract: "Send one of its messages again, at once; 1 when it was not taken.",
        discussion: example("webhook redeliver \(WebhookNoun.exampleID) whd_aaaaaaaaaaaaaaaa"))

    @Argument(help: "The webhook's id, or its name where names are unique.")
    var id: String

    @Argument(help: "The message's id, as `weir webhook deliveries` shows it.")
    var delivery: String

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let client = try connection.client()
        let path = "\(try await client.path(WebhookNoun.self, id))/redeliver"
        try await WebhookDeliveries.show(try await client.send("POST", path, body: ["delivery_id": .string(delivery)]), connection, client)
    }
}

struct WebhookDeliveries: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deliveries", abstract: "The messages to it and what became of them, newest first.",
        discussion: example("webhook deliveries \(WebhookNoun.exampleID) --state given_up"))

    static let columns: [Column] = [
        Column("MESSAGE", "id", .id), Column("KIND", "kind"), Column("STATE", "state"), Column("ATTEMPTS", "attempts"),
        Column("STATUS", "status"), Column("ERROR", "error"), Column("MADE", "created_at", .time), Column("NEXT", "next_attempt_at", .time),
    ]

    struct Filters: ListFilters {
        @Option(help: "Only those in this state: pending, delivered or given_up.")
        var state: String?

        func query() -> [(String, String)] { pairs(("state", state)) }
    }

    @Argument(help: "Its id, or its name where names are unique.")
    var id: String

    @OptionGroup var filters: Filters
    @OptionGroup var page: PageOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let path = try await connection.client().path(WebhookNoun.self, id)
        try await connection.list("\(path)/deliveries", columns: Self.columns, filters: filters, page: page)
    }

    /// - Throws: `ExitCode.failure` for one that was not taken.
    static func show(_ answer: Answer, _ connection: ConnectionOptions, _ client: AdminClient) async throws {
        let rendering = await client.rendering(of: [answer.json])
        try connection.emit(answer) { Table.render(columns, [answer.json], rendering) }
        if answer.json.string("state") != "delivered" { throw ExitCode.failure }
    }
}
