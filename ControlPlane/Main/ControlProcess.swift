import API
import Contract
import Domain
import Fleet
import Hummingbird
import Logging
import Primitives
import ProcessSettings
import ServiceLifecycle
import Telemetry

/// The parts of a running control plane, wired.
struct ControlProcess: Sendable {
    /// Stopped in the reverse order: the admin API first, so that nobody changes what no data plane would hear of.
    let services: [any Service]

    /// - Throws: `StartupError`, `FleetSetupError`, or what the database answers.
    init(_ settings: Settings, _ installation: Installation, logger: Logger) async throws {
        let metrics = MetricsRegistry()
        metrics.collect { ProcessMetrics.write(component: "weir-control", log: .standardError, to: &$0) }

        let control = ControlServices(installation.domain, cipher: installation.cipher)
        let usage = UsageIntake(installation.domain, logger: logger, metrics: metrics)
        let fleet = try await Self.fleet(settings, installation, control, usage, metrics, logger)

        let responder = APIResponder(
            routes: AdminRoutes.table(control, fleet: fleet.administration, metrics: metrics),
            authentication: Authentication(admins: control.adminTokens, keys: control.keyAuthentication), metrics: metrics,
            logger: logger)
        let http = ControlApplication.make(
            responder,
            ControlApplication.Settings(
                host: settings.http.host, port: settings.http.port, maximumConnections: settings.httpConnections),
            metrics: metrics, logger: logger
        ) { port in
            logger.notice("admin API listening", metadata: ["address": .string("\(settings.http.host):\(port)")])
        }
        services = [UsageMaintenance(usage: usage, logger: logger), fleet, http]
    }

    private static func fleet(
        _ settings: Settings, _ installation: Installation, _ control: ControlServices, _ usage: UsageIntake,
        _ metrics: MetricsRegistry, _ logger: Logger
    ) async throws -> FleetServer {
        let context = try await FleetContext.establish(
            domain: installation.domain, cipher: installation.cipher, minimumVersion: settings.minimumDataPlaneVersion,
            name: settings.deployment)
        if let wanted = settings.deployment, wanted != context.deployment {
            throw StartupError(
                "this database belongs to the deployment \(context.deployment), not \(wanted)",
                remedy: "leave --deployment out: data planes know the name from their enrolment, so it cannot change")
        }
        let security: FleetSecurity =
            switch settings.fleetTLS {
            case .generated: .generated
            case .files(let certificate, let key, let authority):
                .files(certificatePath: certificate, privateKeyPath: key, authorityPath: authority)
            case .off: .plaintext
            }
        return try await FleetServer(
            context, credentials: control.credentials,
            settings: FleetSettings(
                host: settings.fleet.host, port: settings.fleet.port, advertisedAddress: settings.fleetAdvertise, security: security),
            metrics: metrics, logger: logger
        ) { dataPlane, batch in
            try await usage.store(dataPlaneID: dataPlane, batch: batch)
        }
    }
}

/// Makes the usage table's partitions ahead of time. Safe on several replicas at once: what is there stays.
struct UsageMaintenance: Service {
    let usage: UsageIntake
    let logger: Logger
    var period: Duration = .seconds(3600)
    /// After a failure, such as a database that is gone for a moment.
    var retryPeriod: Duration = .seconds(30)

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                var pause = period
                do {
                    try await usage.preparePartitions()
                } catch {
                    logger.warning("usage partitions could not be prepared", metadata: ["error": .string(String(describing: error))])
                    pause = retryPeriod
                }
                try? await Task.sleep(for: pause)
            }
        }
    }
}
