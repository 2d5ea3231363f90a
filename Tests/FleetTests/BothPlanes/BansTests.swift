import Domain
import Nouns
import Primitives
import Simulator
import Storage
import Testing

@testable import Proxy

/// Bans from the admin's service to the stream that ends.
@Suite("Bans across both planes", .timeLimit(.minutes(10)), .serialized)
struct BansAcrossPlanesTests {
    private static let model = "sim-in120-out64"

    /// Polls until it holds or the time is over.
    private func eventually(seconds: Int64 = 120, _ holds: () async throws -> Bool) async throws -> Bool {
        let deadline = MonotonicClock.nowMicroseconds() + seconds * 1_000_000
        while true {
            if try await holds() { return true }
            if MonotonicClock.nowMicroseconds() > deadline { return false }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    @Test("A ban is in force within a second and says where; one that is out of reach acts when it is back", arguments: TestDatabases.all)
    func bans(database: TestDatabase) async throws {
        try await database.with { (database) async throws -> Void in
            let provider = try await SimulatorServer.start()
            let control = try await RunningControl.start(database)
            try await control.release(model: Self.model, url: "http://127.0.0.1:\(provider.port)/v1")
            let actor = RunningControl.administrator
            let services = control.services
            let project = try await control.project()
            let tenant = try await services.projects.get(project, as: .all).content.tenantID
            let user = try await services.users.create(
                UserContent {
                    $0.tenantID = tenant
                    $0.oid = "bob"
                }, by: actor)
            let key = try await services.keys.create(
                VirtualKeyContent {
                    $0.projectID = project
                    $0.name = "k"
                    $0.userID = user.id
                }, by: actor)
            let (folder, other) = (DataFolder(), DataFolder())
            let plane = try await RunningDataPlane.start(folder.path, token: try await control.token())
            var far = try await RunningDataPlane.start(other.path, token: try await control.token())
            // Of another tenant: no ban of this one is its business.
            let stranger = try await services.tenants.create(TenantContent { $0.name = "stranger" }, by: actor)
            let elsewhere = DataFolder()
            let apart = try await RunningDataPlane.start(elsewhere.path, token: try await control.token(tenants: [stranger.id]))
            for each in [plane, far] {
                #expect(await each.snapshot { $0.isServing && $0.credentials.count == 1 && $0.directory.lookup(key.key.id) != nil } != nil)
            }
            let text = key.plaintext.reveal()
            #expect(try await plane.chat(key: text, model: Self.model).status == 200)
            await far.stop()

            let ban = try await services.bans.nouns.create(BanContent { $0.subjectID = user.id.rawValue }, by: actor)
            #expect(ban.content.tenantID == tenant)
            #expect(try await eventually { try await plane.chat(key: text, model: Self.model).status == 403 })
            func reach() async throws -> [String: BanReach] {
                Dictionary(try await services.bans.reach(of: ban).map { ($0.dataPlaneID, $0) }, uniquingKeysWith: { first, _ in first })
            }
            let id = plane.enrollment.dataPlaneID.rawValue
            #expect(try await eventually { try await reach()[id]?.state == .acted })
            #expect(try await reach()[id]?.actedAt != nil)
            let farID = far.enrollment.dataPlaneID.rawValue
            #expect(try await eventually { try await reach()[farID]?.state == .unreachable })
            #expect(try await Set(reach().keys) == [id, farID])
            #expect(apart.snapshots.bans.current.isEmpty)

            // Back: from its disk it knows nothing of the ban until it hears of it.
            far = try await RunningDataPlane.start(other.path, token: nil)
            #expect(try await eventually { try await reach()[farID]?.state == .acted })
            #expect(try await far.chat(key: text, model: Self.model).status == 403)

            try await services.bans.nouns.delete(ban.id, at: ban.revision, by: actor)
            #expect(try await eventually { try await plane.chat(key: text, model: Self.model).status == 200 })
            // A kill switch takes the same way. Only what concerns its tenants, or nobody's in particular, gets to one that is confined.
            let kills = services.killSwitches
            let kill = try await kills.nouns.create(KillSwitchContent { $0.subjectID = project.rawValue }, by: actor)
            #expect(try await eventually { try await plane.chat(key: text, model: Self.model).body.contains("stopped_by_operator") })
            #expect(try await eventually { try await kills.reach(of: kill).filter { $0.state == .acted }.count == 2 })
            #expect(try await Set(kills.reach(of: kill).map(\.dataPlaneID)) == [id, farID])
            #expect(apart.snapshots.bans.current.isEmpty)
            let all = try await kills.nouns.create(KillSwitchContent { $0.subjectID = KillSwitchContent.world }, by: actor)
            #expect(try await eventually { try await kills.reach(of: all).filter { $0.state == .acted }.count == 3 })
            try await kills.nouns.delete(all.id, at: all.revision, by: actor)
            try await kills.nouns.delete(kill.id, at: kill.revision, by: actor)
            #expect(try await eventually { try await plane.chat(key: text, model: Self.model).status == 200 })
            for each in [plane, far, apart] { await each.stop() }
            await control.stop()
            try await provider.shutdown()
        }
    }
}
