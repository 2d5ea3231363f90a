import Contract
import Domain
import Nouns
import Primitives
import Storage
import Testing

@Suite("Rollouts")
struct RolloutsTests {
    @Test("A rollout becomes the candidate, its promotion the baseline for all", arguments: TestDatabases.all)
    func promote(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            let version = try await fixture.publish(1)
            #expect(try await fixture.document().version == 0)
            let percentage = try #require(Percentage(checking: 25))
            let rollout = try await fixture.rollouts.create(
                wanted(version) {
                    $0.tenantIDs = .only([ID(fixture.tenant)])
                    $0.regions = .only(["eu"])
                    $0.dataPlaneIDs = .only([ID(fixture.dataPlane)])
                    $0.percentage = percentage
                    $0.effectiveAt = ReleaseFixture.start + 60_000
                }, by: fixture.actor)
            #expect(rollout.content.status == .scheduled)
            let (payload, documentVersion) = try await fixture.document()
            #expect(documentVersion == 1)
            #expect(payload.rolloutID == rollout.id.rawValue && payload.candidateVersion == 1 && payload.baselineVersion == 0)
            #expect(payload.regions == ["eu"] && payload.tenantIds == [fixture.tenant] && payload.percentageBasisPoints == 25)
            #expect(payload.effectiveAtMs == ReleaseFixture.start + 60_000 && payload.salt.count == 16)
            fixture.clock.advance(milliseconds: 60_000)
            #expect(try await fixture.rollouts.nouns.get(rollout.id, as: .all).content.status == .active)

            let promoted = try await fixture.rollouts.promote(rollout.id, by: fixture.actor)
            #expect(promoted.content.status == .promoted && promoted.content.endedBy == "Ada")
            let after = try await fixture.document()
            #expect(after.version == 2 && after.payload.baselineVersion == 1 && after.payload.candidateVersion == 0)
            #expect(after.payload.rolloutID.isEmpty)
            let referenced = try await database.read { c in try Rollouts.referencedVersions(c) }
            #expect(referenced == [1])
            #expect(try await fixture.auditActions().sorted() == ["config_version.publish", "rollout.create", "rollout.promote"])
        }
    }

    @Test("Unknown versions, tenants and data planes are refused by name", arguments: TestDatabases.all)
    func unknown(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            let missing = await refusal { try await fixture.rollouts.create(wanted(1), by: fixture.actor) }
            #expect(missing.problems.map(\.field) == ["version"])
            let version = try await fixture.publish(1)
            let refused = await refusal {
                try await fixture.rollouts.create(
                    wanted(version) {
                        $0.tenantIDs = .only([ID(fixture.tenant), ID("ten_nobody")])
                        $0.dataPlaneIDs = .only([ID("dp_nowhere"), ID(fixture.dataPlane)])
                    }, by: fixture.actor)
            }
            #expect(refused.kind == "invalid")
            #expect(refused.problems.map(\.field) == ["tenant_ids[1]", "data_plane_ids[0]"])
            // Naming nobody is no way of saying everybody.
            let nobody = await refusal {
                try await fixture.rollouts.create(
                    wanted(version) {
                        $0.tenantIDs = .only([])
                        $0.regions = .only([])
                    }, by: fixture.actor)
            }
            #expect(nobody.problems.map(\.field) == ["tenant_ids", "regions"])
            try await fixture.edit { c in try c.execute("UPDATE data_planes SET status = 'revoked'", []) }
            let revoked = await refusal {
                try await fixture.rollouts.create(wanted(version) { $0.dataPlaneIDs = .only([ID(fixture.dataPlane)]) }, by: fixture.actor)
            }
            #expect(revoked.problems.first?.message.contains("revoked") == true)
            #expect(try await fixture.document().version == 0)
        }
    }

    @Test("Only newer versions than data planes have had can be rolled out", arguments: TestDatabases.all)
    func olderVersions(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            for marker in 1...3 { _ = try await fixture.publish(marker) }
            func create(_ version: Int64) async throws -> Rollout {
                try await fixture.rollouts.create(wanted(version), by: fixture.actor)
            }
            _ = try await fixture.rollouts.promote(create(2).id, by: fixture.actor)
            let same = await refusal { try await create(2) }
            #expect(same.problems.first?.message.contains("baseline") == true)
            let older = await refusal { try await create(1) }
            #expect(older.kind == "conflict")
            #expect(older.problems.first?.remedy.contains("--restore 1") == true)
            let third = try await create(3)
            let second = await refusal { try await create(3) }
            #expect(second.problems.first?.message.contains(third.id.rawValue) == true)
            _ = try await fixture.rollouts.abort(third.id, by: fixture.actor)
            // The very same version may be tried again; an older one would be refused by data planes that had version 3.
            let again = try await create(3)
            #expect(again.id != third.id)
            _ = try await fixture.rollouts.abort(again.id, by: fixture.actor)
        }
    }

    @Test("Widening keeps the salt, and only the candidate can be changed", arguments: TestDatabases.all)
    func update(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            let version = try await fixture.publish(1)
            let one = try #require(Percentage(1)), twenty = try #require(Percentage(.number("20.5")))
            let rollout = try await fixture.rollouts.create(wanted(version) { $0.percentage = one }, by: fixture.actor)
            let salt = try await fixture.document().payload.salt
            var content = rollout.content
            content.regions = .only(["eu"])
            content.percentage = twenty
            let changed = content
            let wider = try await fixture.rollouts.nouns.replace(rollout.id, at: rollout.revision, with: changed, by: fixture.actor)
            let (payload, documentVersion) = try await fixture.document()
            #expect(payload.salt == salt && payload.percentageBasisPoints == 2050 && payload.regions == ["eu"] && documentVersion == 2)
            let stale = await refusal {
                try await fixture.rollouts.nouns.replace(rollout.id, at: rollout.revision, with: changed, by: fixture.actor)
            }
            #expect(stale.kind == "preconditionFailed")
            _ = try await fixture.rollouts.abort(rollout.id, at: wider.revision, by: fixture.actor)
            let over = await refusal {
                try await fixture.rollouts.nouns.replace(rollout.id, at: wider.revision + 1, with: changed, by: fixture.actor)
            }
            #expect(over.kind == "conflict")
            let promoted = await refusal { try await fixture.rollouts.promote(rollout.id, by: fixture.actor) }.kind
            #expect(promoted == "conflict")
            let unknown = await refusal { try await fixture.rollouts.promote(RolloutID.random(), by: fixture.actor) }.kind
            #expect(unknown == "notFound")
        }
    }

    @Test("Rollback withdraws a candidate; without one it goes back a baseline, then further back", arguments: TestDatabases.all)
    func rollback(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            func rollback(_ undo: Int64, to: Int64? = nil) async throws -> Rollback {
                try await fixture.rollouts.rollback(RollbackOrder(undo: undo, to: to), actor: fixture.actor)
            }
            let tooEarly = await refusal { try await rollback(1) }.kind
            #expect(tooEarly == "conflict")
            let nothing = await refusal { try await fixture.rollouts.rollback(RollbackOrder(), actor: fixture.actor) }
            #expect(nothing.problems.map(\.field) == ["undo"])
            for marker in 1...3 {
                let version = try await fixture.publish(marker)
                let rollout = try await fixture.rollouts.create(wanted(version), by: fixture.actor)
                _ = try await fixture.rollouts.promote(rollout.id, by: fixture.actor)
            }
            let candidate = try await fixture.rollouts.create(wanted(fixture.publish(4)), by: fixture.actor)
            let other = await refusal { try await rollback(3) }
            #expect(other.kind == "conflict" && other.problems.first?.remedy.contains("version 4") == true)
            let withdrawn = try await rollback(4)
            #expect(withdrawn.aborted?.id == candidate.id && withdrawn.published == nil && withdrawn.baselineVersion == 3)
            let again = try await rollback(4)
            #expect(again.repeated && again.baselineVersion == 3)

            let first = try await rollback(3)
            #expect(first.baselineVersion == 5 && first.published?.restores == 2 && first.warnings.isEmpty && !first.repeated)
            #expect(try await fixture.content(5) == fixture.content(2))
            // Twice goes back once.
            let repeated = try await rollback(3)
            #expect(repeated.repeated && repeated.baselineVersion == 5)
            #expect(try await rollback(3, to: 2).repeated)
            let second = try await fixture.rollouts.rollback(RollbackOrder(to: 1), actor: fixture.actor)
            #expect(second.baselineVersion == 6 && second.published?.restores == 1)
            #expect(try await fixture.rollouts.rollback(RollbackOrder(to: 1), actor: fixture.actor).repeated)
            let tooFar = await refusal { try await rollback(6) }.kind
            #expect(tooFar == "conflict")
            let notInForce = await refusal { try await rollback(3) }
            #expect(notInForce.kind == "conflict" && notInForce.problems.map(\.field) == ["undo"])

            let states = try await fixture.rollouts.nouns.items([], PageRequest(), as: .all).items
            #expect(states.filter { $0.content.version == 3 }.map(\.content.status) == [.rolledBack])
            #expect(states.filter { $0.content.version == 4 }.map(\.content.status) == [.aborted])
            #expect(try await fixture.document().payload.baselineVersion == 6)
        }
    }

    @Test("After a rollout that was refused, the rollback of a script changes nothing", arguments: TestDatabases.all)
    func rollbackAfterRefusal(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            for marker in 1...2 {
                let rollout = try await fixture.rollouts.create(wanted(fixture.publish(marker)), by: fixture.actor)
                _ = try await fixture.rollouts.promote(rollout.id, by: fixture.actor)
            }
            let third = try await fixture.publish(3)
            let refused = await refusal {
                try await fixture.rollouts.create(wanted(third) { $0.regions = .only(["mars"]) }, by: fixture.actor)
            }
            #expect(refused.problems.map(\.field) == ["regions[0]"])
            let rollback = await refusal { try await fixture.rollouts.rollback(RollbackOrder(undo: third), actor: fixture.actor) }
            #expect(rollback.kind == "conflict")
            #expect(try await fixture.document().payload.baselineVersion == 2)
        }
    }

    @Test("What cannot be served any more is not rolled out, promoted or returned to, each fault named", arguments: TestDatabases.all)
    func faults(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            func deleteCredential(_ isDeleted: Bool) async throws {
                try await fixture.edit { c in
                    try c.execute("UPDATE credentials SET deleted_at = $1", [isDeleted ? .int(1) : .null])
                }
            }
            let fault = ["endpoints[\(fixture.endpoint)].credential_ids[0]"]
            let (first, second) = (try await fixture.publish(1), try await fixture.publish(2))
            try await deleteCredential(true)
            let created = await refusal { try await fixture.rollouts.create(wanted(first), by: fixture.actor) }
            #expect(created.kind == "conflict" && created.problems.map(\.field) == fault)
            try await deleteCredential(false)
            let rollout = try await fixture.rollouts.create(wanted(first), by: fixture.actor)
            try await deleteCredential(true)
            let promoted = await refusal { try await fixture.rollouts.promote(rollout.id, by: fixture.actor) }
            #expect(promoted.kind == "conflict" && promoted.problems.map(\.field) == fault)
            try await deleteCredential(false)
            _ = try await fixture.rollouts.promote(rollout.id, by: fixture.actor)
            let next = try await fixture.rollouts.create(wanted(second), by: fixture.actor)
            _ = try await fixture.rollouts.promote(next.id, by: fixture.actor)
            try await deleteCredential(true)
            let back = await refusal { try await fixture.rollouts.rollback(RollbackOrder(undo: second), actor: fixture.actor) }
            #expect(back.kind == "conflict" && back.problems.map(\.field) == fault)
            let forced = try await fixture.rollouts.rollback(
                RollbackOrder(undo: second, despiteFaults: true), actor: fixture.actor)
            #expect(forced.baselineVersion == 3 && forced.warnings.map(\.field) == fault)
            // A tenant that is gone makes no request fail.
            try await deleteCredential(false)
            let again = try await fixture.versions.publish(note: "", restore: second, actor: fixture.actor)
            try await fixture.edit { c in try c.execute("UPDATE tenants SET deleted_at = 5") }
            _ = try await fixture.rollouts.create(wanted(again.version), by: fixture.actor)
        }
    }

    @Test("After a rollback the draft says what it still holds, and is published only when that was answered", arguments: TestDatabases.all)
    func rolledBackDraft(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            for marker in 1...2 {
                let rollout = try await fixture.rollouts.create(wanted(fixture.publish(marker)), by: fixture.actor)
                _ = try await fixture.rollouts.promote(rollout.id, by: fixture.actor)
            }
            #expect(try await fixture.drafts.view().rolledBack.isEmpty)
            _ = try await fixture.rollouts.rollback(RollbackOrder(undo: 2), actor: fixture.actor)
            let held = try await fixture.drafts.view().rolledBack
            #expect(held.map(\.version) == [2] && held.first?.held.map(\.id) == [fixture.provider])
            // An innocent change of something else.
            try await fixture.edit { c in try c.execute("UPDATE endpoints SET idle_ms = 7") }
            let refused = await refusal { try await fixture.versions.publish(note: "", actor: fixture.actor) }
            #expect(refused.kind == "conflict" && refused.problems.map(\.field) == ["providers[\(fixture.provider)]"])
            #expect(try await fixture.drafts.changes().rolledBack == held)
            // Changed, it is another thing.
            try await fixture.touchDraft(9)
            #expect(try await fixture.drafts.view().rolledBack.isEmpty)
            let mended = try await fixture.versions.publish(note: "", actor: fixture.actor)
            let rollout = try await fixture.rollouts.create(wanted(mended.version), by: fixture.actor)
            // A candidate that was withdrawn is remembered, too; said to be right, it is published.
            _ = try await fixture.rollouts.rollback(RollbackOrder(undo: mended.version), actor: fixture.actor)
            #expect(rollout.content.version == mended.version)
            try await fixture.edit { c in try c.execute("UPDATE endpoints SET idle_ms = 8") }
            let again = await refusal { try await fixture.versions.publish(note: "", actor: fixture.actor) }.kind
            #expect(again == "conflict")
            _ = try await fixture.versions.publish(note: "", acknowledgeRollback: true, actor: fixture.actor)
            try await fixture.edit { c in try c.execute("UPDATE endpoints SET idle_ms = 9") }
            _ = try await fixture.versions.publish(note: "", actor: fixture.actor)
        }
    }

    @Test("Of operators who act at once, one gets through and the others are told", arguments: TestDatabases.all)
    func concurrent(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            let version = try await fixture.publish(1)
            let actor = fixture.actor
            let created = await together(4) { try await fixture.rollouts.create(wanted(version), by: actor) }
            #expect(created == ["accepted", "conflict", "conflict", "conflict"])
            let id = try #require(try await fixture.rollouts.standing().candidate?.id)
            let decided = await together(4) { number in
                number % 2 == 0
                    ? try await fixture.rollouts.promote(id, by: actor) : try await fixture.rollouts.abort(id, by: actor)
            }
            #expect(decided == ["accepted", "conflict", "conflict", "conflict"])
            #expect(try await fixture.document().version == 2)
        }
    }

    private func together(_ count: Int, _ work: @escaping @Sendable (Int) async throws -> Rollout) async -> [String] {
        await withTaskGroup(of: String.self) { group in
            for number in 0..<count { group.addTask { await refusal { try await work(number) }.kind } }
            return await group.reduce(into: [String]()) { $0.append($1) }.sorted()
        }
    }

    private func together(_ count: Int, _ work: @escaping @Sendable () async throws -> Rollout) async -> [String] {
        await together(count) { _ in try await work() }
    }

    @Test("Changes wake those who wait for them", arguments: TestDatabases.all)
    func signals(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            var changes = fixture.signal.changes().makeAsyncIterator()
            let version = try await fixture.publish(1)
            #expect(await changes.next() == [.config])
            _ = try await fixture.rollouts.create(wanted(version), by: fixture.actor)
            #expect(await changes.next() == [.rollout])
        }
    }

    @Test(
        "A percentage has two decimals, by its digits",
        arguments: [
            (.int(0), 0, "0"), (.int(100), 10_000, "100"), (.number("12.5"), 1250, "12.5"), (.number("0.05"), 5, "0.05"),
            (.string("99.99"), 9999, "99.99"), (.number("7.250"), 725, "7.25"),
        ] as [(JSONValue, Int64, String)])
    func percentages(_ json: JSONValue, _ basisPoints: Int64, _ text: String) {
        #expect(Percentage(json)?.basisPoints == basisPoints)
        #expect(Percentage(json)?.text == text)
    }

    @Test(
        "What is no percentage is refused",
        arguments: [
            .int(-1), .int(101), .number("0.001"), .number("1e2"), .string(""), .string("5%"), .bool(true), .null, .number("100.01"),
        ]
            as [JSONValue])
    func noPercentages(_ json: JSONValue) {
        #expect(Percentage(json) == nil)
    }
}
