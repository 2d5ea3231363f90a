import Contract
import Crypto
import Foundation
import Primitives
import Synchronization
import Testing
import Trust

@testable import Proxy

@Suite("DIDs that nobody knows, at a data plane", .timeLimit(.minutes(10)))
struct NewcomerTests {
    static let model = "sim-in1-out1"

    /// A holder of a key that signs as docs/signing.md has it.
    struct Holder {
        let key = Curve25519.Signing.PrivateKey()
        var did: String { "did:key:z" + Base58.encode([0xed, 0x01] + Array(key.publicKey.rawRepresentation)) }

        func headers(
            _ method: String, _ path: String, body: String, seconds: Int64, query: String = "", host: String = "weir.test",
            spoil: Bool = false
        ) throws -> [String] {
            let nonce = Hex.encode(SecureRandom.bytes(16))
            let request = SignedRequest(
                method: Array(method.utf8), host: Array(host.utf8), path: Array(path.utf8), query: Array(query.utf8))
            let signed = request.canonicalBytes(
                .did, identity: did, timestamp: String(seconds), nonce: nonce, bodyDigest: SHA256Digest.of(Array(body.utf8)))
            let signature = Base64URL.encode(Array(try key.signature(for: spoil ? signed + [0] : signed)))
            return ["x-did: \(did)", "x-did-timestamp: \(seconds)", "x-did-nonce: \(nonce)", "x-did-signature: \(signature)"]
        }
    }

    /// A data plane whose one tenant takes DIDs, and the control plane's side of its questions.
    struct Fixture {
        let proxy: ProxyFixture
        let listening: Task<Void, Never>
        let number: UInt64

        /// - Parameter answer: nil: none comes.
        init(
            takes: Bool = true, patterns: [String] = [], hosts: [String] = [], change: (inout ProxySettings) -> Void = { _ in },
            answer: @escaping @Sendable (Weir_V1_Question, ProxyFixture) async -> Weir_V1_Answer?
        ) async throws {
            proxy = try await ProxyFixture(models: [NewcomerTests.model], change: change)
            var directory = proxy.directory
            directory.tenants[0].takesNewDids = takes
            directory.tenants[0].didPatterns = patterns
            directory.tenants[0].didHosts = hosts
            #expect(await proxy.store.apply(try proxy.snapshots.directory(2, directory)).accepted)
            let (number, questions) = proxy.store.questions.connected()
            self.number = number
            let (proxy, log) = (proxy, log)
            listening = Task {
                for await question in questions {
                    log.questions.withLock { $0.append(question) }
                    if var reply = await answer(question, proxy) {
                        reply.id = question.id
                        proxy.store.questions.answered(reply)
                    }
                }
            }
            try await ready()
        }

        final class Log: Sendable {
            let questions = Mutex<[Weir_V1_Question]>([])
        }
        let log = Log()
        var questions: [Weir_V1_Question] { log.questions.withLock { $0 } }

        /// The journal of the last process is read by the first fold; the directory reaches the loop in a turn of its own.
        private func ready() async throws {
            let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
            while proxy.signatures.nonces.take(
                RequestID(high: 1, low: UInt64.random(in: .min ... .max)), of: IDBits(high: 0, low: 0), nowMilliseconds: 0) == .notReady,
                MonotonicClock.nowMicroseconds() < deadline
            {
                try await ProxyFixture.pause()
            }
        }

        var seconds: Int64 { proxy.snapshots.clock.nowMilliseconds() / 1000 }
        var body: String { #"{"model":"\#(NewcomerTests.model)","messages":[{"role":"user","content":"hello"}]}"# }

        func chat(_ holder: Holder, spoil: Bool = false) async throws -> RawResponse {
            let path = "/v1/chat/completions"
            return try await proxy.send(
                "POST \(path)", headers: holder.headers("POST", path, body: body, seconds: seconds, spoil: spoil), body: body,
                authorised: false)
        }

        func models(_ holder: Holder) async throws -> RawResponse {
            try await proxy.send(
                "GET /v1/models", headers: holder.headers("GET", "/v1/models", body: "", seconds: seconds), authorised: false)
        }

        /// What the control plane sends when a DID was taken.
        static func register(_ did: String, _ proxy: ProxyFixture, version: UInt64 = 3, disabled: Bool = false) async {
            var directory = proxy.directory
            directory.tenants[0].takesNewDids = true
            var entry = Weir_V1_Did()
            entry.id = DIDEntryID.random().rawValue
            entry.tenantID = proxy.tenant.rawValue
            entry.fingerprint = Data((try? DID(did).fingerprint) ?? [])
            entry.disabled = disabled
            directory.dids = [entry]
            if let document = try? proxy.snapshots.directory(version, directory) {
                #expect(await proxy.store.apply(document).accepted)
            }
        }

        func finish() async throws -> [Weir_V1_UsageRecord] {
            proxy.store.questions.disconnected(number)
            listening.cancel()
            return try await proxy.finish()
        }
    }

