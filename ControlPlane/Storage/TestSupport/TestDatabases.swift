import Foundation
import Primitives

/// The databases that a storage test runs on: `@Test(arguments: TestDatabases.all)`.
///
/// SQLite in a temporary file always; Postgres when `WEIR_TEST_POSTGRES` holds a libpq URI, each time in a fresh schema.
package enum TestDatabases {
    package static var all: [TestDatabase] {
        var databases = [TestDatabase(name: "sqlite", postgresURI: nil)]
        if let uri = postgresURI { databases.append(TestDatabase(name: "postgres", postgresURI: uri)) }
        return databases
    }

    package static var postgresURI: String? {
        ProcessInfo.processInfo.environment["WEIR_TEST_POSTGRES"].flatMap { $0.isEmpty ? nil : $0 }
    }
}

/// A kind of database and how to get an empty one.
package struct TestDatabase: Sendable, CustomStringConvertible {
    package let name: String
    let postgresURI: String?

    package var description: String { name }

    /// Runs `body` with an empty, migrated database and removes it afterwards.
    package func with<R>(migrated: Bool = true, _ body: (any Database) async throws -> R) async throws -> R {
        try await withURL { url in
            let database = try await DatabaseFactory.open(url: url)
            do {
                if migrated { try await MigrationRunner.run(database) }
                let result = try await body(database)
                await database.close()
                return result
            } catch {
                await database.close()
                throw error
            }
        }
    }

    /// Runs `body` with the address of an empty database, for tests that open it several times, and removes it afterwards.
    package func withURL<R>(_ body: (_ url: String) async throws -> R) async throws -> R {
        guard let postgresURI else {
            let folder = FileManager.default.temporaryDirectory.appendingPathComponent("weir-test-\(Hex.encode(SecureRandom.bytes(8)))")
            defer { try? FileManager.default.removeItem(at: folder) }
            return try await body("sqlite://\(folder.path)/weir.db")
        }
        let schema = "weir_test_\(Hex.encode(SecureRandom.bytes(8)))"
        let owner = try await DatabaseFactory.open(url: postgresURI, options: DatabaseOptions(maximumConnections: 1))
        do {
            try await owner.transaction { _ = try $0.execute("CREATE SCHEMA \(schema)") }
            let separator = postgresURI.contains("?") ? "&" : "?"
            let result = try await body("\(postgresURI)\(separator)options=-csearch_path%3D\(schema)")
            try await owner.transaction { try drop($0, schema) }
            await owner.close()
            return result
        } catch {
            try? await owner.transaction { try drop($0, schema) }
            await owner.close()
            throw error
        }
    }

    /// With the role that worked in it.
    private func drop(_ c: any SQLConnection, _ schema: String) throws {
        let role = try c.first(
            "SELECT 'weir_app_' || substr(md5(current_database() || '/' || $1), 1, 12) AS name", [.text(schema)])?.text("name")
        try c.execute("DROP SCHEMA IF EXISTS \(schema) CASCADE")
        if let role { try c.execute("DROP ROLE IF EXISTS \(role)") }
    }
}
