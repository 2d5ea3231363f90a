import ArgumentParser
import Primitives
import ProcessSettings

@main
struct WeirControl: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weir-control",
        abstract: "Weir's control plane: tenants, keys, prices, configuration versions and the fleet of data planes.",
        discussion: """
            `weir-control serve --help` lists the settings; `weir-control config` shows what is in force and where each value comes from.

            Example, embedded SQLite under ./weir-control-data:
              weir-control bootstrap-admin --name root
              weir-control serve
            """,
        version: "weir-control \(weirVersion)",
        subcommands: [
            Serve.self, ShowConfig<ControlOptions>.self, BootstrapAdmin.self, BreakGlass.self, MasterKeyCommand.self, RotateMasterKey.self,
        ],
        defaultSubcommand: Serve.self)

    @MainActor static func main() async {
        // On a machine that it shares with a data plane, the data plane's requests go first.
        TimeSlice.long.request()
        await main(nil)
    }
}
