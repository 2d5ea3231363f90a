import Contract
import Domain
import Fleet
import Foundation
import GRPCCore
import Primitives
import Storage
import SwiftProtobuf
import Testing

@Suite("A usage stream", .timeLimit(.minutes(10)))
struct UsageStreamTests {
    private static let incarnation = String(repeating: "0a", count: 16)

    private static func batch(_ sequence: UInt64, at: Int64) -> Weir_V1_UsageBatch {
        var record = Weir_V1_UsageRecord()
        record.requestID = Data((0..<16).map { _ in UInt8.random(in: 0...255) })
        record.tenantID = "ten_aaaaaaaaaaaaaaaa"
        record.projectID = "prj_aaaaaaaaaaaaaaaa"
        record.keyID = "key_aaaaaaaaaaaaaaaa"
        record.configVersion = 1
        record.admittedAtUs = at
        record.status = .completed
        var batch = Weir_V1_UsageBatch()
        batch.incarnation = incarnation
        batch.sequence = sequence
        batch.records = [record]
        return batch
    }

    /// A data plane, those whom its records name, and the configuration that it was sent.
    private static func enrolled(_ control: ControlPlane) async throws -> TestDataPlane {
        let plane = try await control.enroll()
        try await control.server.services.dataPlanes.willSend(plane.id, configVersion: control.release())
        try await control.database.transaction { c in
            let (tenant, project) = (SQLValue.text("ten_aaaaaaaaaaaaaaaa"), SQLValue.text("prj_aaaaaaaaaaaaaaaa"))
            _ = try c.execute(
                "INSERT INTO tenants (id, name, status, revision, created_at, updated_at, directory_revision, deleted_at) VALUES ($1, 'Acme', 'active', 1, 1, 1, 1, NULL)",
                [tenant])
            try c.execute(
                "INSERT INTO projects (id, tenant_id, name, status, revision, created_at, updated_at, directory_revision, deleted_at) VALUES ($1, $2, 'main', 'active', 1, 1, 1, 1, NULL)",
                [project, tenant])
            try c.execute(
                """
                INSERT INTO virtual_keys (id, project_id, tenant_id, name, sha256, models, capabilities, channels, tags, revision,
                    created_at, updated_at, directory_revision)
                VALUES ('key_aaaaaaaaaaaaaaaa', $1, $2, 'k', $3, '[]', '[]', '[]', '{}', 1, 1, 1, 1)
                """, [project, tenant, .blob([1])])
        }
        return plane
    }

    /// Sends the batches over one stream and answers the acknowledgements.
    private static func ship(
        _ batches: [Weir_V1_UsageBatch], _ client: ControlPlane.FleetClient, session: String
    ) async throws -> [UInt64] {
        let request = StreamingClientRequest<Weir_V1_UsageBatch>(metadata: ["authorization": "Bearer \(session)"]) { writer in
            for batch in batches { try await writer.write(batch) }
        }
        return try await client.reportUsage(request: request) { response in
            try await response.messages.reduce(into: []) { $0.append($1.storedSequence) }
        }
    }

    private static func stored(_ database: any Database) async throws -> Int64 {
        try await database.read { try $0.first("SELECT COUNT(*) AS records FROM usage_records")?.int("records") ?? 0 }
    }

    @Test("stores each batch once, however often and in whatever order it comes", arguments: TestDatabases.all)
    func once(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let plane = try await Self.enrolled(control)
                let now = control.clock.nowMicroseconds()
                let batches = (1...5).map { Self.batch($0, at: now) }
                try await control.withClient { client in
                    let session = try await plane.session(client)
                    #expect(try await Self.ship(Array(batches[0..<2]), client, session: session) == [1, 2])
                    // The second stream repeats what the first may not have heard the answer to, then leaves a gap, then fills it.
                    let again = [batches[1], batches[3], batches[2], batches[3], batches[2], batches[4]]
                    #expect(try await Self.ship(again, client, session: session) == [2, 2, 3, 4, 4, 5])
                }
                #expect(try await Self.stored(database) == 5)
            }
        }
    }

    @Test("waits for the database a little, then ends so that the data plane comes again; nothing is acknowledged unstored")
    func databaseGone() async throws {
        try await TestDatabases.all[0].with { database in
            try await ControlPlane.with(database) { control in
                let plane = try await Self.enrolled(control)
                let batch = Self.batch(1, at: control.clock.nowMicroseconds())
                try await control.withClient { client in
                    let session = try await plane.session(client)
                    control.intake.fail(with: [DatabaseError.unavailable("down")])
                    #expect(try await Self.ship([batch], client, session: session) == [1])
                    control.intake.fail(with: Array(repeating: DatabaseError.unavailable("down"), count: 50))
                    let next = Self.batch(2, at: control.clock.nowMicroseconds())
                    try await expectRefusal(.unavailable) { try await Self.ship([next], client, session: session) }
                    #expect(try await Self.stored(database) == 1)
                    control.intake.fail(with: [])
                    #expect(try await Self.ship([next], client, session: session) == [2])
                    var bad = next
                    bad.sequence = 0
                    let malformed = bad
                    try await expectRefusal(.invalidArgument) { try await Self.ship([malformed], client, session: session) }
                }
                #expect(try await Self.stored(database) == 2)
            }
        }
    }

    @Test("of leases begins with a hello; of a budget that is not there nothing is leased, each time anew")
    func leases() async throws {
        try await TestDatabases.all[0].with { database in
            try await ControlPlane.with(database, security: .plaintext) { control in
                let plane = try await control.enroll()
                try await control.withClient { client in
                    let session = try await plane.session(client)
                    var wanted = Weir_V1_LeaseRequest()
                    wanted.ask.ask = 7
                    wanted.ask.budgetID = "bgt_a"
                    wanted.ask.wanted = 1000
                    let lease = wanted
                    var first = Weir_V1_LeaseRequest()
                    first.hello.boot = String(repeating: "a", count: 32)
                    first.hello.number = 1
                    let hello = first
                    @Sendable func ask(_ requests: [Weir_V1_LeaseRequest]) async throws -> [Weir_V1_LeaseGrant] {
                        let request = StreamingClientRequest<Weir_V1_LeaseRequest>(metadata: ["authorization": "Bearer \(session)"]) {
                            writer in
                            for request in requests { try await writer.write(request) }
                        }
                        return try await client.lease(request: request) { response in
                            try await response.messages.reduce(into: []) { $0.append($1) }
                        }
                    }
                    let grants = try await ask([hello, lease, lease])
                    #expect(grants.count == 3)
                    #expect(grants.first?.welcome.epoch == 1)
                    for grant in grants.dropFirst() {
                        #expect(grant.refused.ask == 7)
                        #expect(grant.refused.reason == .noSuchAccount)
                    }
                    try await expectRefusal(.invalidArgument) { try await ask([Weir_V1_LeaseRequest()]) }
                    try await expectRefusal(.invalidArgument) { try await ask([lease]) }
                    // The same hello again is an older stream's.
                    try await expectRefusal(.aborted) { try await ask([hello]) }
                }
            }
        }
    }
}
