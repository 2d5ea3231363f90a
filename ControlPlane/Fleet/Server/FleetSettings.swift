package import Contract
package import Domain
import Primitives
package import Telemetry

/// How the fleet listener is secured.
package enum FleetSecurity: Sendable {
    /// A certificate signed by an authority of our own, which is kept in the database and travels in the enrolment tokens.
    case generated
    /// The operator's files, PEM. `authorityPath`: what data planes are to trust; nil: the certificate file itself.
    case files(certificatePath: String, privateKeyPath: String, authorityPath: String?)
    /// No TLS. Only where something else secures the link.
    case plaintext
}

package struct FleetSettings: Sendable {
    /// Where to listen.
    package var host: String
    /// 0: any free port.
    package var port: Int
    /// `host:port` under which data planes reach the listener, or those of all replicas, separated by commas; nil: `host` and the bound
    /// port.
    package var advertisedAddress: String?
    package var security: FleetSecurity
    /// Tells replicas apart in what the API shows.
    package var replica: String
    package var heartbeatInterval: Duration
    /// How often other replicas' changes are looked for.
    package var pollInterval: Duration
    /// A data plane that does not read or answer a document within this time is disconnected; a directory of a million keys takes a while.
    package var answerTimeout: Duration
    /// How long a failing database is waited for while a usage batch is in hand.
    package var intakePatience: Duration
    /// Data planes keep one open; the limit of open files may allow fewer.
    package var maximumConnections = 4096

    package init(
        host: String = "127.0.0.1", port: Int = 7443, advertisedAddress: String? = nil, security: FleetSecurity = .generated,
        replica: String = "ctl-" + Base32.encode(SecureRandom.bytes(5)), heartbeatInterval: Duration = .seconds(15),
        pollInterval: Duration = .milliseconds(500), answerTimeout: Duration = .seconds(300), intakePatience: Duration = .seconds(20)
    ) {
        self.host = host
        self.port = port
        self.advertisedAddress = advertisedAddress
        self.security = security
        self.replica = replica
        self.heartbeatInterval = heartbeatInterval
        self.pollInterval = pollInterval
        self.answerTimeout = answerTimeout
        self.intakePatience = intakePatience
    }

    /// Bytes. Both planes raise gRPC's limits to what a directory of some million keys needs.
    package static let maximumDocumentBytes = 512 << 20
    /// Bytes of one message of a data plane: far more than a batch of usage has (256 KiB).
    package static let maximumRequestBytes = 8 << 20
}

/// The domain services the fleet's gRPC service stands on.
package struct FleetServices: Sendable {
    /// `UsageIntake.store`: returns only once the batches are committed.
    package typealias StoreUsage = @Sendable (_ dataPlaneID: String, _ batches: [UsageBatchBytes]) async throws -> [Weir_V1_UsageAck]

    package let context: FleetContext
    package let keys: SigningKeyService
    package let sessions: SessionService
    package let dataPlanes: DataPlaneService
    package let factory: DocumentFactory
    package let directory: DirectoryDocuments
    package let bans: BanDocuments
    package let secrets: SealedSecretsService
    package let leases: LeaseService
    package let rateShares: RateShareService
    package let storeUsage: StoreUsage
    package let newcomers: NewcomerService
    package let upstreamKeys: UpstreamKeyService
    package let ownReports: OwnReportService
    package let freezes: FreezeService

    /// - Parameter outbound: what providers' management APIs are called with.
    package init(
        _ context: FleetContext, credentials: CredentialService, outbound: any OutboundHTTP = NoOutboundHTTP(),
        metrics: MetricsRegistry = MetricsRegistry(), storeUsage: @escaping StoreUsage
    ) {
        self.context = context
        keys = SigningKeyService(context)
        sessions = SessionService(context)
        dataPlanes = DataPlaneService(context)
        factory = DocumentFactory(context, keys: keys)
        directory = DirectoryDocuments(context, keys: keys, factory: factory)
        bans = BanDocuments(context, keys: keys, factory: factory)
        rateShares = RateShareService(context.domain)
        leases = LeaseService(context.domain, metrics: metrics)
        self.storeUsage = storeUsage
        ownReports = OwnReportService(context.domain)
        upstreamKeys = UpstreamKeyService(context, credentials: credentials, http: outbound)
        secrets = SealedSecretsService(
            context, factory: factory, credentials: credentials, signing: SigningSecretService(context.domain, cipher: context.cipher),
            upstreamKeys: upstreamKeys)
        newcomers = NewcomerService(context.domain, upstreamKeys: upstreamKeys)
        freezes = FreezeService(context.domain)
    }
}
