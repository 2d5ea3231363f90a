import Domain
import Fleet
import Foundation
import Logging
import Nouns
import Primitives
import Storage
import Testing
import Trust

/// A control plane with its services and its fleet listener, which can be stopped and started again at the same address.
final class RunningControl: Sendable {
    static let administrator = Actor(id: "tok_test", name: "Ada", role: .owner, scope: .all)

    let services: ControlServices
    let server: FleetServer
    let database: any Database
    let port: Int
    private let serving: Task<Void, any Error>

    private init(services: ControlServices, server: FleetServer, database: any Database, port: Int, serving: Task<Void, any Error>) {
        self.services = services
        self.server = server
        self.database = database
        self.port = port
        self.serving = serving
    }

    /// - Parameter port: 0 for any; the first one's again for a restart.
    static func start(
        _ database: any Database, port: Int = 0, outbound: any OutboundHTTP = NoOutboundHTTP(), clock: any WallClock = SystemClock(),
        beforeServing: (FleetAdministration) async throws -> Void = { _ in }
    ) async throws -> RunningControl {
        let domain = DomainContext(database: database, clock: clock, signal: ChangeSignal())
        let cipher = try #require(AtRestCipher(masterKey: [UInt8](repeating: 7, count: 32)))
        let context = try await FleetContext.establish(
            domain: domain, cipher: cipher, minimumVersion: SoftwareVersion(major: 0, minor: 1, patch: 0))
        let services = ControlServices(domain, cipher: cipher, outbound: outbound)
        let usage = UsageIntake(domain)
        var logger = Logger(label: "control")
        logger.logLevel = .critical
        let settings = FleetSettings(port: port, heartbeatInterval: .seconds(1), pollInterval: .milliseconds(50))
        while true {
            let server = try await FleetServer(
                context, credentials: services.credentials, outbound: outbound, settings: settings, logger: logger
            ) { id, batches in
                try await usage.store(dataPlaneID: id, batches: batches)
            }
            try await beforeServing(server.administration)
            let serving = Task { try await server.run() }
            do {
                return RunningControl(services: services, server: server, database: database, port: try await server.port, serving: serving)
            } catch {
                guard port != 0 else { throw error }
                // Meanwhile a connection of another test's was given the port: it is free again when that ends.
                serving.cancel()
                _ = await serving.result
                try await Task.sleep(for: .milliseconds(100))
            }
        }
    }

    /// As a process that is told to stop. Not by cancelling the task: gRPC's listener traps when a stream is opened in that moment.
    func stop() async {
        server.beginGracefulShutdown()
        _ = await serving.result
    }

    func token(region: String = "eu", tenants: [TenantID] = []) async throws -> String {
        try await server.enrollment.create(
            EnrollmentTokenContent {
                $0.region = region
                if !tenants.isEmpty { $0.tenantIDs = .only(tenants) }
                $0.ttlSeconds = 600
            }, by: Self.administrator
        ).text.reveal()
    }

    /// Tenant and project.
    func project(of name: String = "acme") async throws -> ProjectID {
        let tenant = try await services.tenants.create(TenantContent { $0.name = name }, by: Self.administrator)
        return try await services.projects.create(
            ProjectContent {
                $0.tenantID = tenant.id
                $0.name = "app"
            }, by: Self.administrator
        ).id
    }

    /// A key of the project; its plaintext.
    func key(_ project: ProjectID, tags: [String: String] = [:]) async throws -> (id: KeyID, text: String) {
        let issued = try await services.keys.create(
            VirtualKeyContent {
                $0.projectID = project
                $0.name = "k"
                $0.tags = tags
            }, by: Self.administrator)
        return (issued.key.id, issued.plaintext.reveal())
    }

    /// One model, routed to an OpenAI-compatible provider at this address, published and in force for all.
    @discardableResult
    func release(
        model: String, url: String, secret: String = "sk-provider", tenants: [TenantID] = [], hedgedFrom: String? = nil
    ) async throws -> Int64 {
        try await release(models: [model], url: url, secret: secret, tenants: tenants, hedgedFrom: hedgedFrom) {
            $0.input = NanoDollars(2_500_000_000)
            $0.output = NanoDollars(10_000_000_000)
        }
    }

