import ArgumentParser
import Foundation
import Nouns
import Primitives

/// The operator's command line: everything the admin API can do. Settings: flags, then WEIR_URL, WEIR_TOKEN and WEIR_CONTEXT, then what
/// `weir login` kept.
struct Weir: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weir", abstract: "Operate a Weir control plane.",
        discussion: example("login --url http://127.0.0.1:7080", "tenant create --name Acme", "status", "doctor"),
        version: weirVersion.description,
        subcommands: [
            Login.self, Logout.self, WhoAmI.self, ContextCommand.self, StatusCommand.self, Doctor.self, Export.self, Apply.self,
            NounCommand<Declared<TenantContent>>.self, NounCommand<Declared<ProjectContent>>.self, NounCommand<Keys>.self,
            NounCommand<Users>.self, NounCommand<Apps>.self, NounCommand<Declared<BanContent>>.self,
            NounCommand<Declared<LimitContent>>.self,
            NounCommand<WebhookNoun>.self,
            NounCommand<KillSwitchNoun>.self, Kill.self, Unkill.self,
            NounCommand<SigningSecretNoun>.self, NounCommand<DIDs>.self, NounCommand<RevokedGrantNoun>.self,
            NounCommand<Budgets>.self,
            NounCommand<Credentials>.self, NounCommand<Declared<ProviderContent>>.self, NounCommand<Declared<EndpointContent>>.self,
            NounCommand<Declared<ModelContent>>.self, NounCommand<Declared<RouteContent>>.self, NounCommand<Prices>.self,
            NounCommand<Declared<WorkflowContent>>.self,
            ConfigCommand.self, NounCommand<RolloutNoun>.self, NounCommand<Fleet>.self,
            UsageCommand.self, BillingCommand.self, InvoiceCommand.self, AuditCommand.self, NounCommand<Declared<AdminTokenContent>>.self,
            NounCommand<Declared<PersonContent>>.self, NounCommand<Declared<GroupRoleContent>>.self, Completion.self,
        ])
}

/// Ends with 0 when the command has done its work, 1 when the API refused, 2 when the command line is wrong, 3 when the control
/// plane cannot be reached.
@main
enum Entry {
    static func main() async {
        do {
            var command = try Weir.parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch let failure as Failure {
            // Not every failure knows its command's options; the flag means the same wherever it stands.
            Terminal.printError(failure.message(json: CommandLine.arguments.contains("--json")))
            exit(failure.exitCode)
        } catch let code as ExitCode {
            exit(code.rawValue)
        } catch {
            let text = Weir.fullMessage(for: error)
            guard Weir.exitCode(for: error).isSuccess else {
                Terminal.printError(text)
                exit(2)
            }
            print(text)
        }
    }
}
