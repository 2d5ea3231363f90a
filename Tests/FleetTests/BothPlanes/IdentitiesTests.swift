import Domain
import Nouns
import Primitives
import Simulator
import Storage
import Testing

@testable import Proxy

/// Users and apps from the admin's services to the usage record.
@Suite("Users and apps across both planes", .timeLimit(.minutes(10)), .serialized)
struct IdentitiesAcrossPlanesTests {
    private static let model = "sim-in120-out64"

    @Test("An app asks for a user: served, recorded with both, charged to the owner; confined to its tenant", arguments: TestDatabases.all)
    func apps(database: TestDatabase) async throws {
        try await database.with { database in
            let provider = try await SimulatorServer.start()
            let control = try await RunningControl.start(database)
            try await control.release(model: Self.model, url: "http://127.0.0.1:\(provider.port)/v1")
            let actor = RunningControl.administrator
            let services = control.services
            let mine = try await services.tenants.create(TenantContent { $0.name = "mine" }, by: actor)
            let other = try await services.tenants.create(TenantContent { $0.name = "other" }, by: actor)
            func user(_ oid: String, of tenant: TenantID) async throws -> User {
                try await services.users.create(
                    UserContent {
                        $0.tenantID = tenant
                        $0.oid = oid
                    }, by: actor)
            }
            func app(_ id: String, of owner: User) async throws -> AppService.Issued {
                try await services.apps.create(
                    AppContent {
                        $0.appID = id
                        $0.name = id
                        $0.ownerID = owner.id
                    }, by: actor)
            }
            let (owner, asker) = (try await user("ada", of: mine.id), try await user("bob", of: mine.id))
            let issued = try await app("billing", of: owner)
            let stranger = try await app("theirs", of: try await user("ada", of: other.id))
            let folder = DataFolder()
            let plane = try await RunningDataPlane.start(folder.path, token: try await control.token(tenants: [mine.id]))
            #expect(await plane.snapshot { $0.isServing && $0.credentials.count == 1 && $0.directory.principalCount == 3 } != nil)
            func ask(_ app: String, _ secret: String, _ oid: String) async throws -> Int {
                try await plane.chat(
                    headers: ["X-Gateway-Secret: \(secret)", "X-App-Id: \(app)", "X-User-Oid: \(oid)"],
                    path: "/internal/v1/chat/completions",
                    model: Self.model
                ).status
            }
            let secret = issued.plaintext.reveal()
            #expect(try await ask("billing", secret, "bob") == 200)
            #expect(try await ask("theirs", stranger.plaintext.reveal(), "ada") == 401, "another tenant's app is not known here")
            let stored = try await control.usage(reaching: 1)
            #expect(stored.records == 1 && stored.cost == 300_000 + 640_000)
            let parties = try await database.read(as: .all) { c in
                try c.query("SELECT app_id, user_id, owner_id, tenant_id FROM usage_records", []).map { row in
                    [try row.text("app_id"), try row.text("user_id"), try row.text("owner_id"), try row.text("tenant_id")]
                }
            }
            #expect(parties == [[issued.app.id.rawValue, asker.id.rawValue, owner.id.rawValue, mine.id.rawValue]])

            // Off, and gone, within a second.
            _ = try await services.apps.toggle(issued.app.id, at: nil, by: actor)
            let id = try #require(IDBits(issued.app.id))
            #expect(await plane.snapshot { $0.directory.app(id)?.disabled == true } != nil)
            #expect(try await ask("billing", secret, "bob") == 403)
            _ = try await services.apps.toggle(issued.app.id, at: nil, by: actor)
            #expect(await plane.snapshot { $0.directory.app(id)?.disabled == false } != nil)
            #expect(try await ask("billing", secret, "bob") == 200)
            let present = try await services.users.nouns.get(asker.id, as: .all)
            try await services.users.nouns.delete(asker.id, at: present.revision, by: actor)
            #expect(await plane.snapshot { $0.directory.principalCount == 2 } != nil)
            #expect(try await ask("billing", secret, "bob") == 403)

            await plane.stop()
            await control.stop()
            try await provider.shutdown()
        }
    }
}
