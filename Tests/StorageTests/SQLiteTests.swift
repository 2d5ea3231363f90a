import Foundation
import Storage
import Testing

@Suite("SQLite")
struct SQLiteTests {
    @Test("a second opener of the same file is turned away")
    func secondOpener() async throws {
        for kind in TestDatabases.all where kind.name == "sqlite" {
            try await kind.withURL { url in
                let database = try await DatabaseFactory.open(url: url)
                await #expect(throws: DatabaseError.self) { _ = try await DatabaseFactory.open(url: url) }
                await database.close()
                let again = try await DatabaseFactory.open(url: url)
                await again.close()
            }
        }
    }

    @Test("the file belongs to its owner alone, is in WAL mode and syncs every commit")
    func settings() async throws {
        for kind in TestDatabases.all where kind.name == "sqlite" {
            try await kind.withURL { url in
                let database = try await DatabaseFactory.open(url: url)
                let path = String(url.dropFirst("sqlite://".count))
                let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
                #expect(mode == 0o600)
                let settings = try await database.transaction { c in
                    try ["journal_mode", "synchronous", "foreign_keys"].map { try c.query("PRAGMA \($0)").first?.values.first }
                }
                #expect(settings == [.text("wal"), .int(2), .int(1)])
                await database.close()
            }
        }
    }

    @Test("a file that is no database is refused with a reason")
    func notADatabase() async throws {
        for kind in TestDatabases.all where kind.name == "sqlite" {
            try await kind.withURL { url in
                let path = String(url.dropFirst("sqlite://".count))
                let folder = (path as NSString).deletingLastPathComponent
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                try Data(repeating: 7, count: 4096).write(to: URL(fileURLWithPath: path))
                await #expect(throws: DatabaseError.self) { _ = try await DatabaseFactory.open(url: url) }
            }
        }
    }
}
