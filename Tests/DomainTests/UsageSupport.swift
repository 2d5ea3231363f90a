import Contract
import Domain
import Foundation
import Logging
import Primitives
import Storage
import Telemetry

/// What the usage tests share: records with prices that are known, and a clock that stands still.
enum UsageSupport {
    /// 2026-11-21T04:05:06Z.
    static let now: Int64 = 1_795_233_906_000

    static let price: Weir_V1_Price = {
        var price = Weir_V1_Price()
        price.id = "price_a"
        price.input = 2_500_000_000
        price.output = 10_000_000_000
        price.cachedInput = 1_250_000_000
        price.perRequest = 7
        return price
    }()

    /// Versions 1 and 2, which data planes hold one of; a model that one tenant sees.
    struct Prices: PriceBook {
        func config(version: Int64) async throws -> PublishedConfig? {
            guard (1...2).contains(version) else { return nil }
            var config = Weir_V1_ConfigPayload()
            config.prices = [UsageSupport.price]
            config.models = [("gpt", []), ("emb", []), ("private-b", ["ten_b"])].map { name, tenants in
                var model = Weir_V1_Model()
                model.id = "mod_\(name)"
                model.name = name
                model.tenantIds = tenants
                return model
            }
            return PublishedConfig(config)
        }
    }

    static var quiet: Logger {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return logger
    }

    /// An intake whose data planes, tenants and keys exist.
    static func intake(
        _ database: any Database, clock: any WallClock = ManualClock(milliseconds: now), metrics: MetricsRegistry = MetricsRegistry()
    ) async throws -> UsageIntake {
        try await prepare(database)
        return UsageIntake(database: database, prices: Prices(), clock: clock, logger: quiet, metrics: metrics)
    }

    private static func prepare(_ database: any Database) async throws {
        try await database.transaction { c in
            guard try c.first("SELECT id FROM tenants LIMIT 1") == nil else { return }
            for tenant in ["ten_a", "ten_b", "ten_0", "ten_1", "ten_2"] {
                try c.execute(
                    "INSERT INTO tenants (id, name, status, revision, created_at, updated_at, directory_revision, deleted_at) VALUES ($1, $1, 'active', 1, 1, 1, 1, NULL)",
                    [.text(tenant)])
                try c.execute(
                    "INSERT INTO projects (id, tenant_id, name, status, revision, created_at, updated_at, directory_revision, deleted_at) VALUES ($1, $2, 'main', 'active', 1, 1, 1, 1, NULL)",
                    [.text("prj_of_" + tenant), .text(tenant)])
                try insertKeys(c, [key(of: tenant)], of: tenant)
            }
            for (tenant, name) in [("ten_a", "a"), ("ten_b", "b")] {
                try c.execute(
                    """
                    INSERT INTO users (id, tenant_id, oid, status, synced_status, revision, created_at, updated_at, directory_revision)
                    VALUES ($1, $2, $1, 'active', 'active', 1, 1, 1, 1)
                    """, [.text("usr_" + name), .text(tenant)])
                try c.execute(
                    """
                    INSERT INTO apps (id, tenant_id, app_id, name, description, owner_id, status, revision, created_at, updated_at,
                        directory_revision)
                    VALUES ($1, $2, $1, $1, '', $3, 'active', 1, 1, 1, 1)
                    """, [.text("app_" + name), .text(tenant), .text("usr_" + name)])
            }
            try insertKeys(c, ["key_b"], of: "ten_a")
            try insertKeys(c, ["key_c"], of: "ten_b")
            for name in ["a", "b", "0", "1", "2", "3", "4", "5"] { try insertDataPlane(c, "dp_" + name, tenants: []) }
        }
    }

    static func key(of tenant: String) -> String { tenant == "ten_a" ? "key_a" : "key_of_" + tenant }

    static func insertKeys(_ c: any SQLConnection, _ ids: [String], of tenant: String) throws {
        for id in ids {
            try c.execute(
                """
                INSERT INTO virtual_keys (id, project_id, tenant_id, name, sha256, models, capabilities, channels, tags, revision,
                    created_at, updated_at, directory_revision)
                VALUES ($1, $2, $3, $1, $4, '[]', '[]', '[]', '{}', 1, 1, 1, 1)
                """, [.text(id), .text("prj_of_" + tenant), .text(tenant), .blob([1])])
        }
    }

    /// One that was sent version 1; no tenants: it serves all.
    static func insertDataPlane(_ c: any SQLConnection, _ id: String, tenants: [String]) throws {
        try DataPlanesTable.insert(
            c,
            DataPlaneRow(
                id: id, name: id, region: "eu", tenantIDs: tenants, identityPublicKey: Array(id.utf8), sealingPublicKey: [],
                version: "0.1.0", keyringEpoch: 1, keyringVersion: 1, createdAt: now))
        try DataPlaneConfigsTable.insert(c, dataPlaneID: id, version: 1, now: now)
    }

    static func queries(_ database: any Database) -> UsageQueries {
        UsageQueries(DomainContext(database: database, clock: ManualClock(milliseconds: now), signal: ChangeSignal()))
    }

    /// A completed request, rated as the data plane would.
    static func record(
        _ number: UInt64, tenant: String = "ten_a", key: String? = nil, model: String = "gpt", input: Int64 = 100, output: Int64 = 20,
        at milliseconds: Int64 = now
    ) -> Weir_V1_UsageRecord {
        var record = Weir_V1_UsageRecord()
        record.requestID = Data(RequestID(high: 1, low: number).bytes)
        record.tenantID = tenant
        record.projectID = "prj_of_" + tenant
        record.keyID = key ?? self.key(of: tenant)
        record.model = model
        record.routeID = "rt_a"
        record.capability = .chat
        record.channel = "default"
        record.admittedAtUs = milliseconds * 1000
        record.configVersion = 1
        record.traceID = Data(repeating: 9, count: 16)
        record.status = .completed
        record.httpStatus = 200
        record.upstreamStatus = 200
        record.inputTokens = input
        record.outputTokens = output
        record.latencyUs = 1234
        record.attempts = 1
        record.priceID = price.id
        record.costNano = Pricing.rate(TokenUsage(input: input, output: output), price).rawValue
        record.sentUpstream = true
        return record
    }

    static func batch(_ incarnation: String, _ sequence: UInt64, _ records: [Weir_V1_UsageRecord]) -> Weir_V1_UsageBatch {
        var batch = Weir_V1_UsageBatch()
        batch.incarnation = incarnation
        batch.sequence = sequence
        batch.records = records
        return batch
    }

    static let everything = UsageFilter(from: 0, to: .max)
}
