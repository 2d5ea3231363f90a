import Contract
import Crypto
import Foundation
import Primitives
import Synchronization
import Testing
import Trust

@testable import Proxy

@Suite("Requests that are signed")
struct SignedRequestTests {
    static let secret = "wsig_" + String(repeating: "a", count: 52)
    static let model = "sim-in1-out1"
    static let body = #"{"model":"\#(model)","messages":[{"role":"user","content":"hello"}]}"#

    /// A fixture whose key has a signing secret, and that knows a DID.
    struct Signer {
        let proxy: ProxyFixture
        let keyID: String
        let did: String
        let didKey: Curve25519.Signing.PrivateKey

        init(
            change: (inout ProxySettings) -> Void = { _ in }, adjustKey: (inout Weir_V1_VirtualKey) -> Void = { _ in },
            adjustDID: (inout Weir_V1_Did) -> Void = { _ in }
        ) async throws {
            proxy = try await ProxyFixture(models: [SignedRequestTests.model], change: change, adjustKey: adjustKey)
            keyID = proxy.directory.keys[0].id
            didKey = Curve25519.Signing.PrivateKey()
            did = "did:key:z" + Base58.encode([0xed, 0x01] + Array(didKey.publicKey.rawRepresentation))
            var secrets = Weir_V1_SealedSecrets()
            secrets.secrets = [try proxy.snapshots.sealed(SignedRequestTests.secret, id: keyID, provider: "")]
            await proxy.store.apply(secrets)
            var entry = Weir_V1_Did()
            entry.id = DIDEntryID.random().rawValue
            entry.tenantID = proxy.tenant.rawValue
            entry.fingerprint = Data(try DID(did).fingerprint)
            adjustDID(&entry)
            var directory = proxy.directory
            directory.dids = [entry]
            #expect(await proxy.store.apply(try proxy.snapshots.directory(2, directory)).accepted)
            // What the last process left is read by the first fold; the directory reaches the loop in a turn of its own.
            let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
            while try await [401, 503].contains(send(hmac()).status), MonotonicClock.nowMicroseconds() < deadline {
                try await ProxyFixture.pause()
            }
        }

        var now: Int64 { proxy.snapshots.clock.nowMilliseconds() / 1000 }

        func hmac(
            path: String = "/v1/chat/completions", query: String = "", body: String = SignedRequestTests.body,
            secret: String = SignedRequestTests.secret,
            keyID: String? = nil, nonce: String = Hex.encode(SecureRandom.bytes(16)), timestamp: String? = nil, method: String = "POST"
        ) -> [String] {
            let time = timestamp ?? String(now)
            let request = SignedRequest(
                method: Array(method.utf8), host: Array("weir.test".utf8), path: Array(path.utf8), query: Array(query.utf8))
            let signed = request.canonicalBytes(
                .hmac, identity: keyID ?? self.keyID, timestamp: time, nonce: nonce, bodyDigest: SHA256Digest.of(Array(body.utf8)))
            let tag = Hex.encode(RequestMAC.of(signed, secret: Array(secret.utf8)))
            return ["authorization: WEIR-HMAC-SHA256 key_id=\(keyID ?? self.keyID), timestamp=\(time), nonce=\(nonce), signature=\(tag)"]
        }

        func did(nonce: String = Hex.encode(SecureRandom.bytes(16)), spelled: String? = nil, body: String = SignedRequestTests.body) throws
            -> [String]
        {
            let request = SignedRequest(
                method: Array("POST".utf8), host: Array("weir.test".utf8), path: Array("/v1/chat/completions".utf8), query: [])
            let signed = request.canonicalBytes(
                .did, identity: spelled ?? did, timestamp: String(now), nonce: nonce, bodyDigest: SHA256Digest.of(Array(body.utf8)))
            let signature = Base64URL.encode(Array(try didKey.signature(for: signed)))
            return ["x-did: \(spelled ?? did)", "x-did-timestamp: \(now)", "x-did-nonce: \(nonce)", "x-did-signature: \(signature)"]
        }

