import Foundation
import GRDB
import Primitives
import Testing

@testable import Proxy

@Suite("Local database", .timeLimit(.minutes(10)))
struct LocalStoreTests {
    let folder = TemporaryFolder()

    private func mode(_ path: String) throws -> Int {
        try #require(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
    }

    @Test("Only its user may read it, and its settings are what they should be", arguments: [DurabilityTier.process, .power])
    func settings(durability: DurabilityTier) throws {
        let store = try LocalStore(directory: folder.path + "/deep/er", durability: durability)
        #expect(try mode(store.directory) == 0o700)
        for name in ["", "-wal", "-shm"] { #expect(try mode("\(store.directory)/weir-proxy.db\(name)") == 0o600) }
        #expect(try store.read { try Int.fetchOne($0, sql: "PRAGMA synchronous") } == (durability == .process ? 1 : 2))
        #expect(try store.read { try String.fetchOne($0, sql: "PRAGMA journal_mode") } == "wal")
        #expect(store.incarnation.count == 32)
    }

    @Test("One process a directory, and the incarnation stays with the file")
    func reopening() throws {
        let first = try LocalStore(directory: folder.path)
        #expect(throws: LocalStoreError.inUse(directory: folder.path)) { try LocalStore(directory: folder.path) }
        try first.setMeta("a", "b")
        first.close()
        let second = try LocalStore(directory: folder.path)
        #expect(second.incarnation == first.incarnation)
        #expect(try second.meta("a") == "b")
        try second.setMeta("a", nil)
        #expect(try second.meta("a") == nil)
    }

    @Test("A damaged file is laid aside, named, and a new incarnation begins; the damaged bytes are kept")
    func quarantine() throws {
        let first = try LocalStore(directory: folder.path)
        first.close()
        let garbage = Data(repeating: 0x5A, count: 8192)
        try garbage.write(to: URL(fileURLWithPath: folder.path + "/weir-proxy.db"))
        #expect(throws: LocalStoreError.self) { try LocalStore(directory: folder.path, onCorruption: .refuse) }
        let second = try LocalStore(directory: folder.path, clock: ManualClock(milliseconds: 77))
        #expect(second.incarnation != first.incarnation)
        #expect(second.quarantined == ["quarantine-77"])
        #expect(try Data(contentsOf: URL(fileURLWithPath: folder.path + "/quarantine-77/weir-proxy.db")) == garbage)
        second.close()
        #expect(try LocalStore(directory: folder.path).quarantined == ["quarantine-77"], "said until somebody takes it away")
    }

    @Test("A page damaged in the middle is noticed at the start")
    func page() throws {
        let first = try LocalStore(directory: folder.path)
        try first.write { db in
            for index in 0..<2000 { try LocalStore.setMeta(db, "key\(index)", String(repeating: "x", count: 100)) }
        }
        first.close()
        let path = URL(fileURLWithPath: folder.path + "/weir-proxy.db")
        var bytes = try Data(contentsOf: path)
        for index in 0..<4096 { bytes[bytes.count / 2 / 4096 * 4096 + index] = 0xFF }
        try bytes.write(to: path)
        #expect(try LocalStore(directory: folder.path).quarantined.count == 1)
    }

    @Test("A database of a newer release is left alone")
    func newer() throws {
        let first = try LocalStore(
            directory: folder.path, migrations: LocalMigration.all + [LocalMigration(name: "9999 later", .breaking, sql: "SELECT 1")])
        first.close()
        do {
            _ = try LocalStore(directory: folder.path)
            Issue.record("opened")
        } catch {
            #expect("\(error)".contains("newer release"))
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).contains("weir-proxy.db"))
    }

    /// As the first release opened a folder: one list of steps, and none beyond those it knew.
    private func openAsFirstRelease(_ body: (DatabaseQueue) throws -> Void) throws {
        var migrator = DatabaseMigrator()
        for name in ["0001 meta", "0010 snapshots", "0020 usage"] {
            let step = try #require(LocalMigration.all.first { $0.name == name })
            migrator.registerMigration(name) { db in try db.execute(sql: step.sql) }
        }
        let queue = try DatabaseQueue(path: folder.path + "/weir-proxy.db")
        #expect(try !queue.read(migrator.hasBeenSuperseded))
        try migrator.migrate(queue)
        try body(queue)
        try queue.close()
    }

