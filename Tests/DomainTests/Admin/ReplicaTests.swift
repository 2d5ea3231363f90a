import Contract
import Domain
import Nouns
import Primitives
import Storage
import Testing
import Trust

@Suite("Replicas")
struct ReplicaTests {
    @Test(
        "one that was killed is noticed in seconds, the data planes it served show so, and who serves them next",
        arguments: TestDatabases.all)
    func killed(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let clock = ManualClock(milliseconds: 1_800_000_000_000)
            let fleet = try await FleetContext.establish(
                domain: DomainContext(database: database, clock: clock, signal: ChangeSignal()),
                cipher: try #require(AtRestCipher(masterKey: Array(repeating: 7, count: 32))),
                minimumVersion: SoftwareVersion(major: 0, minor: 1, patch: 0))
            let first = ReplicaService(fleet, name: "ctl-a", address: FleetAddress("a.example:7443"))
            let second = ReplicaService(fleet, name: "ctl-b", address: FleetAddress("b.example:7443,a.example:7443"))
            let everywhere = ReplicaService(fleet, name: "ctl-c", address: FleetAddress("0.0.0.0:7443,[::]:7443"))
            let planes = DataPlaneService(fleet)
            let id = DataPlaneID.random()
            try await database.transaction { c in
                try DataPlanesTable.insert(
                    c,
                    DataPlaneRow(
                        id: id.rawValue, name: "eu-1", region: "eu", tenantIDs: [], identityPublicKey: [1], sealingPublicKey: [2],
                        version: "0.1.0", keyringEpoch: 1, keyringVersion: 1, createdAt: clock.nowMilliseconds()))
            }
            func shown() async throws -> DataPlaneContent { try await planes.nouns.get(id, as: .all).content }
            func addresses() async throws -> [String] {
                let now = clock.nowMilliseconds()
                return try await database.read { try ControlReplicasTable.addresses($0, now: now) }
            }
            for replica in [first, second, everywhere] { try await replica.renew() }
            // What stands for every interface leads nowhere.
            #expect(try await addresses() == ["a.example:7443", "b.example:7443"])
            try await planes.connected(id.rawValue, replica: "ctl-a", connection: "1", hello: Weir_V1_Hello())
            let before = try await shown()
            #expect(before.status == "ok" && before.replica == "ctl-a")

            // Nothing more is heard of the first; the others go on saying that they are there.
            for _ in 0..<4 {
                clock.advance(milliseconds: 2600)
                try await second.renew()
            }
            let left = try await shown()
            #expect(left.status == "disconnected" && !left.isConnected && left.replica == nil)
            #expect(try await addresses() == ["b.example:7443", "a.example:7443"])

            try await planes.connected(id.rawValue, replica: "ctl-b", connection: "2", hello: Weir_V1_Hello())
            let after = try await shown()
            #expect(after.status == "ok" && after.replica == "ctl-b")
            // The end of the first's connection, told late, is not the end of the second's.
            try await planes.disconnected(id.rawValue, connection: "1")
            #expect(try await shown().replica == "ctl-b")
        }
    }
}