        /// RFC 9421, with the DID's key.
        func message(keyID: String, algorithm: String? = nil) throws -> [String] {
            let digest = "sha-256=:\(Base64.encode(SHA256Digest.of(Array(SignedRequestTests.body.utf8)))):"
            let parameters =
                #"("@method" "@authority" "@path" "content-digest");created=\#(now);nonce="\#(Hex.encode(SecureRandom.bytes(8)))""#
                + (algorithm.map { ";alg=\"\($0)\"" } ?? "") + ";keyid=\"\(keyID)\""
            let base = [
                "\"@method\": POST", "\"@authority\": weir.test", "\"@path\": /v1/chat/completions", "\"content-digest\": \(digest)",
                "\"@signature-params\": \(parameters)",
            ].joined(separator: "\n")
            let signature = Base64.encode(Array(try didKey.signature(for: Array(base.utf8))))
            return ["content-digest: \(digest)", "signature-input: sig=\(parameters)", "signature: sig=:\(signature):"]
        }

        func send(
            _ headers: [String], path: String = "/v1/chat/completions", body: String? = SignedRequestTests.body, method: String = "POST"
        ) async throws -> RawResponse {
            try await proxy.send("\(method) \(path)", headers: headers, body: body, authorised: false)
        }
    }

    private static func name(_ identity: String, _ nonce: String) -> RequestID {
        Array(identity.utf8).withUnsafeBytes { identity in
            Array(nonce.utf8).withUnsafeBytes { NonceMemory.name(of: identity, $0) }
        }
    }

    @Test func servesWhoSignsWithHMACAndRecordsTheKey() async throws {
        let signer = try await Signer()
        let answer = try await signer.send(
            signer.hmac(path: "/v1/chat/completions", query: "b=2&a=1"), path: "/v1/chat/completions?a=1&b=2")
        #expect(answer.status == 200, "\(answer.text)")
        let models = try await signer.send(
            signer.hmac(path: "/v1/models", body: "", method: "GET"), path: "/v1/models", body: nil, method: "GET")
        #expect(models.status == 200 && models.body.contains(Self.model))
        let records = try await signer.proxy.finish()
        #expect(records.count == 2)
        #expect(records.allSatisfy { $0.keyID == signer.keyID && $0.tenantID == signer.proxy.tenant.rawValue })
    }

    @Test func refusesWhatWasNotSignedSo() async throws {
        let signer = try await Signer()
        let late = try await signer.send(signer.hmac(timestamp: String(signer.now - 612)))
        #expect(late.status == 401 && late.errorCode == "invalid_signature" && late.body.contains("612 s behind"))
        for (headers, path, body) in [
            (signer.hmac(), "/v1/chat/completions?a=1", Self.body), (signer.hmac(), "/v1/chat/completions", Self.body + " "),
            (signer.hmac(secret: "wsig_other"), "/v1/chat/completions", Self.body),
            (signer.hmac(method: "PUT"), "/v1/chat/completions", Self.body),
            (signer.hmac(timestamp: "\(signer.now).5"), "/v1/chat/completions", Self.body),
            (signer.hmac(timestamp: "\(signer.now)000"), "/v1/chat/completions", Self.body),
            (signer.hmac(nonce: "short"), "/v1/chat/completions", Self.body),
            (signer.hmac(keyID: KeyID.random().rawValue), "/v1/chat/completions", Self.body),
            (signer.hmac(keyID: signer.proxy.directory.keys[1].id), "/v1/chat/completions", Self.body),
            (["authorization: WEIR-HMAC-SHA256 key_id=\(signer.keyID)"], "/v1/chat/completions", Self.body),
        ] {
            let answer = try await signer.send(headers, path: path, body: body)
            #expect(answer.status == 401 && answer.errorCode == "invalid_signature", "\(answer.text)")
        }
        #expect(try await signer.proxy.finish().count == 1)
    }

    @Test func countsASignatureOnceAlsoAfterARestart() async throws {
        let signer = try await Signer()
        let headers = signer.hmac()
        #expect(try await signer.send(headers).status == 200)
        let again = try await signer.send(headers)
        #expect(again.status == 401 && again.errorCode == "nonce_reused")
        let nonce = "a-nonce-of-the-test"
        #expect(try await signer.send(signer.hmac(nonce: nonce)).status == 200)
        _ = try await signer.proxy.finish()

        let local = try signer.proxy.snapshots.local()
        let clock = signer.proxy.snapshots.clock
        func memory() throws -> NonceMemory { try SignatureDesk.make(ProxySettings(), store: local, clock: clock).desk.nonces }
        let tenant = try #require(IDBits(signer.proxy.tenant))
        let name = Self.name(signer.keyID, nonce)
        let present = try memory()
        #expect(present.take(name, of: tenant, nowMilliseconds: clock.nowMilliseconds()) == .notReady)
        present.recovered()
        #expect(present.take(name, of: tenant, nowMilliseconds: clock.nowMilliseconds()) == .used)
        // A signature that was made 300 s ahead is valid for 600 s.
        clock.advance(milliseconds: 599_000)
        #expect(try memory().count == 3)
        clock.advance(milliseconds: 2000)
        #expect(try memory().count == 0)
        local.close()
    }

