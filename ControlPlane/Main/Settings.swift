import API
import Domain
import Foundation
import Logging
import Primitives
import ProcessSettings
import SignOn

/// What `weir-control` is told, before it is checked and completed by `Settings`, which says what each is for and why.
struct ControlOptions: Sendable, ConfiguredProgram {
    static let program = "weir-control"
    static let settingsFile = "/etc/weir/control.json"

    var dataDirectory = "weir-control-data"
    var databaseURL: String?
    var databaseConnections = 8
    var reportConnections = 2
    var reportTimeoutSeconds = 20
    var deletedRetentionDays = 30
    var auditLogRetentionDays = 30
    var logRetentionDays = 90
    var masterKeyFile: String?
    var secondMasterKeyFile: String?
    var createMasterKey = false
    var httpListen = ListenAddress(host: "127.0.0.1", port: 7080)
    var httpConnections = 1024
    var trustedProxies: String?
    var outboundNetworks: String?
    var outboundAuthorities: String?
    var fleetListen = ListenAddress(host: "127.0.0.1", port: 7443)
    var fleetAdvertise: String?
    var fleetTLS: String?
    var fleetTLSCertificate: String?
    var fleetTLSKey: String?
    var fleetTLSAuthority: String?
    var minimumDataPlaneVersion = "0.1.0"
    var deployment: String?
    var publicURL: String?
    var oidcIssuer: String?
    var oidcClientID: String?
    var oidcClientSecret: String?
    var oidcScopes = ["openid", "email", "profile"]
    var oidcGroupsClaim = "groups"
    var oidcTrustEmail = false
    var oidcNewPeople = SignOnPolicy.Newcomers.groups
    var sessionIdleMinutes = 30
    var sessionHours = 12
    var logLevel = Logger.Level.info

    static let reader = SettingsReader(settings, standard: ControlOptions()) { options in
        do throws(SettingsError) {
            _ = try Settings(options)
            return []
        } catch {
            return error.problems
        }
    }

