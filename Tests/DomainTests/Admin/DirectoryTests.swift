import Domain
import Nouns
import Primitives
import Storage
import Testing
import Trust

/// The services over an empty database.
struct AdminFixture: Sendable {
    let database: any Database
    let clock = ManualClock(milliseconds: 1_800_000_000_000)
    let signal = ChangeSignal()
    let services: ControlServices
    let domain: DomainContext

    init(_ database: any Database, masterKey: [UInt8] = Array(repeating: 7, count: 32)) throws {
        self.database = database
        domain = DomainContext(database: database, clock: clock, signal: signal)
        services = ControlServices(domain, cipher: try #require(AtRestCipher(masterKey: masterKey)))
    }

    static let actor = Actor.system("test")

    func tenant(_ name: String = "Acme") async throws -> Tenant {
        try await services.tenants.create(TenantContent { $0.name = name }, by: Self.actor)
    }

    func project(of tenant: Tenant, _ name: String = "P") async throws -> Project {
        try await services.projects.create(
            ProjectContent {
                $0.tenantID = tenant.id
                $0.name = name
            }, by: Self.actor)
    }

    func key(in project: Project) async throws -> VirtualKeyService.Issued {
        try await services.keys.create(
            VirtualKeyContent {
                $0.projectID = project.id
                $0.name = "k"
                $0.tags = ["team": "a"]
            }, by: Self.actor)
    }

    func credential(_ name: String, of provider: ProviderID, _ secret: Secret) async throws -> Credential {
        try await services.credentials.nouns.create(
            CredentialContent {
                $0.providerID = provider
                $0.name = name
                $0.secret = secret
            }, by: Self.actor)
    }

    func provider(_ name: String = "openai", scheme: AuthScheme = .bearer) async throws -> ProviderID {
        try await services.providers.create(
            ProviderContent {
                $0.name = name
                $0.baseURL = "https://api.example/v1"
                $0.auth.scheme = scheme
            }, by: Self.actor
        ).id
    }
}

@Suite("Directory revisions")
struct DirectoryTests {
    @Test("each change takes the next revision, so what follows a revision is a delta, removals included", arguments: TestDatabases.all)
    func deltas(kind: TestDatabase) async throws {
        try await kind.with { database in
            let f = try AdminFixture(database)
            let tenant = try await f.tenant()
            let project = try await f.project(of: tenant)
            let key = try await f.key(in: project)
            func since(_ revision: Int64) async throws -> [String] {
                try await database.read { c in
                    try TenantContent.changed(c, since: revision).map(\.id.rawValue)
                        + ProjectContent.changed(c, since: revision).map(\.id.rawValue)
                        + VirtualKeyContent.changed(c, since: revision).map(\.id.rawValue)
                }
            }
            func current() async throws -> Int64 { try await database.read { try CountersTable.current($0, "directory") } }
            #expect(try await current() == 3)
            #expect(try await since(0) == [tenant.id.rawValue, project.id.rawValue, key.key.id.rawValue])
            #expect(try await since(2) == [key.key.id.rawValue])

            _ = try await f.services.keys.rotate(key.key.id, at: nil, graceSeconds: 60, by: AdminFixture.actor)
            _ = try await f.services.keys.revoke(key.key.id, at: nil, by: AdminFixture.actor)
            #expect(try await current() == 5)
            try await f.services.projects.delete(project.id, at: 1, by: AdminFixture.actor)
            #expect(try await since(5) == [project.id.rawValue, key.key.id.rawValue])
            let rows = try await database.read { c in try VirtualKeyContent.changed(c, since: 5) }
            #expect(rows.allSatisfy { $0.deletedAt != nil })
            #expect(try await database.read { try VirtualKeyContent.all($0) }.isEmpty)
            // What was refused takes no revision.
            await #expect(throws: DomainError.self) { try await f.services.tenants.delete(tenant.id, at: 99, by: AdminFixture.actor) }
            #expect(try await current() == 6)
        }
    }

    @Test("changes made at once get revisions without gaps or doubles", arguments: TestDatabases.all)
    func concurrent(kind: TestDatabase) async throws {
        try await kind.with { database in
            let f = try AdminFixture(database)
            let tenant = try await f.tenant()
            let project = try await f.project(of: tenant)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<12 { group.addTask { _ = try await f.key(in: project) } }
                try await group.waitForAll()
            }
            let revisions = try await database.read { try VirtualKeyContent.all($0).map(\.change) }
            #expect(revisions.sorted() == Array(3...14))
        }
    }

    @Test("a project is never left in a tenant that was deleted at the same time", arguments: TestDatabases.all)
    func race(kind: TestDatabase) async throws {
        try await kind.with { database in
            let f = try AdminFixture(database)
            for round in 0..<5 {
                let tenant = try await f.tenant("T\(round)")
                await withTaskGroup(of: Void.self) { group in
                    group.addTask { _ = try? await f.project(of: tenant) }
                    group.addTask { try? await f.services.tenants.delete(tenant.id, at: 1, by: AdminFixture.actor) }
                }
                let (tenants, projects) = try await database.read { c in
                    (try TenantContent.all(c).map(\.id), try ProjectContent.all(c).map(\.content.tenantID))
                }
                #expect(Set(projects).isSubset(of: Set(tenants)))
            }
        }
    }

    @Test("a failed change leaves neither a row nor an audit entry", arguments: TestDatabases.all)
    func atomic(kind: TestDatabase) async throws {
        try await kind.with { database in
            let f = try AdminFixture(database)
            _ = try await f.tenant("A")
            await #expect(throws: DomainError.self) { _ = try await f.tenant("A") }
            let page = try await f.services.auditTrail.entries(AuditQuery(), PageRequest(), for: .administrator)
            #expect(page.items.count == 1)
            #expect(page.items.first?.json["action"] == "tenant.create")
        }
    }
}

@Suite("Change signals")
struct ChangeSignalTests {
    @Test("several changes raised before the listener looks arrive as one set")
    func coalesced() async {
        let signal = ChangeSignal()
        var changes = signal.changes(of: [.directory, .config]).makeAsyncIterator()
        for _ in 0..<100 { signal.raise(.directory) }
        signal.raise(.config)
        signal.raise(.keyring)
        #expect(await changes.next() == [.directory, .config])
        signal.raise(.config)
        #expect(await changes.next() == [.config])
    }

    @Test("a listener that is cancelled ends")
    func cancelled() async {
        let signal = ChangeSignal()
        let task = Task {
            for await _ in signal.changes() {}
            return true
        }
        task.cancel()
        #expect(await task.value)
    }
}
