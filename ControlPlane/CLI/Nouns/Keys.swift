import ArgumentParser
import Nouns
import Primitives

enum Keys: DeclaredResource {
    typealias Content = VirtualKeyContent
    static var subcommands: [any ParsableCommand.Type] { standardSubcommands + [RotateKey.self, ActionCommand<RevokeKey>.self] }
}

struct RotateKey: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate", abstract: "Give the key a new secret; the old one works on for the grace period.",
        discussion: example("key rotate \(Keys.exampleID) --grace-seconds 86400"))

    @Argument(help: "Its id, or its name where names are unique.")
    var id: String

    @OptionGroup var rotation: RotationOptions
    @OptionGroup var revision: RevisionOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await connection.show(
            try await connection.act(Keys.self, id, "rotate", body: rotation.body, revision: revision), of: Keys.shown)
    }
}

enum RevokeKey: ItemAction {
    typealias Target = Keys
    static let verb = "revoke"
    static let abstract = "End the key at once and for good."
    static func question(_ title: String) -> String? { "End the key \(title) at once and for good?" }
}