    private static let settings: [Setting<ControlOptions>] = [
        .text("data-directory", \.dataDirectory, placeholder: "path", "Where the embedded database and the master key are kept."),
        .text(
            "database-url", \.databaseURL, placeholder: "url",
            "sqlite:///path/to/file.db or postgresql://user@host:port/database; none: an embedded one in the data directory."),
        .number("database-connections", \.databaseConnections, in: 2...500, "Connections to the database at most."),
        .number("report-connections", \.reportConnections, in: 1...100, "Connections for reports, beside the others."),
        .number("report-timeout-seconds", \.reportTimeoutSeconds, in: 1...35, "A report that takes longer is stopped."),
        .number("deleted-retention-days", \.deletedRetentionDays, in: 1...3650, "After so many days, what was deleted goes for good."),
        .number(
            "audit-log-retention-days", \.auditLogRetentionDays, in: 1...3650, alsoNamed: "AUDIT_LOG_RETENTION_DAYS",
            "After so many days, what the audit log says of changes and of refused attempts goes for good."),
        .number(
            "log-retention-days", \.logRetentionDays, in: 1...3650, alsoNamed: "LOG_RETENTION_DAYS",
            "After so many days, the records of single requests go for good; sums, the ledger and statements stay."),
        .text(
            "master-key-file", \.masterKeyFile, placeholder: "path",
            "File with the 32 bytes, in base64, that encrypt provider credentials; none: master.key in the data directory."),
        .text(
            "second-master-key-file", \.secondMasterKeyFile, placeholder: "path",
            "Another master key that the database may be encrypted with, while it is replaced: see rotate-master-key."),
        .flag("create-master-key", \.createMasterKey, "Create the master key when the file is missing, on Postgres, too."),
        .address("http-listen", \.httpListen, "Where the admin API, health and metrics are."),
        .number("http-connections", \.httpConnections, in: 8...100_000, "Open HTTP connections at most."),
        .text(
            "trusted-proxies", \.trustedProxies, placeholder: "network,…",
            "Networks of proxies whose X-Forwarded-For is believed, such as 10.0.0.0/8,::1."),
        .text(
            "outbound-networks", \.outboundNetworks, placeholder: "network,…",
            "Networks of your own that addresses given by tenants may lead to (did:web, sign-on), such as 10.20.0.0/16; none: the Internet only."
        ),
        .text(
            "outbound-authorities", \.outboundAuthorities, placeholder: "path",
            "PEM file with certificate authorities that outbound calls trust beside the machine's own."),
        .address("fleet-listen", \.fleetListen, "Where data planes connect."),
        .text(
            "fleet-advertise", \.fleetAdvertise, placeholder: "host:port,…",
            "Under which data planes reach it, when that is another; of all replicas, so that they go to the next when theirs is gone."),
        .text(
            "fleet-tls", \.fleetTLS, placeholder: "generated|files|off",
            "generated (our own authority), files (your certificate) or off; none: generated, or files when a certificate is given."),
        .text("fleet-tls-certificate", \.fleetTLSCertificate, placeholder: "path", "For files: PEM of the certificate and its chain."),
        .text("fleet-tls-key", \.fleetTLSKey, placeholder: "path", "For files: PEM of the private key."),
        .text(
            "fleet-tls-authority", \.fleetTLSAuthority, placeholder: "path",
            "For files: PEM that data planes are to trust, when not the certificate itself."),
        .text("minimum-data-plane-version", \.minimumDataPlaneVersion, placeholder: "version", "Older data planes are refused."),
        .text(
            "deployment", \.deployment, placeholder: "name",
            "Name of this installation; signed into every document. Fixed at the first start; none: a random one."),
        .text(
            "public-url", \.publicURL, placeholder: "url",
            "Under which browsers reach the admin API, such as https://weir.example; none: http:// and the listening address."),
        .text(
            "oidc-issuer", \.oidcIssuer, placeholder: "url",
            "Issuer of the OpenID provider that signs administrators on; none: nobody signs on."),
        .text("oidc-client-id", \.oidcClientID, placeholder: "id", "As what the provider knows this control plane."),
        .text("oidc-client-secret", \.oidcClientSecret, placeholder: "secret", isSecret: true, "Its secret there; none: a public client."),
        .list("oidc-scopes", \.oidcScopes, placeholder: "scope,…", "What the provider is asked for."),
        .text(
            "oidc-groups-claim", \.oidcGroupsClaim, placeholder: "name", "The claim that lists a person's groups; dots lead into objects."),
        .flag("oidc-trust-email", \.oidcTrustEmail, "Believe addresses that the provider does not say to have verified."),
        .choice(
            "oidc-new-people", \.oidcNewPeople, "groups: whoever is in a group with a role becomes a person; none: people are made by hand."
        ),
        .number("session-idle-minutes", \.sessionIdleMinutes, in: 1...1440, "A session that is not used for so long ends."),
        .number("session-hours", \.sessionHours, in: 1...168, "No session lasts longer."),
        .choice("log-level", \.logLevel, "What is logged, as JSON lines on standard error."),
    ]
}

/// The control plane's settings, checked. Key, default, unit and reason stand at each.
struct Settings: Sendable {
    enum FleetTLS: Sendable, Hashable {
        case generated
        case files(certificate: String, key: String, authority: String?)
        case off
    }

