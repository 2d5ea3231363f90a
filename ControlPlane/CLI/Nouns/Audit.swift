import ArgumentParser
import Foundation
import Nouns
import Primitives
import Trust

struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "Who did and tried what, newest first: administrators, and with --source callers.",
        discussion: example(
            "audit --resource-kind rollout --from 2026-11-01", "audit --source all --text key_",
            "audit export --tenant-id Acme --from 2026-11-01 --until 2026-12-01 --file acme.jsonl"), subcommands: [List.self, Export.self],
        defaultSubcommand: List.self)

    static let columns: [Column] = [
        Column("AT", "at", .time), Column("ACTION", "action", .id), Column("RESOURCE", "resource_id", .reference),
        Column("BY", "actor.name"), Column("STATUS", "status"), Column("WHY", "error_code"), Column("FROM", "remote_address"),
    ]

    struct Filters: ListFilters {
        @Option(
            help:
                "What is looked through: administration, requests, refusals, some with commas, or all. (default: administration; all in exports)"
        )
        var source: String?

        @Option(help: "Only what concerns this tenant.")
        var tenantID: String?

        @Option(help: "Only this: key.create, request.serve, request.refuse, …")
        var action: String?

        @Option(help: "Only what was done to this kind of thing: tenant, key, rollout, request, …")
        var resourceKind: String?

        @Option(help: "Only what was done to this one.")
        var resourceID: String?

        @Option(help: "Only what this one did: an administrator, key, app, user or DID.")
        var actorID: String?

        @Option(help: "Only what was done with, or to, this key.")
        var keyID: String?

        @Option(help: "Only what concerns this model.")
        var model: String?

        @Option(help: "Only what ended so: done, refused, pending, completed or failed.")
        var status: String?

        @Option(help: "Only what has this in an id or name; of a request or a trace the whole id.")
        var text: String?

        @Option(help: "From this time on: 2026-11-01 or 2026-11-01T12:00:00Z.")
        var from: Moment?

        @Option(help: "Up to this time.")
        var until: Moment?

        static let shapes: [FieldShape] = [
            FieldShape("tenant_id", .id(TenantKind.prefix), "Only what concerns this tenant."),
            FieldShape("key_id", .id(KeyKind.prefix), "Only what was done with, or to, this key."),
        ]

        func query() -> [(String, String)] {
            pairs(
                ("source", source), ("tenant_id", tenantID), ("action", action), ("resource_kind", resourceKind),
                ("resource_id", resourceID), ("actor_id", actorID), ("key_id", keyID), ("model", model), ("status", status), ("text", text),
                ("from", from?.text), ("until", until?.text))
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Who did and tried what, newest first.", discussion: example("audit list --source all --status refused"))

        struct Filters: ListFilters {
            @Option(parsing: .unconditional, help: "By time: at, the oldest first. (default: -at)")
            var sort: String?

            @OptionGroup var audit: AuditCommand.Filters

            static var shapes: [FieldShape] { AuditCommand.Filters.shapes }

            func query() -> [(String, String)] { audit.query() + pairs(("sort", sort)) }
        }

        @OptionGroup var filters: Filters
        @OptionGroup var page: PageOptions
        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            try await connection.list("audit", columns: AuditCommand.columns, filters: filters, page: page)
        }
    }

    struct Export: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "All of it as a file that says at its end what its checksum is; or check such a file.",
            discussion: """
                With --verify nobody is asked: it ends with 0 when the file is whole and as it was sent, and with 1 when it is not.

                """
                    + example(
                        "audit export --tenant-id Acme --from 2026-11-01 --until 2026-12-01 --file acme.jsonl",
                        "audit export --verify acme.jsonl"))

        @OptionGroup var filters: Filters

        @Flag(help: "A table in place of JSON Lines.")
        var csv = false

        @Option(help: "Where it is written to. (default: standard output)")
        var file: String?

        @Option(help: "Check this file instead; - is standard input.")
        var verify: String?

        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            if let verify { return print(try AuditFile.verify(verify)) }
            let client = try connection.client()
            let query = try await client.identified(filters) + [("format", csv ? "csv" : "jsonl")]
            try await client.download("audit/export", query: query, to: file)
            if let file { FileHandle.standardError.write(Data((try AuditFile.verify(file) + "\n").utf8)) }
        }
    }
}

/// An export's own checksum: see docs/audit.md.
enum AuditFile {
    /// - Returns: what the file says of itself, when that is true.
    /// - Throws: `ExitCode(1)` when it is not, and `Failure.usage` for a file that cannot be read.
    static func verify(_ path: String) throws -> String {
        guard let handle = path == "-" ? FileHandle.standardInput : FileHandle(forReadingAtPath: path) else {
            throw Failure.usage("\(path) cannot be read")
        }
        var hash = SHA256Stream()
        // The last line that has begun: it is no part of what is hashed when nothing follows it.
        var held: [UInt8] = []
        while let piece = try handle.read(upToCount: 1 << 16), !piece.isEmpty {
            held += piece
            guard let end = held.dropLast().lastIndex(of: 0x0A) else { continue }
            // What a last line could be stays.
            hash.add(held[...end])
            held = Array(held[(end + 1)...])
        }
        let last = String(decoding: held, as: UTF8.self)
        guard held.last == 0x0A, let told = Trailer(last) else {
            print("FALSE: \(path) is not whole: its last line is not the one that exports end with")
            throw ExitCode(1)
        }
        guard told.digest == hash.hex else {
            print("FALSE: \(path) was changed: its SHA-256 is \(hash.hex), and was \(told.digest.visible) when it was sent")
            throw ExitCode(1)
        }
        return "\(path) is as it was sent: \(told.entries.visible) entries, SHA-256 \(told.digest)"
    }

    private struct Trailer {
        let digest: String
        let entries: String

        /// Of JSON lines, or of a table.
        init?(_ line: String) {
            if line.hasPrefix("{") {
                guard let json = try? JSONValue(parsing: line), json["kind"] == "end", let digest = json.string("sha256"),
                    let entries = json["entries"]?.intValue
                else { return nil }
                (self.digest, self.entries) = (digest, String(entries))
            } else {
                let cells = line.split(separator: ",", omittingEmptySubsequences: false)
                guard cells.count > 10, cells[0].hasPrefix("sha256:"), cells[8] == "export.end" else { return nil }
                (digest, entries) = (String(cells[0].dropFirst(7)), String(cells[10]))
            }
        }
    }
}
