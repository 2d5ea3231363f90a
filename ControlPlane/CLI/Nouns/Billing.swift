import ArgumentParser
import Nouns
import Primitives

/// `weir billing`: what tenants owe and have paid.
struct BillingCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "billing", abstract: "What a month cost, what tenants have paid, and what they have left.",
        discussion: example("billing 2026-11 --group-by project", "billing top-up --tenant-id Acme --amount 500 --reference pay-4711"),
        subcommands: [
            Month.self, Balance.self, Entries.self, Statement.self, TopUp.self, Adjust.self, Reconcile.self,
        ], defaultSubcommand: Month.self)

    struct Month: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "What a month's requests cost, and whom.", discussion: example("billing month 2026-11 --group-by model"))

        @Argument(help: "A month of UTC: 2026-11.")
        var month: String

        @Option(help: "One of: user, tenant, project, app, key, model, tag:NAME. (default: user)")
        var groupBy: String?

        @Option(help: "Only this tenant's.")
        var tenantID: String?

        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            let client = try connection.client()
            let query = try await pairs(
                ("month", month), ("group_by", groupBy), ("tenant_id", client.tenant(tenantID)))
            let answer = try await client.send("GET", "billing", query: query)
            try connection.emit(answer) {
                let word = groupBy.map { String($0.prefix { $0 != ":" }) } ?? "user"
                let who: [Column] =
                    switch word {
                    case "user": [Column("USER", "user_oid"), Column("EMAIL", "email")]
                    case "model", "tag": [Column(word.uppercased(), word)]
                    default: [Column("ID", "\(word)_id", .id), Column(word.uppercased(), word)]
                    }
                let items = answer.json.list(word == "user" ? "users" : "items")
                let table = Table.render(who + [Column("REQUESTS", "requests", .number), Column("COST", "total_cost")], items)
                let total = answer.json.string("total_cost") ?? ""
                return table + "\n\n\(month): $\(total) for \(answer.json.at("total_requests")?.plain ?? "") requests."
            }
        }
    }

    struct Balance: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "What a tenant has left; below zero: what it owes.", discussion: example("billing balance --tenant-id Acme"))

        @Option(help: "Whose.")
        var tenantID: String

        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            let client = try connection.client()
            let query = try await pairs(("tenant_id", client.tenant(tenantID)))
            try await connection.show(try await client.send("GET", "billing/balance", query: query))
        }
    }

    struct Entries: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "The ledger's entries, newest first.", discussion: example("billing entries --kind top_up"))

        static let columns: [Column] = [
            Column("ID", "id", .id), Column("TENANT", "tenant_id", .reference), Column("KIND", "kind"), Column("DAY", "day"),
            Column("POSTED", "posted_at", .time), Column("AMOUNT", "amount_nano", .dollars), Column("REFERENCE", "reference"),
            Column("DESCRIPTION", "description"),
        ]

        struct Filters: ListFilters {
            @Option(help: "Only this tenant's.")
            var tenantID: String?

            @Option(help: "Only usage, top_up or adjustment.")
            var kind: String?

            @Option(
                parsing: .unconditional,
                help: "By posted_at, or by the day that they count for; with a minus the latest first. (default: -posted_at)")
            var sort: String?

            func query() -> [(String, String)] { pairs(("tenant_id", tenantID), ("kind", kind), ("sort", sort)) }

            static var shapes: [FieldShape] { [FieldShape("tenant_id", .id(TenantKind.prefix), "")] }
        }

        @OptionGroup var filters: Filters
        @OptionGroup var page: PageOptions
        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            try await connection.list("billing/entries", columns: Self.columns, filters: filters, page: page)
        }
    }

    struct Statement: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "A tenant's month, line by line; the lines add up to the balance.",
            discussion: example("billing statement 2026-11 --tenant-id Acme", "billing statement 2026-11 --tenant-id Acme --csv"))

        static let columns: [Column] = [
            Column("DAY", "day"), Column("KIND", "kind"), Column("REFERENCE", "reference"), Column("PROJECT", "project"),
            Column("MODEL", "model"), Column("REQUESTS", "requests", .number), Column("AMOUNT", "amount"), Column("BALANCE", "balance"),
        ]
        private static let members = [
            "day", "posted_at", "entry_id", "kind", "reference", "description", "project_id", "project", "model", "requests", "amount",
            "balance",
        ]

        @Argument(help: "A month of UTC: 2026-11.")
        var month: String

        @Option(help: "Whose.")
        var tenantID: String

        @Option(help: "Only what was posted before: the statement as it was then.")
        var postedUntil: Moment?

        @Flag(help: "As CSV.")
        var csv = false

        @Flag(help: "As JSON, one line on each line.")
        var jsonl = false

        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            let client = try connection.client()
            let query = try await pairs(
                ("tenant_id", client.tenant(tenantID)), ("month", month), ("posted_until", postedUntil?.text))
            let answer = try await client.send("GET", "billing/statement", query: query)
            let lines = answer.json.list("lines")
            // The heads of the signed chains change no balance: see `weir invoice`.
            if csv {
                print(UsageTable.line(Self.members))
                for line in lines + answer.json.list("heads") {
                    print(UsageTable.line(Self.members.map { line.at($0).map { $0 == .null ? "" : $0.plain } ?? "" }))
                }
            } else if jsonl {
                for line in lines + answer.json.list("heads") { print(line.text) }
            } else {
                try connection.emit(answer) {
                    let (opening, closing) = (answer.json.string("opening_balance") ?? "", answer.json.string("closing_balance") ?? "")
                    let table = lines.isEmpty ? "No lines." : Table.render(Self.columns, lines)
                    return "Balance before: $\(opening)\n\n\(table)\n\nBalance after: $\(closing)"
                }
            }
        }
    }

    /// What is posted.
    struct Posting: ParsableArguments {
        @Option(help: "Whose ledger it goes to.")
        var tenantID: String

        @Option(parsing: .unconditional, help: "In dollars: 25.00.")
        var amount: String

        @Option(help: "Names it for good, such as a payment's number: posted again, it is the same entry.")
        var reference: String?

        @Option(help: "What it is for.")
        var description: String?

        func body(_ client: AdminClient, corrects: String? = nil) async throws -> JSONValue {
            var body = Body()
            body.set("tenant_id", try await client.tenant(tenantID))
            body.set("amount", amount)
            body.set("reference", reference)
            body.set("description", description)
            body.set("corrects_id", corrects)
            return body.json
        }
    }

    struct TopUp: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "top-up", abstract: "Post a payment that came in.",
            discussion: example("billing top-up --tenant-id Acme --amount 500 --reference pay-4711"))

        @OptionGroup var posting: Posting
        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            let client = try connection.client()
            try await connection.show(try await client.send("POST", "billing/top-ups", body: posting.body(client)))
        }
    }

    struct Adjust: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Post a correction: entries are never edited.",
            discussion: example("billing adjust --tenant-id Acme --amount -5 --description \"Paid twice\""))

        @Option(help: "The entry that it puts right.")
        var correctsID: String?

        @OptionGroup var posting: Posting
        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            let client = try connection.client()
            let body = try await posting.body(client, corrects: correctsID)
            try await connection.show(try await client.send("POST", "billing/adjustments", body: body))
        }
    }

    struct Reconcile: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Put a provider's export beside the records, and list where they differ.",
            discussion: """
                The file is CSV with titles, or JSON: an array of objects. Known columns: model (the provider's name), day, requests,
                input_tokens, output_tokens, cost; what is not there is not compared.

                """ + example("billing reconcile 2026-11 export.csv --provider-id openai --tolerance 0.01"))

        static let columns: [Column] = [
            Column("DIFFERENCE", "kind"), Column("MODEL", "model"), Column("DAY", "day"), Column("RECORDED", "recorded.cost"),
            Column("STATED", "stated.cost"),
            Column("REQUESTS", "recorded.requests", .number), Column("STATED", "stated.requests", .number),
            Column("INPUT", "recorded.input_tokens", .number), Column("STATED", "stated.input_tokens", .number),
            Column("OUTPUT", "recorded.output_tokens", .number), Column("STATED", "stated.output_tokens", .number),
        ]

        @Argument(help: "A month of UTC: 2026-11.")
        var month: String

        /// Of the file; what of it is sent is bounded by the API.
        static let maximumBytes = 64 << 20

        @Argument(help: "The export; - is standard input.")
        var file: String

        @Option(help: "Only what was sent to this provider.")
        var providerID: String?

        @Option(help: "Costs of a line that differ by no more, in dollars, are the same. (default: 0)")
        var tolerance: String?

        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            let lines: [JSONValue]
            do {
                lines = try ProviderExport.lines(YAMLFile.read(file, atMost: Self.maximumBytes, remedy: nil))
            } catch {
                throw Failure.usage("\(file): \(error.text)")
            }
            let client = try connection.client()
            var body = Body()
            body.set("month", month)
            if let providerID { body.set("provider_id", try await client.id(providerID, prefix: ProviderKind.prefix)) }
            body.set("tolerance", tolerance)
            body.set("lines", json: .array(lines))
            let answer = try await client.send("POST", "billing/reconcile", body: body.json)
            try connection.emit(answer) {
                let differences = answer.json.list("differences")
                let table = differences.isEmpty ? "Nothing differs." : Table.render(Self.columns, differences)
                let (ours, theirs) = (answer.json.string("recorded_cost") ?? "", answer.json.string("stated_cost") ?? "")
                return table + "\n\nRecorded $\(ours), stated $\(theirs): a difference of $\(answer.json.string("difference") ?? "")."
            }
        }
    }
}

