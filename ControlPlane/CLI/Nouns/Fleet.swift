import ArgumentParser
import Nouns
import Primitives

/// `weir fleet`: the data planes and what they trust.
enum Fleet: DeclaredResource {
    typealias Content = DataPlaneContent
    static let name = "fleet"
    static var columns: [Column] { [.id] + Content.shapes.compactMap(Column.init) + [Column("REFUSES", "documents", .derived(refusals))] }

    /// The documents it did not take, with its reasons.
    @Sendable private static func refusals(_ dataPlane: JSONValue) -> String {
        let refused = dataPlane.list("documents").filter { $0.at("accepted") == false }
        let words = refused.map { "\($0.string("kind") ?? "?") \($0.at("version")?.plain ?? "?"): \($0.string("reason") ?? "?")" }
        return words.isEmpty ? "-" : words.joined(separator: "; ")
    }

    static var subcommands: [any ParsableCommand.Type] {
        [
            ListCommand<Self>.self, GetCommand<Self>.self, ShowCommand<Self>.self, UpdateCommand<Self>.self,
            ActionCommand<RevokeDataPlane>.self,
            FleetEndpoints.self, NounCommand<EnrollmentTokens>.self, SigningKeys.self, RotateSigningKey.self, RaiseEpoch.self,
        ]
    }
}

enum RevokeDataPlane: ItemAction {
    typealias Target = Fleet
    static let verb = "revoke"
    static let abstract = "Shut a data plane out for good."
    static func question(_ title: String) -> String? { "Shut the data plane \(title) out for good?" }
}

/// `weir fleet token`: what a new data plane enrols with, once.
enum EnrollmentTokens: DeclaredResource {
    typealias Content = EnrollmentTokenContent
    static let name = "token"
    static let command = "fleet token"
    static var subcommands: [any ParsableCommand.Type] {
        [ListCommand<Self>.self, GetCommand<Self>.self, ShowCommand<Self>.self, CreateCommand<Self>.self, DeleteCommand<Self>.self]
    }
}

struct FleetEndpoints: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "endpoints", abstract: "How endpoints and credentials fare at each data plane, by what it said last.",
        discussion: example("fleet endpoints --in-trouble"))

    static let columns = [
        Column("DATA PLANE", "data_plane"), Column("REGION", "region"), Column("ENDPOINT", "endpoint_id", .reference),
        Column("CREDENTIAL", "credential_id", .reference), Column("STATUS", "status"), Column("SINCE", "since", .time),
        Column("ATTEMPTS", "attempts", .count), Column("FAILURES", "failures", .count), Column("BREAKER", "breaker"),
        Column("LAST FAILURE", "last"),
        Column("REPORTED", "reported_at", .time),
    ]

    struct Filters: ListFilters {
        @Option(help: "Only the data planes of this region.")
        var region: String?

        @Flag(help: "Only what is failing or refused.")
        var inTrouble = false

        func query() -> [(String, String)] { pairs(("region", region), ("in_trouble", inTrouble ? "true" : nil)) }
    }

    @OptionGroup var filters: Filters
    @OptionGroup var page: PageOptions
    @OptionGroup var watching: WatchOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await connection.list("fleet/endpoints", columns: Self.columns, filters: filters, page: page, watching: watching)
    }
}

struct SigningKeys: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "signing-keys", abstract: "List the keys that documents are signed with.", discussion: example("fleet signing-keys"))

    static let columns = [
        Column.id, Column("STATUS", "status"), .created, Column("TRUSTED UNTIL", "trusted_until", .time),
        Column("RETIRED", "retired_at", .time),
    ]

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let client = try connection.client()
        try await connection.show(try await client.send("GET", "signing-keys"), in: Self.columns, client)
    }
}

struct RotateSigningKey: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate-signing-key", abstract: "Sign with a new key from now on; data planes learn it from the old one.",
        discussion: example("fleet rotate-signing-key --grace-seconds 604800"))

    @Option(help: "For how long data planes that were away may still learn of it by the old key. (default: 604800, a week)")
    var graceSeconds: Int64?

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        var body = Body()
        body.set("grace_seconds", graceSeconds)
        try await connection.show(try await connection.client().send("POST", "signing-keys/rotate", body: body.json))
    }
}

struct RaiseEpoch: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "raise-epoch", abstract: "After the database was restored from a backup: let data planes accept its older versions.",
        discussion: example("fleet raise-epoch"))

    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try confirmation.ask("Start a new epoch? Only after the database was restored from a backup.")
        try await connection.show(try await connection.client().send("POST", "epoch/raise"))
    }
}
