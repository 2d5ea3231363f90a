import Contract
import Domain
import Fleet
import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import Logging
import Nouns
import Primitives
import Storage
import SwiftProtobuf
import Synchronization
import Telemetry
import Trust

/// A control plane's fleet side over a database, listening on loopback with TLS.
struct ControlPlane: Sendable {
    typealias FleetClient = Weir_V1_Fleet.Client<HTTP2ClientTransport.Posix>

    static let administrator = Actor(id: "tok_test", name: "Ada", role: .owner, scope: .all)
    static let masterKey = [UInt8](repeating: 7, count: 32)

    let database: any Database
    /// Starts at the real time, since TLS looks at that; moved by tests.
    let clock: ManualClock
    let domain: DomainContext
    let fleet: FleetContext
    let server: FleetServer
    let credentials: CredentialService
    /// What the usage stream stores with, in place of the intake.
    let intake: Intake

    final class Intake: Sendable {
        private let failures = Mutex<[any Error]>([])
        func fail(with errors: [any Error]) { failures.withLock { $0 = errors } }
        func next() throws {
            if let error = failures.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) { throw error }
        }
    }

    /// Runs `body` with a control plane that serves, and stops it afterwards.
    static func with<R: Sendable>(
        _ database: any Database, minimumVersion: SoftwareVersion = SoftwareVersion(major: 0, minor: 1, patch: 0),
        security: FleetSecurity = .generated, heartbeat: Duration = .seconds(15), poll: Duration = .milliseconds(50),
        maximumConnections: Int = 100, metrics: MetricsRegistry = MetricsRegistry(),
        _ body: @Sendable @escaping (ControlPlane) async throws -> R
    ) async throws -> R {
        let clock = ManualClock(milliseconds: SystemClock().nowMilliseconds())
        let domain = DomainContext(database: database, clock: clock, signal: ChangeSignal())
        guard let cipher = AtRestCipher(masterKey: masterKey) else { throw TestFailure("no cipher") }
        let fleet = try await FleetContext.establish(domain: domain, cipher: cipher, minimumVersion: minimumVersion)
        let credentials = CredentialService(domain, cipher: cipher)
        let usage = UsageIntake(domain)
        let intake = Intake()
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        var settings = FleetSettings(
            port: 0, security: security, heartbeatInterval: heartbeat, pollInterval: poll, intakePatience: .milliseconds(300))
        settings.maximumConnections = maximumConnections
        let server = try await FleetServer(fleet, credentials: credentials, settings: settings, metrics: metrics, logger: logger) {
            dataPlaneID, batches in
            try intake.next()
            return try await usage.store(dataPlaneID: dataPlaneID, batches: batches)
        }
        let plane = ControlPlane(
            database: database, clock: clock, domain: domain, fleet: fleet, server: server, credentials: credentials, intake: intake)
        return try await withThrowingTaskGroup(of: R?.self) { group in
            group.addTask {
                try await server.run()
                return nil
            }
            group.addTask {
                // Waits until the listener is bound and tokens carry its port.
                _ = try await server.port
                return try await body(plane)
            }
            // Not by cancelling the task: gRPC's listener traps when a stream is opened in that moment.
            defer { server.beginGracefulShutdown() }
            while let result = try await group.next() {
                if let result { return result }
                throw TestFailure("the server ended before the test")
            }
            throw TestFailure("no result")
        }
    }

    // MARK: The other side

    func withClient<R: Sendable>(_ body: @Sendable @escaping (FleetClient) async throws -> R) async throws -> R {
        let authority = server.authorityPEM
        let transport = try HTTP2ClientTransport.Posix(
            target: .ipv4(address: "127.0.0.1", port: try await server.port),
            transportSecurity: authority.isEmpty
                ? .plaintext
                : .tls { tls in tls.trustRoots = .certificates([.bytes(Array(authority.utf8), format: .pem)]) })
        return try await withGRPCClient(transport: transport) { client in
            try await body(Weir_V1_Fleet.Client(wrapping: client))
        }
    }

    func token(name: String = "eu-1", region: String = "eu", tenants: [TenantID] = [], ttl: Int64 = 600) async throws -> String {
        try await server.enrollment.create(
            EnrollmentTokenContent {
                $0.name = name
                $0.region = region
                $0.tenantIDs = tenants.isEmpty ? .all : .only(tenants)
                $0.ttlSeconds = ttl
            }, by: Self.administrator
        ).text.reveal()
    }

    /// Enrols a new data plane that serves `tenants`; none: all.
    func enroll(tenants: [TenantID] = []) async throws -> TestDataPlane {
        let token = try await token(tenants: tenants)
        return try await withClient { client in
            let plane = TestDataPlane()
            try await plane.enroll(client, token: token)
            return plane
        }
    }

    // MARK: Content

    func tenant(_ name: String) async throws -> TenantID {
        try await NounService<TenantContent>(domain).create(TenantContent { $0.name = name }, by: Self.administrator).id
    }

    func project(_ name: String, of tenant: TenantID) async throws -> ProjectID {
        try await NounService<ProjectContent>(domain).create(
            ProjectContent {
                $0.tenantID = tenant
                $0.name = name
            }, by: Self.administrator
        ).id
    }

    func key(in project: ProjectID) async throws -> KeyID {
        try await VirtualKeyService(domain).create(
            VirtualKeyContent {
                $0.projectID = project
                $0.name = "k"
            }, by: Self.administrator
        ).key.id
    }

    /// Publishes a configuration of one endpoint that names these credentials, and makes it the baseline.
    @discardableResult
    func release(credentials: [CredentialID] = []) async throws -> Int64 {
        let now = clock.nowMilliseconds()
        let version = try await database.transaction { c in
            let version = try CountersTable.next(c, FleetCounter.config)
            var endpoint = Weir_V1_Endpoint()
            endpoint.id = EndpointID.random().rawValue
            endpoint.credentialIds = credentials.map(\.rawValue)
            var payload = Weir_V1_ConfigPayload()
            payload.endpoints = [endpoint]
            let bytes: [UInt8] = try payload.serializedBytes()
            let row = ConfigVersionRow(
                version: version, digest: SHA256Digest.of(bytes), payloadBytes: Int64(bytes.count), note: "", authorID: "tok_test",
                authorName: "Ada", restores: nil, createdAt: now)
            try ConfigVersionsTable.insert(c, row, payload: bytes)
            var state = try RolloutStateTable.get(c)
            state.documentVersion = try CountersTable.next(c, FleetCounter.rollout)
            state.baselineVersion = version
            state.highestVersion = version
            try RolloutStateTable.set(c, state, at: now)
            return version
        }
        domain.signal.raise(.rollout)
        return version
    }

    func credential(_ name: String, secret: String) async throws -> CredentialID {
        let provider = try await NounService<ProviderContent>(domain).create(
            ProviderContent {
                $0.name = "provider of \(name)"
                $0.baseURL = "https://example.com/v1"
            }, by: Self.administrator
        ).id
        return try await credentials.nouns.create(
            CredentialContent {
                $0.providerID = provider
                $0.name = name
                $0.secret = Secret(secret)
            }, by: Self.administrator
        ).id
    }
}

struct TestFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
