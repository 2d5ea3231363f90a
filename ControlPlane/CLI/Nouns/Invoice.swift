import ArgumentParser
import Foundation
import Nouns
import Primitives

/// `weir invoice`: bills that prove themselves.
struct InvoiceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "invoice", abstract: "A month's bill with every record that it charges, and the proof of it.",
        discussion: example("invoice fetch 2026-11 --tenant-id Acme --file 2026-11.jsonl", "invoice verify 2026-11.jsonl --keys keys.json"),
        subcommands: [Fetch.self, Verify.self, Keys.self])

    struct Fetch: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Get a month's invoice.", discussion: example("invoice fetch 2026-11 --tenant-id Acme --file 2026-11.jsonl"))

        @Argument(help: "A month of UTC: 2026-11.")
        var month: String

        @Option(help: "Whose.")
        var tenantID: String

        @Option(help: "Where it is written to. (default: standard output)")
        var file: String?

        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            let client = try connection.client()
            let id = try await client.id(tenantID, prefix: TenantKind.prefix)
            try await client.download("billing/invoice", query: [("tenant_id", id), ("month", month)], to: file)
        }
    }

    struct Keys: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "The public keys by which invoices are verified: for a tenant to keep before it gets one.",
            discussion: example("invoice keys --tenant-id Acme > keys.json"))

        @Option(help: "Whose.")
        var tenantID: String

        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            let client = try connection.client()
            let id = try await client.id(tenantID, prefix: TenantKind.prefix)
            let answer = try await client.send("GET", "billing/keys", query: [("tenant_id", id)])
            // One on each line, so that those of later data planes are added by hand.
            for key in answer.json.list("items") { print(key.text) }
        }
    }

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check invoices, offline: that no record was added, dropped or changed, and that they come to the statement.",
            discussion: """
                Ends with 0 when everything that is charged is proved, with 1 at the first false line, which it names, and with 2 when
                nothing is false and something is not proved (yet). Several months are compared with each other: pass them in their order.

                """ + example("invoice verify 2026-10.jsonl 2026-11.jsonl --keys keys.json"))

        @Argument(help: "Invoices; - is standard input.")
        var files: [String]

        @Option(
            help:
                "A file of the data planes' public keys, as weir invoice keys prints them. Without it those that the invoice names are believed."
        )
        var keys: String?

        @Option(help: "One more public key: dp_…=Base64. May be given several times.")
        var key: [String] = []

        @Flag(help: "Print what was proved as JSON.")
        var json = false

        func run() throws {
            let pinned = try known()
            var earlier: [ChainName: InvoiceVerifier.Ending] = [:]
            var isWhole = true
            for file in files {
                var verifier = InvoiceVerifier(pinned: pinned, earlier: earlier)
                do {
                    try InvoiceFile.lines(of: file) { line throws(InvoiceFault) in try verifier.take(line) }
                    try verifier.finish()
                } catch let fault as InvoiceFault {
                    if json {
                        print(
                            ([
                                "result": "false", "file": .string(file), "line": .int(Int64(fault.line)), "fault": .string(fault.text),
                            ] as JSONValue).text)
                    } else {
                        print("FALSE: \(file), line \(fault.line): \(fault.text)")
                    }
                    throw ExitCode(1)
                }
                let report = verifier.report
                earlier.merge(report.endings) { $1 }
                isWhole = isWhole && report.isWhole
                print(json ? report.json(isPinned: pinned != nil).text : report.lines(isPinned: pinned != nil).joined(separator: "\n"))
            }
            if !isWhole { throw ExitCode(2) }
        }

        /// Nil: none was given.
        private func known() throws -> [String: [UInt8]]? {
            guard keys != nil || !key.isEmpty else { return nil }
            var known: [String: [UInt8]] = [:]
            func add(_ id: String, _ text: String, _ whence: String) throws {
                guard let bytes = Base64.decode(text), bytes.count == 32 else {
                    throw Failure.usage("\(whence): the key of \(id) is not 32 bytes in Base64")
                }
                guard known[id] == nil || known[id] == bytes else { throw Failure.usage("\(whence): there are two keys of \(id)") }
                known[id] = bytes
            }
            if let keys {
                var number = 0
                try InvoiceFile.lines(of: keys) { line in
                    number += 1
                    let value = try? JSONValue(parsing: line)
                    // What the API answers, or a key on each line.
                    for item in value?["items"]?.arrayValue ?? [value ?? .null] {
                        guard let id = item.string("data_plane_id"), let text = item.string("public_key") else {
                            throw Failure.usage("\(keys), line \(number): is no public key")
                        }
                        try add(id, text, "\(keys), line \(number)")
                    }
                }
            }
            for text in key {
                let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
                guard parts.count == 2 else { throw Failure.usage("--key \(text): write dp_…=Base64") }
                try add(parts[0], parts[1], "--key")
            }
            return known
        }
    }
}

/// Reads files of any length line by line.
enum InvoiceFile {
    private static let pieceBytes = 1 << 20
    private static let maximumLineBytes = 16 << 20

    /// - Throws: `Failure.usage` for a file that cannot be read, and what `body` throws.
    static func lines(of path: String, _ body: ([UInt8]) throws -> Void) throws {
        let handle: FileHandle
        if path == "-" {
            handle = FileHandle.standardInput
        } else {
            guard let opened = FileHandle(forReadingAtPath: path) else { throw Failure.usage("\(path) cannot be read") }
            handle = opened
        }
        var rest: [UInt8] = []
        while let piece = try handle.read(upToCount: pieceBytes), !piece.isEmpty {
            rest += piece
            var start = rest.startIndex
            while let end = rest[start...].firstIndex(of: 0x0A) {
                try body(Array(rest[start..<end]))
                start = end + 1
            }
            rest.removeFirst(start)
            guard rest.count <= maximumLineBytes else { throw Failure.usage("\(path) has a line of more than \(maximumLineBytes) bytes") }
        }
        if !rest.isEmpty { try body(rest) }
    }
}
