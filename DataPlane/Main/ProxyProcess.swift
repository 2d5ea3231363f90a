import Foundation
import Logging
import Primitives
import ProcessSettings
import Proxy

/// What `weir-proxy` is told: the settings of the data plane, and those of the process around it.
struct ProxyProcess: Sendable, ConfiguredProgram {
    static let program = "weir-proxy"
    static let settingsFile = "/etc/weir/proxy.json"

    var proxy = ProxySettings()
    /// A one-time enrolment token. A flag shows in `ps`; the variable does not.
    var enroll: String?
    var name: String? = ProcessInfo.processInfo.hostName
    /// `host:port` in place of the control plane's address of the enrolment, for a data plane that reaches it by another way.
    var controlAddress: String?
    var logLevel = Logger.Level.info

    var listen: ListenAddress {
        get { ListenAddress(host: proxy.listenHost, port: proxy.listenPort) }
        set { (proxy.listenHost, proxy.listenPort) = (newValue.host, newValue.port) }
    }

    var operatorListen: ListenAddress {
        get { ListenAddress(host: proxy.operatorHost, port: proxy.operatorPort) }
        set { (proxy.operatorHost, proxy.operatorPort) = (newValue.host, newValue.port) }
    }

    static let reader = SettingsReader(settings, standard: ProxyProcess()) { contradictions($0.proxy) }

    /// Values that are right by themselves and not together.
    private static func contradictions(_ settings: ProxySettings) -> [String] {
        var problems: [String] = []
        if settings.maxBodyBytes > settings.maxBufferedBytes {
            problems.append(
                "--max-body-bytes (\(settings.maxBodyBytes)) is above --max-buffered-bytes (\(settings.maxBufferedBytes)): such a body could never be held"
            )
        }
        if settings.maxHeadBytes > settings.maxBufferedBytes {
            problems.append("--max-head-bytes is above --max-buffered-bytes")
        }
        if let secret = settings.gatewaySharedSecret, secret.utf8.count < ProxySettings.minimumGatewaySecret {
            problems.append(
                "--gateway-shared-secret is shorter than \(ProxySettings.minimumGatewaySecret) bytes: whoever guesses it may ask for any user; "
                    + "take 32 random bytes, as `openssl rand -base64 32` makes them")
        }
        if settings.listenPort != 0, settings.listenPort == settings.operatorPort, settings.listenHost == settings.operatorHost {
            problems.append("--listen and --operator-listen are the same address: health and metrics are not for applications")
        }
        if (settings.tlsCertificate == nil) != (settings.tlsKey == nil) {
            problems.append("--tls-certificate and --tls-key belong together: give both, or neither")
        }
        if let url = settings.redisURL {
            do throws(RedisAddress.Problem) {
                if try !RedisAddress(url).isTLS, settings.redisCAFile != nil {
                    problems.append("--redis-ca-file is for a rediss:// address, and --redis-url is none")
                }
            } catch { problems.append("--redis-url \(error)") }
        }
        if TrustedProxies(settings.trustedProxies.joined(separator: ",")) == nil {
            problems.append("--trusted-proxies has what is no network: write them as 10.0.0.0/8,::1")
        }
        if NetworkList(settings.lookupNetworks) == nil {
            problems.append("--lookup-networks has what is no network: write them as 10.0.0.0/8,::1")
        }
        for (name, hosts) in [("provider", settings.providerHosts), ("lookup", settings.lookupHosts)] where HostList(hosts) == nil {
            problems.append("--\(name)-hosts has what is no host: write them as api.example.com,*.example.org,10.0.0.5:8000")
        }
        return problems
    }

    private static let most = 1 << 40
    private typealias Row = Setting<ProxyProcess>

