import ArgumentParser
import Nouns
import Primitives

struct UsageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "usage", abstract: "Who used what, and what it cost.",
        discussion: example("usage --group-by tenant,model --from 2026-11-01 --until 2026-12-01"),
        subcommands: [Summary.self, Records.self, ShowRecord.self, UsageQuarantine.self], defaultSubcommand: Summary.self)

    /// What both commands can be narrowed to.
    struct Filters: ListFilters {
        @Option(help: "From this time on: 2026-11-01 or 2026-11-01T12:00:00Z. (default: a month back)")
        var from: Moment?

        @Option(help: "Up to this time. (default: the end of today)")
        var until: Moment?

        @Option(help: "Only this tenant's.")
        var tenantID: String?

        @Option(help: "Only this project's.")
        var projectID: String?

        @Option(help: "Only this key's.")
        var keyID: String?

        @Option(help: "Only this app's.")
        var appID: String?

        @Option(help: "Only this user's.")
        var userID: String?

        @Option(help: "Only this DID's.")
        var did: String?

        @Option(help: "Only this model's, by its name.")
        var model: String?

        @Option(help: "Only what was sent to this endpoint.")
        var endpointID: String?

        @Option(help: "Only what was sent to this provider.")
        var providerID: String?

        @Option(help: "Only what this data plane served.")
        var dataPlaneID: String?

        @Option(help: "Only requests with this outcome: pending, completed or failed.")
        var status: String?

        @Option(help: "Only failures by this fault: client, provider or weir.")
        var errorOrigin: String?

        @Option(help: "Only failures of this code.")
        var errorCode: String?

        @Option(help: "Only what was served with this version of the configuration.")
        var configVersion: Int64?

        @Option(help: "Only requests of this dialect.")
        var dialect: String?

        @Option(help: "Only what has this tag: team=search.")
        var tag: String?

        func query() -> [(String, String)] {
            let texts = pairs(
                ("from", from?.text), ("until", until?.text), ("tenant_id", tenantID), ("project_id", projectID), ("key_id", keyID),
                ("app_id", appID), ("user_id", userID), ("did", did), ("model", model), ("endpoint_id", endpointID),
                ("provider_id", providerID), ("data_plane_id", dataPlaneID), ("status", status))
            return texts
                + pairs(
                    ("error_origin", errorOrigin), ("error_code", errorCode), ("config_version", configVersion.map(String.init)),
                    ("dialect", dialect), ("tag", tag))
        }

        /// What may be named instead of identified.
        static var shapes: [FieldShape] {
            [
                FieldShape("tenant_id", .id(TenantKind.prefix), ""), FieldShape("project_id", .id(ProjectKind.prefix), ""),
                FieldShape("key_id", .id(KeyKind.prefix), ""), FieldShape("app_id", .id(AppKind.prefix), ""),
                FieldShape("user_id", .id(UserKind.prefix), ""), FieldShape("endpoint_id", .id(EndpointKind.prefix), ""),
                FieldShape("provider_id", .id(ProviderKind.prefix), ""),
            ]
        }
    }

    struct Summary: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Sums, in groups.",
            discussion: example("usage --group-by day,model --time-zone Europe/Berlin", "usage --group-by key --sort -cost --limit 20"))

        @Option(
            help: ArgumentHelp(
                "One or several with commas: tenant, project, key, app, user, did, model, owner, config_version, endpoint, provider, data_plane, status, dialect, price, tags, tag:NAME, hour, day, month.",
                valueName: "groups"))
        var groupBy: String?

        @Option(help: "Whose hours, days and months they are: Europe/Berlin. (default: UTC)")
        var timeZone: String?

        @Option(
            parsing: .unconditional,
            help: "By a sum: requests, failed, input_tokens, output_tokens, cost; with a minus the largest first. (default: by the groups)")
        var sort: String?

        @Option(help: "At most so many groups; the rest is summed up as others. (default: 1000)")
        var limit: Int?

        @OptionGroup var filters: Filters
        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            let client = try connection.client()
            let query =
                try await client.identified(filters)
                + pairs(("group_by", groupBy), ("time_zone", timeZone), ("sort", sort), ("limit", limit.map(String.init)))
            let answer = try await client.send("GET", "usage", query: query)
            try connection.emit(answer) { UsageTable.text(answer.json) }
        }
    }

    struct Records: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "The records one by one, newest first.",
            discussion: example(
                "usage records --error-origin provider --min-latency-ms 10000", "usage records --sort -cost --limit 20",
                "usage records --csv --from 2026-11-01"))

        static let columns: [Column] = [
            Column("REQUEST", "request_id", .id), Column("AT", "admitted_at", .id), UsageTable.named("KEY", "key"),
            Column("MODEL", "model"), UsageTable.named("ENDPOINT", "endpoint"), Column("STATUS", "status"),
            Column("HTTP", "http_status", .number),
            Column("ERROR", "error_code", .derived { UsageTable.error($0) }),
            Column("TRIES", "attempts", .number), Column("MS", "latency_us", .derived { UsageTable.milliseconds($0, "latency_us") }),
            Column("FIRST MS", "time_to_first_byte_us", .derived { UsageTable.milliseconds($0, "time_to_first_byte_us") }),
            Column("INPUT", "input_tokens", .number), Column("OUTPUT", "output_tokens", .number),
            Column("COST", "cost", .derived { UsageTable.cost($0) }), Column("CONFIG", "config_version", .number), Column("TAGS", "tags"),
        ]

        struct Filters: ListFilters {
            @Option(help: "Only the record of this request: req_….")
            var requestID: String?

            @Option(help: "Only requests of this trace: 32 hexadecimal digits.")
            var traceID: String?

            @Option(help: "Only requests that took at least so long, in milliseconds.")
            var minLatencyMs: Int64?

            @Option(
                parsing: .unconditional,
                help:
                    "By admitted_at, cost, latency_us, time_to_first_byte_us, input_tokens or output_tokens; with a minus the largest first. (default: -admitted_at)"
            )
            var sort: String?

            @OptionGroup var usage: UsageCommand.Filters

            func query() -> [(String, String)] {
                usage.query()
                    + pairs(
                        ("request_id", requestID), ("trace_id", traceID), ("min_latency_ms", minLatencyMs.map(String.init)), ("sort", sort))
            }

            static var shapes: [FieldShape] { UsageCommand.Filters.shapes }
        }

        @Flag(help: "All of them as CSV, with the columns of the table.")
        var csv = false

        @Flag(help: "All of them as JSON, one on each line.")
        var jsonl = false

        @OptionGroup var filters: Filters
        @OptionGroup var page: PageOptions
        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            guard csv || jsonl else {
                return try await connection.list("usage/records", columns: Self.columns, filters: filters, page: page)
            }
            let client = try connection.client()
            var query = try await client.identified(filters) + [("limit", "200")]
            if csv { print(UsageTable.line(Self.columns.map(\.title))) }
            // A page at a time: however many there are, few are held.
            while true {
                let answer = try await client.send("GET", "usage/records", query: query)
                // A file that has the latest of them only would look like one that has all.
                if let since = answer.json.string("sorted_since") {
                    throw Failure.usage("only the records since \(since) are sorted by this: ask for a shorter time, or leave --sort out")
                }
                for item in answer.json.list("items") {
                    print(csv ? UsageTable.line(Self.columns.map { UsageTable.cell($0, item) }) : item.text)
                }
                guard let next = answer.json.string("next_cursor") else { return }
                query = query.filter { $0.0 != "cursor" } + [("cursor", next)]
            }
        }
    }

    struct ShowRecord: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "record", abstract: "One request's record, whole, with its attempts.",
            discussion: example("usage record req_aaaaaaaaaaaaaaaaaaaaaaaaaa"))

        @Argument(help: "The request's id, as its answer says it in x-request-id.")
        var id: String

        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            let answer = try await connection.client().send("GET", "usage/records/\(try AdminClient.segment(id))")
            try connection.emit(answer) {
                let attempts = answer.json.list("attempt_list")
                guard !attempts.isEmpty else { return Table.details(answer.json) }
                var whole = answer.json.objectValue ?? JSONObject()
                whole["attempt_list"] = .array([])
                return Table.details(.object(whole)) + "\n\n" + Table.render(UsageTable.attempts, attempts)
            }
        }
    }
}

