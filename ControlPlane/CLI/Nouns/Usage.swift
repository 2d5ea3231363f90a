import ArgumentParser
import Primitives

struct UsageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "usage", abstract: "Who used what, and what it cost.",
        discussion: example("usage --group-by tenant,model --from 2026-11-01 --to 2026-12-01"),
        subcommands: [Summary.self, Records.self, UsageQuarantine.self], defaultSubcommand: Summary.self)

    /// What both commands can be narrowed to.
    struct Filters: ListFilters {
        @Option(help: "From this time on: 2026-11-01 or 2026-11-01T12:00:00Z.")
        var from: Moment?

        @Option(help: "Up to this time.")
        var to: Moment?

        @Option(help: "Only this tenant's.")
        var tenantID: String?

        @Option(help: "Only this project's.")
        var projectID: String?

        @Option(help: "Only this key's.")
        var keyID: String?

        @Option(help: "Only this model's.")
        var model: String?

        @Option(help: "Only requests with this outcome: pending, completed or failed.")
        var status: String?

        func query() -> [(String, String)] {
            pairs(
                ("from", from?.text), ("to", to?.text), ("tenant_id", tenantID), ("project_id", projectID), ("key_id", keyID),
                ("model", model), ("status", status))
        }
    }

    struct Summary: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Sums, in groups.", discussion: example("usage --group-by day --from 2026-11-01"))

        @Option(
            help: "tenant, project, key, model, day, app, user, did, tags, dialect, price, config_version: one or several with commas.")
        var groupBy: String?

        @OptionGroup var filters: Filters
        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            let query = filters.query() + pairs(("group_by", groupBy))
            let answer = try await connection.client().send("GET", "usage", query: query)
            try connection.emit(answer) {
                let items = answer.json.list("items")
                guard !items.isEmpty else { return "No usage." }
                let groups = (groupBy ?? "").split(separator: ",").map(String.init).map { group in
                    Column(
                        group.uppercased(), ["tenant", "project", "key", "app", "user", "price"].contains(group) ? "\(group)_id" : group,
                        .id)
                }
                let sums = [
                    Column("REQUESTS", "requests", .number), Column("FAILED", "failed", .number), Column("INPUT", "input_tokens", .number),
                    Column("OUTPUT", "output_tokens", .number), Column("COST", "cost_nano", .dollars),
                ]
                return Table.render(groups + sums, items)
            }
        }
    }

    struct Records: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "The records one by one, newest first.", discussion: example("usage records --key-id \(Keys.exampleID) --limit 20"))

        static let columns: [Column] = [
            Column("REQUEST", "request_id", .id), Column("AT", "admitted_at", .id), Column("MODEL", "model"), Column("STATUS", "status"),
            Column("HTTP", "http_status", .number), Column("INPUT", "input_tokens", .number), Column("OUTPUT", "output_tokens", .number),
            Column("COST", "cost_nano", .dollars), Column("CONFIG", "config_version", .number),
        ]

        struct Filters: ListFilters {
            @Option(help: "Only the record of this request: req_….")
            var requestID: String?

            @OptionGroup var usage: UsageCommand.Filters

            func query() -> [(String, String)] { usage.query() + pairs(("request_id", requestID)) }
        }

        @OptionGroup var filters: Filters
        @OptionGroup var page: PageOptions
        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            try await connection.list("usage/records", columns: Self.columns, filters: filters, page: page)
        }
    }
}
