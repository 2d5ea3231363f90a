import Crypto
import Domain
import Foundation
import Nouns
import Primitives
import Simulator
import Storage
import Testing
import Trust

@testable import Proxy

/// What a DID passes on counts inside of what it has, whichever data planes it is spent at.
@Suite("Grants with an amount over both planes", .timeLimit(.minutes(10)), .serialized)
struct BudgetGrantsTests {
    private static let model = "sim-in1-out1"

    private static func grant(_ key: Curve25519.Signing.PrivateKey, did: String, to subject: KeyID, id: String, amount: String) throws
        -> String
    {
        let expires = SystemClock().nowMilliseconds() / 1000 + 600
        let header = Base64URL.encode(Array(#"{"alg":"EdDSA","typ":"weir-grant+jwt"}"#.utf8))
        let claims = #"{"iss":"\#(did)","sub":"\#(subject)","jti":"\#(id)","exp":\#(expires),"amount":"\#(amount)"}"#
        let signed = header + "." + Base64URL.encode(Array(claims.utf8))
        return signed + "." + Base64URL.encode(Array(try key.signature(for: Array(signed.utf8))))
    }

    @Test("A grant is spent once, at all data planes together, and its DID's budget bounds all of its grants", arguments: TestDatabases.all)
    func areSpentOnce(database: TestDatabase) async throws {
        try await database.with { database in
            let provider = try await SimulatorServer.start()
            let control = try await RunningControl.start(database)
            // A dollar a request, whatever it holds.
            try await control.release(models: [Self.model], url: "http://127.0.0.1:\(provider.port)/v1") {
                $0.perRequest = NanoDollars(1_000_000_000)
            }
            let actor = RunningControl.administrator
            let project = try await control.project()
            let tenant = try await control.services.projects.get(project, as: .all).content.tenantID
            let key = try await control.key(project)
            let secret = Curve25519.Signing.PrivateKey()
            let text = "did:key:z" + Base58.encode([0xed, 0x01] + Array(secret.publicKey.rawRepresentation))
            let did = try await control.services.dids.create(
                DIDContent {
                    $0.tenantID = tenant
                    $0.did = text
                }, by: actor)
            let budget = try await control.services.budgets.create(
                BudgetContent {
                    $0.tenantID = tenant
                    $0.didID = did.id
                    $0.name = "the DID's"
                    $0.limit = AmountText("5")
                    $0.period = .never
                }, by: actor)
            let folders = [DataFolder(), DataFolder()]
            var planes: [RunningDataPlane] = []
            for folder in folders { planes.append(try await RunningDataPlane.start(folder.path, token: try await control.token())) }
            let fingerprint = try DID(text).fingerprint
            for plane in planes {
                #expect(
                    await plane.snapshot {
                        $0.isServing && $0.credentials.count == 1 && $0.directory.did(fingerprint: fingerprint) != nil
                            && !$0.directory.budgets.isEmpty && $0.directory.lookup(key.id) != nil
                    } != nil)
            }
            let body = #"{"model":"\#(Self.model)","max_tokens":1,"messages":[{"role":"user","content":"hello"}]}"#
            func ask(_ plane: RunningDataPlane, _ grant: String) async throws -> (status: Int, body: String) {
                try await plane.send(headers: ["Authorization: Bearer \(key.text)", "X-Weir-Grant: \(grant)"], body: body)
            }
            /// Asks here and there until so much is served, and then until both have said often that there is no more: what one holds and does
            /// not use goes to the other.
            func spend(_ grant: String, _ wanted: Int) async throws -> Int {
                var (served, refused, turn) = (0, 0, 0)
                let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
                while served < wanted || refused < 6, MonotonicClock.nowMicroseconds() < deadline {
                    let answer = try await ask(planes[turn % 2], grant)
                    turn += 1
                    switch answer.status {
                    case 200: (served, refused) = (served + 1, 0)
                    case 402:
                        #expect(answer.body.contains("insufficient_quota"), "\(answer.body)")
                        refused += 1
                        try await Task.sleep(for: .milliseconds(150))
                    case 503: try await Task.sleep(for: .milliseconds(100))
                    default: throw TestFailure(answer.body)
                    }
                }
                return served
            }
            #expect(try await spend(try Self.grant(secret, did: text, to: key.id, id: "first-grant", amount: "3"), 3) == 3)
            // The next one says more than its DID has left.
            #expect(try await spend(try Self.grant(secret, did: text, to: key.id, id: "second-grant", amount: "10"), 2) == 2)
            #expect(provider.ledger.count == 5)
            #expect(try await control.usage(reaching: 5).cost == 5_000_000_000)
            let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
            var state = try await control.services.budgetStates.state(of: budget.id, as: .all)
            while state.settled < 5_000_000_000, MonotonicClock.nowMicroseconds() < deadline {
                try await Task.sleep(for: .milliseconds(50))
                state = try await control.services.budgetStates.state(of: budget.id, as: .all)
            }
            #expect(state.settled == 5_000_000_000 && state.unknown == 0)
            for plane in planes { await plane.stop() }
            await control.stop()
            try await provider.shutdown()
        }
    }
}
