import Contract
import Crypto
import Foundation
import Nouns
import Primitives
import Storage
import Synchronization
import Testing
import Trust

@testable import Domain

@Suite("Keys that DIDs have at a provider")
struct UpstreamKeyTests {
    private static let actor = Actor(id: "tok", name: "Ada", role: .owner, scope: .all)

    /// The provider: its keys, and what goes wrong with the next calls.
    private final class Provider: OutboundHTTP {
        enum Fault: CaseIterable {
            /// Nothing was sent.
            case unreachable
            /// Done, and the answer lost.
            case lost
            /// Not done.
            case refused, limited
            /// Nobody can tell from the answer: it was done.
            case broken, garbage
            /// Done when everybody has given up: at the next call but one.
            case late
        }

        private struct State {
            var keys: [String: (name: String, text: String, isDisabled: Bool)] = [:]
            var faults: [Fault] = []
            var late: [(calls: Int, name: String)] = []
            var made = 0
            var seen: [String] = []
        }
        private let state = Mutex(State())
        static let secret = "sk-mgmt"

        var keys: [String: (name: String, text: String, isDisabled: Bool)] { state.withLock { $0.keys } }
        var made: Int { state.withLock { $0.made } }
        var seen: [String] { state.withLock { $0.seen } }
        func fail(_ faults: Fault...) { state.withLock { $0.faults += faults } }
        func lose(_ hash: String) { state.withLock { $0.keys[hash] = nil } }

        func send(_ request: OutboundRequest) async throws(OutboundFailure) -> OutboundAnswer {
            let result: Result<OutboundAnswer, OutboundFailure> = state.withLock { state in
                let path = String(request.url.dropFirst("http://provider.test/api/v1".count))
                state.seen.append("\(request.method.rawValue) \(path)")
                for index in state.late.indices.reversed() {
                    state.late[index].calls -= 1
                    if state.late[index].calls <= 0 { _ = Self.make(&state, state.late.remove(at: index).name) }
                }
                let fault = state.faults.isEmpty ? nil : state.faults.removeFirst()
                switch fault {
                case .unreachable: return .failure(OutboundFailure(.unreachable, "nobody there"))
                case .refused: return .success(OutboundAnswer(status: 401))
                case .limited: return .success(OutboundAnswer(status: 429, headers: [("retry-after", "7")]))
                case .late where request.method == .post:
                    state.late.append((2, Self.name(request)))
                    return .failure(OutboundFailure(.timedOut, "no answer in time", wasSent: true))
                default: break
                }
                guard request.headers.first(where: { $0.name == "authorization" })?.value.reveal() == "Bearer \(Self.secret)" else {
                    return .success(OutboundAnswer(status: 401))
                }
                let answer = Self.act(&state, request, path)
                switch fault {
                case .lost, .late: return .failure(OutboundFailure(.broken, "the connection ended", wasSent: true))
                case .broken: return .success(OutboundAnswer(status: 502))
                case .garbage: return .success(OutboundAnswer(status: answer.status, body: Array("<html>".utf8)))
                default: return .success(answer)
                }
            }
            return try result.get()
        }

        private static func name(_ request: OutboundRequest) -> String {
            (try? JSONValue(parsing: request.body ?? []))?["name"]?.stringValue ?? ""
        }

        private static func make(_ state: inout State, _ name: String) -> (hash: String, text: String) {
            let (hash, text) = ("h\(state.made)", "sk-or-v1-\(state.made)")
            state.made += 1
            state.keys[hash] = (name, text, false)
            return (hash, text)
        }

