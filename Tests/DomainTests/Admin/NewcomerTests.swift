import Contract
import Crypto
import Foundation
import Nouns
import Primitives
import Storage
import Testing
import Trust

@testable import Domain

@Suite("DIDs that nobody knows, at the control plane")
struct NewcomerTests {
    private static let actor = Actor(id: "tok", name: "Ada", role: .owner, scope: .all)
    private static let now: Int64 = 1_790_000_000_000

    private struct Fixture {
        let domain: DomainContext
        let newcomers: NewcomerService
        let tenants: NounService<TenantContent>
        let dids: NounService<DIDContent>
        let users: UserService

        init(_ database: any Database) throws {
            domain = DomainContext(database: database, clock: ManualClock(milliseconds: NewcomerTests.now), signal: ChangeSignal())
            let cipher = try #require(AtRestCipher(masterKey: [UInt8](repeating: 7, count: 32)))
            newcomers = NewcomerService(
                domain,
                upstreamKeys: UpstreamKeyService(
                    domain, cipher: cipher, credentials: CredentialService(domain, cipher: cipher), http: NoOutboundHTTP(),
                    deployment: "weir-test"))
            tenants = NounService(domain)
            dids = .dids(domain)
            users = UserService(domain)
        }

        func tenant(_ name: String, _ edit: (inout TenantContent) -> Void = { _ in }) async throws -> TenantID {
            var content = TenantContent()
            content.name = name
            edit(&content)
            return try await tenants.create(content, by: NewcomerTests.actor).id
        }

        /// - Parameter tenants: empty: all.
        func plane(_ id: String, _ tenants: [TenantID] = []) async throws {
            try await domain.write(as: .all) { c in
                try DataPlaneContent.insert(
                    c,
                    DataPlane(
                        id: id, meta: .new(at: NewcomerTests.now),
                        content: DataPlaneContent {
                            $0.name = id
                            $0.identityPublicKey = StoredBytes(Array(id.utf8))
                            $0.sealingPublicKey = StoredBytes(Array(id.utf8))
                            if !tenants.isEmpty { $0.tenantIDs = .only(tenants) }
                        }))
            }
        }
    }

    private static func newcomer(
        _ key: Curve25519.Signing.PrivateKey = .init(), host: String = "api.example", seconds: Int64 = now / 1000
    ) throws -> Weir_V1_Newcomer {
        var newcomer = Weir_V1_Newcomer()
        newcomer.did = "did:key:z" + Base58.encode([0xed, 0x01] + Array(key.publicKey.rawRepresentation))
        newcomer.host = host
        let request = SignedRequest(method: Array("GET".utf8), host: Array(host.utf8), path: Array("/v1/models".utf8), query: [])
        let signed = request.canonicalBytes(
            .did, identity: newcomer.did, timestamp: String(seconds), nonce: String(repeating: "n", count: 16),
            bodyDigest: SHA256Digest.of([]))
        newcomer.signed = Data(signed)
        newcomer.signature = try key.signature(for: signed)
        return newcomer
    }

    @Test(
        "Whose a DID becomes is decided by the host that it signed for, among the tenants that the data plane serves",
        arguments: TestDatabases.all)
    func whose(database: TestDatabase) async throws {
        try await database.with { database in
            let fixture = try Fixture(database)
            let off = try await fixture.tenant("off")
            let open = try await fixture.tenant("open") { $0.didPolicy = .on }
            let named = try await fixture.tenant("named") {
                $0.didPolicy = .on
                $0.didHosts = ["api.named.example"]
            }
            try await fixture.plane("dpl_all")
            try await fixture.plane("dpl_off", [off])
            func tenant(of newcomer: Weir_V1_Newcomer) async throws -> TenantID? {
                try await fixture.dids.items([("did", .text(newcomer.did))], PageRequest(), as: .all).items.first?.content.tenantID
            }
            let first = try Self.newcomer()
            #expect(try await fixture.newcomers.admit(first, from: "dpl_off").code == "unknown_did")
            #expect(try await tenant(of: first) == nil)
            #expect(try await fixture.newcomers.admit(first, from: "dpl_all").code == "")
            #expect(try await tenant(of: first) == open)
            // It is another tenant's now: a data plane that does not serve that one hears no more than before.
            #expect(try await fixture.newcomers.admit(first, from: "dpl_off").code == "unknown_did")
            let second = try Self.newcomer(host: "API.named.example:8443")
            #expect(try await fixture.newcomers.admit(second, from: "dpl_all").code == "")
            #expect(try await tenant(of: second) == named)
            // Two tenants that any host leads to: it is nobody's.
            _ = try await fixture.tenant("open too") { $0.didPolicy = .on }
            #expect(try await fixture.newcomers.admit(Self.newcomer(), from: "dpl_all").code == "unknown_did")
            await #expect(throws: FleetRefusal.self) { try await fixture.newcomers.admit(Self.newcomer(), from: "dpl_none") }
            await #expect(throws: DomainError.self) {
                try await fixture.tenant("thief") { $0.didHosts = ["api.named.example"] }
            }
        }
    }

    @Test("A data plane's word makes no user: the proof is verified again", arguments: TestDatabases.all)
    func proofs(database: TestDatabase) async throws {
        try await database.with { database in
            let fixture = try Fixture(database)
            _ = try await fixture.tenant("open") { $0.didPolicy = .on }
            try await fixture.plane("dpl_all")
            var forged = try Self.newcomer()
            forged.signature = try Self.newcomer().signature
            var moved = try Self.newcomer()
            moved.host = "elsewhere.example"
            var empty = Weir_V1_Newcomer()
            empty.did = "did:key:z"
            for bad in [forged, moved, empty, try Self.newcomer(seconds: Self.now / 1000 - 86_400)] {
                #expect(try await fixture.newcomers.admit(bad, from: "dpl_all").code == "invalid_signature")
            }
            #expect(try await fixture.dids.items([], PageRequest(), as: .all).items.isEmpty)
        }
    }

    @Test("Two at once make one, a user that is there is taken, and a day has its limit", arguments: TestDatabases.all)
    func once(database: TestDatabase) async throws {
        try await database.with { database in
            let fixture = try Fixture(database)
            let tenant = try await fixture.tenant("listed") {
                $0.didPolicy = .allowList
                $0.didPatterns = ["did:key:z6Mk*"]
                $0.didDailyLimit = 2
            }
            try await fixture.plane("dpl_1")
            try await fixture.plane("dpl_2", [tenant])
            let newcomer = try Self.newcomer()
            let user = try await fixture.users.create(
                UserContent {
                    $0.tenantID = tenant
                    $0.oid = newcomer.did
                }, by: Self.actor)
            async let one = fixture.newcomers.admit(newcomer, from: "dpl_1").code
            async let two = fixture.newcomers.admit(newcomer, from: "dpl_2").code
            #expect(try await [one, two] == ["", ""])
            let dids = try await fixture.dids.items([], PageRequest(), as: .all).items
            #expect(dids.map(\.content.userID) == [user.id])
            #expect(try await fixture.newcomers.admit(Self.newcomer(), from: "dpl_2").code == "")
            let third = try await fixture.newcomers.admit(Self.newcomer(), from: "dpl_2")
            #expect(third.code == "did_limit_reached" && third.status == 429 && third.retryAfterMs > 0)
            // Who is there already is not one more.
            #expect(try await fixture.newcomers.admit(newcomer, from: "dpl_2").code == "")
        }
    }
}
