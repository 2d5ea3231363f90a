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

/// The first request of a DID that nobody knows, over both real planes.
@Suite("New DIDs, over both planes", .timeLimit(.minutes(10)), .serialized)
struct NewcomersTests {
    fileprivate static let model = "sim-in120-out64"

    /// Who signs with a did:key.
    struct Holder: Sendable {
        let key = Curve25519.Signing.PrivateKey()
        var did: String { "did:key:z" + Base58.encode([0xed, 0x01] + Array(key.publicKey.rawRepresentation)) }

        func headers(_ method: String, _ path: String, query: String = "", body: String = "", host: String = "x") throws -> [String] {
            let (time, nonce) = (String(SystemClock().nowMilliseconds() / 1000), Hex.encode(SecureRandom.bytes(16)))
            let request = SignedRequest(
                method: Array(method.utf8), host: Array(host.utf8), path: Array(path.utf8), query: Array(query.utf8))
            let signed = request.canonicalBytes(
                .did, identity: did, timestamp: time, nonce: nonce, bodyDigest: SHA256Digest.of(Array(body.utf8)))
            let signature = Base64URL.encode(Array(try key.signature(for: signed)))
            return ["x-did: \(did)", "x-did-timestamp: \(time)", "x-did-nonce: \(nonce)", "x-did-signature: \(signature)"]
        }

        func chat(_ plane: RunningDataPlane, model: String = NewcomersTests.model) async throws -> (status: Int, body: String) {
            let body = #"{"model":"\#(model)","messages":[{"role":"user","content":"hello"}]}"#
            return try await plane.send(headers: try headers("POST", "/v1/chat/completions", body: body), body: body)
        }
    }

    @Test("First requests at two data planes at once make one DID and one user", arguments: TestDatabases.all)
    func firstRequests(database: TestDatabase) async throws {
        try await database.with { database in
            let provider = try await SimulatorServer.start()
            let control = try await RunningControl.start(database)
            try await control.release(model: Self.model, url: "http://127.0.0.1:\(provider.port)/v1")
            let actor = RunningControl.administrator
            let tenant = try await control.services.tenants.create(
                TenantContent {
                    $0.name = "acme"
                    $0.didPolicy = .on
                }, by: actor)
            let folders = [DataFolder(), DataFolder()]
            var planes: [RunningDataPlane] = []
            for folder in folders { planes.append(try await RunningDataPlane.start(folder.path, token: try await control.token())) }
            let probe = Holder().did
            for plane in planes {
                #expect(await plane.snapshot { $0.isServing && $0.directory.tenant(taking: probe, signingFor: "x") != nil } != nil)
                try await plane.canAsk()
            }
            let holder = Holder()
            let (one, other) = (planes[0], planes[1])
            async let first = holder.chat(one)
            async let second = holder.chat(other)
            let answers = try await [first, second]
            for answer in answers { #expect(answer.status == 200, "\(answer.body)") }
            let dids = try await control.services.dids.items([], PageRequest(), as: .all).items
            #expect(dids.map(\.content.did) == [holder.did])
            #expect(dids.first?.content.tenantID == tenant.id && dids.first?.content.provisionedBy != nil)
            let users = try await control.services.users.nouns.items([], PageRequest(), as: .all).items
            #expect(users.map(\.content.oid) == [holder.did] && users.first?.id == dids.first?.content.userID)

            // A policy that is off lets in nobody new, and who is in stays.
            var closed = tenant.content
            closed.didPolicy = .off
            _ = try await control.services.tenants.replace(tenant.id, at: tenant.revision, with: closed, by: actor)
            #expect(await one.snapshot { $0.directory.tenant(taking: probe, signingFor: "x") == nil } != nil)
            #expect(try await Holder().chat(one).status == 403)
            #expect(try await holder.chat(one).status == 200)
            #expect(try await control.usage(reaching: 3).records == 3)
            for plane in planes { await plane.stop() }
            await control.stop()
            try await provider.shutdown()
        }
    }
}