/// How usage is shown to people.
enum UsageTable {
    static func text(_ report: JSONValue) -> String {
        let items = report.list("items")
        let groups = report.list("group_by").compactMap(\.stringValue).map(column)
        let sums = [
            Column("REQUESTS", "requests", .number), Column("FAILED", "failed", .number), Column("BY CLIENT", "failed_client", .number),
            Column("BY PROVIDER", "failed_provider", .number), Column("BY WEIR", "failed_weir", .number),
            Column("INPUT", "input_tokens", .number), Column("OUTPUT", "output_tokens", .number),
            Column("COST", "cost", .derived { cost($0) }),
        ]
        var rows = items
        let others = report["others"] ?? .null
        if others != .null { rows.append(others) }
        if rows.count > 1, let totals = report["totals"] { rows.append(totals) }
        let table = (report["totals"]?["requests"] ?? 0) == 0 ? "No usage." : Table.render(groups + sums, rows)
        return ([table] + notes(report, hasGroups: !groups.isEmpty)).joined(separator: "\n")
    }

    /// The window, what is missing in it, and what the last lines are.
    private static func notes(_ report: JSONValue, hasGroups: Bool) -> [String] {
        var notes = [
            "",
            "From \(report.string("from") ?? "-") until \(report.string("until") ?? "-"), \(report.string("time_zone") ?? "UTC"). "
                + (report.string("as_of").map { "All usage up to \($0) is in it." } ?? "It is not known up to when all usage is in it."),
        ]
        if let groups = report["others"]?["groups"]?.plain { notes.append("The last line but one is of \(groups) other groups.") }
        for plane in report.list("behind") {
            let until = plane.string("as_of").map { "has told its usage up to \($0) only" } ?? "has not told how far its usage is known"
            notes.append("Data plane \((plane.string("data_plane") ?? "").visible) (\(plane.string("data_plane_id") ?? "")) \(until).")
        }
        if let unpriced = report["totals"]?["unpriced"]?.intValue, unpriced > 0 {
            notes.append("\(unpriced) requests had no price in force: what they cost is not known. See `weir price list`.")
        }
        return notes.map(\.visible)
    }