    @Test func waitsForTheDirectoryAndServesFirstRequestsThatCameAtOnce() async throws {
        let fixture = try await Fixture { question, proxy in
            guard case .newcomer(let newcomer)? = question.question else { return nil }
            await Fixture.register(newcomer.did, proxy)
            return Weir_V1_Answer()
        }
        let holder = Holder()
        async let first = fixture.chat(holder)
        async let second = fixture.models(holder)
        let (one, other) = try await (first, second)
        #expect(one.status == 200, "\(one.text)")
        #expect(other.status == 200, "\(other.text)")
        #expect(other.body.contains(Self.model))
        #expect(fixture.questions.count == 1)
        // What was asked proves itself to the control plane.
        guard case .newcomer(let newcomer)? = fixture.questions.first?.question else { return }
        let (signed, signature) = (Array(newcomer.signed), Array(newcomer.signature))
        let now = fixture.proxy.snapshots.clock.nowMilliseconds()
        #expect(
            try NewcomerProof(did: newcomer.did, host: newcomer.host, signed: signed, signature: signature, nowMilliseconds: now).did.text
                == holder.did)
        for (host, bytes, later) in [
            ("other.test", signed, Int64(0)), (newcomer.host, signed + [10], 0), (newcomer.host, signed, 4_000_000),
        ] {
            #expect(throws: ProofProblem.self) {
                try NewcomerProof(did: newcomer.did, host: host, signed: bytes, signature: signature, nowMilliseconds: now + later)
            }
        }
        let records = try await fixture.finish()
        #expect(records.count == 1 && records.first?.did.hasPrefix("did_") == true)
    }

    @Test func asksNothingForTenantsThatTakeNoneAndForDIDsThatProveNothing() async throws {
        let off = try await Fixture(takes: false) { _, _ in Weir_V1_Answer() }
        #expect(try await off.chat(Holder()).errorCode == "unknown_did")
        #expect(off.questions.isEmpty)
        _ = try await off.finish()

        let listed = try await Fixture(patterns: ["did:pkh:*"], hosts: []) { _, _ in Weir_V1_Answer() }
        #expect(try await listed.chat(Holder()).errorCode == "unknown_did")
        _ = try await listed.finish()

        let elsewhere = try await Fixture(hosts: ["api.acme.example"]) { _, _ in Weir_V1_Answer() }
        #expect(try await elsewhere.chat(Holder()).errorCode == "unknown_did")
        _ = try await elsewhere.finish()

        let on = try await Fixture(hosts: ["weir.test"]) { _, _ in Weir_V1_Answer() }
        #expect(try await on.chat(Holder(), spoil: true).errorCode == "invalid_signature")
        #expect(on.questions.isEmpty)
        _ = try await on.finish()
    }

    @Test func tellsAWaitingCallerWhatTheControlPlaneSaysOrThatItSaysNothing() async throws {
        let limited = try await Fixture { _, _ in .init(code: "did_limit_reached", status: 429, retry: 60_000) }
        let told = try await limited.chat(Holder())
        #expect(told.status == 429 && told.errorCode == "did_limit_reached" && told.header("retry-after") == "60", "\(told.text)")
        _ = try await limited.finish()

        let silent = try await Fixture(change: { $0.questionTimeout = 150 }) { _, _ in nil }
        let late = try await silent.chat(Holder())
        #expect(late.status == 503 && late.errorCode == "did_not_ready" && late.header("retry-after") != nil, "\(late.text)")
        // Said, and the directory does not come.
        silent.proxy.store.questions.disconnected(silent.number)
        let away = try await silent.chat(Holder())
        #expect(away.status == 503 && away.errorCode == "control_plane_unavailable" && away.header("retry-after") != nil)
        #expect(try await silent.finish().isEmpty)
    }

    @Test func refusesOneThatWasShutOutWhileItWaited() async throws {
        let fixture = try await Fixture { question, proxy in
            guard case .newcomer(let newcomer)? = question.question else { return nil }
            await Fixture.register(newcomer.did, proxy, disabled: true)
            return Weir_V1_Answer()
        }
        #expect(try await fixture.chat(Holder()).errorCode == "did_disabled")
        #expect(try await fixture.finish().isEmpty)
    }

    @Test func boundsWhatStrangersCanMakeItComputeAndEndsThoseThatWaitWhenItStops() async throws {
        let fixture = try await Fixture(change: { $0.newDIDsPerAddress = 2 }) { _, _ in nil }
        let holders = [Holder(), Holder()]
        async let first = fixture.chat(holders[0])
        async let second = fixture.chat(holders[1])
        let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
        while fixture.questions.count < 2, MonotonicClock.nowMicroseconds() < deadline { try await ProxyFixture.pause() }
        let third = try await fixture.chat(Holder())
        #expect(third.status == 429 && third.errorCode == "too_many_new_dids" && third.header("retry-after") != nil, "\(third.text)")
        #expect(fixture.questions.count == 2)
        #expect(try await fixture.finish().isEmpty)
        #expect(try await [first.status, second.status].allSatisfy { $0 == 503 })
    }
}

extension Weir_V1_Answer {
    fileprivate init(code: String, status: UInt32, retry: Int64) {
        self.init()
        self.code = code
        self.status = status
        retryAfterMs = retry
    }
}