        private static func act(_ state: inout State, _ request: OutboundRequest, _ path: String) -> OutboundAnswer {
            func json(_ status: Int, _ value: JSONValue) -> OutboundAnswer { OutboundAnswer(status: status, body: Array(value.text.utf8)) }
            let hash = String(path.dropFirst("/keys/".count))
            switch request.method {
            case .post:
                let made = make(&state, name(request))
                return json(201, ["data": ["hash": .string(made.hash)], "key": .string(made.text)])
            case .get:
                let offset = Int(path.split(separator: "=").last ?? "") ?? 0
                let all = state.keys.sorted { $0.key < $1.key }.map { key -> JSONValue in
                    ["hash": .string(key.key), "name": .string(key.value.name)]
                }
                return json(200, ["data": .array(Array(all.dropFirst(offset).prefix(3)))])
            case .patch:
                guard state.keys[hash] != nil else { return OutboundAnswer(status: 404) }
                let isDisabled = (try? JSONValue(parsing: request.body ?? []))?["disabled"] == .bool(true)
                state.keys[hash]?.isDisabled = isDisabled
                return json(200, [:])
            case .delete: return OutboundAnswer(status: state.keys.removeValue(forKey: hash) == nil ? 404 : 200)
            case .put: return OutboundAnswer(status: 405)
            }
        }
    }

    private struct Death: Error {}

    private struct Fixture {
        let clock = ManualClock(milliseconds: 1_790_000_000_000)
        let provider = Provider()
        let domain: DomainContext
        let cipher: AtRestCipher
        let services: ControlServices
        let keys: UpstreamKeyService
        let tenant: Tenant

        init(_ database: any Database, reached: @escaping @Sendable (UpstreamKeyService.Step) throws -> Void = { _ in }) async throws {
            domain = DomainContext(database: database, clock: clock, signal: ChangeSignal())
            cipher = try #require(AtRestCipher(masterKey: [UInt8](repeating: 7, count: 32)))
            services = ControlServices(domain, cipher: cipher)
            keys = UpstreamKeyService(
                domain, cipher: cipher, credentials: services.credentials, http: provider, deployment: "weir-test", reached: reached)
            let provider = try await services.providers.create(
                ProviderContent {
                    $0.name = "OpenRouter"
                    $0.baseURL = "http://provider.test/api/v1"
                }, by: UpstreamKeyTests.actor)
            let credential = try await services.credentials.nouns.create(
                CredentialContent {
                    $0.providerID = provider.id
                    $0.name = "management"
                    $0.purpose = .management
                    $0.secret = Secret(Provider.secret)
                }, by: UpstreamKeyTests.actor)
            tenant = try await services.tenants.create(
                TenantContent {
                    $0.name = "acme"
                    $0.didPolicy = .on
                    $0.didCredentialID = credential.id
                    $0.didKeyLimit = NanoDollars(2_500_000_000)
                }, by: UpstreamKeyTests.actor)
            try await domain.write(as: .all) { [clock] c in
                try DataPlaneContent.insert(
                    c, DataPlane(id: "dp_1", meta: .new(at: clock.nowMilliseconds()), content: DataPlaneContent { $0.name = "one" }))
            }
        }

        /// A DID, and the note that it is to have a key.
        func did() async throws -> Entity<DIDContent> {
            let key = Curve25519.Signing.PrivateKey()
            let did = try await services.dids.create(
                DIDContent {
                    $0.tenantID = tenant.id
                    $0.did = "did:key:z" + Base58.encode([0xed, 0x01] + Array(key.publicKey.rawRepresentation))
                }, by: UpstreamKeyTests.actor)
            try await domain.write(as: .all) { [tenant, clock] c in
                let change = NounChange(connection: c, actor: UpstreamKeyTests.actor, now: clock.nowMilliseconds(), number: 0)
                let wants = try UpstreamKeyService.want(did.id, tenant, change)
                #expect(wants)
            }
            return did
        }

        func rows() async throws -> [UpstreamKeyRow] {
            let dids = try await services.dids.items([], PageRequest(limit: 200), as: .all).items.map(\.id.rawValue)
            return try await domain.read(as: .all) { [clock] c in
                try dids.compactMap { try UpstreamKeysTable.find(c, didID: $0, now: clock.nowMilliseconds())?.row }
            }
        }

