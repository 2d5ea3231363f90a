import Contract
import Domain
import Fleet
import Foundation
import GRPCCore
import Primitives
import Storage
import Testing

@Suite("A large directory", .timeLimit(.minutes(10)))
struct LargeDirectoryTests {
    /// `WEIR_TEST_DIRECTORY_KEYS` takes the test to other sizes.
    private static let keys = ProcessInfo.processInfo.environment["WEIR_TEST_DIRECTORY_KEYS"].flatMap(Int.init) ?? 12_000

    @Test("arrives whole in one document, and a change of one key in it as a delta of one key", arguments: TestDatabases.all)
    func whole(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let tenant = try await control.tenant("Acme")
                let project = try await control.project("web", of: tenant)
                try await Self.fill(database, tenant, project)
                let plane = try await control.enroll()
                try await control.withClient { client in
                    try await plane.subscribed(client) { link in
                        let full = try await link.document(.directory)
                        let payload = try full.directory()
                        #expect(payload.keys.count == Self.keys)
                        #expect(Set(payload.keys.map(\.id)).count == Self.keys)
                        #expect(payload.projects.map(\.id) == [project.rawValue])
                        let new = try await control.key(in: project)
                        let delta = try await link.document(.directory)
                        #expect(delta.isDelta)
                        #expect(delta.payload.count < 1000)
                        #expect(try delta.directory().keys.map(\.id) == [new.rawValue])
                        // A change of a good part of it comes as the whole again.
                        try await Self.touch(database, part: 3)
                        control.domain.signal.raise(.directory)
                        let again = try await link.document(.directory)
                        #expect(!again.isDelta)
                        #expect(try again.directory().keys.count == Self.keys + 1)
                    }
                }
            }
        }
    }

    private static func fill(_ database: any Database, _ tenant: TenantID, _ project: ProjectID) async throws {
        let count = keys
        try await database.transaction(isolation: .readCommitted) { c in
            let revision = try CountersTable.next(c, FleetCounter.directory)
            for start in stride(from: 0, to: count, by: 5000) {
                let rows: [[SQLValue]] = (start..<min(start + 5000, count)).map { index in
                    [
                        .text(KeyID.random().rawValue), .text(project.rawValue), .text(tenant.rawValue), .text("k\(index)"),
                        .blob(SecureRandom.bytes(32)), "[]", "[]", "[]", "{}", .int(1), .int(1), .int(1), .int(revision),
                    ]
                }
                try c.insertMany(
                    into: "virtual_keys",
                    columns: [
                        "id", "project_id", "tenant_id", "name", "sha256", "models", "capabilities", "channels", "tags", "revision",
                        "created_at", "updated_at", "directory_revision",
                    ], rows: rows)
            }
        }
    }

    /// Marks one key in `part` as changed.
    private static func touch(_ database: any Database, part: Int64) async throws {
        try await database.transaction(isolation: .readCommitted) { c in
            let revision = try CountersTable.next(c, FleetCounter.directory)
            let count = try DirectoryTables.keyCount(c, .everyone)
            try c.execute(
                "UPDATE virtual_keys SET directory_revision = $1 WHERE id IN (SELECT id FROM virtual_keys ORDER BY id LIMIT $2)",
                [.int(revision), .int(count / part)])
        }
    }
}