    /// `--data-directory`, ./weir-control-data: beside the binary's working directory, so that a first try needs no root.
    let dataDirectory: String
    /// `--database-url`, sqlite://<data-directory>/weir.db: embedded by default; Postgres for several replicas.
    let databaseURL: String
    /// `--database-connections`, 8: an admin API is not busy, and Postgres has 100 for everybody.
    let databaseConnections: Int
    /// `--report-connections`, 2: a report can keep a processor of the database busy, and nobody else waits for these.
    let reportConnections: Int
    /// `--report-timeout-seconds`, 20: below what an admin API's caller waits for an answer (40 s).
    let reportTimeoutSeconds: Int
    /// `--deleted-retention-days`, 30: data planes that were away for less hear of each deletion by itself.
    let deletedRetentionDays: Int
    /// `--audit-log-retention-days`, 30: long enough to look into last month, short enough for a rule about personal data.
    let auditLogRetentionDays: Int
    /// `--log-retention-days`, 90: a quarter, so that a bill can be disputed while its records are here. A month that is not closed keeps them.
    let logRetentionDays: Int
    /// How long a database that does not answer is waited for at the start, seconds: machines boot in any order.
    let databasePatienceSeconds = 60
    /// How long requests and streams under way may take after SIGTERM, seconds: below what systemd and Kubernetes wait.
    let shutdownPatienceSeconds = 20
    /// `--master-key-file`, <data-directory>/master.key.
    let masterKeyFile: String
    /// `--second-master-key-file`, none: read with, never encrypted with.
    let secondMasterKeyFile: String?
    /// `--create-master-key`, only with the embedded database: two replicas that each make their own could not read each other's
    /// rows, so on Postgres somebody has to say it.
    let createMasterKey: Bool
    /// `--http-listen`, 127.0.0.1:7080: not reachable from outside until somebody says so. Plain HTTP: put TLS in front.
    let http: ListenAddress
    /// `--http-connections`, 1024: bounds memory and file descriptors.
    let httpConnections: Int
    /// `--trusted-proxies`, none: without one in front, everybody could write the address that the audit log shows.
    let trustedProxies: TrustedProxies
    /// `--outbound-networks`, none: what is behind a firewall trusts who is, too, and an address that a tenant gave must not lead there.
    let outboundNetworks: NetworkList
    /// `--outbound-authorities`, none.
    let outboundAuthorities: String?
    /// `--fleet-listen`, 127.0.0.1:7443.
    let fleet: ListenAddress
    /// `--fleet-advertise`, none: what goes into enrolment tokens instead of the listening address. With several, data planes go to the next
    /// one when theirs is gone.
    let fleetAdvertise: String?
    /// `--fleet-tls`, generated.
    let fleetTLS: FleetTLS
    /// `--minimum-data-plane-version`, 0.1.0: the first that there is.
    let minimumDataPlaneVersion: SoftwareVersion
    /// `--deployment`, none: a random name is made at the first start and kept in the database.
    let deployment: String?
    /// `--public-url`, the listening address: cookies go over TLS only when it is https, and plain http is for the machine itself.
    let signOn: SignOnPolicy
    /// `--oidc-…`, none: tokens do without.
    let openID: OpenIDSettings?
    /// `--log-level`, info.
    let logLevel: Logger.Level

    var isEmbedded: Bool { databaseURL.hasPrefix("sqlite:") }

