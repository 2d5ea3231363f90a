import ArgumentParser
import Foundation
import Logging
import Primitives

/// The flags of the control plane. Each has a twin in the environment (`--some-flag`, `WEIR_SOME_FLAG`); the flag wins.
/// `Settings` below says what each is when neither is given, and why.
struct SettingsOptions: ParsableArguments {
    @Option(name: .customLong("database-url"), help: "sqlite:///path/to/file.db or postgresql://user@host:port/database.")
    var databaseURL: String?
    @Option(name: .customLong("database-connections"), help: "Connections to the database at most.")
    var databaseConnections: String?
    @Option(name: .customLong("data-directory"), help: "Where the embedded database and the master key are kept.")
    var dataDirectory: String?
    @Option(name: .customLong("master-key-file"), help: "File with the 32 bytes, in base64, that encrypt provider credentials.")
    var masterKeyFile: String?
    @Option(
        name: .customLong("second-master-key-file"),
        help: "Another master key that the database may be encrypted with, while it is replaced: see rotate-master-key.")
    var secondMasterKeyFile: String?
    @Flag(name: .customLong("create-master-key"), help: "Create the master key when the file is missing, on Postgres, too.")
    var createMasterKey = false
    @Option(name: .customLong("http-listen"), help: "host:port of the admin API, health and metrics.")
    var httpListen: String?
    @Option(name: .customLong("http-connections"), help: "Open HTTP connections at most.")
    var httpConnections: String?
    @Option(name: .customLong("fleet-listen"), help: "host:port where data planes connect.")
    var fleetListen: String?
    @Option(name: .customLong("fleet-advertise"), help: "host:port under which data planes reach it, when that is another.")
    var fleetAdvertise: String?
    @Option(name: .customLong("fleet-tls"), help: "generated (our own authority), files (your certificate) or off.")
    var fleetTLS: String?
    @Option(name: .customLong("fleet-tls-certificate"), help: "For files: PEM of the certificate and its chain.")
    var fleetTLSCertificate: String?
    @Option(name: .customLong("fleet-tls-key"), help: "For files: PEM of the private key.")
    var fleetTLSKey: String?
    @Option(
        name: .customLong("fleet-tls-authority"), help: "For files: PEM that data planes are to trust, when not the certificate itself.")
    var fleetTLSAuthority: String?
    @Option(name: .customLong("minimum-data-plane-version"), help: "Older data planes are refused.")
    var minimumDataPlaneVersion: String?
    @Option(help: "Name of this installation; signed into every document. Fixed at the first start.")
    var deployment: String?
    @Option(name: .customLong("log-level"), help: "trace, debug, info, notice, warning, error or critical.")
    var logLevel: String?
}

/// The control plane's settings, checked. Key, default, unit and reason stand at each.
struct Settings: Sendable {
    struct Address: Sendable, Hashable {
        let host: String
        let port: Int
    }

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
    let http: Address
    /// `--http-connections`, 1024: bounds memory and file descriptors.
    let httpConnections: Int
    /// `--fleet-listen`, 127.0.0.1:7443.
    let fleet: Address
    /// `--fleet-advertise`, none: what goes into enrolment tokens instead of the listening address.
    let fleetAdvertise: String?
    /// `--fleet-tls`, generated.
    let fleetTLS: FleetTLS
    /// `--minimum-data-plane-version`, 0.1.0: the first that there is.
    let minimumDataPlaneVersion: SoftwareVersion
    /// `--deployment`, none: a random name is made at the first start and kept in the database.
    let deployment: String?
    /// `--log-level`, info.
    let logLevel: Logger.Level

    var isEmbedded: Bool { databaseURL.hasPrefix("sqlite:") }