    /// Models, all routed to one provider.
    /// - Parameters:
    ///   - hedgedFrom: a model of the provider's that is asked first, at an endpoint of its own; when it is silent, the other is asked, too.
    ///   - price: of each of them.
    @discardableResult
    func release(
        models: [String], url: String, secret: String = "sk-provider", tenants: [TenantID] = [], strategy: RouteStrategy = .weighted,
        hedgedFrom: String? = nil, price: (inout PriceContent) -> Void
    ) async throws -> Int64 {
        let actor = Self.administrator
        let model = models[0]
        let provider = try await services.providers.create(
            ProviderContent {
                $0.name = "p-\(model)"
                $0.baseURL = url
            }, by: actor)
        let credential = try await services.credentials.nouns.create(
            CredentialContent {
                $0.providerID = provider.id
                $0.name = "c-\(model)"
                $0.secret = Secret(secret)
            }, by: actor)
        func endpoint(_ name: String) async throws -> EndpointID {
            try await services.endpoints.create(
                EndpointContent {
                    $0.providerID = provider.id
                    $0.name = name
                    $0.credentialIDs = [credential.id]
                    $0.privateAddresses = true
                }, by: actor
            ).id
        }
        let usual = try await endpoint("e-\(model)")
        var targets = [RouteTarget { $0.endpointID = usual }]
        if let hedgedFrom {
            let first = try await endpoint("first-\(model)")
            targets[0].priority = 1
            targets.append(
                RouteTarget {
                    $0.endpointID = first
                    $0.upstreamModel = hedgedFrom
                })
        }
        for model in models {
            let entry = try await services.models.create(
                ModelContent {
                    $0.name = model
                    $0.capabilities = ["chat"]
                    $0.ownedBy = "test"
                    if !tenants.isEmpty { $0.tenantIDs = .only(tenants) }
                }, by: actor)
            _ = try await services.routes.create(
                RouteContent {
                    $0.modelID = entry.id
                    $0.name = "r-\(model)"
                    $0.strategy = strategy
                    $0.targets = targets
                    if hedgedFrom != nil { $0.hedgeAfter = 1 }
                }, by: actor)
            var content = PriceContent()
            content.modelID = entry.id
            price(&content)
            _ = try await services.prices.create(content, by: actor)
        }
        let version = try await services.configVersions.publish(note: "", actor: actor).version
        let rollout = try await services.rollouts.create(RolloutContent { $0.version = version }, by: actor)
        _ = try await services.rollouts.promote(rollout.id, by: actor)
        return version
    }

    /// Every usage record that was stored.
    func usage() async throws -> (records: Int64, distinct: Int64, input: Int64, output: Int64, cost: Int64) {
        try await database.read { c in
            let row = try c.first(
                """
                SELECT count(*) AS n, count(DISTINCT request_id) AS d, coalesce(sum(input_tokens), 0) AS i,
                    coalesce(sum(output_tokens), 0) AS o, coalesce(sum(cost_nano), 0) AS c FROM usage_records
                """)
            guard let row else { return (0, 0, 0, 0, 0) }
            return (try row.int("n"), try row.int("d"), try row.int("i"), try row.int("o"), try row.int("c"))
        }
    }

    /// The one usage record, when it is stored.
    func usageRow(seconds: Int64 = 120) async throws -> UsageRow {
        _ = try await usage(reaching: 1, seconds: seconds)
        return try #require(try await services.usage.records(UsageFilter(from: 0, to: .max), PageRequest(), as: .all).items.first)
    }

    /// Waits until so many batches' records of a data plane were taken, billed or kept apart; answers how far it came.
    func shipped(by dataPlaneID: String, reaching count: Int64, seconds: Int64 = 120) async throws -> Int64 {
        let deadline = MonotonicClock.nowMicroseconds() + seconds * 1_000_000
        while true {
            let mark = try await database.read { c in
                try c.first("SELECT max(sequence) AS n FROM usage_watermarks WHERE data_plane_id = $1", [.text(dataPlaneID)])?
                    .optionalInt("n") ?? 0
            }
            if mark >= count || MonotonicClock.nowMicroseconds() > deadline { return mark }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// Waits until all usage up to a moment is known (Unix milliseconds); answers up to when it is when the time is up.
    func usageKnown(until moment: Int64, seconds: Int64 = 120) async throws -> Int64 {
        let deadline = MonotonicClock.nowMicroseconds() + seconds * 1_000_000
        while true {
            let asOf = try await services.usage.report(UsageReportRequest(), for: .administrator).json["as_of"]?.stringValue
            let known = asOf.flatMap(RFC3339.milliseconds) ?? 0
            if known >= moment || MonotonicClock.nowMicroseconds() > deadline { return known }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// Waits until so many records are stored; answers what is stored when the time is up.
    func usage(reaching count: Int64, seconds: Int64 = 120) async throws -> (
        records: Int64, distinct: Int64, input: Int64, output: Int64, cost: Int64
    ) {
        let deadline = MonotonicClock.nowMicroseconds() + seconds * 1_000_000
        while true {
            let stored = try await usage()
            if stored.records >= count || MonotonicClock.nowMicroseconds() > deadline { return stored }
            try await Task.sleep(for: .milliseconds(20))
        }
    }
}
