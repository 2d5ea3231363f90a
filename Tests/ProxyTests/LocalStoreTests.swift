import Foundation
import GRDB
import Primitives
import Testing

@testable import Proxy

@Suite("Local database", .timeLimit(.minutes(3)))
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
            directory: folder.path, migrations: LocalMigration.all + [LocalMigration(name: "9999 later", sql: "SELECT 1")])
        first.close()
        do {
            _ = try LocalStore(directory: folder.path)
            Issue.record("opened")
        } catch {
            #expect("\(error)".contains("newer release"))
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).contains("weir-proxy.db"))
    }

    @Test("A directory that cannot be used is named")
    func unusable() throws {
        try FileManager.default.createDirectory(atPath: folder.path, withIntermediateDirectories: true)
        try Data().write(to: URL(fileURLWithPath: folder.path + "/file"))
        #expect(throws: LocalStoreError.self) { try LocalStore(directory: folder.path + "/file") }
    }
}
