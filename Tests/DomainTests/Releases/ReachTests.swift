import Contract
import Domain
import Nouns
import Primitives
import Storage
import Testing

@Suite("Whom a rollout reaches")
struct ReachTests {
    /// The fixture with keys of two tenants and a data plane of its own for the second.
    private static func fixture(_ database: any Database, keys: Int) async throws -> ReleaseFixture {
        let fixture = try await ReleaseFixture(database)
        let other = TenantID.random().rawValue
        let meta = RowMeta(revision: 1, createdAt: ReleaseFixture.start, updatedAt: ReleaseFixture.start)
        try await fixture.edit { c in
            func insert<Content: Administered>(_ id: String, _ edit: (inout Content) -> Void) throws {
                try Content.insert(c, Entity(id: id, meta: meta, content: Content(edit), change: 1))
            }
            try insert(other) { (tenant: inout TenantContent) in tenant.name = "Other" }
            for tenant in [fixture.tenant, other] {
                let project = ProjectID.random().rawValue
                try insert(project) { (project: inout ProjectContent) in
                    project.tenantID = ID(tenant)
                    project.name = "P"
                }
                for number in 0..<keys {
                    try insert(KeyID.random().rawValue) { (key: inout VirtualKeyContent) in
                        key.projectID = ID(project)
                        key.tenantID = ID(tenant)
                        key.name = "k\(number)"
                        key.sha256 = StoredBytes([1])
                        if number == 0 { key.expiresAt = ReleaseFixture.start - 1 }
                    }
                }
            }
            try DataPlanesTable.insert(
                c,
                DataPlaneRow(
                    id: DataPlaneID.random().rawValue, name: "us-1", region: "us", tenantIDs: [other], identityPublicKey: [3],
                    sealingPublicKey: [4], version: "0.1.0", keyringEpoch: 1, keyringVersion: 1, createdAt: ReleaseFixture.start))
        }
        return fixture
    }

    @Test("is counted before, and is who gets it afterwards", arguments: TestDatabases.all)
    func counted(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await Self.fixture(database, keys: 41)
            let version = try await fixture.publish(1)
            let half = try #require(Percentage(50))
            let asked = wanted(version) { $0.percentage = half }
            let preview = try await fixture.rollouts.preview(asked, by: fixture.actor)
            #expect(preview.allKeys == 80 && preview.dataPlanes == 2 && preview.tenants == 2)
            #expect((20...60).contains(preview.keys) && preview.warnings.isEmpty)
            #expect(try await fixture.document().version == 0, "nothing was made")
            let rollout = try await fixture.rollouts.create(asked, by: fixture.actor)
            #expect(try await fixture.rollouts.reach(of: rollout.id) == preview)
            var keys: [RolloutKey] = []
            var cursor: Cursor?
            repeat {
                let page = try await fixture.rollouts.keys(of: rollout.id, PageRequest(limit: 7, after: cursor))
                keys += page.items
                cursor = page.next
            } while cursor != nil
            #expect(Int64(keys.count) == preview.keys)
            #expect(keys.map(\.id) == keys.map(\.id).sorted())
            // As a data plane decides.
            let payload = try await fixture.document().payload
            for key in keys {
                let version = RolloutSelection.version(
                    for: key.id, tenant: key.tenantID, region: "eu", dataPlane: fixture.dataPlane, payload: payload,
                    nowMs: ReleaseFixture.start)
                #expect(version == payload.candidateVersion)
            }
        }
    }

    @Test("is warned of when it is nobody", arguments: TestDatabases.all)
    func nobody(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await Self.fixture(database, keys: 3)
            let version = try await fixture.publish(1)
            func preview(_ change: (inout RolloutContent) -> Void) async throws -> RolloutReach {
                try await fixture.rollouts.preview(wanted(version, change), by: fixture.actor)
            }
            // The data plane of the region serves the other tenant only.
            let unserved = try await preview {
                $0.tenantIDs = .only([ID(fixture.tenant)])
                $0.regions = .only(["us"])
            }
            #expect(unserved.keys == 0 && unserved.dataPlanes == 1 && unserved.warnings.count == 1)
            let served = try await preview { $0.regions = .only(["us"]) }
            #expect(served.keys == 2 && served.tenants == 1 && served.warnings.isEmpty)
            let none = try #require(Percentage(0))
            #expect(try await preview { $0.percentage = none }.warnings.map(\.field) == ["percentage"])
            let mars = await refusal {
                try await fixture.rollouts.preview(wanted(version) { $0.regions = .only(["mars"]) }, by: fixture.actor)
            }
            #expect(mars.problems.map(\.field) == ["regions[0]"] && mars.problems.first?.remedy.contains("eu, us") == true)
        }
    }
}

