import ArgumentParser
import Domain
import Logging
import Nouns
import Primitives
import ProcessSettings
import Storage
import Telemetry

struct BreakGlass: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Create an owner's token for an emergency: some hours, and everybody sees it.",
        discussion: """
            For when nobody can sign on any more. It can be made here only, at the database. That it was made and each use of it is in the audit \
            log, and `weir status` tells of it until it is deleted. With the embedded database weir-control must not be running meanwhile.

            Example:
              weir-control break-glass --reason "identity provider is down" --hours 4
            """)

    @OptionGroup var options: SettingsOptions
    @Option(help: "Why; it shows in the audit log and in weir status.")
    var reason: String
    @Option(help: "For how long it works, 1 to 24.")
    var hours = 4
    @Option(name: .customLong("token-file"), help: "Write the token there, readable by its owner only, instead of printing it.")
    var tokenFile: String?

    func validate() throws {
        guard (1...24).contains(hours) else { throw ValidationError("--hours is not from 1 to 24.") }
        guard !reason.isEmpty, reason.count <= 60 else { throw ValidationError("--reason has to be 1 to 60 characters.") }
    }

    func run() async throws {
        let settings = try Settings(options.read(ControlOptions.reader).target)
        do {
            let logger = Logger.structured("weir-control", level: max(settings.logLevel, .warning))
            let installation = try await Installation.open(settings, logger: logger)
            do {
                try await create(installation)
                await installation.database.close()
            } catch {
                await installation.database.close()
                throw error
            }
        } catch let error as StartupError {
            throw ValidationError(error.description)
        } catch let error as DomainError {
            throw ValidationError(BootstrapAdmin.words(error))
        }
    }

    private func create(_ installation: Installation) async throws {
        let tokens = AdminTokenService(installation.domain)
        let token = try await tokens.breakGlass(reason: reason, lifetime: Int64(hours) * 3_600_000) { plaintext in
            if let tokenFile {
                try PrivateFile.replace(tokenFile, contents: plaintext.reveal() + "\n")
            } else {
                print(plaintext.reveal())
            }
        }
        if let tokenFile { print("Wrote \(token.content.name) to \(tokenFile).") }
    }
}
