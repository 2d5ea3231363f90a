import Domain
import Logging
import Nouns
import Primitives
import Storage
import Synchronization
import Telemetry
import Testing

@Suite("Background work", .timeLimit(.minutes(10)))
struct LeasedWorkTests {
    private final class Count: Sendable {
        private let value = Mutex(0)
        func raise() { value.withLock { $0 += 1 } }
        var current: Int { value.withLock { $0 } }
    }

    private struct Replica {
        let work: LeasedWork
        let metrics = MetricsRegistry()
        let count = Count()

        init(_ name: String, _ domain: DomainContext) {
            let count = count
            work = LeasedWork(
                domain, holder: name, jobs: [LeasedWork.Job("sweep", every: .seconds(60)) { count.raise() }], metrics: metrics,
                logger: Logger(label: "test"))
        }

        var owns: Bool { metrics.text.contains("weir_control_work_owned{work=\"sweep\"} 1") }
    }

    @Test("is done by one replica, and by another once the first has been silent", arguments: TestDatabases.all)
    func handover(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let clock = ManualClock(milliseconds: 1_800_000_000_000)
            let domain = DomainContext(database: database, clock: clock, signal: ChangeSignal())
            let (first, second) = (Replica("a", domain), Replica("b", domain))
            await first.work.round()
            await second.work.round()
            #expect(first.count.current == 1 && second.count.current == 0)
            #expect(first.owns && !second.owns)
            clock.advance(milliseconds: 60_000)
            await first.work.round()
            await second.work.round()
            #expect(first.count.current == 2 && second.count.current == 0)
            clock.advance(milliseconds: 90_001)
            await second.work.round()
            await first.work.round()
            #expect(first.count.current == 2 && second.count.current == 1)
            #expect(!first.owns && second.owns)
        }
    }

    @Test("is handed over at once by a replica that stops in good order", arguments: TestDatabases.all)
    func stopping(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let domain = DomainContext(
                database: database, clock: ManualClock(milliseconds: 1_800_000_000_000), signal: ChangeSignal())
            let (first, second) = (Replica("a", domain), Replica("b", domain))
            let running = Task { await first.work.run() }
            while first.count.current == 0, !Task.isCancelled { await Task.yield() }
            running.cancel()
            await running.value
            await second.work.round()
            #expect(second.count.current == 1)
        }
    }

    @Test("purges what was deleted long ago, and what data planes have yet to hear of it as a whole", arguments: TestDatabases.all)
    func purge(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let fixture = try AdminFixture(database)
            let day: Int64 = 86_400_000
            let purge = PurgeService(fixture.domain, retentionMilliseconds: 30 * day)
            let tenant = try await fixture.tenant()
            let project = try await fixture.project(of: tenant)
            let key = try await fixture.key(in: project).key
            let kept = try await fixture.project(of: tenant, "kept")
            let revoked = try await fixture.services.keys.revoke(key.id, at: nil, by: AdminFixture.actor)
            #expect(revoked.content.revokedAt != nil)
            try await fixture.services.projects.delete(project.id, at: project.revision, by: AdminFixture.actor)
            fixture.clock.advance(milliseconds: 29 * day)
            #expect(try await purge.purge() == 0)
            fixture.clock.advance(milliseconds: 2 * day)
            #expect(try await purge.purge() == 2)
            #expect(try await purge.purge() == 0)
            let (mark, rows) = try await database.read { c in
                (
                    try CountersTable.current(c, PurgeTables.directoryMark),
                    try c.query("SELECT id FROM projects UNION ALL SELECT id FROM virtual_keys").map { try $0.text("id") }
                )
            }
            #expect(rows == [kept.id.rawValue])
            let counter = try await database.read { try CountersTable.current($0, "directory") }
            #expect(mark > 0 && mark <= counter)
        }
    }
}
