import ArgumentParser
import Logging
import Primitives
import ProcessSettings
import Proxy
import Telemetry

/// `weir-proxy`: reads its settings and runs the data plane until it is told to stop.
@main
struct ProxyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weir-proxy",
        abstract: "Weir's data plane: serves OpenAI-style requests with what it holds, with or without its control plane.",
        discussion: """
            The first start needs --enroll with a token from `weir fleet token create`; later ones find everything in the data directory.
            `weir-proxy config` shows what is in force and where each value comes from.

            Example:
              WEIR_ENROLL="$(cat token)" weir-proxy --data-directory /var/lib/weir-proxy --listen 0.0.0.0:8080

            \(ProxyProcess.reader.help)
            """,
        version: "weir-proxy \(weirVersion)",
        subcommands: [Serve.self, ShowConfig<ProxyProcess>.self],
        defaultSubcommand: Serve.self)

    @MainActor static func main() async {
        #if !DEBUG
            ExclusivityChecks.turnOff()
        #endif
        // For every thread but the event loops, which take it back: folding, shipping and snapshots make no request wait.
        TimeSlice.long.request()
        await main(nil)
    }
}

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve until told to stop (the default).", discussion: ProxyProcess.reader.help)

    @OptionGroup var options: SettingsOptions

    func run() async throws {
        let process = try options.read(ProxyProcess.reader).target
        LoggingSystem.bootstrap { StructuredLogHandler(label: $0, level: max(process.logLevel, .warning)) }
        let logger = Logger.structured("weir-proxy", level: process.logLevel)
        let service = DataPlaneService(
            settings: process.proxy, logger: logger, enrollmentToken: process.enroll, name: process.name ?? "",
            controlAddress: process.controlAddress ?? "")
        do {
            try await service.run()
        } catch {
            logger.critical("weir-proxy has failed", metadata: ["reason": "\(error)"])
            throw ExitCode.failure
        }
    }
}
