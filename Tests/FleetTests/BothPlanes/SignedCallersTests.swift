import Crypto
import Domain
import Foundation
import Nouns
import Primitives
import Simulator
import Storage
import Synchronization
import Testing
import Trust

@testable import Proxy

/// Who signs, over both real planes.
@Suite("Callers that sign, over both planes", .timeLimit(.minutes(10)), .serialized)
struct SignedCallersTests {
    private static let model = "sim-in120-out64"

    private struct Signer {
        let plane: RunningDataPlane
        let body = #"{"model":"\#(SignedCallersTests.model)","messages":[{"role":"user","content":"hello"}]}"#

        private func ask(_ scheme: SignedRequest.Scheme, _ identity: String, _ headers: ([UInt8], String, String) throws -> [String])
            async throws
            -> (
                status: Int, body: String
            )
        {
            let (time, nonce) = (String(SystemClock().nowMilliseconds() / 1000), Hex.encode(SecureRandom.bytes(16)))
            let request = SignedRequest(
                method: Array("POST".utf8), host: Array("x".utf8), path: Array("/v1/chat/completions".utf8), query: [])
            let signed = request.canonicalBytes(
                scheme, identity: identity, timestamp: time, nonce: nonce, bodyDigest: SHA256Digest.of(Array(body.utf8)))
            return try await plane.send(headers: try headers(signed, time, nonce), body: body)
        }

        func hmac(_ keyID: KeyID, _ secret: Secret) async throws -> (status: Int, body: String) {
            try await ask(.hmac, keyID.rawValue) { signed, time, nonce in
                let tag = Hex.encode(RequestMAC.of(signed, secret: Array(secret.reveal().utf8)))
                return ["Authorization: WEIR-HMAC-SHA256 key_id=\(keyID), timestamp=\(time), nonce=\(nonce), signature=\(tag)"]
            }
        }

        func did(_ did: String, _ key: Curve25519.Signing.PrivateKey) async throws -> (status: Int, body: String) {
            try await ask(.did, did) { signed, time, nonce in
                let signature = Base64URL.encode(Array(try key.signature(for: signed)))
                return ["x-did: \(did)", "x-did-timestamp: \(time)", "x-did-nonce: \(nonce)", "x-did-signature: \(signature)"]
            }
        }
    }

    @Test(
        "A signing secret and a DID work at a data plane soon after they are made, and end soon after their end",
        arguments: TestDatabases.all)
    func signing(database: TestDatabase) async throws {
        try await database.with { database in
            let provider = try await SimulatorServer.start()
            let control = try await RunningControl.start(database)
            try await control.release(model: Self.model, url: "http://127.0.0.1:\(provider.port)/v1")
            let folder = DataFolder()
            let plane = try await RunningDataPlane.start(folder.path, token: try await control.token())
            let signer = Signer(plane: plane)
            let actor = RunningControl.administrator
            let project = try await control.project()
            let key = try await control.key(project)
            let secret = try await control.services.signingSecrets.create(SigningSecretContent { $0.keyID = key.id }, by: actor)
            #expect(secret.item.content.ciphertext.bytes.isEmpty == false && secret.item.json["ciphertext"] == nil)
            let tenant = try await control.services.projects.get(project, as: .all).content.tenantID
            let didKey = Curve25519.Signing.PrivateKey()
            let text = "did:key:z" + Base58.encode([0xed, 0x01] + Array(didKey.publicKey.rawRepresentation))
            let did = try await control.services.dids.create(
                DIDContent {
                    $0.tenantID = tenant
                    $0.did = text
                }, by: actor)
            let fingerprint = try DID(text).fingerprint
            #expect(
                await plane.snapshot {
                    $0.isServing && $0.credentials[key.id.rawValue] != nil && $0.directory.did(fingerprint: fingerprint) != nil
                } != nil)
            #expect(try await signer.hmac(key.id, secret.plaintext).status == 200)
            #expect(try await signer.did(text, didKey).status == 200)
            #expect(try await control.usage(reaching: 2).records == 2)

            // Another spelling of the same key is the same DID.
            let jwk = #"{"kty":"OKP","crv":"Ed25519","x":"\#(Base64URL.encode(Array(didKey.publicKey.rawRepresentation)))"}"#
            await #expect(throws: DomainError.self) {
                try await control.services.dids.create(
                    DIDContent {
                        $0.tenantID = tenant
                        $0.did = "did:jwk:" + Base64URL.encode(Array(jwk.utf8))
                    }, by: actor)
            }

