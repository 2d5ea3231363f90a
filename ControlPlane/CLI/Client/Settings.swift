import ArgumentParser
import Foundation

/// The options that every command takes.
struct ConnectionOptions: ParsableArguments {
    static let defaultURL = "http://127.0.0.1:7080"

    @Option(help: ArgumentHelp("The control plane; else that of the context, WEIR_URL, WEIR_CONTEXT, or \(defaultURL)."))
    var url: String?

    @Option(help: "The control plane that is kept under this name: see `weir context`.")
    var context: String?

    @Option(help: "An administrator's token; better in WEIR_TOKEN or saved by `weir login`, where other users cannot see it.")
    var token: String?

    @Flag(help: "Print the API's JSON: as -o json.")
    var json = false

    // Not --output, which is a price's.
    @Option(
        name: [.customShort("o"), .customLong("format")],
        help: "How to print the answer: table, json, yaml, or name for the identifiers alone.")
    var output = OutputFormat.table

    @Option(help: "Print only this member of the answer, as it is: `--field id`, `--field timeouts.idle_ms`.")
    var field: String?

    /// Where a command goes to, and what it says it is.
    struct Target: Sendable {
        /// Nil when the address was given otherwise.
        let context: String?
        let url: String
        let token: String?
    }

    /// Flags win over the environment, the environment over what is kept. A token that is kept is only ever sent to the address that it was
    /// kept for.
    func target() throws -> Target {
        let environment = ProcessInfo.processInfo.environment
        let kept = try Contexts.load()
        let variable = environment["WEIR_TOKEN"].nonEmpty
        if let context {
            let named = try kept.named(context)
            let address = url ?? named.url
            return Target(context: context, url: address, token: token ?? (address == named.url ? named.token : nil))
        }
        if let address = url ?? environment["WEIR_URL"].nonEmpty {
            return Target(context: nil, url: address, token: token ?? variable ?? kept.token(for: address))
        }
        let named = try environment["WEIR_CONTEXT"].nonEmpty.map(kept.named) ?? kept.currentContext
        return Target(context: named?.name, url: named?.url ?? Self.defaultURL, token: token ?? variable ?? named?.token)
    }

    func client() throws -> AdminClient { try Self.client(target()) }

    static func client(_ target: Target) throws -> AdminClient {
        guard let token = target.token else {
            let words = target.context.map { "--context \($0)" } ?? "--url \(target.url)"
            throw Failure.usage("no token for \(target.url): run `weir login \(words)`, or set WEIR_TOKEN")
        }
        return try AdminClient(address: target.url, token: token)
    }

    /// What is printed when no member is asked for.
    var format: OutputFormat { json ? .json : output }
}

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case table, json, yaml, name
}

extension String? {
    var nonEmpty: String? { flatMap { $0.isEmpty ? nil : $0 } }
}
