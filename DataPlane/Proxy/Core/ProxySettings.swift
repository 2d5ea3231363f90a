/// Every bound and deadline of a data plane, in one place: default, unit, reason. `weir-proxy --help` shows the same names; each has an
/// environment twin (`--max-body-bytes` is `WEIR_MAX_BODY_BYTES`).
package struct ProxySettings: Sendable {
    // MARK: Where

    /// Where applications connect.
    package var listenHost = "127.0.0.1"
    package var listenPort = 8080
    /// PEM files of what applications see: the certificate with those that lead to its authority, and its key. Both or none; none: connections
    /// are not encrypted. Read again when they change, and on SIGHUP.
    package var tlsCertificate: String?
    package var tlsKey: String?
    /// Where the operator's health and metrics are; never on the applications' address.
    package var operatorHost = "127.0.0.1"
    package var operatorPort = 8081
    /// Identity, snapshots, journal, outbox. One process a directory.
    package var dataDirectory = "./weir-proxy-data"
    /// Event loops; 0 takes one a core.
    package var loops = 0

    // MARK: Requests

    /// Bytes of a request's line and fields. Above: 431.
    package var maxHeadBytes = 32_768
    /// Fields of a request. Above: 431.
    package var maxHeaderFields = 100
    /// Bytes of a request body; it is held in memory while the provider is chosen. Above: 413.
    package var maxBodyBytes = 20 << 20
    /// Of a file that is uploaded with a stated length: it is sent on as it comes, and not held. OpenAI takes no larger ones.
    package var maxUploadBytes = 512 << 20
    /// Connections of applications. Above: the one that has been silent longest gives way, or one that rests between two requests; where
    /// all are busy, 503 or closed at once. Lowered to what the limit of open files allows.
    package var maxConnections = 20_000
    /// Of these, and of requests that run beside others of an HTTP/2 connection, from one address of IPv4 or one /64 of IPv6. Above: closed at once,
    /// and such a request is refused. Those of trusted proxies are of many clients, and have no such bound. 0: nobody has.
    package var maxConnectionsPerAddress = 0
    /// Streams that one HTTP/2 connection may have open at one time; each that runs beside another counts as a connection. Above: refused. 0:
    /// HTTP/2 is not spoken.
    package var maxStreams = 128
    /// Bytes of request bodies held at one time, all connections of a loop together. Above: 503 with Retry-After for tenants that hold more
    /// than a fair share; the others may pass it, up to its double.
    package var maxBufferedBytes = 512 << 20

    /// Origins whose pages may call this data plane from a browser (`https://app.example`), `*` for all; none: CORS is off.
    package var crossOrigins: [String] = []

    /// What internal callers may prove themselves with whatever their app; nil: each app has its own secret, or there are none.
    package var gatewaySharedSecret: String?
    /// Bytes. A shorter one could be guessed.
    package static let minimumGatewaySecret = 32

    /// Networks whose hosts' X-Forwarded-For is believed, for keys that are limited to some addresses (`10.0.0.0/8,::1`).
    package var trustedProxies: [String] = []

    // MARK: Signed requests

    /// Seconds that a signature's time may be off this machine's clock. Nonces are kept for twice as long.
    package var signatureSkew = 300
    /// Nonces kept at one time, about 50 bytes each. Above: signed requests are refused with 503.
    package var maxNonces = 2_000_000
    /// Wrong signatures in the name of one key within a minute that freeze it; 0: none do.
    package var freezeAfter = 20
    /// How long a key stays frozen, milliseconds.
    package var freezeTime = 300_000

    /// Requests of DIDs that are not registered whose signatures are verified within a minute for one address, where a tenant takes such
    /// DIDs. Above: 429.
    package var newDIDsPerAddress = 60
    /// How long a request waits for what the control plane has to say (a new DID, its upstream key, its usage), milliseconds. Above: 503.
    package var questionTimeout = 5_000

    // MARK: Deadlines towards applications (milliseconds)

    /// From the connection, or the first byte after an idle time, to a whole head: a byte a second gets no further.
    package var headTimeout = 10_000
    /// From the head to the end of the body.
    package var bodyTimeout = 60_000
    /// Between two requests of a connection.
    package var keepAliveTimeout = 75_000
    /// A client that takes nothing of its answer for this long is cut off.
    package var writeTimeout = 30_000
    /// Bytes of an answer that may wait in the kernel for one client (TCP_NOTSENT_LOWAT); what the client's own window lets out comes on
    /// top. Left to itself the kernel takes some megabytes for each client that does not read, all of which the provider has to send first.
    package var maxUnsentBytes = 131_072

    // MARK: Deadlines and bounds towards providers (a provider's or endpoint's own `timeouts` go before these)

    package var connectTimeout = 5_000
    /// Request sent → response head. Generous: a large model may think for minutes before a non-streaming answer.
    package var firstByteTimeout = 300_000
    /// Between two reads of a response body.
    package var upstreamIdleTimeout = 120_000
    /// The whole exchange with one provider.
    package var upstreamTotalTimeout = 900_000
    /// How long an unused connection to a provider is kept; below the 60–75 s after which servers usually close theirs.
    package var upstreamKeepAlive = 55_000
    /// When a provider is taken to close unused connections until it has shown otherwise, milliseconds: what the usual servers of Python and
    /// JavaScript do (uvicorn's `timeout_keep_alive`, Node's `keepAliveTimeout`). About that age no connection is used again.
    package var providerKeepAlive = 5_000
    /// What "about" means, to both sides.
    package var providerKeepAliveMargin = 500
    /// Connections to one endpoint, a loop. Above: the next endpoint, else a request waits in line.
    package var maxUpstreamConnections = 2_000
    /// Requests in line for one endpoint that takes no more at the moment; of one tenant half as many. Above: the longest line, by its
    /// tenant's share, gives way with 503.
    package var maxWaiting = 1_000
    /// How long a request waits in line, milliseconds. Then 503.
    package var queueTimeout = 10_000
    /// Bytes of a response body. Above: cut off, recorded and flagged.
    package var maxResponseBytes = 256 << 20
    /// How long a credential that the provider refused is tried last.
    package var credentialCooldown = 60_000
    /// How long an endpoint that could not be reached, or failed too often, is tried last, the first time. Each next time in a row is twice as
    /// long, up to `longestCooldown`; 20 % more or less.
    package var endpointCooldown = 5_000
    package var longestCooldown = 20_000
    /// An endpoint fails too often when so many percent of the attempts in the window do, of at least so many.
    package var breakerPercent = 50
    package var breakerMinimum = 10
    package var breakerWindow = 10_000
    /// Attempts that follow failed ones: percent of a route's requests in ten seconds, and so many more whatever the requests. Above: the error
    /// is given at once.
    package var retryPercent = 20
    package var retryFloor = 30
    /// The longest wait before an endpoint is asked again for the same request, where the route allows more attempts than it has targets.
    package var retryPause = 2_000

    /// How long this data plane serves on after it has heard that it was revoked, milliseconds. 0: it stops at once, since a data plane is
    /// revoked when its machine is no longer trusted; more where callers have to be moved elsewhere first.
    package var revocationGrace = 0

    // MARK: Where it may call

    /// Hosts that providers may have: `api.openai.com` at any port, `10.0.0.5:8000` at one, `*.openai.azure.com` for each name below it. None
    /// named, as by default: any that configurations name.
    package var providerHosts: [String] = []

    /// Hosts that workflows' lookups may be sent to: `policy.internal` for any port, `policy.internal:8443` for one. None by default: whoever
    /// writes configurations does not decide alone what is reached from here.
    package var lookupHosts: [String] = []
    /// Networks beside the public Internet that the names of lookup hosts may lead to (`10.0.0.0/8,::1`). A host that is an address is allowed by
    /// itself; configurations name none that is link-local.
    package var lookupNetworks: [String] = []

    // MARK: Limits

    /// Redis that the data planes of a region count their limits in (`redis://…`); nil: each goes by the share that the control plane tells.
    package var redisURL: String?
    /// Certificates (PEM) that Redis is judged by in place of the system's; for `rediss://`.
    package var redisCAFile: String?
    /// How long a request waits for Redis, milliseconds. Then the data plane's own share decides.
    package var redisTimeout = 10

    // MARK: Budgets

    /// How long a request waits for the control plane where what is held of a budget does not cover it, milliseconds. Then 503.
    package var budgetTimeout = 2_000

    // MARK: Usage

    /// `process`: survives kill -9 (the page cache keeps it). `power`: the end of an answer also waits for an fsync.
    package var durability = DurabilityTier.process
    /// Bytes of journal segments not folded yet. Above: requests are refused, since their usage could not be kept.
    package var maxJournalBytes = 1 << 30

    // MARK: Stopping

    /// After SIGTERM: how long running requests may take to end.
    package var drainTimeout = 30_000
    /// Grace before the listener closes, while `/health/ready` says 503, so that load balancers notice.
    package var drainDelay = 0

    package init() {}
}

extension ProxySettings {
    /// Nil: connections of applications are not encrypted.
    var tlsFiles: ServerTLS.Files? {
        guard let tlsCertificate, let tlsKey else { return nil }
        return ServerTLS.Files(certificate: tlsCertificate, key: tlsKey)
    }

    var breakers: Breaker.Settings {
        Breaker.Settings(
            failurePercent: Int64(breakerPercent), minimum: Int64(breakerMinimum), window: Int64(breakerWindow) * 1000,
            open: Int64(endpointCooldown) * 1000, longestOpen: Int64(longestCooldown) * 1000)
    }

    var retryBudget: RetryBudget.Settings { RetryBudget.Settings(percent: Int64(retryPercent), floor: Int64(retryFloor)) }
}