        /// As long as anything may be under way, and until all doubts are over.
        func settle(_ keys: UpstreamKeyService) async throws {
            for _ in 0..<30 {
                clock.advance(milliseconds: 61_000)
                try await keys.reconcile()
            }
            clock.advance(milliseconds: 3_700_000)
            try await keys.reconcile()
        }

        /// That the provider has what is wanted, and nothing else.
        func check(_ note: Comment) async throws {
            let rows = try await rows()
            #expect(rows.allSatisfy { $0.state == .active }, note)
            #expect(Set(rows.compactMap(\.hash)) == Set(provider.keys.keys), note)
            for row in rows {
                let known = provider.keys[row.hash ?? ""]
                let text = String(decoding: try keys.decrypt(row), as: UTF8.self)
                #expect(text == known?.text, note)
                #expect(known?.isDisabled == row.isDisabled, note)
            }
        }
    }

    @Test("A key is made once, follows its DID, and goes with it", arguments: TestDatabases.all)
    func life(database: TestDatabase) async throws {
        try await database.with { database in
            let fixture = try await Fixture(database)
            let (did, other) = (try await fixture.did(), try await fixture.did())
            try await fixture.keys.reconcile()
            try await fixture.check("made")
            #expect(fixture.provider.made == 2)
            #expect(try await fixture.services.dids.get(did.id, as: .all).content.upstreamKey == "active")
            #expect(try await fixture.keys.wish(did.id.rawValue, from: "dp_1").code == "")
            #expect(try await fixture.keys.wish("did_none", from: "dp_1").code == "no_upstream_key")
            await #expect(throws: FleetRefusal.self) { try await fixture.keys.wish(did.id.rawValue, from: "dp_2") }

            let ban = try await fixture.services.bans.nouns.create(BanContent { $0.subjectID = did.id.rawValue }, by: Self.actor)
            try await fixture.keys.reconcile()
            try await fixture.check("banned")
            #expect(fixture.provider.keys.values.filter(\.isDisabled).count == 1)
            #expect(try await fixture.keys.wish(did.id.rawValue, from: "dp_1").code == "did_disabled")
            try await fixture.services.bans.nouns.delete(ban.id, at: ban.revision, by: Self.actor)
            var disabled = other.content
            disabled.status = .disabled
            _ = try await fixture.services.dids.replace(other.id, at: other.revision, with: disabled, by: Self.actor)
            try await fixture.keys.reconcile()
            try await fixture.check("the one lifted, the other disabled")
            #expect(fixture.provider.keys.values.filter(\.isDisabled).count == 1)

            try await fixture.services.dids.delete(did.id, at: did.revision, by: Self.actor)
            try await fixture.keys.reconcile()
            #expect(fixture.provider.keys.count == 1)
            try await fixture.check("deleted")
            // What is to be done again is done by those who come after.
            #expect(fixture.provider.made == 2)
        }
    }

    @Test("Whatever a provider does, a DID ends with one key and is told what to do meanwhile", arguments: TestDatabases.all)
    func faults(database: TestDatabase) async throws {
        try await database.with { database in
            let fixture = try await Fixture(database)
            for fault in Provider.Fault.allCases {
                let did = try await fixture.did()
                fixture.provider.fail(fault)
                let told = try await fixture.keys.wish(did.id.rawValue, from: "dp_1")
                #expect(told.code == "upstream_key_failed" && told.retryAfterMs >= 1000 && told.status == 503, "\(fault): \(told)")
                #expect(!told.detail.contains(Provider.secret))
                #expect(fixture.domain.warnings.all.contains { $0.hasPrefix("upstream keys of cred_") }, "\(fault)")
                // Not asked again before its time.
                let seen = fixture.provider.seen.count
                #expect(try await fixture.keys.wish(did.id.rawValue, from: "dp_1").code == "upstream_key_failed")
                #expect(fixture.provider.seen.count == seen)
                fixture.clock.advance(milliseconds: 8000)
                #expect(try await fixture.keys.wish(did.id.rawValue, from: "dp_1").code == "", "\(fault)")
                try await fixture.settle(fixture.keys)
                try await fixture.check("\(fault)")
                #expect(fixture.domain.warnings.all.isEmpty)
            }
            // One that somebody deleted there is made anew when it is touched.
            let rows = try await fixture.rows()
            let first = try #require(rows.first)
            fixture.provider.lose(first.hash ?? "")
            let did = try await fixture.services.dids.get(DIDEntryID(first.didID), as: .all)
            let ban = try await fixture.services.bans.nouns.create(BanContent { $0.subjectID = did.id.rawValue }, by: Self.actor)
            try await fixture.keys.reconcile()
            try await fixture.services.bans.nouns.delete(ban.id, at: ban.revision, by: Self.actor)
            try await fixture.settle(fixture.keys)
            try await fixture.check("made anew")
        }
    }

