import ArgumentParser
import Foundation
import Simulator

struct Load: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Send requests at a fixed rate or as fast as they are answered, and measure.",
        discussion: """
            With --rate, requests begin at fixed times whether or not earlier ones are answered, and latency counts from the time a \
            request was due (no coordinated omission). Without it, each connection sends its next request when the last is answered.

            Example: weir-simulator load --url http://127.0.0.1:9090/v1/chat/completions --rate 2000 --connections 64 --seconds 10 \
            --body '{"model":"sim-ok","messages":[]}'
            """)

    @Option(help: "http:// URL of the requests.") var url: String
    @Option(help: "Method; POST when there is a body, else GET.") var method: String?
    @Option(help: "A header line, \"Name: value\". Repeatable.") var header: [String] = []
    @Option(help: "The body.") var body = ""
    @Option(help: "A file of whole requests, each after its length in four bytes, big-endian: sent once each instead of the one above.")
    var requests: String?
    @Option(help: "Requests a second; 0: as fast as they are answered.") var rate: Double = 0
    @Option(help: "Connections.") var connections = 64
    @Option(help: "Measured seconds.") var seconds: Double = 10
    @Option(help: "Seconds before the measured ones.") var warmup: Double = 1
    @Option(help: "Event loops.") var loops = 1
    @Option(help: "Seconds after which a request counts as failed.") var timeout: Double = 30
    @Flag(help: "Print one JSON object.") var json = false

    func validate() throws {
        guard connections > 0, connections <= 100_000 else { throw ValidationError("--connections must be between 1 and 100000.") }
        guard rate >= 0, rate <= 10_000_000 else { throw ValidationError("--rate must be between 0 and 10000000.") }
        guard seconds > 0, seconds <= 86_400, warmup >= 0, warmup <= 3600, timeout > 0 else {
            throw ValidationError("--seconds, --warmup and --timeout must be sensible.")
        }
    }

    func run() async throws {
        var settings: LoadSettings
        do {
            settings = try LoadSettings(url: url, method: method, headers: header, body: Array(body.utf8))
        } catch {
            throw ValidationError("\(error.url) is not an http:// URL.")
        }
        if let requests {
            do {
                settings.requests = try LoadSettings.requests(in: [UInt8](Data(contentsOf: URL(fileURLWithPath: requests))))
            } catch {
                throw ValidationError("\(requests) cannot be read, or is no file of requests.")
            }
        }
        settings.rate = rate
        settings.connections = connections
        settings.seconds = seconds
        settings.warmupSeconds = warmup
        settings.loops = loops
        settings.timeoutSeconds = timeout
        let report = try await LoadClient.run(settings)
        print(json ? report.json : report.text)
    }
}