    /// - Throws: `SettingsError` naming what cannot be used, or not together.
    init(_ options: ControlOptions) throws(SettingsError) {
        var problems: [String] = []
        let directory = Self.absolute(options.dataDirectory)
        dataDirectory = directory
        databaseURL = options.databaseURL ?? "sqlite://\(directory)/weir.db"
        databaseConnections = options.databaseConnections
        reportConnections = options.reportConnections
        reportTimeoutSeconds = options.reportTimeoutSeconds
        deletedRetentionDays = options.deletedRetentionDays
        auditLogRetentionDays = options.auditLogRetentionDays
        logRetentionDays = options.logRetentionDays
        masterKeyFile = options.masterKeyFile.map(Self.absolute) ?? "\(directory)/master.key"
        secondMasterKeyFile = options.secondMasterKeyFile.map(Self.absolute)
        createMasterKey = options.createMasterKey || databaseURL.hasPrefix("sqlite:")
        http = options.httpListen
        httpConnections = options.httpConnections
        fleet = options.fleetListen
        if fleet.port != 0, fleet == http { problems.append("--http-listen and --fleet-listen are the same address") }
        fleetAdvertise = options.fleetAdvertise
        for address in (fleetAdvertise ?? "").split(separator: ",") {
            do throws(SettingProblem) {
                _ = try ListenAddress(parsing: String(address))
            } catch {
                problems.append("--fleet-advertise \(error.text)")
            }
        }
        let proxies = TrustedProxies(options.trustedProxies ?? "")
        if proxies == nil { problems.append("--trusted-proxies has to be networks like 10.0.0.0/8,::1") }
        trustedProxies = proxies ?? .none
        let networks = NetworkList(options.outboundNetworks ?? "")
        if networks == nil { problems.append("--outbound-networks has to be networks like 10.20.0.0/16,::1") }
        outboundNetworks = networks ?? .none
        outboundAuthorities = options.outboundAuthorities.map(Self.absolute)

        switch options.fleetTLS ?? (options.fleetTLSCertificate == nil ? "generated" : "files") {
        case "generated": fleetTLS = .generated
        case "off": fleetTLS = .off
        case "files":
            if let certificate = options.fleetTLSCertificate, let key = options.fleetTLSKey {
                fleetTLS = .files(certificate: certificate, key: key, authority: options.fleetTLSAuthority)
            } else {
                fleetTLS = .generated
                problems.append("--fleet-tls files needs --fleet-tls-certificate and --fleet-tls-key")
            }
        default:
            fleetTLS = .generated
            problems.append("--fleet-tls has to be generated, files or off")
        }

        let version = SoftwareVersion(options.minimumDataPlaneVersion)
        if version == nil { problems.append("--minimum-data-plane-version has to be a version like 0.1.0") }
        minimumDataPlaneVersion = version ?? weirVersion
        deployment = options.deployment
        if let deployment, deployment.utf8.count > 64 || !deployment.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) {
            problems.append("--deployment has to be a name of up to 64 visible ASCII characters")
        }
        signOn = SignOnPolicy(
            origin: options.publicURL ?? "http://\(http)", newcomers: options.oidcNewPeople,
            idle: Int64(options.sessionIdleMinutes) * 60_000,
            lifetime: Int64(options.sessionHours) * 3_600_000)
        openID = Self.openID(options, origin: signOn.origin, &problems)
        logLevel = options.logLevel
        guard problems.isEmpty else { throw SettingsError(problems) }
    }

    private static func openID(_ options: ControlOptions, origin: String, _ problems: inout [String]) -> OpenIDSettings? {
        let place = URL(string: origin)
        let isLocal = ["127.0.0.1", "localhost", "[::1]", "::1"].contains(place?.host() ?? "")
        if place?.host() == nil || place?.path() != "" || place?.query() != nil || !(place?.scheme == "https" || place?.scheme == "http") {
            problems.append("--public-url has to be like https://weir.example, without a path")
        }
        guard let issuer = options.oidcIssuer else {
            if options.oidcClientID != nil || options.oidcClientSecret != nil { problems.append("--oidc-client-id needs --oidc-issuer") }
            return nil
        }
        if place?.scheme != "https", !isLocal { problems.append("--oidc-issuer needs an https:// --public-url, but on the machine itself") }
        if !issuer.hasPrefix("https://"), !issuer.hasPrefix("http://") { problems.append("--oidc-issuer has to be a URL") }
        guard let client = options.oidcClientID else {
            problems.append("--oidc-issuer needs --oidc-client-id")
            return nil
        }
        if !options.oidcScopes.contains("openid") { problems.append("--oidc-scopes has to name openid") }
        return OpenIDSettings(
            issuer: issuer, clientID: client, clientSecret: options.oidcClientSecret.map { Secret($0) }, scopes: options.oidcScopes,
            groupsClaim: options.oidcGroupsClaim, trustsAddresses: options.oidcTrustEmail)
    }

    private static func absolute(_ path: String) -> String {
        URL(fileURLWithPath: path).standardizedFileURL.path
    }
}