    /// - Throws: `ValidationError` naming the flag that cannot be used.
    init(_ options: SettingsOptions, environment: [String: String] = ProcessInfo.processInfo.environment) throws {
        func text(_ flag: String, _ given: String?) -> String? {
            if let given { return given }
            let twin = "WEIR_" + flag.uppercased().replacing("-", with: "_")
            return environment[twin].flatMap { $0.isEmpty ? nil : $0 }
        }
        func number(_ flag: String, _ given: String?, _ range: ClosedRange<Int>, default: Int) throws -> Int {
            guard let text = text(flag, given) else { return `default` }
            guard let value = Int(text), range.contains(value) else {
                throw ValidationError("--\(flag) is not a number from \(range.lowerBound) to \(range.upperBound).")
            }
            return value
        }

        let directory = Self.absolute(text("data-directory", options.dataDirectory) ?? "weir-control-data")
        dataDirectory = directory
        databaseURL = text("database-url", options.databaseURL) ?? "sqlite://\(directory)/weir.db"
        databaseConnections = try number("database-connections", options.databaseConnections, 2...500, default: 8)
        masterKeyFile = text("master-key-file", options.masterKeyFile).map(Self.absolute) ?? "\(directory)/master.key"
        secondMasterKeyFile = text("second-master-key-file", options.secondMasterKeyFile).map(Self.absolute)
        let mayCreate = options.createMasterKey || text("create-master-key", nil).map { ["1", "true", "yes"].contains($0) } ?? false
        createMasterKey = mayCreate || databaseURL.hasPrefix("sqlite:")
        http = try Self.address("http-listen", text("http-listen", options.httpListen) ?? "127.0.0.1:7080")
        httpConnections = try number("http-connections", options.httpConnections, 8...100_000, default: 1024)
        fleet = try Self.address("fleet-listen", text("fleet-listen", options.fleetListen) ?? "127.0.0.1:7443")
        fleetAdvertise = text("fleet-advertise", options.fleetAdvertise)
        if let fleetAdvertise { _ = try Self.address("fleet-advertise", fleetAdvertise) }

        let certificate = text("fleet-tls-certificate", options.fleetTLSCertificate)
        let key = text("fleet-tls-key", options.fleetTLSKey)
        switch text("fleet-tls", options.fleetTLS) ?? (certificate == nil ? "generated" : "files") {
        case "generated": fleetTLS = .generated
        case "off": fleetTLS = .off
        case "files":
            guard let certificate, let key else {
                throw ValidationError("--fleet-tls files needs --fleet-tls-certificate and --fleet-tls-key.")
            }
            fleetTLS = .files(certificate: certificate, key: key, authority: text("fleet-tls-authority", options.fleetTLSAuthority))
        default: throw ValidationError("--fleet-tls is not generated, files or off.")
        }

        let minimum = text("minimum-data-plane-version", options.minimumDataPlaneVersion) ?? "0.1.0"
        guard let version = SoftwareVersion(minimum) else {
            throw ValidationError("--minimum-data-plane-version is not a version like 0.1.0.")
        }
        minimumDataPlaneVersion = version
        deployment = text("deployment", options.deployment)
        if let deployment, deployment.isEmpty || deployment.utf8.count > 64 || !deployment.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) {
            throw ValidationError("--deployment is not a name of up to 64 visible ASCII characters.")
        }
        guard let level = Logger.Level(rawValue: text("log-level", options.logLevel) ?? "info") else {
            throw ValidationError("--log-level is not one of trace, debug, info, notice, warning, error, critical.")
        }
        logLevel = level
    }

    private static func absolute(_ path: String) -> String {
        URL(fileURLWithPath: path).standardizedFileURL.path
    }

    /// `host:port`, IPv6 in brackets. Port 0 takes any free one.
    private static func address(_ flag: String, _ text: String) throws -> Address {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]), (0...65_535).contains(port) else {
            throw ValidationError("--\(flag) is not host:port.")
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            throw ValidationError("--\(flag): write an IPv6 address in brackets, [::1]:7080.")
        }
        guard !host.isEmpty else { throw ValidationError("--\(flag) names no host; 0.0.0.0 stands for all addresses.") }
        return Address(host: String(host), port: port)
    }
}