    /// What each field of `ProxySettings` is for, and why it is what it is, stands there.
    private static let settings: [Setting<ProxyProcess>] = [
        .text(
            "enroll", \.enroll, placeholder: "token", isSecret: true,
            "One-time enrolment token; needed at the first start only. Better as WEIR_ENROLL: flags show in ps."),
        .text("name", \.name, placeholder: "text", "Name shown by `weir fleet list`."),
        .address("listen", \.listen, "Where applications connect."),
        .text(
            "tls-certificate", \.proxy.tlsCertificate, placeholder: "file",
            "PEM file of the certificate that applications see, with those that lead to its authority; read again when it changes."),
        .text("tls-key", \.proxy.tlsKey, placeholder: "file", "PEM file of its private key, without a passphrase."),
        .address("operator-listen", \.operatorListen, "Health and metrics for the operator; never on the applications' address."),
        .text(
            "control-address", \.controlAddress, placeholder: "host:port,…",
            "In place of the control plane's addresses of the enrolment."),
        .text(
            "data-directory", \.proxy.dataDirectory, placeholder: "path", "Identity, snapshots, journal, outbox. One process a directory."),
        .number("loops", \.proxy.loops, in: 0...256, "Event loops; 0 takes one a core."),
        .list(
            "cross-origins", \.proxy.crossOrigins, placeholder: "origin,…",
            "Origins whose pages may call from a browser (CORS); * for all."),
        .list(
            "provider-hosts", \.proxy.providerHosts, placeholder: "host[:port],…",
            "The only hosts that endpoints may have; *.example.com for all below it. Any by default."),
        .list(
            "lookup-hosts", \.proxy.lookupHosts, placeholder: "host[:port],…",
            "Hosts that lookups of workflows may ask; none by default."),
        .list(
            "lookup-networks", \.proxy.lookupNetworks, placeholder: "network,…",
            "Networks beside the public Internet that their names may lead to; none by default."),
        .text(
            "gateway-shared-secret", \.proxy.gatewaySharedSecret, placeholder: "secret", isSecret: true, alsoNamed: "GATEWAY_SHARED_SECRET",
            "What internal callers may send as X-Gateway-Secret beside their app's own; at least 32 bytes. Better as a variable: flags show in ps."
        ),
        .choice("log-level", \.logLevel, "What is logged, as JSON lines on standard error."),
        .choice("durability", \.proxy.durability, "process: usage survives kill -9. power: answers also wait for an fsync."),

        .number("max-head-bytes", \.proxy.maxHeadBytes, .bytes, in: 1024...most, "Of a request's head; above: 431."),
        .number("max-header-fields", \.proxy.maxHeaderFields, in: 8...most, "Fields of a request's head; above: 431."),
        .number("max-body-bytes", \.proxy.maxBodyBytes, .bytes, in: 1024...most, "Of a request's body; above: 413."),
        .number(
            "max-upload-bytes", \.proxy.maxUploadBytes, .bytes, in: 1024...most,
            "Of a form with a file, which is sent on as it comes; above: 413."),
        .number(
            "max-connections", \.proxy.maxConnections, in: 1...most,
            "Open connections of applications, and requests beside others of one; above: silent and idle ones give way, else 503."),
        .number(
            "max-connections-per-address", \.proxy.maxConnectionsPerAddress, in: 0...most,
            "Of one IPv4 address or IPv6 /64, requests beside others of HTTP/2 connections included; trusted proxies have no such bound. 0: none."
        ),
        .number(
            "max-streams", \.proxy.maxStreams, in: 0...10_000,
            "Requests that one HTTP/2 connection may have under way; each beside another counts as a connection. 0: HTTP/1.1 only."),
        .number(
            "max-buffered-bytes", \.proxy.maxBufferedBytes, .bytes, in: 1024...most,
            "Of request bodies held at one time, a loop; above: 503."),
        .list(
            "trusted-proxies", \.proxy.trustedProxies, placeholder: "network,…",
            "Whose X-Forwarded-For is believed, for keys that are limited to some addresses."),
        .number(
            "signature-skew", \.proxy.signatureSkew, in: 1...3600,
            "Seconds that a signature's time may be off this machine's clock; nonces are kept for twice as long."),
        .number("max-nonces", \.proxy.maxNonces, in: 1000...most, "Of signed requests, kept at one time; above: 503."),
        .number("freeze-after", \.proxy.freezeAfter, in: 0...most, "Wrong signatures within a minute that freeze a key; 0: none do."),
        .number("freeze-time", \.proxy.freezeTime, .milliseconds, in: 1000...most, "A key stays frozen."),
        .number(
            "new-dids-per-address", \.proxy.newDIDsPerAddress, in: 0...most,
            "Requests of unregistered DIDs that are verified within a minute for one address, where a tenant takes new ones."),
        .number(
            "question-timeout", \.proxy.questionTimeout, .milliseconds, in: 100...60_000,
            "A request waits for what the control plane has to say of its caller: a new DID, its upstream key, its usage."),
        .text(
            "redis-url", \.proxy.redisURL, placeholder: "redis://…", isSecret: true,
            "Redis that all data planes of the region count their limits in: redis://user:password@host:port/database, rediss:// for TLS. Better as WEIR_REDIS_URL: flags show in ps."
        ),
        .text(
            "redis-ca-file", \.proxy.redisCAFile, placeholder: "path",
            "Certificates (PEM) that a rediss:// server is judged by, in place of the system's."),
        .number(
            "redis-timeout", \.proxy.redisTimeout, .milliseconds, in: 1...1000,
            "A request waits for Redis; then the data plane's own share of a limit decides."),
        .number(
            "budget-timeout", \.proxy.budgetTimeout, .milliseconds, in: 10...60_000,
            "A request waits for more of a budget; then: 503."),
        .number("head-timeout", \.proxy.headTimeout, .milliseconds, in: 100...most, "For a whole request head."),
        .number("body-timeout", \.proxy.bodyTimeout, .milliseconds, in: 100...most, "For a whole request body."),
        .number(
            "keep-alive-timeout", \.proxy.keepAliveTimeout, .milliseconds, in: 100...most, "A connection may be idle between requests."),
        .number("write-timeout", \.proxy.writeTimeout, .milliseconds, in: 100...most, "A client may take nothing of its answer."),
        .number(
            "max-unsent-bytes", \.proxy.maxUnsentBytes, .bytes, in: 4096...most, "Of an answer that wait in the kernel for one client."),

        .number("connect-timeout", \.proxy.connectTimeout, .milliseconds, in: 10...most, "To connect to a provider, TLS included."),
        .number("first-byte-timeout", \.proxy.firstByteTimeout, .milliseconds, in: 10...most, "Until a provider's response head."),
        .number(
            "upstream-idle-timeout", \.proxy.upstreamIdleTimeout, .milliseconds, in: 10...most, "Between two reads of a response's body."),
        .number(
            "upstream-total-timeout", \.proxy.upstreamTotalTimeout, .milliseconds, in: 10...most, "For a whole exchange with a provider."),
        .number(
            "upstream-keep-alive", \.proxy.upstreamKeepAlive, .milliseconds, in: 0...most, "An unused connection to a provider is kept."),
        .number(
            "provider-keep-alive", \.proxy.providerKeepAlive, .milliseconds, in: 1000...most,
            "A provider is taken to close unused connections after this, until it shows otherwise; about that age none is used."),
        .number(
            "provider-keep-alive-margin", \.proxy.providerKeepAliveMargin, .milliseconds, in: 0...most,
            "How long before and after that age none is used."),
        .number(
            "max-upstream-connections", \.proxy.maxUpstreamConnections, in: 1...most,
            "Connections to one endpoint, a loop; above: the next endpoint, else a request waits in line."),
        .number(
            "max-waiting", \.proxy.maxWaiting, in: 2...1_000_000,
            "Requests in line for one endpoint, half of them of one tenant; above: the longest line gives way with 503."),
        .number("queue-timeout", \.proxy.queueTimeout, .milliseconds, in: 10...most, "A request waits in line; then: 503."),
        .number("max-response-bytes", \.proxy.maxResponseBytes, .bytes, in: 1024...most, "Of a response body; above: cut off."),
        .number(
            "credential-cooldown", \.proxy.credentialCooldown, .milliseconds, in: 0...most, "A refused credential is tried last."),
        .number(
            "endpoint-cooldown", \.proxy.endpointCooldown, .milliseconds, in: 0...3_600_000,
            "An endpoint that could not be reached, or failed too often, is tried last; each next time in a row twice as long."),
        .number(
            "longest-cooldown", \.proxy.longestCooldown, .milliseconds, in: 0...3_600_000, "That time grows no further."),
        .number(
            "breaker-percent", \.proxy.breakerPercent, in: 1...101,
            "Of an endpoint's attempts that fail in the breaker's window: it is tried last. 101: only one that cannot be reached."),
        .number("breaker-minimum", \.proxy.breakerMinimum, in: 1...1_000_000, "Attempts in the breaker's window that it takes for that."),
        .number("breaker-window", \.proxy.breakerWindow, .milliseconds, in: 100...3_600_000, "The breaker looks back."),
        .number(
            "retry-percent", \.proxy.retryPercent, in: 0...1000,
            "Of a route's requests of the last ten seconds that may be tried once more after a failure."),
        .number("retry-floor", \.proxy.retryFloor, in: 0...1_000_000, "Such attempts in ten seconds, whatever the requests."),
        .number(
            "retry-pause", \.proxy.retryPause, .milliseconds, in: 0...60_000,
            "The longest wait before an endpoint is asked again for one request, where its route's max_attempts is above its targets."),

        .number(
            "max-journal-bytes", \.proxy.maxJournalBytes, .bytes, in: 1 << 20...most,
            "Of usage journal not folded yet; above: requests are refused."),
        .number(
            "revocation-grace", \.proxy.revocationGrace, .milliseconds, in: 0...most,
            "A revoked data plane serves on after it has heard of it."),
        .number("drain-timeout", \.proxy.drainTimeout, .milliseconds, in: 0...most, "Running requests may take to end after SIGTERM."),
        .number(
            "drain-delay", \.proxy.drainDelay, .milliseconds, in: 0...most, "Between /health/ready saying 503 and the listener's closing."),
    ]
}
