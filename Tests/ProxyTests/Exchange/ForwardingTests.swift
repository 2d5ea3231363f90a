import Contract
import Foundation
import Primitives
import Testing
import Trust

@testable import Proxy

@Suite("What is handed on as it came", .timeLimit(.minutes(10)))
struct ForwardingTests {
    private typealias Holder = NewcomerTests.Holder

    /// A DID with a key of its own at the provider, or without.
    private struct Fixture {
        let inner: NewcomerTests.Fixture
        let holder = Holder()
        let didID = DIDEntryID.random().rawValue

        init(hasKey: Bool = true, answer: @escaping @Sendable (Weir_V1_Question, ProxyFixture) async -> Weir_V1_Answer? = { _, _ in nil })
            async throws
        {
            inner = try await NewcomerTests.Fixture(change: { $0.questionTimeout = 2000 }, answer: answer)
            var directory = inner.proxy.directory
            var entry = Weir_V1_Did()
            entry.id = didID
            entry.tenantID = inner.proxy.tenant.rawValue
            entry.fingerprint = Data(try DID(holder.did).fingerprint)
            directory.dids = [entry]
            #expect(await inner.proxy.store.apply(try inner.proxy.snapshots.directory(3, directory)).accepted)
            if hasKey { try await Self.give(didID, inner.proxy) }
        }

        static func give(_ didID: String, _ proxy: ProxyFixture, revision: UInt64 = 5) async throws {
            var secrets = Weir_V1_SealedSecrets()
            secrets.secrets = [try proxy.snapshots.sealed("sk-or-v1-own", id: didID, provider: "prov_a", revision: revision)]
            await proxy.store.apply(secrets)
        }

        func ask(
            _ method: String, _ rest: String, query: String = "", body: String = "", extra: [String] = [], signed: Bool = true
        ) async throws -> RawResponse {
            let path = "/api/v1/openrouter" + rest
            let headers =
                signed
                ? try holder.headers(method, path, body: body, seconds: inner.seconds, query: query)
                : ["authorization: Bearer \(inner.proxy.key)"]
            return try await inner.proxy.send(
                "\(method) \(path)\(query.isEmpty ? "" : "?" + query)", headers: headers + extra, body: body.isEmpty ? nil : body,
                authorised: false)
        }

        func chat(_ model: String, stream: Bool = false) async throws -> RawResponse {
            let body = #"{"model":"\#(model)","stream":\#(stream),"messages":[{"role":"user","content":"hello"}]}"#
            return try await ask("POST", "/chat/completions", body: body)
        }
    }

    @Test func takesTheProvidersWordForTheCostAndRecordsEachRequestOnce() async throws {
        let fixture = try await Fixture()
        let whole = try await fixture.chat("sim-in30-out4-cost1250")
        #expect(whole.status == 200 && whole.body.contains("\"cost\":1250e-06"), "\(whole.text)")
        let stream = try await fixture.chat("sim-in3-out4-usageinchoice-cost7", stream: true)
        #expect(stream.status == 200 && stream.body.contains("data: [DONE]"), "\(stream.text)")
        let unpriced = try await fixture.chat("sim-in3-out4")
        #expect(unpriced.status == 200)
        let models = try await fixture.ask("GET", "/models", query: "supported_parameters=tools")
        #expect(models.status == 200 && models.body.contains("sim-ok"), "\(models.text)")
        let page = try await fixture.chat("sim-html")
        #expect(page.status == 200 && page.body.contains("<"), "\(page.text)")
        let records = try await fixture.inner.finish()
        #expect(records.count == 5)
        #expect(Set(records.map(\.requestID)).count == 5)
        #expect(records.allSatisfy { $0.capability == .forward && $0.did == fixture.didID && $0.credentialID == fixture.didID })
        let byModel = Dictionary(grouping: records, by: \.model).mapValues { $0[0] }
        let first = try #require(byModel["sim-in30-out4-cost1250"])
        #expect(first.costNano == 1_250_000 && first.inputTokens == 30 && first.outputTokens == 4)
        #expect(UsageFlags(rawValue: first.flags).contains(.providerStatedCost) && first.priceID.isEmpty)
        #expect(byModel["sim-in3-out4-usageinchoice-cost7"]?.costNano == 7000)
        let third = try #require(byModel["sim-in3-out4"])
        #expect(third.costNano == 0 && UsageFlags(rawValue: third.flags).contains(.priceMissing))
        let list = try #require(byModel[""])
        #expect(list.costNano == 0 && list.inputTokens == 0 && list.flags == 0 && list.status == .completed)
    }

    @Test func letsNobodyReachBeyondHisOwnKey() async throws {
        let fixture = try await Fixture()
        for path in ["/keys", "/KEYS/", "/keys/abc", "/credits", "/auth/keys", "/workspaces/1", "/key/other", "/activity"] {
            let told = try await fixture.ask("GET", path)
            #expect(told.status == (path == "/KEYS/" ? 400 : 403), "\(path): \(told.text)")
        }
        #expect(try await fixture.ask("DELETE", "/key").errorCode == "path_not_allowed")
        for path in [
            "/../keys", "/models/../keys", "/%6beys", "/models//x", "/models/%2e%2e/keys", "/models%2fx", "/models/%zz", "/", "/a\\b",
        ] {
            #expect(try await fixture.ask("GET", path).status == 400, "\(path)")
        }
        // A key of ours is no DID.
        let key = try await fixture.ask("GET", "/models", signed: false)
        #expect(key.status == 401 && key.errorCode == "did_required")
        #expect(try await fixture.inner.finish().isEmpty)
    }

    @Test(arguments: [
        ("sim-status401", 502, "upstream_key_refused"), ("sim-status402", 402, "upstream_limit_reached"),
        ("sim-status429-retry3", 429, "provider_rate_limit"), ("sim-status500", 502, "provider_error"),
        ("sim-status503", 503, "provider_error"), ("sim-hangup", 502, "provider_closed"), ("sim-badhead", 502, "provider_bad_response"),
    ])
    func saysWhatTheProviderSaidInItsOwnWords(model: String, status: Int, code: String) async throws {
        let fixture = try await Fixture()
        let told = try await fixture.chat(model)
        #expect(told.status == status && told.errorCode == code, "\(told.text)")
        #expect(!told.text.contains("sk-or-v1"))
        // Nobody else hears of it: the endpoint serves on for all.
        let other = try await fixture.inner.proxy.chat(NewcomerTests.model)
        #expect(other.status == 200)
        let records = try await fixture.inner.finish()
        #expect(records.count == 2)
        let record = try #require(records.first { $0.capability == .forward })
        #expect(record.status == .failed && record.errorCode == code && record.attempts == 1 && record.httpStatus == UInt32(status))
    }

    @Test func waitsForAKeyThatIsBeingMade() async throws {
        let made = try await Fixture(hasKey: false) { question, proxy in
            guard case .upstreamKey(let wish)? = question.question else { return nil }
            try? await Fixture.give(wish.didID, proxy)
            return Weir_V1_Answer()
        }
        #expect(try await made.chat("sim-in3-out4-cost5").status == 200)
        #expect(try await made.inner.finish().count == 1)

        let failed = try await Fixture(hasKey: false) { _, _ in
            var answer = Weir_V1_Answer()
            answer.code = "upstream_key_failed"
            answer.retryAfterMs = 4000
            return answer
        }
        let told = try await failed.chat("sim-in3-out4-cost5")
        #expect(told.status == 503 && told.errorCode == "upstream_key_failed" && told.header("retry-after") == "4", "\(told.text)")
        #expect(try await failed.inner.finish().isEmpty)
    }
}
