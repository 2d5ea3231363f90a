import ArgumentParser
import Proxy

/// The bounds of `ProxySettings` as flags. `ProxySettings` says what each is for; here stand their names, units and smallest values.
struct BoundOptions: ParsableArguments {
    @Option(help: "Bytes of a request's head; above: 431 (32768).") var maxHeadBytes: Int?
    @Option(help: "Fields of a request's head; above: 431 (100).") var maxHeaderFields: Int?
    @Option(help: "Bytes of a request's body; above: 413 (20971520).") var maxBodyBytes: Int?
    @Option(help: "Open connections of applications; above: closed at once (20000).") var maxConnections: Int?
    @Option(help: "Bytes of request bodies held at one time, a loop; above: 503 (536870912).") var maxBufferedBytes: Int?
    @Option(help: "Milliseconds for a whole request head (10000).") var headTimeout: Int?
    @Option(help: "Milliseconds for a whole request body (60000).") var bodyTimeout: Int?
    @Option(help: "Milliseconds a connection may be idle between requests (75000).") var keepAliveTimeout: Int?
    @Option(help: "Milliseconds a client may take nothing of its answer (30000).") var writeTimeout: Int?
    @Option(help: "Bytes of an answer that wait in the kernel for one client (131072).") var maxUnsentBytes: Int?
    @Option(help: "Milliseconds to connect to a provider (5000).") var connectTimeout: Int?
    @Option(help: "Milliseconds until a provider's response head (300000).") var firstByteTimeout: Int?
    @Option(help: "Milliseconds between two reads of a response's body (120000).") var upstreamIdleTimeout: Int?
    @Option(help: "Milliseconds for a whole exchange with a provider (900000).") var upstreamTotalTimeout: Int?
    @Option(help: "Milliseconds an unused connection to a provider is kept (55000).") var upstreamKeepAlive: Int?
    @Option(help: "Connections to one endpoint, a loop; above: the next endpoint, else 503 (2000).") var maxUpstreamConnections: Int?
    @Option(help: "Bytes of a response body; above: cut off (268435456).") var maxResponseBytes: Int?
    @Option(help: "Milliseconds a refused credential stays out of rotation (60000).") var credentialCooldown: Int?
    @Option(help: "Milliseconds an unreachable endpoint is tried last (5000).") var endpointCooldown: Int?
    @Option(help: "Bytes of usage journal not folded yet; above: requests are refused (1073741824).") var maxJournalBytes: Int?
    @Option(help: "Milliseconds that running requests may take to end after SIGTERM (30000).") var drainTimeout: Int?
    @Option(help: "Milliseconds between /health/ready saying 503 and the listener's closing (0).") var drainDelay: Int?

    private struct Bound {
        let flag: String
        let value: Int?
        let path: WritableKeyPath<ProxySettings, Int>
        let smallest: Int
    }

    private var all: [Bound] {
        [
            Bound(flag: "max-head-bytes", value: maxHeadBytes, path: \.maxHeadBytes, smallest: 1024),
            Bound(flag: "max-header-fields", value: maxHeaderFields, path: \.maxHeaderFields, smallest: 8),
            Bound(flag: "max-body-bytes", value: maxBodyBytes, path: \.maxBodyBytes, smallest: 1024),
            Bound(flag: "max-connections", value: maxConnections, path: \.maxConnections, smallest: 1),
            Bound(flag: "max-buffered-bytes", value: maxBufferedBytes, path: \.maxBufferedBytes, smallest: 1024),
            Bound(flag: "head-timeout", value: headTimeout, path: \.headTimeout, smallest: 100),
            Bound(flag: "body-timeout", value: bodyTimeout, path: \.bodyTimeout, smallest: 100),
            Bound(flag: "keep-alive-timeout", value: keepAliveTimeout, path: \.keepAliveTimeout, smallest: 100),
            Bound(flag: "write-timeout", value: writeTimeout, path: \.writeTimeout, smallest: 100),
            Bound(flag: "max-unsent-bytes", value: maxUnsentBytes, path: \.maxUnsentBytes, smallest: 4096),
            Bound(flag: "connect-timeout", value: connectTimeout, path: \.connectTimeout, smallest: 10),
            Bound(flag: "first-byte-timeout", value: firstByteTimeout, path: \.firstByteTimeout, smallest: 10),
            Bound(flag: "upstream-idle-timeout", value: upstreamIdleTimeout, path: \.upstreamIdleTimeout, smallest: 10),
            Bound(flag: "upstream-total-timeout", value: upstreamTotalTimeout, path: \.upstreamTotalTimeout, smallest: 10),
            Bound(flag: "upstream-keep-alive", value: upstreamKeepAlive, path: \.upstreamKeepAlive, smallest: 0),
            Bound(flag: "max-upstream-connections", value: maxUpstreamConnections, path: \.maxUpstreamConnections, smallest: 1),
            Bound(flag: "max-response-bytes", value: maxResponseBytes, path: \.maxResponseBytes, smallest: 1024),
            Bound(flag: "credential-cooldown", value: credentialCooldown, path: \.credentialCooldown, smallest: 0),
            Bound(flag: "endpoint-cooldown", value: endpointCooldown, path: \.endpointCooldown, smallest: 0),
            Bound(flag: "max-journal-bytes", value: maxJournalBytes, path: \.maxJournalBytes, smallest: 1 << 20),
            Bound(flag: "drain-timeout", value: drainTimeout, path: \.drainTimeout, smallest: 0),
            Bound(flag: "drain-delay", value: drainDelay, path: \.drainDelay, smallest: 0),
        ]
    }

    /// - Throws: `ValidationError` naming the flag and its smallest value.
    func apply(to settings: inout ProxySettings, environment: [String: String]) throws {
        for bound in all {
            let twin = "WEIR_" + bound.flag.uppercased().replacing("-", with: "_")
            guard let value = try bound.value ?? ProxyCommand.number(environment[twin], twin) else { continue }
            guard value >= bound.smallest, value <= 1 << 40 else {
                throw ValidationError("--\(bound.flag) has to be at least \(bound.smallest), not \(value)")
            }
            settings[keyPath: bound.path] = value
        }
    }
}
