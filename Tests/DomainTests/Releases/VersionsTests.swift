import Contract
import Domain
import Nouns
import Primitives
import Storage
import SwiftProtobuf
import Testing
import Trust

@Suite("Drafts and configuration versions")
struct VersionsTests {
    @Test("A published version holds the draft's bytes, their digest, and who published them", arguments: TestDatabases.all)
    func publish(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            #expect(try await fixture.drafts.view().changed)
            let version = try await fixture.versions.publish(note: "first", actor: fixture.actor).published
            #expect(version.version == 1)
            #expect(version.authorName == "Ada")
            let bytes = try #require(try await fixture.content(1))
            #expect(SHA256Digest.of(bytes) == version.digest)
            let payload = try Weir_V1_ConfigPayload(serializedBytes: bytes)
            #expect(payload.providers.map(\.id) == [fixture.provider])
            #expect(payload.providers.first?.timeouts.idleMs == 5000)
            #expect(payload.models.first?.createdS == ReleaseFixture.start / 1000)
            #expect(payload.prices.first?.output == 600_000_000)
            let view = try await fixture.drafts.view()
            #expect(!view.changed && view.baseVersion == 1 && view.latestVersion == 1)
            #expect(try await fixture.auditActions() == ["config_version.publish"])
        }
    }

    @Test("An unchanged draft is a conflict that names the version it is; restoring is not", arguments: TestDatabases.all)
    func identical(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            _ = try await fixture.publish(1)
            let refused = await refusal { try await fixture.versions.publish(note: "", actor: fixture.actor) }
            #expect(refused.kind == "conflict")
            #expect(refused.problems.first?.message.contains("version 1") == true)
            _ = try await fixture.publish(2)
            let restored = try await fixture.versions.publish(note: "back", restore: 1, actor: fixture.actor).published
            #expect(restored.version == 3 && restored.restores == 1)
            #expect(try await fixture.content(3) == fixture.content(1))
            // The draft is still the one of version 2.
            #expect(try await fixture.drafts.view().baseVersion == 2)
            let unknown = await refusal { try await fixture.versions.publish(note: "", restore: 9, actor: fixture.actor) }.kind
            #expect(unknown == "invalid")
        }
    }

    @Test("Each broken reference is named with its place and a remedy, and nothing is published", arguments: TestDatabases.all)
    func broken(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            try await fixture.edit { c in
                try c.execute("UPDATE credentials SET deleted_at = 5 WHERE id = $1", [.text(fixture.credential)])
                try c.execute("UPDATE tenants SET deleted_at = 5 WHERE id = $1", [.text(fixture.tenant)])
                try c.execute("DELETE FROM models", [])
                try ModelContent.insert(
                    c,
                    Entity(
                        id: "mdl_other", meta: RowMeta(revision: 1, createdAt: 1, updatedAt: 1),
                        content: ModelContent {
                            $0.name = "other"
                            $0.capabilities = ["chat"]
                            $0.tenantIDs = .only([ID("ten_gone")])
                        }))
            }
            let expected = [
                "routes[\(fixture.route)].model_id", "prices[\(fixture.price)].model_id",
                "endpoints[\(fixture.endpoint)].credential_ids[0]",
                "models[mdl_other].tenant_ids[0]",
            ]
            let problems = try await fixture.drafts.problems()
            #expect(problems.map(\.field) == expected)
            #expect(problems.allSatisfy { !$0.message.isEmpty && !$0.remedy.isEmpty })
            let refused = await refusal { try await fixture.versions.publish(note: "", actor: fixture.actor) }
            #expect(refused.kind == "conflict" && refused.problems == problems)
            #expect(try await fixture.versions.versions(PageRequest()).items.isEmpty)
            // The number was not used up.
            try await fixture.edit { c in
                try c.execute("DELETE FROM routes", []); try c.execute("DELETE FROM prices", [])
            }
            try await fixture.edit { c in
                try c.execute("DELETE FROM endpoints", []); try c.execute("DELETE FROM models", [])
            }
            #expect(try await fixture.versions.publish(note: "", actor: fixture.actor).version == 1)
        }
    }

    @Test("A credential of another provider and a missing one are told apart", arguments: TestDatabases.all)
    func credentials(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            try await fixture.edit { c in try c.execute("UPDATE credentials SET provider_id = 'prov_other'", []) }
            #expect(try await fixture.drafts.problems().map(\.message).first?.contains("belongs to provider") == true)
            try await fixture.edit { c in try c.execute("UPDATE endpoints SET credential_ids = '[]'", []) }
            #expect(try await fixture.drafts.problems().map(\.field) == ["endpoints[\(fixture.endpoint)].credential_ids"])
            try await fixture.edit { c in try c.execute("UPDATE providers SET auth_scheme = 'none'", []) }
            #expect(try await fixture.drafts.problems().isEmpty)
        }
    }

    @Test("Resetting gives back the very bytes, whatever happened to the draft", arguments: TestDatabases.all)
    func reset(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            _ = try await fixture.publish(1)
            _ = try await fixture.publish(2)
            fixture.clock.advance(milliseconds: 7_777_777)
            try await fixture.edit { c in
                for table in ["routes", "models", "prices"] { try c.execute("DELETE FROM \(table)", []) }
                try c.execute("UPDATE endpoints SET disabled = 1", [])
            }
            let view = try await fixture.drafts.reset(to: 2, actor: fixture.actor)
            #expect(!view.changed && view.baseVersion == 2)
            let older = try await fixture.drafts.reset(to: 1, actor: fixture.actor)
            #expect(older.changed && older.baseVersion == 1)
            #expect(try await fixture.versions.diff(from: .version(1), to: .draft).isEmpty)
            let unknown = await refusal { try await fixture.drafts.reset(to: 5, actor: fixture.actor) }.kind
            #expect(unknown == "invalid")
        }
    }

    @Test("A reset leaves rows that are as wanted alone and gives the others a revision nobody has seen", arguments: TestDatabases.all)
    func resetRevisions(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            _ = try await fixture.publish(1)
            try await fixture.touchDraft(2)
            let before = try await database.read { c in try ProviderContent.find(c, fixture.provider)?.meta }
            _ = try await fixture.drafts.reset(to: 1, actor: fixture.actor)
            let (provider, endpoint) = try await database.read { c in
                (try ProviderContent.find(c, fixture.provider)?.meta, try EndpointContent.find(c, fixture.endpoint)?.meta)
            }
            #expect(provider?.revision != before?.revision && provider?.createdAt == before?.createdAt)
            #expect(endpoint?.revision == 1)
        }
    }

    @Test("A diff names added, removed and changed resources with their fields", arguments: TestDatabases.all)
    func diff(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            _ = try await fixture.publish(1)
            try await fixture.edit { c in
                try c.execute("DELETE FROM prices", [])
                try c.execute("UPDATE providers SET idle_ms = 0, total_ms = 9", [])
                let targets: JSONValue = [
                    ["endpoint_id": .string(fixture.endpoint), "upstream_model": "gpt-4", "weight": 3],
                    ["endpoint_id": .string(fixture.endpoint), "upstream_model": "gpt-5", "weight": 1],
                ]
                try c.execute("UPDATE routes SET targets = $1", [.text(targets.text)])
            }
            let diff = try await fixture.versions.diff(from: .version(1), to: .draft)
            func entries(_ resource: String) -> [ConfigDiff.Entry] { diff.sections.first { $0.resource == resource }?.entries ?? [] }
            #expect(entries("prices").map(\.change) == [.removed])
            #expect(entries("models").isEmpty && entries("endpoints").isEmpty)
            #expect(entries("providers").first?.fields.map(\.path) == ["timeouts.idle_ms", "timeouts.total_ms"])
            #expect(entries("providers").first?.fields.map(\.to) == [0, 9])
            let fields = entries("routes").first?.fields ?? []
            #expect(
                fields.map(\.path) == [
                    "targets[0].upstream_model", "targets[0].weight", "targets[1].endpoint_id", "targets[1].upstream_model",
                    "targets[1].weight", "targets[1].priority",
                ])
            #expect(fields.dropFirst().first?.from == 1 && fields.dropFirst().first?.to == 3)
            let backwards = try await fixture.versions.diff(from: .draft, to: .version(1))
            #expect(backwards.sections.first { $0.resource == "prices" }?.entries.map(\.change) == [.added])
            #expect(try await fixture.versions.diff(from: .version(1), to: .version(1)).isEmpty)
            let unknown = await refusal { try await fixture.versions.diff(from: .version(1), to: .version(8)) }
            #expect(unknown.problems.map(\.field) == ["to"])
        }
    }

    @Test("Two who publish at once get two versions or a conflict, never one number twice", arguments: TestDatabases.all)
    func concurrent(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            let outcomes = await withTaskGroup(of: String.self) { group in
                for _ in 0..<4 {
                    group.addTask { await refusal { try await fixture.versions.publish(note: "", actor: fixture.actor) }.kind }
                }
                return await group.reduce(into: [String]()) { $0.append($1) }
            }
            #expect(outcomes.sorted() == ["accepted", "conflict", "conflict", "conflict"])
            #expect(try await fixture.versions.versions(PageRequest()).items.map(\.version) == [1])
        }
    }

    @Test("The list pages from the newest on", arguments: TestDatabases.all)
    func pages(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            for marker in 1...5 { _ = try await fixture.publish(marker) }
            var seen: [Int64] = []
            var cursor: Cursor?
            repeat {
                let page = try await fixture.versions.versions(PageRequest(limit: 2, after: cursor))
                seen += page.items.map(\.version)
                cursor = page.next
            } while cursor != nil
            #expect(seen == [5, 4, 3, 2, 1])
        }
    }
}
