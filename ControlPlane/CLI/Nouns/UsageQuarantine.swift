import ArgumentParser
import Primitives

/// `weir usage quarantine`: what data planes reported and may not report.
struct UsageQuarantine: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quarantine", abstract: "Usage records that are kept apart: their data plane may not report them.",
        discussion: example("usage quarantine --data-plane-id dp_aaaaaaaaaaaaaaaa"),
        subcommands: [List.self, Release.self, Discard.self], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "The records, newest first.", discussion: example("usage quarantine list --reason tenant_not_served"))

        static let columns: [Column] = [
            Column("ID", "id", .id), Column("RECEIVED", "received_at", .time), Column("REASON", "reason"),
            Column("DATA PLANE", "data_plane_id", .reference), Column("TENANT", "tenant_id", .reference), Column("MODEL", "model"),
            Column("COST", "cost_nano", .dollars),
        ]

        struct Filters: ListFilters {
            @Option(help: "Only what this data plane reported.")
            var dataPlaneID: String?

            @Option(help: "Only records that claim to be this tenant's.")
            var tenantID: String?

            @Option(help: "Only those kept apart for this reason.")
            var reason: String?

            func query() -> [(String, String)] {
                pairs(("data_plane_id", dataPlaneID), ("tenant_id", tenantID), ("reason", reason))
            }
        }

        @OptionGroup var filters: Filters
        @OptionGroup var page: PageOptions
        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            try await connection.list("usage/quarantine", columns: Self.columns, filters: filters, page: page)
        }
    }

    /// Which records are decided on.
    struct Selection: ParsableArguments {
        @Option(help: "The data plane that reported them.")
        var dataPlaneID: String

        @Option(help: "Only those kept apart for this reason.")
        var reason: String?

        var body: JSONValue {
            var body = Body()
            body.set("data_plane_id", dataPlaneID)
            body.set("reason", reason)
            return body.json
        }
    }

    struct Release: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Bill the records after all: they are honest.",
            discussion: example("usage quarantine release --data-plane-id dp_aaaaaaaaaaaaaaaa --reason revoked_data_plane"))

        @OptionGroup var selection: Selection
        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            try await connection.show(try await connection.client().send("POST", "usage/quarantine/release", body: selection.body))
        }
    }

    struct Discard: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Throw the records away: they are not honest.",
            discussion: example("usage quarantine discard --data-plane-id dp_aaaaaaaaaaaaaaaa --reason unknown_tenant"))

        @OptionGroup var selection: Selection
        @OptionGroup var confirmation: ConfirmationOptions
        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            try confirmation.ask("Throw away what \(selection.dataPlaneID) reported and may not? It cannot be billed afterwards.")
            try await connection.show(try await connection.client().send("POST", "usage/quarantine/discard", body: selection.body))
        }
    }
}