    @Test func readsWhatAKilledProcessLeftInTheJournal() async throws {
        let fixture = SnapshotFixture()
        let (tenant, nonce) = (try #require(IDBits(TenantID.random())), Self.name("key_a", "nonce"))
        // More than a row holds, of two tenants.
        let other = try #require(IDBits(TenantID.random()))
        let others = (0..<150).map { Self.name("key_b", "\($0)") }
        func run(_ body: (UsagePipeline, NonceMemory) throws -> Void) throws {
            let local = try fixture.local()
            let (desk, keeper) = try SignatureDesk.make(ProxySettings(), store: local, clock: fixture.clock)
            var settings = JournalSettings()
            settings.segmentBytes = 1 << 20
            let pipeline = try UsagePipeline(
                store: local, journalDirectory: fixture.folder.path + "/journal", settings: settings, loops: 1, participants: [keeper],
                logger: fixture.logger, clock: fixture.clock, estimateInterrupted: { _ in [] })
            try body(pipeline, desk.nonces)
            local.close()
        }
        try run { pipeline, _ in
            let journal = try pipeline.journal(loop: 0) { $0() }
            let until = fixture.clock.nowMilliseconds() + 600_000
            try NonceNote.write(nonce, until: until, tenant: tenant, to: journal)
            for name in others { try NonceNote.write(name, until: until, tenant: other, to: journal) }
            try journal.flush()
            // Nothing is folded or closed: the process is gone.
        }
        try run { pipeline, memory in
            #expect(memory.count == 0)
            while try !pipeline.folder.foldOnce().isDrained {}
            memory.recovered()
            #expect(memory.take(nonce, of: tenant, nowMilliseconds: fixture.clock.nowMilliseconds()) == .used)
        }
        try run { _, memory in
            #expect(memory.count == 151)
            memory.recovered()
            let now = fixture.clock.nowMilliseconds()
            #expect(others.allSatisfy { memory.take($0, of: other, nowMilliseconds: now) == .used })
        }
    }

    @Test func refusesRatherThanForgetsWhenThereIsNoRoom() throws {
        let memory = NonceMemory(skewSeconds: 300, maximum: 64 * 8)
        let (greedy, other) = (try #require(IDBits(TenantID.random())), try #require(IDBits(TenantID.random())))
        func take(_ index: Int, _ tenant: IDBits, now: Int64 = 1_000_000) -> NonceMemory.Verdict {
            memory.take(Self.name("", "\(index)"), of: tenant, nowMilliseconds: now)
        }
        let verdicts = (0..<4000).map { take($0, greedy) }
        #expect(verdicts.contains(.full))
        // Nothing that was taken is taken again.
        for index in 0..<4000 { #expect(take(index, greedy) == (verdicts[index] == .taken ? .used : .full)) }
        // Who holds little still finds room where there is some.
        #expect((5000..<5200).contains { take($0, other) == .taken })
        let count = memory.count
        #expect(count <= 64 * 8)
        #expect(take(9000, greedy, now: 1_000_000 + 700_000 + 80_000) == .taken)
    }

    @Test func freezesAKeyWhoseSignaturesAreWrong() async throws {
        let signer = try await Signer { $0.freezeAfter = 5 }
        for _ in 0..<5 { #expect(try await signer.send(signer.hmac(secret: "wsig_wrong")).status == 401) }
        let frozen = try await signer.send(signer.hmac())
        #expect(frozen.status == 403 && frozen.errorCode == "key_frozen" && frozen.header("retry-after") != nil, "\(frozen.text)")
        // Its plain key is no guess, and works on.
        #expect(try await signer.proxy.chat(Self.model).status == 200)
        #expect(signer.proxy.signatures.freezes.frozen(nowMilliseconds: signer.now * 1000).count == 1)
        signer.proxy.snapshots.clock.advance(milliseconds: 300_000)
        #expect(try await signer.send(signer.hmac()).status == 200)
        _ = try await signer.proxy.finish()
    }

    @Test func tellsOfAFreezeUntilTheBansDoAndEndsItWithThem() throws {
        let freezes = KeyFreezes(failures: 2, windowMilliseconds: 1000, durationMilliseconds: 10_000)
        let (key, other) = (try #require(IDBits(KeyID.random())), try #require(IDBits(KeyID.random())))
        let told = Mutex(0)
        freezes.onFreeze { told.withLock { $0 += 1 } }
        #expect(!freezes.failed(key, nowMilliseconds: 0) && freezes.failed(key, nowMilliseconds: 1))
        #expect(told.withLock { $0 } == 1)
        #expect(freezes.untold(nowMilliseconds: 2, maximum: 9) == [KeyFreezes.Frozen(key: key, until: 10_001)])
        #expect(freezes.untold(nowMilliseconds: 10_001, maximum: 9).isEmpty)
        // The control plane's word counts beside one's own, and its end ends both.
        freezes.take([key: 20_000, other: 5000])
        #expect(freezes.frozenUntil(key, nowMilliseconds: 15_000) == 20_000 && freezes.frozenUntil(other, nowMilliseconds: 0) == 5000)
        #expect(freezes.frozenUntil(other, nowMilliseconds: 5000) == nil)
        freezes.take([:])
        #expect(freezes.frozenUntil(key, nowMilliseconds: 2) == nil)
        #expect(freezes.untold(nowMilliseconds: 2, maximum: 9).isEmpty)
    }

    @Test func servesADIDInAnySpellingAndNobodyElse() async throws {
        let signer = try await Signer()
        #expect(try await signer.send(try signer.did()).status == 200)
        let jwk = #"{"kty":"OKP","crv":"Ed25519","x":"\#(Base64URL.encode(Array(signer.didKey.publicKey.rawRepresentation)))"}"#
        let spelled = "did:jwk:" + Base64URL.encode(Array(jwk.utf8))
        let nonce = "one-nonce-for-two-spellings"
        // An SDK's made-up key does not count beside the signature.
        let first = try await signer.send(try signer.did(nonce: nonce, spelled: spelled) + ["authorization: Bearer sk-none"])
        #expect(first.status == 200, "\(first.text)")
        let second = try await signer.send(try signer.did(nonce: nonce))
        #expect(second.status == 401 && second.errorCode == "nonce_reused")
        let changed = try await signer.send(try signer.did(body: "{}"))
        #expect(changed.status == 401 && changed.errorCode == "invalid_signature")
        let stranger = "did:key:z" + Base58.encode([0xed, 0x01] + Array(Curve25519.Signing.PrivateKey().publicKey.rawRepresentation))
        let unknown = try await signer.send(try signer.did(spelled: stranger))
        #expect(unknown.status == 403 && unknown.errorCode == "unknown_did")
        let malformed = try await signer.send(["x-did: did:key:zzz", "x-did-timestamp: 1", "x-did-nonce: 1", "x-did-signature: 1"])
        #expect(malformed.status == 401 && malformed.errorCode == "invalid_signature")
        let records = try await signer.proxy.finish()
        #expect(records.count { $0.did.hasPrefix("did_") && $0.keyID.isEmpty } == 2)
    }

    @Test func verifiesADidWebByTheKeysOfItsDocument() async throws {
        let text = "did:web:example.org"
        let (fingerprint, other) = (Data(try DID(text).fingerprint), Curve25519.Signing.PrivateKey())
        // The signer's own key is one of the document's; it is known when the DID's entry is made.
        let signer = try await Signer()
        func publish(_ version: UInt64, _ keys: [(String, UInt32, Data)]) async throws {
            var entry = Weir_V1_Did()
            entry.id = DIDEntryID.random().rawValue
            entry.tenantID = signer.proxy.tenant.rawValue
            entry.fingerprint = fingerprint
            entry.methods = keys.map { key in
                var method = Weir_V1_DidMethod()
                (method.id, method.curve, method.key) = key
                return method
            }
            var directory = signer.proxy.directory
            directory.dids = [entry]
            #expect(await signer.proxy.store.apply(try signer.proxy.snapshots.directory(version, directory)).accepted)
        }
        func ask(_ expected: String) async throws -> RawResponse {
            // A directory reaches the loop in a turn of its own.
            let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
            var answer = try await signer.send(try signer.did(spelled: text))
            while (answer.errorCode ?? "") != expected, MonotonicClock.nowMicroseconds() < deadline {
                try await ProxyFixture.pause()
                answer = try await signer.send(try signer.did(spelled: text))
            }
            return answer
        }
        let own = Data(signer.didKey.publicKey.rawRepresentation)
        #expect(try await signer.send(try signer.did(spelled: text)).errorCode == "unknown_did")
        // A curve of a later release is passed over.
        try await publish(3, [("a", 1, other.publicKey.rawRepresentation), ("b", 1, own), ("c", 99, Data([1]))])
        #expect(try await ask("").status == 200)
        let changed = try await signer.send(try signer.did(spelled: text, body: "{}"))
        #expect(changed.status == 401 && changed.errorCode == "invalid_signature")
        for (method, status) in [("b", 200), ("a", 401), ("c", 401), ("d", 401)] {
            let answer = try await signer.send(try signer.message(keyID: "\(text)#\(method)"))
            #expect(answer.status == status, "\(method): \(answer.text)")
        }
        #expect(try await signer.send(try signer.message(keyID: text, algorithm: "ed25519")).status == 200)
        let curve = try await signer.send(try signer.message(keyID: text, algorithm: "ecdsa-p256-sha256"))
        #expect(curve.errorCode == "invalid_signature" && curve.body.contains("no key for authentication"), "\(curve.text)")
        try await publish(4, [("a", 1, other.publicKey.rawRepresentation)])
        #expect(try await ask("invalid_signature").status == 401)
        try await publish(5, [])
        #expect(try await ask("did_without_keys").status == 403)
        _ = try await signer.proxy.finish()
    }

    @Test func refusesADisabledDID() async throws {
        let signer = try await Signer(adjustDID: { $0.disabled = true })
        let answer = try await signer.send(try signer.did())
        #expect(answer.status == 403 && answer.errorCode == "did_disabled")
        _ = try await signer.proxy.finish()
    }

    @Test func verifiesHTTPMessageSignatures() async throws {
        let signer = try await Signer()
        let digest = "sha-256=:\(Base64.encode(SHA256Digest.of(Array(Self.body.utf8)))):"
        func headers(_ components: String, keyID: String, nonce: String = Hex.encode(SecureRandom.bytes(8)), digest: String = digest) throws
            -> [String]
        {
            let parameters = "(\(components));created=\(signer.now);nonce=\"\(nonce)\";keyid=\"\(keyID)\""
            let values = [
                "\"@method\"": "POST", "\"@authority\"": "weir.test", "\"@path\"": "/v1/chat/completions", "\"content-digest\"": digest,
            ]
            let lines =
                components.split(separator: " ").map { "\($0): \(values[String($0)] ?? "")" } + ["\"@signature-params\": \(parameters)"]
            let base = Array(lines.joined(separator: "\n").utf8)
            let signature =
                keyID.hasPrefix("key_")
                ? RequestMAC.of(base, secret: Array(Self.secret.utf8)) : Array(try signer.didKey.signature(for: base))
            return [
                "content-digest: \(digest)", "signature-input: other=(\"@method\");keyid=\"proxy\", sig=\(parameters)",
                "signature: other=:AAAA:, sig=:\(Base64.encode(signature)):",
            ]
        }
        let all = #""@method" "@authority" "@path" "content-digest""#
        for keyID in [signer.did, signer.did + "#" + signer.did.dropFirst(8), signer.keyID] {
            let answer = try await signer.send(try headers(all, keyID: keyID))
            #expect(answer.status == 200, "\(answer.text)")
        }
        // What is a good keyid is no DID.
        let url = try await signer.send(try signer.did(spelled: signer.did + "#" + signer.did.dropFirst(8)))
        #expect(url.status == 401 && url.errorCode == "invalid_signature", "\(url.text)")
        let uncovered = try await signer.send(try headers(#""@method" "@authority" "@path""#, keyID: signer.did))
        #expect(uncovered.status == 401 && uncovered.body.contains("content-digest"))
        let unquestioned = try await signer.send(try headers(all, keyID: signer.did), path: "/v1/chat/completions?a=1")
        #expect(unquestioned.status == 401 && unquestioned.body.contains("@query"))
        let other = try await signer.send(try headers(all, keyID: signer.did), body: Self.body + " ")
        #expect(other.status == 401 && other.body.contains("Content-Digest"))
        let nonce = "0123456789abcdef"
        #expect(try await signer.send(try headers(all, keyID: signer.did, nonce: nonce)).status == 200)
        #expect(try await signer.send(try headers(all, keyID: signer.did, nonce: nonce)).errorCode == "nonce_reused")
        _ = try await signer.proxy.finish()
    }

    @Test func keepsAKeyToItsNetworksAndDomains() async throws {
        let near = try await Signer(adjustKey: { $0.networks = ["127.0.0.0/8"] })
        #expect(try await near.proxy.chat(Self.model).status == 200)
        // Nobody said that the peer is a proxy: what it writes is its own.
        #expect(try await near.proxy.chat(Self.model, headers: ["x-forwarded-for: 203.0.113.9"]).status == 200)
        _ = try await near.proxy.finish()

        let far = try await ProxyFixture(
            models: [Self.model], change: { $0.trustedProxies = ["127.0.0.1"] },
            adjustKey: {
                $0.networks = ["203.0.113.0/24", "2001:db8::/32"]
                $0.domains = ["app.example", "*.app.example"]
            })
        let origin = "origin: https://app.example"
        for (hops, page, status) in [
            ("203.0.113.9", origin, 200), ("198.51.100.1, 203.0.113.9", origin, 200), ("203.0.113.9, 198.51.100.1", origin, 403),
            ("2001:db8::1", "origin: https://eu.app.example:8443", 200), ("203.0.113.9", "origin: https://evil.example", 403),
            ("203.0.113.9", "origin: https://evilapp.example", 403), ("203.0.113.9", "x: y", 403), ("nonsense", origin, 403),
        ] {
            let answer = try await far.chat(Self.model, headers: ["x-forwarded-for: \(hops)", page])
            #expect(answer.status == status, "\(hops), \(page): \(answer.text)")
        }
        #expect(try await far.chat(Self.model, headers: [origin]).errorCode == "address_not_allowed")
        _ = try await far.finish()
    }

    @Test func letsAKeyAskInTheNameOfADIDThatGrantedIt() async throws {
        let signer = try await Signer(adjustKey: { $0.models = ["another"] })
        func grant(_ claims: String = "", id: String = "grant-0001", subject: String? = nil) throws -> String {
            let payload =
                #"{"iss":"\#(signer.did)","sub":"\#(subject ?? signer.keyID)","jti":"\#(id)","exp":\#(signer.now + 60)\#(claims)}"#
            let signed =
                Base64URL.encode(Array(#"{"alg":"EdDSA","typ":"weir-grant+jwt"}"#.utf8)) + "." + Base64URL.encode(Array(payload.utf8))
            return "x-weir-grant: " + signed + "." + Base64URL.encode(Array(try signer.didKey.signature(for: Array(signed.utf8))))
        }
        func ask(_ grant: String) async throws -> RawResponse { try await signer.proxy.chat(Self.model, headers: [grant]) }
        // The model is none of the key's own.
        #expect(try await signer.proxy.chat(Self.model).errorCode == "model_not_allowed")
        #expect(try await ask(grant()).status == 200)
        #expect(try await ask(grant(#","models":["\#(Self.model)"]"#)).status == 200)
        #expect(try await ask(grant(#","models":["another"]"#)).errorCode == "model_not_allowed")
        #expect(try await ask(grant(#","max_usd":"2.00""#)).errorCode == "invalid_grant")
        #expect(try await ask(grant(subject: KeyID.random().rawValue)).errorCode == "grant_not_yours")
        #expect(try await ask("x-weir-grant: nonsense").errorCode == "invalid_grant")

        var revoked = Weir_V1_RevokedGrant()
        revoked.id = "rvk_" + DIDEntryID.random().suffix
        revoked.tenantID = signer.proxy.tenant.rawValue
        revoked.name = Data(SHA256Digest.of(try DID(signer.did).fingerprint + Array("grant-0001".utf8)))
        var directory = signer.proxy.directory
        var entry = Weir_V1_Did()
        entry.id = DIDEntryID.random().rawValue
        entry.tenantID = signer.proxy.tenant.rawValue
        entry.fingerprint = Data(try DID(signer.did).fingerprint)
        directory.dids = [entry]
        directory.revokedGrants = [revoked]
        #expect(await signer.proxy.store.apply(try signer.proxy.snapshots.directory(3, directory)).accepted)
        let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
        while try await ask(grant()).status == 200, MonotonicClock.nowMicroseconds() < deadline { try await ProxyFixture.pause() }
        #expect(try await ask(grant()).errorCode == "grant_revoked")
        #expect(try await ask(grant(id: "grant-0002")).status == 200)
        let records = try await signer.proxy.finish().filter { !$0.did.isEmpty }
        #expect(!records.isEmpty && records.allSatisfy { $0.keyID == signer.keyID && !$0.projectID.isEmpty })
    }
}
