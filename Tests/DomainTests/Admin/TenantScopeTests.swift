import Domain
import Nouns
import Primitives
import Storage
import Testing

/// What is done for a tenant finds, makes and changes nothing of another, by our own queries: on both databases.
@Suite("Tenant scope")
struct TenantScopeTests {
    @Test("what is read for a tenant is that tenant's", arguments: TestDatabases.all)
    func reads(kind: TestDatabase) async throws {
        try await kind.with { database in
            let f = try AdminFixture(database)
            let (mine, other) = (try await f.tenant("Mine"), try await f.tenant("Other"))
            let (project, others) = (try await f.project(of: mine), try await f.project(of: other))
            let (key, othersKey) = (try await f.key(in: project).key, try await f.key(in: others).key)
            let scope = TenantScope.tenant(mine.id.rawValue)
            #expect(try await f.services.tenants.items([], PageRequest(), as: scope).items.map(\.id) == [mine.id])
            #expect(try await f.services.projects.items([], PageRequest(), as: scope).items.map(\.id) == [project.id])
            #expect(try await f.services.keys.nouns.items([], PageRequest(), as: scope).items.map(\.id) == [key.id])
            #expect(try await f.services.keys.nouns.get(key.id, as: scope).id == key.id)
            await #expect(throws: DomainError.notFound(kind: "key", id: othersKey.id.rawValue)) {
                try await f.services.keys.nouns.get(othersKey.id, as: scope)
            }
            let seen = try await f.services.auditTrail.entries(AuditQuery(), PageRequest(), for: .tenant(mine.id)).items
            #expect(!seen.isEmpty && seen.allSatisfy { $0.json["tenant_id"]?.stringValue == mine.id.rawValue })
            #expect(try await f.services.keys.nouns.items([], PageRequest(), as: .all).items.count == 2)
        }
    }

    @Test("who acts for a tenant changes and makes that tenant's things only", arguments: TestDatabases.all)
    func writes(kind: TestDatabase) async throws {
        try await kind.with { database in
            let f = try AdminFixture(database)
            let (mine, other) = (try await f.tenant("Mine"), try await f.tenant("Other"))
            let (project, others) = (try await f.project(of: mine), try await f.project(of: other))
            let actor = Actor(id: "tok_a", name: "a", role: .operator, scope: .tenant(mine.id.rawValue))
            func content(of tenant: TenantID) -> ProjectContent {
                ProjectContent {
                    $0.tenantID = tenant
                    $0.name = "new"
                }
            }
            #expect(try await f.services.projects.create(content(of: mine.id), by: actor).content.tenantID == mine.id)
            // The other tenant is not there for it, nor are that tenant's things.
            await #expect(throws: DomainError.self) { try await f.services.projects.create(content(of: other.id), by: actor) }
            await #expect(throws: DomainError.notFound(kind: "project", id: others.id.rawValue)) {
                try await f.services.projects.replace(others.id, at: others.revision, with: others.content, by: actor)
            }
            await #expect(throws: DomainError.notFound(kind: "project", id: others.id.rawValue)) {
                try await f.services.projects.delete(others.id, at: others.revision, by: actor)
            }
            try await f.services.projects.delete(project.id, at: project.revision, by: actor)
            #expect(try await f.services.projects.get(others.id, as: .all).revision == others.revision)
        }
    }

    @Test("a table refuses a row of another tenant than the transaction's, whoever made it", arguments: TestDatabases.all)
    func rows(kind: TestDatabase) async throws {
        try await kind.with { database in
            let f = try AdminFixture(database)
            let (mine, other) = (try await f.tenant("Mine"), try await f.tenant("Other"))
            let project = try await f.project(of: other)
            await #expect(throws: DatabaseError.self) {
                try await database.transaction(as: .tenant(mine.id.rawValue), isolation: .serializable) { c in
                    try ProjectContent.insert(
                        c,
                        Project(
                            id: ProjectID.random().rawValue, meta: RowMeta(revision: 1, createdAt: 1, updatedAt: 1),
                            content: project.content))
                }
            }
        }
    }
}
