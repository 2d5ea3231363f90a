import Contract
import Domain
import Foundation
import Glibc
import Logging
import Primitives
import Storage
import SwiftProtobuf
import Trust

/// What it costs the control plane to take in usage: batches as a data plane ships them, decoded and stored, in an empty database.
///
/// `intake-bench [records] [records a batch] [data planes] [batches stored at once]`; Postgres when `WEIR_TEST_POSTGRES` names one (its processor time is not ours).
@main
struct IntakeBench {
    private static let tenants = 4
    private static let keysPerTenant = 10
    /// Heads of all chains come with each batch of so many: far more often than from a data plane.
    private static let signedEach = 10

    static func main() async throws { try await run() }

    private nonisolated static func run() async throws {
        let numbers = CommandLine.arguments.dropFirst().compactMap { Int($0) }
        let records = numbers.first ?? 200_000
        let size = numbers.count > 1 ? numbers[1] : 500
        let streams = numbers.count > 2 ? numbers[2] : 1
        let together = numbers.count > 3 ? numbers[3] : 8
        guard let kind = TestDatabases.all.last else { return }
        try await kind.with { database in
            try await prepare(database, streams)
            let now = SystemClock().nowMicroseconds()
            let batches = max(1, records / size / streams)
            // Before the watch runs.
            let shipped = try (0..<streams).map { stream in
                var chains = Chains(stream: stream)
                return try (0..<batches).map { number in
                    var batch = batch(stream: stream, sequence: UInt64(number + 1), size: size, now: now)
                    try chains.add(to: &batch, isSigned: number % signedEach == signedEach - 1)
                    return try batch.serializedBytes() as [UInt8]
                }
            }
            let intake = UsageIntake(
                database: database, prices: PublishedPriceBook(database: database), clock: SystemClock(), logger: quiet)
            let (wall, processor) = (MonotonicClock.nowMicroseconds(), processorMicroseconds())
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (stream, messages) in shipped.enumerated() {
                    group.addTask { try await send(messages, together, "dp_\(stream)", intake) }
                }
                try await group.waitForAll()
            }
            let stored = Double(batches * size * streams)
            let (took, used) = (Double(MonotonicClock.nowMicroseconds() - wall), Double(processorMicroseconds() - processor))
            let found = try await database.read { c in
                try c.first("SELECT COUNT(*) AS records, SUM(cost_nano) AS cost FROM usage_records")
            }
            let followed = try await database.read { c in
                try c.first("SELECT CAST(COALESCE(SUM(number), 0) AS BIGINT) AS records, COUNT(broken) AS broken FROM usage_chains")
            }
            guard try followed?.int("records") == Int64(stored), try followed?.int("broken") == 0 else { throw BenchError.notFollowed }
            print(
                "\(kind.name): \(Int(stored)) records in batches of \(size), \(together) at once, \(streams) data plane(s): \(Int(stored / took * 1e6)) records/s,",
                String(format: "%.2f µs of processor time a record", used / stored), "(stored: \(try found?.int("records") ?? 0))")
        }
    }

    private static func send(_ messages: [[UInt8]], _ together: Int, _ dataPlaneID: String, _ intake: UsageIntake) async throws {
        for start in stride(from: 0, to: messages.count, by: together) {
            let group = messages[start..<min(start + together, messages.count)]
            let acks = try await intake.store(dataPlaneID: dataPlaneID, batches: try group.map { try UsageBatchBytes($0) })
            guard acks.last?.storedSequence == UInt64(start + group.count) else { throw BenchError.notStored }
        }
    }

    private enum BenchError: Error {
        case notStored
        case notFollowed
    }

    private static var quiet: Logger {
        var logger = Logger(label: "bench")
        logger.logLevel = .error
        return logger
    }

    private static func processorMicroseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
    }

    // MARK: What there is

    private static func tenant(_ number: Int) -> String { "ten_" + String(format: "%026d", number) }
    private static func project(_ number: Int) -> String { "prj_" + String(format: "%026d", number) }
    private static func key(_ tenant: Int, _ number: Int) -> String { "key_" + String(format: "%026d", tenant * 1000 + number) }
    private static let price = "price_" + String(format: "%026d", 1)
    private static let models = ["gpt-5.1-mini", "claude-sonnet-4-5", "llama-3.3-70b"]

    private static func prepare(_ database: any Database, _ streams: Int) async throws {
        var config = Weir_V1_ConfigPayload()
        var price = Weir_V1_Price()
        (price.id, price.input, price.output, price.cachedInput) = (Self.price, 2_500_000_000, 10_000_000_000, 1_250_000_000)
        config.prices = [price]
        config.models = models.map { name in
            var model = Weir_V1_Model()
            (model.id, model.name) = ("mod_" + name, name)
            return model
        }
        let payload: [UInt8] = try config.serializedBytes()
        try await database.transaction { c in
            for tenant in 0..<tenants {
                try c.execute(
                    "INSERT INTO tenants (id, name, status, revision, created_at, updated_at, directory_revision, deleted_at) VALUES ($1, $1, 'active', 1, 1, 1, 1, NULL)",
                    [.text(Self.tenant(tenant))])
                try c.execute(
                    "INSERT INTO projects (id, tenant_id, name, status, revision, created_at, updated_at, directory_revision, deleted_at) VALUES ($1, $2, 'main', 'active', 1, 1, 1, 1, NULL)",
                    [.text(project(tenant)), .text(Self.tenant(tenant))])
                for number in 0..<keysPerTenant {
                    try c.execute(
                        """
                        INSERT INTO virtual_keys (id, project_id, tenant_id, name, sha256, models, capabilities, channels, tags, revision,
                            created_at, updated_at, directory_revision)
                        VALUES ($1, $2, $3, $1, $4, '[]', '[]', '[]', '{}', 1, 1, 1, 1)
                        """, [.text(key(tenant, number)), .text(project(tenant)), .text(Self.tenant(tenant)), .blob([1])])
                }
            }
            try c.execute(
                """
                INSERT INTO config_versions (version, payload, digest, note, author_id, author_name, created_at)
                VALUES (1, $1, $2, '', 'bench', 'bench', 1)
                """, [.blob(payload), .blob([1])])
            for stream in 0..<streams {
                let id = "dp_\(stream)"
                try DataPlanesTable.insert(
                    c,
                    DataPlaneRow(
                        id: id, name: id, region: "eu", tenantIDs: [], identityPublicKey: Chains.key(stream).publicKey,
                        sealingPublicKey: [],
                        version: "0.1.0", keyringEpoch: 1, keyringVersion: 1, createdAt: 1))
                try DataPlaneConfigsTable.insert(c, dataPlaneID: id, version: 1, now: 1)
            }
        }
    }

    /// Requests of some keys that take turns, one every 50 µs.
    private static func batch(stream: Int, sequence: UInt64, size: Int, now: Int64) -> Weir_V1_UsageBatch {
        var batch = Weir_V1_UsageBatch()
        batch.incarnation = String(format: "%032d", stream + 1)
        batch.sequence = sequence
        batch.records = (0..<size).map { place in
            let number = Int(sequence) * size + place
            let mixed = UInt64(number) &* 0x9E37_79B9_7F4A_7C15
            var record = Weir_V1_UsageRecord()
            let tenant = Int(mixed >> 60) % tenants
            record.admittedAtUs = now + Int64(number * 50)
            let high = UInt64(bitPattern: record.admittedAtUs / 1000) << 16 | UInt64(stream)
            record.requestID = Data(RequestID(high: high, low: mixed).bytes)
            record.tenantID = Self.tenant(tenant)
            record.projectID = project(tenant)
            record.keyID = key(tenant, Int(mixed >> 40) % keysPerTenant)
            record.model = models[Int(mixed >> 50) % models.count]
            record.routeID = "rt_" + String(format: "%026d", Int(mixed >> 50) % models.count)
            record.capability = .chat
            record.channel = "default"
            record.configVersion = 1
            record.estimatedInputTokens = 100
            record.requestBytes = 400
            record.traceID = Data(RequestID(high: mixed, low: ~mixed).bytes)
            record.status = .completed
            record.httpStatus = 200
            record.upstreamStatus = 200
            record.inputTokens = 100 + Int64(mixed >> 56)
            record.outputTokens = 20 + Int64(mixed >> 57)
            record.latencyUs = 1_234_000
            record.timeToFirstByteUs = 123_000
            record.attempts = 1
            record.responseBytes = 900
            record.endpointID = "ep_" + String(format: "%026d", 1)
            record.providerID = "prov_" + String(format: "%026d", 1)
            record.credentialID = "cred_" + String(format: "%026d", 1)
            record.upstreamModel = "gpt-5.1-mini-2026-01-01"
            record.priceID = Self.price
            record.sentUpstream = true
            record.costNano = record.inputTokens * 2500 + record.outputTokens * 10_000
            return record
        }
        return batch
    }
}

