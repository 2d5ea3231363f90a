import ArgumentParser
import Primitives

/// `weir config`: the draft and the versions published from it.
struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config",
        abstract: "The draft of providers, endpoints, models, routes, prices and workflows, and its published versions.",
        discussion: example("config validate", "config publish --note \"second region\""),
        subcommands: [
            Draft.self, Validate.self, Publish.self, Versions.self, Get.self, Show.self, Diff.self, Plan.self, Reset.self,
        ])

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
                let rolledBack = draft.list("rolled_back").map { words(ofRollback: $0) }
                return ([standing] + rolledBack).joined(separator: "\n") + "\n\n" + resources(draft)
            }
        }
    }

    struct Validate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Name what keeps the draft from being published, and what is most likely not meant. Ends with 1 for the former.",
            discussion: example("config validate", "config validate --test-calls"))

        @Flag(help: "Also call each enabled endpoint with its credentials, from where the control plane stands.")
        var testCalls = false

        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            let answer = try await connection.client().send("POST", "config/draft/validate")
            let valid = answer.json.at("valid")?.boolValue == true
            try connection.emit(answer) {
                var lines = [valid ? "The draft can be published." : "The draft cannot be published."]
                lines += answer.json.list("problems").map { words(ofProblem: $0, "error") }
                lines += answer.json.list("warnings").map { words(ofProblem: $0, "warning") }
                return lines.joined(separator: "\n")
            }
            var isReachable = true
            if testCalls {
                let calls = try await connection.client().send("POST", "config/draft/test-calls")
                isReachable = calls.json.at("ok")?.boolValue == true
                remark(Self.describe(calls: calls.json))
            }
            if !valid || !isReachable { throw ExitCode(1) }
        }

        private static func describe(calls: JSONValue) -> String {
            let lines = calls.list("items").map { call in
                let sign = call.at("ok")?.boolValue == true ? "ok" : "FAILED"
                let words = ["endpoint_id", "name", "credential_id", "message"].compactMap { call.string($0)?.visible }
                return "\(sign)  \(words.joined(separator: "  "))"
            }
            return lines.isEmpty ? "No endpoint is enabled." : lines.joined(separator: "\n")
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

        @Flag(help: "The draft may hold what a version was rolled back for.")
        var acknowledgeRollback = false

        @OptionGroup var revision: RevisionOptions
        @OptionGroup var confirmation: ConfirmationOptions
        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            let client = try connection.client()
            var body = Body()
            body.set("note", note ?? "")
            body.set("restore", restore)
            if acknowledgeRollback { body.set("acknowledge_rollback", json: true) }
            var expected = revision.header
            if restore == nil {
                // What is shown is what is published: a change in between is refused.
                let changes = try await client.send("GET", "config/draft/changes")
                expected = expected ?? changes.etag
                remark(Self.describe(changes.json))
                try confirmation.ask("Publish this?")
            }
            let answer = try await client.send("POST", "config/versions", body: body.json, ifMatch: expected)
            try connection.emit(answer) {
                let version = answer.json.at("version")?.plain ?? "?"
                return "Published version \(version). Next: weir rollout create --version \(version)"
            }
        }

        /// What publishing would change, a line each, with who did it.
        private static func describe(_ changes: JSONValue) -> String {
            let since = changes.at("since_version")?.intValue
            var lines = [since.map { "Changes since version \($0):" } ?? "Everything is new:"]
            for change in changes.list("changes") {
                let sign = ["added": "+", "removed": "-"][change.string("change") ?? ""] ?? "~"
                let words = [change.string("resource"), change.string("id"), change.string("name")].compactMap { $0?.visible }
                var authors: [String] = []
                for edit in change.list("edits") {
                    if let name = edit.string("actor.name")?.visible, !authors.contains(name) { authors.append(name) }
                }
                lines.append(
                    "  \(sign) \(words.joined(separator: "  "))" + (authors.isEmpty ? "" : "  (\(authors.joined(separator: ", ")))"))
            }
            if changes.list("changes").isEmpty { lines = ["Nothing has changed since version \(since ?? 0)."] }
            return (lines + changes.list("rolled_back").map { words(ofRollback: $0) }).joined(separator: "\n")
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

    /// What `get` was called in the first release: goes with the next.
    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "The same as get.", discussion: example("config show 3"), shouldDisplay: false)

        @OptionGroup var get: Get

        func run() async throws { try await get.run() }
    }

    struct Get: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Get one version.", discussion: example("config get 3"))

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

    struct Plan: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Draw what requests of a channel go through, in which order, and what failures do.",
            discussion: example("config plan --channel external", "config plan --channel external --version 3"))

        @Option(help: ArgumentHelp("The channel.", valueName: "default|external|internal"), completion: .list(Vocabulary.channels))
        var channel = "default"

        @Option(help: ArgumentHelp("A version, or draft.", valueName: "version|draft"))
        var version = "draft"

        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            let answer = try await connection.client().send("GET", "config/plan", query: [("channel", channel), ("version", version)])
            // The picture's own last line end is the command's.
            try connection.emit(answer) {
                (answer.json.string("text") ?? "").split(separator: "\n", omittingEmptySubsequences: false).dropLast().joined(
                    separator: "\n")
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

        @OptionGroup var revision: RevisionOptions
        @OptionGroup var confirmation: ConfirmationOptions
        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            let client = try connection.client()
            let draft = try await client.send("GET", "config/draft")
            let isChanged = draft.json.at("changed")?.boolValue == true
            try confirmation.ask(
                (isChanged ? "The draft holds changes that were not published. " : "") + "Replace it by version \(version)?")
            let answer = try await client.send(
                "POST", "config/draft/reset", body: ["version": .int(version)], ifMatch: revision.header ?? draft.etag)
            try connection.done("The draft is version \(version) now.", answer)
        }
    }
}

/// One problem or warning with what to do about it.
private func words(ofProblem problem: JSONValue, _ kind: String) -> String {
    let words = ["path", "message"].map { (problem.string($0) ?? "").visible }.joined(separator: ": ")
    return "\(kind): \(words)" + (problem.string("remedy").map { "\n  → \($0.visible)" } ?? "")
}

/// What of a rolled-back version the draft still holds.
private func words(ofRollback rolledBack: JSONValue) -> String {
    let held = rolledBack.list("still_in_draft").map { "\(($0.string("resource") ?? "").visible) \(($0.string("name") ?? "").visible)" }
    return
        "warning: version \(rolledBack.at("version")?.plain ?? "?") was rolled back by \((rolledBack.string("by") ?? "").visible), and the draft"
        + " still holds of it: \(held.joined(separator: ", "))"
}

private let sections = ["providers", "endpoints", "models", "routes", "prices", "workflows"]

/// What a configuration holds, a table for each kind of thing; `--json` has all of it.
private func resources(_ config: JSONValue) -> String {
    sections.map { section in
        let items = config.list(section)
        let columns = [Column.id, section == "prices" ? Column("MODEL", "model_id", .id) : .name]
        return "\(section) (\(items.count))" + (items.isEmpty ? "" : "\n" + Table.render(columns, items))
    }.joined(separator: "\n\n")
}