@Suite("What publishing would change")
struct DraftChangesTests {
    private static let grace = Actor(id: "tok_grace", name: "Grace", role: .operator, scope: .all)

    @Test("is told with who did it, and a change in between is refused", arguments: TestDatabases.all)
    func changes(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            let models = NounService<ModelContent>(fixture.context)
            let first = try await fixture.drafts.changes()
            #expect(first.since == nil && first.entries.count == 5)
            _ = try await fixture.versions.publish(note: "", expecting: first.revision, actor: fixture.actor)
            #expect(try await fixture.drafts.changes().entries.isEmpty)
            fixture.clock.advance(milliseconds: 1000)

            let model = try await models.get(ID(fixture.model), as: .all)
            var content = model.content
            content.ownedBy = "Grace's"
            let seen = try await fixture.drafts.changes()
            let changed = try await models.replace(model.id, at: model.revision, with: content, by: Self.grace)
            #expect(changed.revision == model.revision + 1)
            let after = try await fixture.drafts.changes()
            #expect(after.since == 1 && after.entries.map(\.resource) == ["models"])
            #expect(after.entries.first?.edits.map(\.authorName) == ["Grace"])
            #expect(after.entries.first?.difference.fields.map(\.path) == ["owned_by"])
            // Ada has not seen it: her publication and her reset are refused.
            for revision in [seen.revision, seen.revision + 7] {
                let published = await refusal {
                    try await fixture.versions.publish(note: "", expecting: revision, actor: fixture.actor)
                }.kind
                #expect(published == "preconditionFailed")
                let reset = await refusal { try await fixture.drafts.reset(to: 1, expecting: revision, actor: fixture.actor) }.kind
                #expect(reset == "preconditionFailed")
            }
            let publication = try await fixture.versions.publish(note: "", expecting: after.revision, actor: fixture.actor)
            #expect(publication.changes.entries == after.entries)
            fixture.clock.advance(milliseconds: 1000)
            _ = try await fixture.drafts.reset(to: 1, actor: fixture.actor)
            let reset = try await fixture.drafts.changes()
            #expect(reset.entries.map(\.resource) == ["models"] && reset.entries.first?.edits.map(\.action) == ["config_draft.reset"])
        }
    }

    @Test("comes with warnings of what is most likely not meant", arguments: TestDatabases.all)
    func warnings(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            func warned() async throws -> [String] { try await fixture.drafts.check().warnings.map(\.field) }
            #expect(try await warned() == [])
            try await fixture.edit { c in try c.execute("DELETE FROM prices") }
            #expect(try await warned() == ["models[\(fixture.model)]"])
            try await fixture.edit { c in try c.execute("UPDATE endpoints SET disabled = 1") }
            #expect(try await warned() == ["endpoints", "models[\(fixture.model)]", "models[\(fixture.model)]"])
            try await fixture.edit { c in
                try c.execute("UPDATE endpoints SET disabled = 0")
                try c.execute("DELETE FROM routes")
            }
            #expect(
                try await warned() == ["models[\(fixture.model)]", "models[\(fixture.model)]", "endpoints[\(fixture.endpoint)]"])
            #expect(try await fixture.drafts.check().problems.isEmpty)
        }
    }
}
