package import Domain
import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import Listening
package import Logging
import NIOCore
import Primitives
import ServiceLifecycle
package import Telemetry

/// The control plane's side of the link: the gRPC listener, the hub that feeds its streams, and the fleet's reconcilers.
package final class FleetServer: Service {
    package let services: FleetServices
    package let enrollment: EnrollmentService
    package let hub: FleetHub
    /// PEM of what data planes trust; empty for plaintext.
    package let authorityPEM: String
    private let settings: FleetSettings
    private let address: FleetAddress
    private let server: GRPCServer<HTTP2ServerTransport.Posix>
    private let replicas: ReplicaService
    private let recalls: LeaseRecalls
    private let logger: Logger

    /// Makes what is missing in the database (signing key, authority) and the listener, which `run` opens.
    /// - Throws: `FleetSetupError` for files that cannot be used; `DomainError.unavailable` without a database.
    package init(
        _ context: FleetContext, credentials: CredentialService, outbound: any OutboundHTTP = NoOutboundHTTP(), settings: FleetSettings,
        metrics: MetricsRegistry = MetricsRegistry(),
        logger: Logger, storeUsage: @escaping FleetServices.StoreUsage
    ) async throws {
        let services = FleetServices(
            context, credentials: credentials, outbound: outbound, metrics: metrics, storeUsage: storeUsage)
        try await services.keys.establish()
        let (security, authority) = try await Self.security(settings, context)
        let address = FleetAddress(settings.advertisedAddress ?? "\(settings.host):\(settings.port)")
        let enrollment = EnrollmentService(context, keys: services.keys, address: address, authority: authority)
        let hub = FleetHub(services: services, settings: settings, logger: logger)
        // It shares the process with the admin API's.
        let maximum = ConnectionGate.Limits.fitting(settings.maximumConnections, each: 2, listener: "fleet", logger: logger)
        let gate = ConnectionGate(
            listener: "fleet", limits: .init(maximum: maximum, reserve: 0), metric: "weir_fleet_connections_refused_total",
            metrics: metrics, logger: logger)
        let transport = HTTP2ServerTransport.Posix(
            address: settings.host.contains(":")
                ? .ipv6(host: settings.host, port: settings.port) : .ipv4(host: settings.host, port: settings.port),
            transportSecurity: security, config: Self.transportConfig(gate))
        let recalls = LeaseRecalls(services.leases, logger: logger)
        let service = FleetService(
            services: services, enrollment: enrollment, hub: hub, settings: settings, metrics: FleetMetrics(metrics, hub: hub),
            recalls: recalls, logger: logger)
        self.services = services
        self.settings = settings
        self.enrollment = enrollment
        self.hub = hub
        self.recalls = recalls
        self.address = address
        self.logger = logger
        authorityPEM = authority
        server = GRPCServer(transport: transport, services: [service, UsageReceiver(service: service)])
        replicas = ReplicaService(context, name: settings.replica, address: address)
    }

    private static func transportConfig(_ gate: ConnectionGate) -> HTTP2ServerTransport.Posix.Config {
        .defaults { config in
            // gRPC's own way into its channels. The gate stands before its handlers, so that what is turned away never becomes a connection.
            config.channelDebuggingCallbacks.onBindTCPListener = { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(GateHandler(gate), position: .first)
                }
            }
            config.channelDebuggingCallbacks.onAcceptTCPConnection = { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(FirstCallGuard(gate.place(of: channel)), position: .first)
                }
            }
            config.channelDebuggingCallbacks.onAcceptHTTP2Stream = { stream in
                // Found on the connection's channel, whose loop is the stream's.
                if let found = try? stream.parent?.pipeline.syncOperations.handler(type: FirstCallGuard.self) { found.callCame() }
                return stream.eventLoop.makeSucceededVoidFuture()
            }
            config.rpc.maxRequestPayloadSize = FleetSettings.maximumRequestBytes
            config.http2.maxConcurrentStreams = 32
            // Usage arrives in batches: the default window of 64 KiB would make it crawl over a long distance.
            config.http2.targetWindowSize = 4 << 20
            // Who has connected and asks for nothing is not kept.
            config.connection.maxIdleTime = .seconds(120)
            // Within the patience of a shutdown (20 s): a stream opened on a connection whose task was cancelled would trap in gRPC's listener.
            config.connection.maxGraceTime = .seconds(10)
            // A data plane that vanished without a word is noticed within a minute.
            config.connection.keepalive.time = .seconds(30)
            config.connection.keepalive.timeout = .seconds(20)
            config.connection.keepalive.clientBehavior.minPingIntervalWithoutCalls = .seconds(5)
            config.connection.keepalive.clientBehavior.allowWithoutCalls = true
        }
    }

    /// This replica's name, different from all others'.
    package var replica: String { settings.replica }

    /// For the admin API.
    package var administration: FleetAdministration {
        FleetAdministration(
            dataPlanes: services.dataPlanes, enrollment: enrollment, signingKeys: services.keys,
            endpointReports: EndpointReportService(services.context))
    }

    /// The port it listens on; waits until it does.
    /// - Throws: when the address could not be bound.
    package var port: Int {
        get async throws {
            let bound = try await server.transport.listeningAddress
            return bound.ipv4?.port ?? bound.ipv6?.port ?? settings.port
        }
    }

    /// Serves until the process shuts down or the task is cancelled.
    package func run() async throws {
        try await withGracefulShutdownHandler {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await self.server.serve() }
                group.addTask { try await self.announce() }
                group.addTask { await self.hub.run() }
                group.addTask { await self.recalls.run() }
                group.addTask { await self.beThere() }
                group.addTask { await self.services.upstreamKeys.run() }
                // The announcement ends at once, the listener with the shutdown; the others only by cancellation.
                for _ in 0..<2 { try await group.next() }
                group.cancelAll()
            }
        } onGracefulShutdown: {
            self.server.beginGracefulShutdown()
        }
    }

    /// What one replica has to do for all.
    package var jobs: [LeasedWork.Job] { FleetReconcilers.jobs(services, replicas: replicas) }

    /// Says every few seconds that this replica is there, until the task is cancelled.
    private func beThere() async {
        while !Task.isCancelled {
            do {
                try await replicas.renew()
            } catch {
                logger.debug("presence not renewed", metadata: ["error": "\(error)"])
            }
            try? await Task.sleep(for: .milliseconds(ReplicaService.renewalMilliseconds))
        }
        // A task of its own: this one is cancelled.
        await Task { [replicas] in try? await replicas.leave() }.value
    }

    /// Ends `run` as a shutdown does: streams are told to come back elsewhere.
    package func beginGracefulShutdown() { server.beginGracefulShutdown() }

    private func announce() async throws {
        let port = try await port
        if settings.advertisedAddress == nil { address.set("\(settings.host):\(port)") }
        logger.info(
            "fleet listener open",
            metadata: [
                "address": "\(settings.host):\(port)", "advertised": "\(address.text)", "tls": "\(authorityPEM.isEmpty ? "off" : "on")",
            ])
    }

    // MARK: TLS

    private static func security(
        _ settings: FleetSettings, _ context: FleetContext
    ) async throws -> (HTTP2ServerTransport.Posix.TransportSecurity, authority: String) {
        switch settings.security {
        case .plaintext:
            return (.plaintext, "")
        case .generated:
            let now = Date(timeIntervalSince1970: Double(context.domain.clock.nowMilliseconds()) / 1000)
            let certificates = try await FleetCertificates.issue(
                hosts: [settings.host] + (settings.advertisedAddress ?? "").split(separator: ",").map { hostPart(of: String($0)) },
                store: FleetAuthorityStore(context), now: now)
            note(certificates.chainPEM.first ?? "", "the fleet's certificate (renewed by a restart)", context)
            note(certificates.authorityPEM, "the fleet's certificate authority", context)
            return (
                .tls(
                    certificateChain: certificates.chainPEM.map { .bytes(Array($0.utf8), format: .pem) },
                    privateKey: .bytes(Array(certificates.privateKeyPEM.utf8), format: .pem)),
                certificates.authorityPEM
            )
        case .files(let certificatePath, let privateKeyPath, let authorityPath):
            let authority = try text(of: authorityPath ?? certificatePath)
            _ = try text(of: privateKeyPath)
            note(try text(of: certificatePath), "certificate \(certificatePath)", context)
            return (
                .tls(
                    certificateChain: [.file(path: certificatePath, format: .pem)], privateKey: .file(path: privateKeyPath, format: .pem)),
                authority
            )
        }
    }

    /// So that somebody is told before it ends.
    private static func note(_ pem: String, _ subject: String, _ context: FleetContext) {
        if let end = FleetCertificates.end(ofPEM: pem) { context.domain.warnings.expires(subject, at: end) }
    }

    private static func text(of path: String) throws -> String {
        guard let data = FileManager.default.contents(atPath: path), let text = String(data: data, encoding: .utf8), !text.isEmpty else {
            throw FleetSetupError.unreadableFile(path: path)
        }
        return text
    }

    /// The host of `host:port`, an IPv6 address without its brackets.
    static func hostPart(of address: String) -> String {
        guard let colon = address.lastIndex(of: ":") else { return address }
        let host = address[..<colon]
        return host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : String(host)
    }
}

package enum FleetSetupError: Error, Hashable, CustomStringConvertible {
    case unreadableFile(path: String)

    package var description: String {
        switch self {
        case .unreadableFile(let path): "\(path) cannot be read: check the path and that this user may read it"
        }
    }
}