/// The chains that a data plane makes of its records, and signs.
private struct Chains {
    let stream: Int
    private var links: [String: (number: Int64, link: Digest256)] = [:]

    init(stream: Int) { self.stream = stream }

    static func key(_ stream: Int) -> IdentityKey {
        IdentityKey(raw: [UInt8](repeating: UInt8(truncatingIfNeeded: stream + 1), count: 32)) ?? IdentityKey()
    }

    mutating func add(to batch: inout Weir_V1_UsageBatch, isSigned: Bool) throws {
        batch.chained = true
        let dataPlaneID = "dp_\(stream)"
        var splitter = UsageSplitter()
        for record in batch.records {
            let bytes: [UInt8] = try record.serializedBytes()
            guard let digests = bytes.withUnsafeBytes({ splitter.read($0) }) else { continue }
            let genesis = UsageChain.genesis(dataPlaneID: dataPlaneID, incarnation: batch.incarnation, tenantID: record.tenantID)
            let before = links[record.tenantID] ?? (0, genesis)
            links[record.tenantID] = (before.number + 1, UsageChain.link(before.link, digests))
        }
        guard isSigned else { return }
        batch.heads = try links.sorted { $0.key < $1.key }.map { tenant, chain in
            let signed = try UsageHead(
                dataPlaneID: dataPlaneID, incarnation: batch.incarnation, tenantID: tenant, number: chain.number, link: chain.link,
                signedAt: 1_700_000_000_000
            ).signed(by: Self.key(stream))
            var head = Weir_V1_UsageHead()
            head.tenantID = tenant
            head.number = UInt64(chain.number)
            head.link = Data(chain.link.bytes)
            head.signedAtMs = signed.signedAt
            head.signature = Data(signed.signature)
            return head
        }
    }
}
