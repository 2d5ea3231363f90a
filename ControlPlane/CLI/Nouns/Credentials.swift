import ArgumentParser
import Foundation
import Nouns

enum Credentials: DeclaredResource {
    typealias Content = CredentialContent
    static var subcommands: [any ParsableCommand.Type] {
        [
            ListCommand<Self>.self, GetCommand<Self>.self, ShowCommand<Self>.self, CreateCredential.self, UpdateCommand<Self>.self,
            DeleteCommand<Self>.self,
            RotateCredential.self,
        ]
    }
}

/// Where a secret comes from. Never from the command line itself, which every user of the machine can read.
struct SecretOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Only \"-\": read it from standard input, which is the default.", valueName: "-"))
    var secret: String?

    @Option(help: ArgumentHelp("Read it from this file.", valueName: "path"))
    var secretFile: String?

    @Option(help: ArgumentHelp("Read it from this environment variable.", valueName: "name"))
    var secretEnv: String?

    func read() throws -> String {
        guard [secret, secretFile, secretEnv].filter({ $0 != nil }).count <= 1 else {
            throw Failure.usage("give one of --secret -, --secret-file and --secret-env")
        }
        if let secret, secret != "-" {
            throw Failure.usage("a secret on the command line can be read by others: use --secret -, --secret-file or --secret-env")
        }
        let value: String
        if let secretFile {
            value = try readFile(secretFile)
        } else if let secretEnv {
            guard let found = ProcessInfo.processInfo.environment[secretEnv].nonEmpty else {
                throw Failure.usage("the environment variable \(secretEnv) is not set")
            }
            value = found
        } else {
            value = try Terminal.readSecret(prompt: "The provider's key")
        }
        let trimmed = value.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !trimmed.isEmpty else { throw Failure.usage("the secret is empty") }
        return trimmed
    }
}

struct CreateCredential: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Create a credential; the secret comes from standard input unless an option says otherwise.",
        usage: creationUsage(Credentials.self),
        discussion: example("credential create \(Credentials.createExample)"))

    @OptionGroup var fields: Credentials.NewFields
    @OptionGroup var secret: SecretOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let given = try fields.body()
        try requireMembers(given, of: Credentials.self)
        let client = try connection.client()
        var body = try await client.resolved(given, CredentialContent.shapes)
        body.set("secret", try secret.read())
        try await connection.show(try await client.send("POST", Credentials.path, body: body.json), of: Credentials.shown)
    }
}

struct RotateCredential: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate", abstract: "Replace the secret.",
        discussion: example("credential rotate \(Credentials.exampleID) --secret-file new-key.txt"))

    @Argument(help: "Its id, or its name where names are unique.")
    var id: String

    @OptionGroup var secret: SecretOptions
    @OptionGroup var revision: RevisionOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        var body = Body()
        body.set("secret", try secret.read())
        try await connection.show(try await connection.act(Credentials.self, id, "rotate", body: body.json, revision: revision))
    }
}

func readFile(_ path: String) throws -> String {
    guard let data = FileManager.default.contents(atPath: path), let text = String(data: data, encoding: .utf8) else {
        throw Failure.usage("cannot read \(path) as text")
    }
    return text
}
