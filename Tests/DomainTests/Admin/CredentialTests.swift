import Domain
import Nouns
import Primitives
import Storage
import Testing
import Trust

@Suite("Credentials at rest")
struct CredentialTests {
    private static let secret = Secret("sk-proj-0123456789-abcdefghij")

    @Test("the secret comes back for the fleet only, with a revision that rises", arguments: TestDatabases.all)
    func decrypts(kind: TestDatabase) async throws {
        try await kind.with { database in
            let f = try AdminFixture(database)
            let provider = try await f.provider()
            let service = f.services.credentials
            let made = try await f.credential("main", of: provider, Self.secret)
            #expect(try await service.decrypt(made.id).secret == Self.secret)
            #expect(try await service.decryptAll().map(\.revision) == [made.revision])
            #expect(made.content.secretHint == "ghij")

            let rotated = try await service.rotate(made.id, at: made.revision, secret: Secret("second"), by: AdminFixture.actor)
            #expect(rotated.revision > made.revision)
            #expect(rotated.content.secretHint == "")
            let changes = try await service.changes(since: made.revision)
            #expect(changes.present.map { $0.secret.reveal() } == ["second"])
            #expect(changes.revision == rotated.revision)
            #expect(try await service.changes(since: changes.revision).present.isEmpty)

            try await service.nouns.delete(made.id, at: rotated.revision, by: AdminFixture.actor)
            let removed = try await service.changes(since: rotated.revision)
            #expect(removed.removed == [made.id])
            let row = try await database.read { try CredentialContent.changed($0, since: 0).first }
            #expect(row?.content.ciphertext.bytes == [])
        }
    }

    @Test("a ciphertext that was moved to another row, or opened with another master key, stays closed", arguments: TestDatabases.all)
    func bound(kind: TestDatabase) async throws {
        try await kind.with { database in
            let f = try AdminFixture(database)
            let provider = try await f.provider()
            let service = f.services.credentials
            let a = try await f.credential("a", of: provider, Self.secret)
            let b = try await f.credential("b", of: provider, Secret("other"))
            try await database.transaction { c in
                _ = try c.execute(
                    "UPDATE credentials SET ciphertext = (SELECT ciphertext FROM credentials WHERE id = $1) WHERE id = $2",
                    [.text(a.id.rawValue), .text(b.id.rawValue)])
            }
            #expect(try await service.decrypt(a.id).secret == Self.secret)
            await #expect(throws: TrustError.self) { _ = try await service.decrypt(b.id) }
            let stranger = try AdminFixture(database, masterKey: Array(repeating: 8, count: 32))
            await #expect(throws: TrustError.self) { _ = try await stranger.services.credentials.decrypt(a.id) }
        }
    }

    @Test("a database knows its master key, and every replica has to bring the same", arguments: TestDatabases.all)
    func masterKey(kind: TestDatabase) async throws {
        try await kind.with { database in
            let check = MasterKeyCheck(try AdminFixture(database).domain)
            let right = try #require(AtRestCipher(masterKey: Array(repeating: 1, count: 32)))
            let wrong = try #require(AtRestCipher(masterKey: Array(repeating: 2, count: 32)))
            #expect(try await !check.isBound())
            #expect(try await check.bind(right))
            #expect(try await check.isBound())
            #expect(try await check.bind(right))
            #expect(try await !check.bind(wrong))
            #expect(try await check.bind(right))
        }
    }
}

@Suite("Administrators")
struct AdminTokenTests {
    @Test("the first administrator is made once, however many start at the same time", arguments: TestDatabases.all)
    func onlyIfNone(kind: TestDatabase) async throws {
        try await kind.with { database in
            let f = try AdminFixture(database)
            let made = try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<6 {
                    group.addTask {
                        let content = AdminTokenContent {
                            $0.name = "root \(number)"
                            $0.role = .owner
                        }
                        return try await f.services.adminTokens.create(content, by: AdminFixture.actor, onlyIfNone: true) { _ in } != nil
                    }
                }
                return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            }
            #expect(made == 1)
        }
    }

    @Test("a token that could not be handed over does not exist", arguments: TestDatabases.all)
    func undelivered(kind: TestDatabase) async throws {
        struct DiskFull: Error {}
        try await kind.with { database in
            let f = try AdminFixture(database)
            let content = AdminTokenContent {
                $0.name = "root"
                $0.role = .owner
            }
            await #expect(throws: DiskFull.self) {
                _ = try await f.services.adminTokens.create(content, by: AdminFixture.actor, onlyIfNone: true) { _ in throw DiskFull() }
            }
            #expect(try await f.services.adminTokens.nouns.items([], PageRequest(), as: .all).items.isEmpty)
        }
    }
}

@Suite("Cursors")
struct CursorTests {
    @Test("a cursor reads back for its own list only")
    func roundTrip() throws {
        let cursor = Cursor(list: "tenants", time: 1_800_000_000_123, id: "ten_abc")
        #expect(try Cursor(text: cursor.text, list: "tenants") == cursor)
        #expect(throws: DomainError.self) { try Cursor(text: cursor.text, list: "projects") }
    }

    @Test(
        "anything else is refused",
        arguments: ["", "a", "====", "%%%", String(repeating: "A", count: 10_000), "dGVuYW50cyAx", "dGVuYW50cyB4IHk"])
    func refused(text: String) {
        #expect(throws: DomainError.self) { try Cursor(text: text, list: "tenants") }
    }
}