    private func seen(_ db: Database, _ table: String) throws -> [Int64] {
        try Int64.fetchAll(db, sql: "SELECT version FROM \(table) ORDER BY version")
    }

    @Test("The first release starts again on a folder that this one wrote, both know what the other saw, and this one goes on")
    func olderAgain() throws {
        try FileManager.default.createDirectory(atPath: folder.path, withIntermediateDirectories: true)
        func see(_ db: Database, _ version: Int64, _ digest: [UInt8] = [1]) throws {
            try db.execute(
                sql: "INSERT INTO config_seen (epoch, version, digest) VALUES (1, ?, ?)", arguments: [version, Data(digest)])
        }
        try openAsFirstRelease { queue in try queue.write { try see($0, 1) } }
        let first = try LocalStore(directory: folder.path)
        try first.write { db in
            #expect(try seen(db, "config_revision_seen") == [1])
            for revision in [0, 3] {
                try db.execute(
                    sql: "INSERT INTO config_revision_seen (epoch, version, revision, digest) VALUES (1, 2, ?, ?)",
                    arguments: [revision, Data([2])])
            }
        }
        first.close()
        try openAsFirstRelease { queue in
            try queue.write { db in
                #expect(try seen(db, "config_seen") == [1, 2])
                try see(db, 4)
                // Its statements name their columns: what came since has a default.
                try db.execute(
                    sql: "INSERT INTO config_document (epoch, version, digest, envelope, stored_at) VALUES (1, 4, ?, ?, 0)",
                    arguments: [Data([1]), Data([1])])
                try db.execute(
                    sql: "INSERT OR REPLACE INTO document_mark (kind, epoch, version, digest) VALUES ('config', 1, 4, ?)",
                    arguments: [Data([1])])
            }
        }
        let second = try LocalStore(directory: folder.path)
        #expect(second.incarnation == first.incarnation && second.quarantined.isEmpty)
        try second.read { (db) throws -> Void in #expect(try seen(db, "config_revision_seen") == [1, 2, 2, 4]) }
        second.close()
    }

    @Test("A folder of a release that had one list for all its steps is taken over, and is older releases' from then on")
    func oneList() throws {
        try FileManager.default.createDirectory(atPath: folder.path, withIntermediateDirectories: true)
        var migrator = DatabaseMigrator()
        for step in LocalMigration.all where step.name != "0012 configurations seen, for older releases" {
            migrator.registerMigration(step.name) { db in try db.execute(sql: step.sql) }
        }
        let queue = try DatabaseQueue(path: folder.path + "/weir-proxy.db")
        try migrator.migrate(queue)
        try queue.close()
        try LocalStore(directory: folder.path).close()
        try openAsFirstRelease { _ in }
    }

    @Test("What a newer release added without taking anything away keeps this one from nothing")
    func newerAdditions() throws {
        let later = LocalMigration(name: "9999 later", sql: "CREATE TABLE later (a INTEGER); ALTER TABLE meta ADD COLUMN b INTEGER")
        let first = try LocalStore(directory: folder.path, migrations: LocalMigration.all + [later])
        first.close()
        let second = try LocalStore(directory: folder.path)
        try second.setMeta("a", "b")
        #expect(second.incarnation == first.incarnation)
        second.close()
        // And the newer one finds its own step done.
        try LocalStore(directory: folder.path, migrations: LocalMigration.all + [later]).close()
    }

    @Test("A directory that cannot be used is named")
    func unusable() throws {
        try FileManager.default.createDirectory(atPath: folder.path, withIntermediateDirectories: true)
        try Data().write(to: URL(fileURLWithPath: folder.path + "/file"))
        #expect(throws: LocalStoreError.self) { try LocalStore(directory: folder.path + "/file") }
    }
}