/// A provider's export as lines of the API's.
enum ProviderExport {
    private static let texts = ["model", "day", "cost"]
    private static let counts = ["requests", "input_tokens", "output_tokens"]

    static func lines(_ bytes: [UInt8]) throws(FileFault) -> [JSONValue] {
        guard let text = String(validating: bytes, as: UTF8.self) else { throw FileFault("is not text in UTF-8") }
        guard !text.hasPrefix("[") else {
            guard let parsed = try? JSONValue(parsing: bytes), case .array(let lines) = parsed else { throw FileFault("is no JSON array") }
            return lines
        }
        var rows = rows(text)
        guard !rows.isEmpty else { throw FileFault("is empty") }
        let titles = rows.removeFirst().map { $0.lowercased().split(separator: " ").joined(separator: "_") }
        guard titles.contains("model") else { throw FileFault("has no column \"model\"; its first line has to hold the titles", line: 1) }
        var lines: [JSONValue] = []
        for (number, row) in rows.enumerated() where row != [""] {
            var object = JSONObject()
            for (title, cell) in zip(titles, row) where !cell.isEmpty {
                if texts.contains(title) { object[title] = .string(title == "day" ? String(cell.prefix(10)) : cell) }
                guard counts.contains(title) else { continue }
                guard let count = Int64(cell) else { throw FileFault("\"\(cell.visible)\" is no whole number", line: number + 2) }
                object[title] = .int(count)
            }
            lines.append(.object(object))
        }
        return lines
    }

