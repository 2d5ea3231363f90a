import ArgumentParser
import Foundation
import Primitives

struct Login: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Keep a control plane's address and a token for it, after trying them.",
        discussion: example("login --url https://weir.example.org", "login --context staging < token.txt"))

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        var kept = try Contexts.load()
        let name = connection.context ?? environment("WEIR_CONTEXT") ?? kept.current ?? Contexts.defaultName
        let address = connection.url ?? environment("WEIR_URL") ?? kept[name]?.url ?? ConnectionOptions.defaultURL
        let who = try await kept.keep(name, url: address, token: connection.token)
        kept.current = name
        try kept.save()
        try connection.emit(who) {
            "Logged in to \(address) as \(describe(who.json)). Kept as the context \(name) in \(Contexts.file.path)."
        }
    }

    private func environment(_ name: String) -> String? { ProcessInfo.processInfo.environment[name].nonEmpty }
}

struct Logout: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Forget the token that login kept for the context in use.", discussion: example("logout"))

    @Option(help: "The context whose token to forget. (default: WEIR_CONTEXT, else the current one)")
    var context: String?

    func run() throws {
        var kept = try Contexts.load()
        guard let name = context ?? ProcessInfo.processInfo.environment["WEIR_CONTEXT"].nonEmpty ?? kept.current else { return }
        var named = try kept.named(name)
        named.token = nil
        kept.put(named)
        try kept.save()
        print("Forgot the token for \(named.url).")
    }
}

struct WhoAmI: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "whoami", abstract: "Show which control plane commands go to, and as whom.", discussion: example("whoami"))

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let target = try connection.target()
        let answer = try await ConnectionOptions.client(target).whoAmI()
        try connection.emit(answer) {
            var object: JSONObject = ["control_plane": .string(target.url), "context": target.context.map(JSONValue.string) ?? .null]
            for member in answer.json.objectValue?.members ?? [] { object[member.name] = member.value }
            return Table.details(.object(object), words: ["expires_at": Column("EXPIRES", "expires_at", null: "never")])
        }
    }
}

/// `weir context`: several control planes, each under a name.
struct ContextCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "context", abstract: "The control planes that are kept, by name; --context or WEIR_CONTEXT chooses one for a command.",
        discussion: example("context add staging --url https://weir.staging.example.org", "context use staging"),
        subcommands: [List.self, Use.self, Add.self, Delete.self])

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the contexts.", discussion: example("context list"))

        @OptionGroup var format: FormatOptions

        func run() throws {
            let kept = try Contexts.load()
            let items = kept.contexts.map { context -> JSONValue in
                [
                    "name": .string(context.name), "url": .string(context.url), "current": .bool(context.name == kept.current),
                    "logged_in": .bool(context.token != nil),
                ]
            }
            let columns: [Column] = [.name, Column("CONTROL PLANE", "url"), Column("CURRENT", "current"), Column("LOGGED IN", "logged_in")]
            let answer = Answer(["items": .array(items), "next_cursor": .null])
            print(
                answer.printed(as: format.format) {
                    items.isEmpty ? "No context yet: `weir login` or `weir context add` makes one." : Table.render(columns, items)
                })
        }
    }

    struct Use: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Send commands to this control plane from now on.", discussion: example("context use staging"))

        @Argument(help: "The context's name.", completion: .custom { _, _, _ in (try? Contexts.load().contexts.map(\.name)) ?? [] })
        var name: String

        func run() throws {
            var kept = try Contexts.load()
            let context = try kept.named(name)
            kept.current = name
            try kept.save()
            print("Commands go to \(context.url) now.")
        }
    }

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Keep a control plane under a name, after trying the token, which comes from standard input or --token.",
            usage: "weir context add <name> --url <url> [<options>]",
            discussion: example("context add staging --url https://weir.staging.example.org < token.txt"))

        @Argument(help: "The context's name.")
        var name: String

        @Option(help: "The control plane. Required.")
        var url: String

        @Option(help: "An administrator's token; better on standard input, where other users cannot see it.")
        var token: String?

        func run() async throws {
            var kept = try Contexts.load()
            if kept[name] != nil { throw Failure.usage("there is a context \"\(name)\" already: `weir context delete \(name)` removes it") }
            let who = try await kept.keep(name, url: url, token: token)
            if kept.current == nil { kept.current = name }
            try kept.save()
            print("Kept \(url) as \(name): you are \(describe(who.json)) there.")
        }
    }

    struct Delete: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Forget a control plane and the token for it.", discussion: example("context delete staging"))

        @Argument(help: "The context's name.", completion: .custom { _, _, _ in (try? Contexts.load().contexts.map(\.name)) ?? [] })
        var name: String

        @OptionGroup var confirmation: ConfirmationOptions

        func run() throws {
            var kept = try Contexts.load()
            _ = try kept.named(name)
            try confirmation.ask("Forget the context \(name) and its token?")
            kept.remove(name)
            try kept.save()
            print("Forgot \(name).")
        }
    }
}

extension Contexts {
    /// Takes a control plane in, once it has answered to the token.
    /// - Returns: whose token it is.
    fileprivate mutating func keep(_ name: String, url: String, token: String?) async throws -> Answer {
        let token =
            try token ?? Terminal.readSecret(prompt: "Administrator's token").trimmingCharacters(in: .whitespacesAndNewlines)
        let who = try await AdminClient(address: url, token: token).whoAmI()
        put(Context(name: name, url: url, token: token))
        return who
    }
}

extension AdminClient {
    /// Whose token it is.
    func whoAmI() async throws -> Answer { try await send("GET", "whoami") }
}

/// "ci, an operator"
private func describe(_ who: JSONValue) -> String {
    "\((who.string("name") ?? "?").visible) (\((who.string("role") ?? "?").visible))"
}
