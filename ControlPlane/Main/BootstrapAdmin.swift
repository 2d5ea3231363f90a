import ArgumentParser
import Domain
import Foundation
import Logging
import Nouns
import Primitives
import ProcessSettings
import Storage
import Telemetry

struct BootstrapAdmin: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Create an administrator's token in the database and show it once.",
        discussion: """
            For the first administrator, or when every token is lost. With the embedded database weir-control must not be running; \
            afterwards use `weir token create`.

            Example:
              weir-control bootstrap-admin --name root --if-none --token-file admin.token
            """)

    @OptionGroup var options: SettingsOptions
    @Option(help: "A name for people; it shows in the audit log.")
    var name = "root"
    @Option(help: "owner, operator, billing, auditor or viewer.")
    var role = Role.owner.rawValue
    @Flag(name: .customLong("if-none"), help: "Do nothing when there is an administrator already.")
    var ifNone = false
    @Option(name: .customLong("token-file"), help: "Write the token there, readable by its owner only, instead of printing it.")
    var tokenFile: String?

    func run() async throws {
        guard let role = Role(rawValue: role) else {
            throw ValidationError("--role is not one of \(Role.allCases.map(\.rawValue).joined(separator: ", ")).")
        }
        let settings = try Settings(options.read(ControlOptions.reader).target)
        do {
            try await create(settings, role)
        } catch let error as StartupError {
            throw ValidationError(error.description)
        } catch let error as DomainError {
            throw ValidationError(Self.words(error))
        }
    }

    private func create(_ settings: Settings, _ role: Role) async throws {
        // What is printed is for people; the log of a one-off command only says what went wrong.
        let logger = Logger.structured("weir-control", level: max(settings.logLevel, .warning))
        let installation = try await Installation.open(settings, logger: logger)
        do {
            let tokens = AdminTokenService(installation.domain)
            let content = AdminTokenContent {
                $0.name = name
                $0.role = role
            }
            let issued = try await tokens.create(content, by: .system("bootstrap-admin"), onlyIfNone: ifNone) { plaintext in
                if let tokenFile { try PrivateFile.replace(tokenFile, contents: plaintext.reveal() + "\n") }
            }
            switch (issued, tokenFile) {
            case (nil, _): print("There is an administrator already; nothing was done.")
            case (let issued?, nil): print(issued.plaintext.reveal())
            case (_?, let file?): print("Wrote the token of \(name) (\(role.rawValue)) to \(file).")
            }
            await installation.database.close()
        } catch {
            await installation.database.close()
            throw error
        }
    }

    static func words(_ error: DomainError) -> String {
        switch error {
        case .invalid(let problems), .conflict(_, let problems):
            problems.map { "--\($0.field) \($0.message). \($0.remedy)" }.joined(separator: "\n")
        case .unavailable(let detail): detail
        default: String(describing: error)
        }
    }
}
