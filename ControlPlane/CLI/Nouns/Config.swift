import ArgumentParser
import Primitives

/// `weir config`: the draft and the versions published from it.
struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "The draft of providers, endpoints, models, routes and prices, and its published versions.",
        discussion: example("config validate", "config publish --note \"second region\""),
        subcommands: [Draft.self, Validate.self, Publish.self, Versions.self, Show.self, Diff.self, Reset.self])

    struct Draft: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the draft, and whether it differs from the last version.", discussion: example("config draft"))

        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            let answer = try await connection.client().send("GET", "config/draft")
            try connection.emit(answer) {
                let draft = answer.json
                let changed = draft.at("changed")?.boolValue == true
                let standing =
                    switch draft.at("latest_version")?.intValue {
                    case nil: "Nothing was published yet."
                    case let latest?: changed ? "The draft differs from version \(latest)." : "The draft is version \(latest)."
                    }
                return standing + "\n\n" + resources(draft)
            }
        }
    }

    struct Validate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Name everything that keeps the draft from being published. Ends with 1 when there is something.",
            discussion: example("config validate"))

        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            let answer = try await connection.client().send("POST", "config/draft/validate")
            let valid = answer.json.at("valid")?.boolValue == true
            try connection.emit(answer) {
                if valid { return "The draft can be published." }
                return answer.json.list("problems").map { problem in
                    let words = ["path", "message"].map { (problem.string($0) ?? "").visible }.joined(separator: ": ")
                    return words + (problem.string("remedy").map { "\n  → \($0.visible)" } ?? "")
                }.joined(separator: "\n")
            }
            if !valid { throw ExitCode(1) }
        }
    }

    struct Publish: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make the draft, or an older version's content, the next version. A rollout brings it into force.",
            discussion: example("config publish --note \"cheaper embeddings\"", "config publish --restore 3 --note \"back to March\""))

        @Option(help: "Why.")
        var note: String?

        @Option(help: ArgumentHelp("Publish this version's content again instead of the draft.", valueName: "version"))
        var restore: Int64?

        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            var body = Body()
            body.set("note", note ?? "")
            body.set("restore", restore)
            let answer = try await connection.client().send("POST", "config/versions", body: body.json)
            try connection.emit(answer) {
                let version = answer.json.at("version")?.plain ?? "?"
                return "Published version \(version). Next: weir rollout create --version \(version)"
            }
        }
    }

    struct Versions: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List what was published.", discussion: example("config versions"))

        @OptionGroup var page: PageOptions
        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            let columns = [
                Column("VERSION", "version", .number), .created, Column("AUTHOR", "author.name"), Column("RESTORES", "restores", .number),
                Column("NOTE", "note"),
            ]
            try await connection.list("config/versions", columns: columns, page: page)
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show one version.", discussion: example("config show 3"))

        @Argument(help: "Its number.")
        var version: Int64

        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            let answer = try await connection.client().send("GET", "config/versions/\(version)")
            try connection.emit(answer) {
                var head = answer.json.objectValue ?? JSONObject()
                head["config"] = nil
                return Table.details(.object(head)) + "\n\n" + resources(answer.json.at("config") ?? .null)
            }
        }
    }

    struct Diff: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what differs between two versions, or a version and the draft.",
            discussion: example("config diff --from 3 --to 4", "config diff --from 4"))

        @Option(help: ArgumentHelp("A version, or draft.", valueName: "version|draft"))
        var from: String

        @Option(help: ArgumentHelp("A version, or draft.", valueName: "version|draft"))
        var to = "draft"

        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            let answer = try await connection.client().send("GET", "config/diff", query: [("from", from), ("to", to)])
            try connection.emit(answer) { Self.describe(answer.json) }
        }

        /// One resource a line with its sign, its fields indented below.
        static func describe(_ diff: JSONValue) -> String {
            var lines: [String] = []
            for section in sections {
                for (kind, sign) in [("removed", "-"), ("added", "+"), ("changed", "~")] {
                    for entry in diff.list("\(section).\(kind)") {
                        let words = [entry.string("id"), entry.string("name")].compactMap { $0?.visible }.joined(separator: "  ")
                        lines.append("\(sign) \(section)  \(words)")
                        guard kind == "changed" else { continue }
                        for field in entry.list("fields") {
                            let (from, to) = (field.at("from")?.plain ?? "-", field.at("to")?.plain ?? "-")
                            lines.append("    \(field.string("path") ?? ""): \(from.visible) → \(to.visible)")
                        }
                    }
                }
            }
            return lines.isEmpty ? "No difference." : lines.joined(separator: "\n")
        }
    }

    struct Reset: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Replace the whole draft by a version's content.", discussion: example("config reset --version 3"))

        @Option(help: "The version.")
        var version: Int64

        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            let answer = try await connection.client().send("POST", "config/draft/reset", body: ["version": .int(version)])
            try connection.done("The draft is version \(version) now.", answer)
        }
    }
}

private let sections = ["providers", "endpoints", "models", "routes", "prices"]

/// What a configuration holds, a table for each kind of thing; `--json` has all of it.
private func resources(_ config: JSONValue) -> String {
    sections.map { section in
        let items = config.list(section)
        let columns = [Column.id, section == "prices" ? Column("MODEL", "model_id", .id) : .name]
        return "\(section) (\(items.count))" + (items.isEmpty ? "" : "\n" + Table.render(columns, items))
    }.joined(separator: "\n\n")
}