    private static func column(_ group: String) -> Column {
        let title = group.uppercased()
        switch group {
        case "tenant", "project", "key", "app", "user", "owner", "endpoint", "provider", "data_plane": return named(title, group)
        case "price": return Column(title, "price_id", .id)
        case let tag where tag.hasPrefix("tag:"):
            let name = String(tag.dropFirst(4))
            return Column(title, "tag", .derived { $0["tag"]?[name]?.stringValue ?? "-" })
        default: return Column(title, group, .id)
        }
    }

    /// What has an id and, mostly, a name.
    static func named(_ title: String, _ name: String) -> Column {
        Column(
            title, name,
            .derived { item in
                let id = item["\(name)_id"]?.stringValue ?? "-"
                return item[name]?.stringValue.map { "\($0) (\(id))" } ?? id
            })
    }

    /// What nobody knows is not nothing.
    static func cost(_ item: JSONValue) -> String {
        guard let cost = item["cost"]?.stringValue else { return "unknown" }
        return "$\(cost)" + ((item["unpriced"]?.intValue ?? 0) > 0 ? " + unknown" : "")
    }

    static func error(_ item: JSONValue) -> String {
        guard let code = item["error_code"]?.stringValue else { return "-" }
        return item["error_origin"]?.stringValue.map { "\($0): \(code)" } ?? code
    }

    static func milliseconds(_ item: JSONValue, _ member: String) -> String {
        guard let microseconds = item[member]?.intValue, microseconds > 0 else { return "-" }
        return String(microseconds / 1000)
    }

    static let attempts: [Column] = [
        named("ENDPOINT", "endpoint"), named("PROVIDER", "provider"), Column("UPSTREAM MODEL", "upstream_model"),
        Column("HTTP", "upstream_status", .number), Column("ERROR", "error_code", .derived { error($0) }),
        Column("MS", "latency_us", .derived { milliseconds($0, "latency_us") }), Column("INPUT", "input_tokens", .number),
        Column("OUTPUT", "output_tokens", .number), Column("COST", "cost_nano", .dollars), Column("HEDGE", "hedge"),
    ]

    // MARK: CSV (RFC 4180)

    static func cell(_ column: Column, _ item: JSONValue) -> String {
        let text: String
        switch column.format {
        case .derived(let derive): text = derive(item)
        default: text = (item.at(column.path) ?? .null).plain
        }
        return text == "-" ? "" : text
    }

    /// What a spreadsheet would take for a formula is marked as text.
    static func line(_ cells: [String]) -> String {
        cells.map { cell in
            let begins = cell.utf8.first.map { [0x3D, 0x2B, 0x2D, 0x40, 0x09, 0x0D].contains($0) } ?? false
            // An amount below zero is a number.
            let isFormula = begins && NanoDollars(decimal: cell) == nil
            let text = isFormula ? "'" + cell : cell
            guard text.utf8.contains(where: { $0 == 0x22 || $0 == 0x2C || $0 == 0x0A || $0 == 0x0D }) else { return text }
            return "\"" + text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
        }.joined(separator: ",") + "\r"
    }
}

extension AdminClient {
    /// A list's filters with ids in the place of names.
    func identified<F: ListFilters>(_ filters: F) async throws -> [(String, String)] {
        var query = try filters.query()
        for (index, (name, text)) in query.enumerated() {
            guard case .id(let prefix)? = F.shapes.first(where: { $0.name == name })?.kind else { continue }
            query[index].1 = try await id(text, prefix: prefix)
        }
        return query
    }
}
