import ArgumentParser
import Simulator

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Answer as a provider, as the model's name says.",
        discussion: """
            Models are called sim- and words, for example sim-in120-out64, sim-chunks64-pace5ms, sim-status429-retry3, sim-die10; \
            Simulator/Core/Script.swift lists all of them.

            Example: weir-simulator --port 9090 --ledger-file truth.jsonl
            """)

    @Option(help: "Address to listen on.") var host = "127.0.0.1"
    @Option(help: "Port to listen on; 0: one the system chooses.") var port = 9090
    @Option(help: "Event loops.") var loops = 1
    @Option(help: "Decides which requests of flaky models fail.") var seed: UInt64 = 1
    @Option(help: "on keeps the truth about every request in memory, off does not.") var ledger = LedgerChoice.on
    @Option(help: "Also append each request to this file, a JSON line each.") var ledgerFile: String?
    @Option(help: "Refuse requests without one of these keys (bearer token or api-key header).") var requireKey: [String] = []
    @Option(help: "A management key, with which POST /keys makes others, as at OpenRouter.") var managementKey: [String] = []
    @Flag(help: "Be the demonstration provider: every model answers with one sentence that says what it is.") var demo = false
    @Option(help: "PEM file with the certificate chain, for TLS.") var tlsCert: String?
    @Option(help: "PEM file with the private key, for TLS.") var tlsKey: String?

    enum LedgerChoice: String, ExpressibleByArgument { case on, off }

    func validate() throws {
        guard (0...65_535).contains(port) else { throw ValidationError("--port must be between 0 and 65535.") }
        guard (tlsCert == nil) == (tlsKey == nil) else { throw ValidationError("--tls-cert and --tls-key go together.") }
        guard (1...256).contains(loops) else { throw ValidationError("--loops must be between 1 and 256.") }
    }

    func run() async throws {
        var settings = SimulatorSettings()
        settings.host = host
        settings.port = port
        settings.loops = loops
        settings.seed = seed
        settings.acceptedKeys = requireKey
        settings.managementKeys = managementKey
        settings.isDemonstration = demo
        if let tlsCert, let tlsKey { settings.tls = try SimulatorTLS.context(certificateChain: tlsCert, privateKey: tlsKey) }
        let server = try await SimulatorServer.start(settings, ledger: Ledger(enabled: ledger == .on, file: ledgerFile))
        print("listening on \(tlsCert == nil ? "http" : "https")://\(host):\(server.port)/v1")
        // Whoever started us waits for that line, through a pipe as well.
        fflush(nil)
        try await server.waitUntilClosed()
    }
}
