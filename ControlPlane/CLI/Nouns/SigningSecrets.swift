import ArgumentParser
import Nouns
import Primitives

/// `weir signing-secret`: what the holders of keys sign requests with.
enum SigningSecretNoun: DeclaredResource {
    typealias Content = SigningSecretContent
    static var subcommands: [any ParsableCommand.Type] {
        [
            ListCommand<Self>.self, GetCommand<Self>.self, ShowCommand<Self>.self, CreateCommand<Self>.self, RotateSigningSecret.self,
            DeleteCommand<Self>.self,
        ]
    }
}

struct RotateSigningSecret: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate", abstract: "Give the key a new signing secret; the old one works on for the grace period.",
        discussion: example("signing-secret rotate \(SigningSecretNoun.exampleID) --grace-seconds 86400"))

    @Argument(help: "Its id.")
    var id: String

    @OptionGroup var rotation: RotationOptions
    @OptionGroup var revision: RevisionOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await connection.show(
            try await connection.act(SigningSecretNoun.self, id, "rotate", body: rotation.body, revision: revision),
            of: SigningSecretNoun.shown)
    }
}
