import ArgumentParser
import Foundation
import Logging
import Primitives
import Proxy
import Telemetry

/// `weir-proxy`: parses flags and their environment twins into `ProxySettings` and runs the data plane until it is told to stop.
@main
struct ProxyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weir-proxy",
        abstract: "Weir's data plane: serves OpenAI-style requests with what it holds, with or without its control plane.",
        discussion: """
            The first start needs --enroll with a token from `weir fleet token create`; later ones find everything in the data directory.
            Each flag has an environment twin: --max-body-bytes is WEIR_MAX_BODY_BYTES. Flags go first.

            Example:
              weir-proxy --data-directory /var/lib/weir-proxy --listen 0.0.0.0:8080 --enroll "$(cat token)"
            """,
        version: "weir-proxy \(weirVersion)")

    @Option(
        help: ArgumentHelp(
            "One-time enrolment token; needed at the first start only. Better as WEIR_ENROLL: flags show in ps.", valueName: "token"))
    var enroll: String?
    @Option(help: "Name shown by `weir fleet list`; default: the host's.")
    var name: String?
    @Option(help: ArgumentHelp("Where applications connect (default 127.0.0.1:8080).", valueName: "host:port"))
    var listen: String?
    @Option(help: ArgumentHelp("Health and metrics for the operator (default 127.0.0.1:8081).", valueName: "host:port"))
    var operatorListen: String?
    @Option(help: ArgumentHelp("In place of the control plane's address of the enrolment.", valueName: "host:port"))
    var controlAddress: String?
    @Option(help: "Identity, snapshots, journal, outbox (default ./weir-proxy-data).")
    var dataDirectory: String?
    @Option(help: "Event loops; 0 takes one a core (default 0).")
    var loops: Int?
    @Option(help: "trace, debug, info, notice, warning, error (default info).")
    var logLevel: String?
    @Option(help: "Origins, comma-separated, whose pages may call from a browser (CORS); * for all (none).")
    var crossOrigins: String?
    @Option(help: "process: usage survives kill -9. power: answers also wait for an fsync (default process).")
    var durability: String?
    @OptionGroup(title: "Bounds and deadlines")
    var bounds: BoundOptions

    @MainActor static func main() async {
        // For every thread but the event loops, which take it back: folding, shipping and snapshots make no request wait.
        TimeSlice.long.request()
        await main(nil)
    }

    func run() async throws {
        let environment = ProcessInfo.processInfo.environment
        var settings = ProxySettings()
        try Self.address(listen ?? environment["WEIR_LISTEN"], "listen", &settings.listenHost, &settings.listenPort)
        try Self.address(
            operatorListen ?? environment["WEIR_OPERATOR_LISTEN"], "operator-listen", &settings.operatorHost, &settings.operatorPort)
        settings.dataDirectory = dataDirectory ?? environment["WEIR_DATA_DIRECTORY"] ?? settings.dataDirectory
        if let loops = try loops ?? Self.number(environment["WEIR_LOOPS"], "WEIR_LOOPS") {
            guard (0...256).contains(loops) else { throw ValidationError("--loops has to be between 0 and 256") }
            settings.loops = loops
        }
        if let tier = durability ?? environment["WEIR_DURABILITY"] {
            guard let parsed = DurabilityTier(rawValue: tier) else {
                throw ValidationError("--durability is process or power, not \(tier)")
            }
            settings.durability = parsed
        }
        settings.crossOrigins = (crossOrigins ?? environment["WEIR_CROSS_ORIGINS"] ?? "").split(separator: ",").map {
            $0.trimmingCharacters(in: .whitespaces)
        }
        try bounds.apply(to: &settings, environment: environment)
        let levelName = logLevel ?? environment["WEIR_LOG_LEVEL"] ?? "info"
        guard let level = Logger.Level(rawValue: levelName) else { throw ValidationError("--log-level \(levelName) is not a level") }

        let service = DataPlaneService(
            settings: settings, logger: Logger.structured("weir-proxy", level: level),
            enrollmentToken: enroll ?? environment["WEIR_ENROLL"],
            name: name ?? environment["WEIR_NAME"] ?? ProcessInfo.processInfo.hostName,
            controlAddress: controlAddress ?? environment["WEIR_CONTROL_ADDRESS"] ?? "")
        do {
            try await service.run()
        } catch {
            FileHandle.standardError.write(Data("weir-proxy: \(error)\n".utf8))
            throw ExitCode(1)
        }
    }

    static func address(_ text: String?, _ flag: String, _ host: inout String, _ port: inout Int) throws {
        guard let text else { return }
        guard let colon = text.lastIndex(of: ":"), let number = Int(text[text.index(after: colon)...]), (0...65_535).contains(number),
            colon > text.startIndex
        else { throw ValidationError("--\(flag) has to be host:port, not \"\(text)\"") }
        host = String(text[..<colon]).trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
        port = number
    }

    static func number(_ text: String?, _ name: String) throws -> Int? {
        guard let text, !text.isEmpty else { return nil }
        guard let value = Int(text) else { throw ValidationError("\(name) has to be a number, not \"\(text)\"") }
        return value
    }
}