    /// RFC 4180: cells with commas, quotes and line ends stand in quotes.
    private static func rows(_ text: String) -> [[String]] {
        var rows: [[String]] = []
        var (row, cell, isQuoted, wasQuote) = ([String](), "", false, false)
        func closed(_ cell: String) -> String { String(cell.drop { $0 == "\u{FEFF}" }) }
        for character in text {
            if isQuoted {
                if character == "\"" {
                    isQuoted = false
                    wasQuote = true
                } else {
                    cell.append(character)
                }
                continue
            }
            switch character {
            case "\"":
                if wasQuote { cell.append(character) }
                isQuoted = true
            case ",":
                row.append(closed(cell))
                cell = ""
            case "\n", "\r\n", "\r":
                rows.append(row + [closed(cell)])
                (row, cell) = ([], "")
            default: cell.append(character)
            }
            wasQuote = false
        }
        if !row.isEmpty || !cell.isEmpty { rows.append(row + [closed(cell)]) }
        return rows
    }
}

extension AdminClient {
    /// A tenant's id, by its id or name.
    fileprivate func tenant(_ text: String) async throws -> String { try await id(text, prefix: TenantKind.prefix) }

    fileprivate func tenant(_ text: String?) async throws -> String? {
        if let text { try await tenant(text) as String } else { nil }
    }
}
