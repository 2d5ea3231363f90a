import ArgumentParser
import Nouns
import Primitives

enum Users: DeclaredResource {
    typealias Content = UserContent
    static var subcommands: [any ParsableCommand.Type] { standardSubcommands + [SyncExpiry.self, SyncExpiries.self] }
}

struct SyncExpiry: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sync-expiry", abstract: "Take note of whether today is paid for by the user.",
        discussion: example("user sync-expiry ada"))

    @Argument(help: "Its id or oid.")
    var id: String

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let client = try connection.client()
        try await connection.show(try await client.send("POST", "\(try await client.path(Users.self, id))/sync-expiry"))
    }
}

struct SyncExpiries: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sync-expiries", abstract: "Take note of whether today is paid for, by every user.",
        discussion: example("user sync-expiries"))

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await connection.show(try await connection.client().send("POST", "users/sync/bulk-expiry"))
    }
}

enum Apps: DeclaredResource {
    typealias Content = AppContent
    static var subcommands: [any ParsableCommand.Type] { standardSubcommands + [ToggleApp.self, RotateAppSecret.self] }
}

struct ToggleApp: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "toggle", abstract: "Turn the app off, or on again.", discussion: example("app toggle billing"))

    @Argument(help: "Its id or app id.")
    var id: String

    @OptionGroup var revision: RevisionOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let client = try connection.client()
        try await connection.show(
            try await client.send("PATCH", "\(try await client.path(Apps.self, id))/toggle", ifMatch: revision.header))
    }
}

struct RotateAppSecret: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate-secret", abstract: "Give the app a new secret; the old one works on for the grace period.",
        discussion: example("app rotate-secret billing --grace-seconds 86400"))

    @Argument(help: "Its id or app id.")
    var id: String

    @OptionGroup var rotation: RotationOptions
    @OptionGroup var revision: RevisionOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await connection.show(try await connection.act(Apps.self, id, "rotate-secret", body: rotation.body, revision: revision))
    }
}

/// How a secret is replaced.
struct RotationOptions: ParsableArguments {
    @Option(help: "For how long the old secret works beside the new one. (default: 86400, a day)")
    var graceSeconds: Int64?

    @Flag(help: "Also while an earlier rotation's old secret still works: that one ends at once.")
    var force = false

    var body: JSONValue {
        var body = Body()
        body.set("grace_seconds", graceSeconds)
        if force { body.set("force", json: true) }
        return body.json
    }
}

enum DIDs: DeclaredResource {
    typealias Content = DIDContent
    static var subcommands: [any ParsableCommand.Type] { standardSubcommands + [ResolveDID.self] }
}

struct ResolveDID: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resolve", abstract: "Read the document of a did:web now, not when it is due.",
        discussion: example("did resolve \(DIDKind.example)"))

    @Argument(help: "Its id.")
    var id: String

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let client = try connection.client()
        try await connection.show(
            try await client.send("POST", "\(try await client.path(DIDs.self, id))/resolve"), of: DIDContent.shapes)
    }
}
