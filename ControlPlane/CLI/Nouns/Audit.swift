import ArgumentParser

struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "Who changed what, newest first.",
        discussion: example("audit --resource-kind rollout --from 2026-11-01"))

    static let columns: [Column] = [
        Column("AT", "at", .time), Column("ACTION", "action", .id), Column("RESOURCE", "resource_id", .reference),
        Column("BY", "actor.name"),
        Column("FROM", "remote_address"),
    ]

    struct Filters: ListFilters {
        @Option(help: "Only changes of this kind of thing: tenant, key, rollout, …")
        var resourceKind: String?

        @Option(help: "Only changes of this one.")
        var resourceID: String?

        @Option(help: "Only changes by this administrator's token.")
        var actorID: String?

        @Option(help: "From this time on: 2026-11-01 or 2026-11-01T12:00:00Z.")
        var from: Moment?

        @Option(help: "Up to this time.")
        var until: Moment?

        func query() -> [(String, String)] {
            pairs(
                ("resource_kind", resourceKind), ("resource_id", resourceID), ("actor_id", actorID), ("from", from?.text),
                ("until", until?.text))
        }
    }

    @OptionGroup var filters: Filters
    @OptionGroup var page: PageOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await connection.list("audit", columns: Self.columns, filters: filters, page: page)
    }
}
