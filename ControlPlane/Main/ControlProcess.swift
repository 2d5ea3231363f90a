import API
import Contract
import Dashboard
import Domain
import Fleet
import Foundation
import Hummingbird
import Logging
import Outbound
import Primitives
import ProcessSettings
import ServiceLifecycle
import SignOn
import Telemetry

/// The parts of a running control plane, wired.
struct ControlProcess: Sendable {
    /// Stopped in the reverse order: the admin API first, so that nobody changes what no data plane would hear of.
    let services: [any Service]

    /// - Throws: `StartupError`, `FleetSetupError`, or what the database answers.
    init(_ settings: Settings, _ installation: Installation, logger: Logger) async throws {
        let metrics = MetricsRegistry()
        metrics.collect { ProcessMetrics.write(component: "weir-control", log: .standardError, to: &$0) }

        let outbound = OutboundClient(networks: settings.outboundNetworks, authorities: try Self.authorities(settings))
        var signOn = settings.signOn
        signOn.note = { logger.warning("somebody was not signed on", metadata: ["reason": .string($0)]) }
        let identities: any IdentityProvider =
            settings.openID.map { OpenIDProvider($0, outbound: outbound, clock: installation.domain.clock) } ?? NoIdentityProvider()
        let control = ControlServices(
            installation.domain, cipher: installation.cipher, providers: ProviderProbe(outbound), outbound: outbound,
            identities: identities, signOn: signOn)
        let usage = UsageIntake(installation.domain, logger: logger, metrics: metrics)
        let fleet = try await Self.fleet(settings, installation, control, usage, metrics, logger)

        let api = AdminRoutes.table(control, fleet: fleet.administration, metrics: metrics)
        var routes = api
        DashboardRoutes(api, control, hasProvider: settings.openID != nil, clock: installation.domain.clock).addRoutes(to: &routes)
        let responder = APIResponder(
            routes: routes,
            authentication: Authentication(admins: control.adminTokens, keys: control.keyAuthentication, sessions: control.signOn.sessions),
            audit: control.audit,
            idempotency: control.idempotency,
            trustedProxies: settings.trustedProxies, metrics: metrics, logger: logger)
        let http = ControlApplication.make(
            responder,
            ControlApplication.Settings(
                host: settings.http.host, port: settings.http.port, maximumConnections: settings.httpConnections),
            metrics: metrics, logger: logger
        ) { port in
            logger.notice("admin API listening", metadata: ["address": .string("\(settings.http.host):\(port)")])
        }
        let findings = FindingAlerts(StatusService(control, fleet: fleet.administration))
        let purge = PurgeService(
            installation.domain, retentionMilliseconds: Int64(settings.deletedRetentionDays) * 86_400_000)
        let retention = RetentionService(
            installation.domain, auditDays: settings.auditLogRetentionDays, logDays: settings.logRetentionDays, metrics: metrics)
        let work = LeasedWork(
            installation.domain, holder: fleet.replica,
            jobs: fleet.jobs + [
                LeasedWork.Job("usage_partitions", every: .seconds(3600)) { try await usage.preparePartitions() },
                LeasedWork.Job("sync_payments", every: .seconds(600)) { _ = try await control.users.syncAll(by: .system("payments")) },
                // As far back as usage may come late; what comes later still is posted when its statement is asked for.
                LeasedWork.Job("post_usage", every: .seconds(3600)) { try await control.billing.ledger.postUsage(everything: true) },
                LeasedWork.Job("did_documents", every: .seconds(5)) { try await control.didDocuments.readDue() },
                LeasedWork.Job("look_for_rises", every: .seconds(300)) { try await control.budgetStates.lookForRises() },
                LeasedWork.Job("look_for_hourly_rises", every: .seconds(300)) { try await control.spendRises.look() },
                LeasedWork.Job("look_for_findings", every: .seconds(60)) { try await findings.look() },
                LeasedWork.Job("webhooks", every: .seconds(2)) { try await control.webhooks.reconcile() },
                LeasedWork.Job("old_webhook_messages", every: .seconds(3600)) { try await control.webhooks.purge() },
                LeasedWork.Job("purge_deleted", every: .seconds(3600)) { try await purge.purge() },
                // Once a day; asked for more often, since another replica may have to take over.
                LeasedWork.Job("retention", every: .seconds(900)) { try await retention.purgeDaily() },
                LeasedWork.Job("old_freezes", every: .seconds(3600)) { try await control.freezes.removeOld() },
            ], metrics: metrics, logger: logger)
        services = [BackgroundWork(work: work), fleet, http]
    }

    private static func authorities(_ settings: Settings) throws -> String {
        guard let path = settings.outboundAuthorities else { return "" }
        guard let text = try? String(contentsOfFile: path, encoding: .utf8), text.contains("BEGIN CERTIFICATE") else {
            throw StartupError(
                "the certificate authorities in \(path) cannot be read",
                remedy: "name a PEM file that this process may read, or leave --outbound-authorities out")
        }
        return text
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
            context, credentials: control.credentials, outbound: control.outbound,
            settings: FleetSettings(
                host: settings.fleet.host, port: settings.fleet.port, advertisedAddress: settings.fleetAdvertise, security: security),
            metrics: metrics, logger: logger
        ) { dataPlane, batches in
            try await usage.store(dataPlaneID: dataPlane, batches: batches)
        }
    }
}

/// What one replica does for all, for as long as the process runs.
struct BackgroundWork: Service {
    let work: LeasedWork

    func run() async throws {
        await cancelWhenGracefulShutdown { await work.run() }
    }
}
