import ArgumentParser

@main
struct SimulatorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weir-simulator",
        abstract: "An OpenAI-compatible provider for tests, drills, benchmarks and the demonstration, and a load client.",
        subcommands: [Serve.self, Load.self], defaultSubcommand: Serve.self)
}