            let rotated = try await control.services.signingSecrets.rotate(
                secret.item.id, at: nil, graceSeconds: 0, force: false, by: actor)
            let revision = UInt64(clamping: rotated.item.revision)
            #expect(await plane.snapshot { $0.credentials[key.id.rawValue]?.revision == revision } != nil)
            #expect(try await signer.hmac(key.id, secret.plaintext).status == 401)
            #expect(try await signer.hmac(key.id, rotated.plaintext).status == 200)

            try await control.services.signingSecrets.nouns.delete(rotated.item.id, at: rotated.item.revision, by: actor)
            try await control.services.dids.delete(did.id, at: did.revision, by: actor)
            #expect(
                await plane.snapshot { $0.credentials[key.id.rawValue] == nil && $0.directory.did(fingerprint: fingerprint) == nil } != nil)
            #expect(try await signer.hmac(key.id, rotated.plaintext).status == 401)
            #expect(try await signer.did(text, didKey).status == 403)
            await plane.stop()
            await control.stop()
            try await provider.shutdown()
        }
    }

    @Test(
        "A key that is frozen at one data plane is frozen at the others, for a time or until that is lifted", arguments: TestDatabases.all)
    func freezes(database: TestDatabase) async throws {
        try await database.with { database in
            let provider = try await SimulatorServer.start()
            let control = try await RunningControl.start(database)
            try await control.release(model: Self.model, url: "http://127.0.0.1:\(provider.port)/v1")
            let actor = RunningControl.administrator
            let key = try await control.key(try await control.project())
            let secret = try await control.services.signingSecrets.create(SigningSecretContent { $0.keyID = key.id }, by: actor)
            let stranger = try await control.services.tenants.create(TenantContent { $0.name = "stranger" }, by: actor)
            let folders = [DataFolder(), DataFolder(), DataFolder()]
            let near = try await RunningDataPlane.start(folders[0].path, token: try await control.token())
            let far = try await RunningDataPlane.start(folders[1].path, token: try await control.token())
            let apart = try await RunningDataPlane.start(folders[2].path, token: try await control.token(tenants: [stranger.id]))
            for plane in [near, far] {
                #expect(
                    await plane.snapshot {
                        $0.isServing && $0.credentials[key.id.rawValue] != nil && $0.directory.lookup(key.id) != nil
                    } != nil)
            }
            func eventually(_ holds: () async throws -> Bool) async throws -> Bool {
                let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
                while try await !holds() {
                    if MonotonicClock.nowMicroseconds() > deadline { return false }
                    try await Task.sleep(for: .milliseconds(20))
                }
                return true
            }
            func hmac(_ plane: RunningDataPlane, _ secret: Secret) async throws -> (status: Int, body: String) {
                try await Signer(plane: plane).hmac(key.id, secret)
            }
            #expect(try await hmac(far, secret.plaintext).status == 200)
            // Of a key of another tenant nothing is believed.
            let freeze = ReportedFreeze(keyID: key.id.rawValue, milliseconds: 60_000)
            #expect(try await control.services.freezes.take([freeze], from: apart.enrollment.dataPlaneID.rawValue) == 0)

            for _ in 0..<20 { #expect(try await hmac(near, Secret("wsig_wrong")).status == 401) }
            #expect(try await hmac(near, secret.plaintext).body.contains("key_frozen"))
            #expect(try await eventually { try await hmac(far, secret.plaintext).body.contains("key_frozen") })
            // The plain key is no guess, and works on.
            for plane in [near, far] { #expect(try await plane.chat(key: key.text, model: Self.model).status == 200) }
            let bans = try await control.services.bans.nouns.items([], PageRequest(limit: 10, after: nil), as: .all).items
            let ban = try #require(bans.first)
            #expect(bans.count == 1 && ban.content.subjectID == key.id.rawValue && ban.content.covers == .signatures)
            let left = (ban.content.expiresAt ?? 0) - SystemClock().nowMilliseconds()
            #expect(left > 200_000 && left <= 300_000 && ban.content.reason.contains("wrong signatures"))
            // It is told until that was heard, and a report of what is in force already changes nothing.
            let untold = { near.server.signatures.freezes.untold(nowMilliseconds: SystemClock().nowMilliseconds(), maximum: 10) }
            #expect(try await eventually { untold().isEmpty })
            #expect(try await control.services.freezes.take([freeze], from: far.enrollment.dataPlaneID.rawValue) == 0)

            try await control.services.bans.nouns.delete(ban.id, at: ban.revision, by: actor)
            for plane in [near, far] { #expect(try await eventually { try await hmac(plane, secret.plaintext).status == 200 }) }
            for plane in [near, far, apart] { await plane.stop() }
            await control.stop()
            try await provider.shutdown()
        }
    }

    /// One document at one address.
    private final class Host: OutboundHTTP {
        let document = Mutex("")

        func send(_ request: OutboundRequest) async throws(OutboundFailure) -> OutboundAnswer {
            guard request.url == "https://example.org/ann/did.json", request.method == .get else {
                throw OutboundFailure(.unreachable, "no")
            }
            return OutboundAnswer(status: 200, body: Array(document.withLock { $0 }.utf8))
        }
    }

    @Test("The keys of a did:web's document reach a data plane, and so do those that replace them", arguments: TestDatabases.all)
    func didWeb(database: TestDatabase) async throws {
        try await database.with { database in
            let provider = try await SimulatorServer.start()
            let host = Host()
            let control = try await RunningControl.start(database, outbound: host)
            try await control.release(model: Self.model, url: "http://127.0.0.1:\(provider.port)/v1")
            let plane = try await RunningDataPlane.start(DataFolder().path, token: try await control.token())
            let signer = Signer(plane: plane)
            let project = try await control.project()
            let tenant = try await control.services.projects.get(project, as: .all).content.tenantID
            let text = "did:web:example.org:ann"
            func publish(_ key: Curve25519.Signing.PrivateKey) {
                let multibase = "z" + Base58.encode([0xed, 0x01] + Array(key.publicKey.rawRepresentation))
                host.document.withLock {
                    $0 = #"""
                        {"id":"\#(text)","authentication":[{"id":"#k","type":"Multikey","controller":"\#(text)",
                        "publicKeyMultibase":"\#(multibase)"}]}
                        """#
                }
            }
            let (first, second) = (Curve25519.Signing.PrivateKey(), Curve25519.Signing.PrivateKey())
            publish(first)
            let did = try await control.services.dids.create(
                DIDContent {
                    $0.tenantID = tenant
                    $0.did = text
                }, by: RunningControl.administrator)
            let fingerprint = try DID(text).fingerprint
            func holds(_ key: Curve25519.Signing.PrivateKey) async -> Bool {
                let bytes = Array(key.publicKey.rawRepresentation)
                return await plane.snapshot { snapshot in
                    let entry = snapshot.directory.did(fingerprint: fingerprint)
                    return snapshot.isServing && entry.map { snapshot.directory.methods(of: $0).map(\.key.bytes) } == [bytes]
                } != nil
            }
            try await control.services.didDocuments.readDue()
            #expect(await holds(first))
            #expect(try await signer.did(text, first).status == 200)
            #expect(try await signer.did(text, second).status == 401)
            publish(second)
            let read = try await control.services.didDocuments.read(did.id, by: RunningControl.administrator)
            #expect(read.content.document?.status == .current)
            #expect(await holds(second))
            #expect(try await signer.did(text, second).status == 200)
            #expect(try await signer.did(text, first).status == 401)
            await plane.stop()
            await control.stop()
            try await provider.shutdown()
        }
    }
}