    @Test("Two who ask at once make one key", arguments: TestDatabases.all)
    func atOnce(database: TestDatabase) async throws {
        try await database.with { database in
            let fixture = try await Fixture(database)
            let did = try await fixture.did().id.rawValue
            let other = UpstreamKeyService(
                fixture.domain, cipher: fixture.cipher, credentials: fixture.services.credentials, http: fixture.provider,
                deployment: "weir-test")
            async let one = fixture.keys.wish(did, from: "dp_1").code
            async let two = other.wish(did, from: "dp_1").code
            async let three: Void = other.reconcile()
            #expect(try await [one, two] == ["", ""])
            try await three
            #expect(fixture.provider.made == 1)
            try await fixture.check("once")
        }
    }

    /// Processes die between any two steps, providers fail in any way, DIDs are disabled and deleted meanwhile: in the end each DID that is
    /// there has one key, which opens, and the provider has no other. A seed that fails is printed, and replays.
    @Test("Whoever dies between two steps leaves nothing behind", arguments: TestDatabases.all)
    func crashes(database: TestDatabase) async throws {
        for seed in UInt64(1)...4 {
            try await database.with { database in
                let random = Mutex(SeededGenerator(seed: seed))
                let calm = Mutex(false)
                func chance(_ percent: UInt64) -> Bool { random.withLock { $0.next() % 100 < percent } }
                let fixture = try await Fixture(database) { _ in
                    if !calm.withLock({ $0 }), random.withLock({ $0.next() % 100 < 30 }) { throw Death() }
                }
                var dids: [Entity<DIDContent>] = []
                for round in 0..<14 {
                    if round < 5 { dids.append(try await fixture.did()) }
                    if chance(50), let fault = random.withLock({ Provider.Fault.allCases.randomElement(using: &$0) }) {
                        fixture.provider.fail(fault)
                    }
                    if chance(15), !dids.isEmpty {
                        let did = dids.removeFirst()
                        let present = try await fixture.services.dids.get(did.id, as: .all)
                        try await fixture.services.dids.delete(did.id, at: present.revision, by: Self.actor)
                    } else if chance(25), let did = dids.last {
                        let present = try await fixture.services.dids.get(did.id, as: .all)
                        var content = present.content
                        content.status = content.status == .active ? .disabled : .active
                        _ = try await fixture.services.dids.replace(did.id, at: present.revision, with: content, by: Self.actor)
                    }
                    // A death is a process that is gone; the next round is another's.
                    try? await fixture.keys.reconcile()
                    fixture.clock.advance(milliseconds: Int64(random.withLock { $0.next() % 40_000 }))
                }
                calm.withLock { $0 = true }
                // Those that are disabled and never had a key have none to be had.
                for did in dids {
                    let present = try await fixture.services.dids.get(did.id, as: .all)
                    guard present.content.status == .disabled else { continue }
                    var content = present.content
                    content.status = .active
                    _ = try await fixture.services.dids.replace(did.id, at: present.revision, with: content, by: Self.actor)
                }
                try await fixture.settle(fixture.keys)
                #expect(try await fixture.rows().count == dids.count, "seed \(seed)")
                try await fixture.check("seed \(seed)")
            }
        }
    }
}
