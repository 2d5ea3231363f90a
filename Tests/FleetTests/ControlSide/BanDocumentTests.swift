import Contract
import Domain
import Fleet
import Nouns
import Primitives
import Storage
import SwiftProtobuf
import Testing
import Trust

@Suite("Documents of bans", .timeLimit(.minutes(10)))
struct BanDocumentTests {
    @Test("a data plane that claims a version nobody made is refused at once, and the counter stays", arguments: TestDatabases.all)
    func unknownVersion(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let domain = DomainContext(database: database, clock: ManualClock(milliseconds: 1_800_000_000_000), signal: ChangeSignal())
            let cipher = try #require(AtRestCipher(masterKey: [UInt8](repeating: 7, count: 32)))
            let fleet = try await FleetContext.establish(
                domain: domain, cipher: cipher, minimumVersion: SoftwareVersion(major: 0, minor: 1, patch: 0))
            let services = ControlServices(domain, cipher: cipher)
            let bans = FleetServices(fleet, credentials: services.credentials) { _, _ in [] }.bans
            try await SigningKeyService(fleet).establish()
            let actor = Actor.system("test")
            let tenant = try await services.tenants.create(TenantContent { $0.name = "t" }, by: actor)
            let plane = DataPlaneID.random().rawValue
            try await database.transaction { c in
                try DataPlanesTable.insert(
                    c,
                    DataPlaneRow(
                        id: plane, name: "plane", region: "eu", tenantIDs: [tenant.id.rawValue], identityPublicKey: [1],
                        sealingPublicKey: [2], version: "0.1.0", keyringEpoch: 1, keyringVersion: 1, createdAt: 1))
            }
            _ = try await services.bans.nouns.create(BanContent { $0.subjectID = tenant.id.rawValue }, by: actor)
            let first = try #require(try await bans.next(for: plane, held: nil))
            func counter() async throws -> Int64 {
                try await database.read(as: .all) { try CountersTable.current($0, FleetCounter.bans) }
            }
            let before = try await counter()

            let claim = DocumentMark(kind: .bans, epoch: first.mark.epoch, version: .max, digest: [UInt8](repeating: 9, count: 32))
            await #expect(throws: FleetRefusal.self) { try await bans.next(for: plane, held: claim) }
            #expect(try await counter() == before)

            // One that comes back with what it was sent is sent it anew under the next version, and no more than that.
            let again = try #require(
                try await bans.next(
                    for: plane,
                    held: DocumentMark(
                        kind: .bans, epoch: first.mark.epoch, version: first.mark.version, digest: [UInt8](repeating: 9, count: 32))))
            #expect(again.mark.version == first.mark.version + 1)
        }
    }
}
