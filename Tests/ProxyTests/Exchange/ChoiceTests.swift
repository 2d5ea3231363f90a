import Contract
import Logging
import NIOCore
import Primitives
import Telemetry
import Testing

@testable import Proxy

@Suite("Which endpoint, and which one after it", .timeLimit(.minutes(10)))
struct ChoiceTests {
    @Test func isDrawnAnewAmongWhatIsLeft() async throws {
        let first = try await RawProvider.start(.json(503, "{}"))
        let second = try await RawProvider.start(.good)
        let third = try await RawProvider.start(.good)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [first.url, second.url, third.url]) {
            $0.breakerMinimum = 1000
        } adjustConfig: { config in
            for index in config.routes[0].targets.indices { config.routes[0].targets[index].weight = 1 }
        }
        for _ in 0..<60 { #expect(try await proxy.chat("m").status == 200) }
        let afterFailure = try await proxy.finish().filter { $0.attempts == 2 }.map(\.endpointID)
        // Of some twenty, each half: that one gets none is one in a million.
        #expect(Set(afterFailure) == ["ep_1", "ep_2"], "\(afterFailure)")
    }

    @Test func takesALowerPriorityOnlyWhenTheHigherHasNoneInGoodStanding() async throws {
        let first = try await RawProvider.start { $0 < 2 ? .json(429, Self.limit, fields: "retry-after: 60\r\n") : .good }
        let equal = try await RawProvider.start { $0 == 3 ? .json(429, Self.limit, fields: "retry-after: 60\r\n") : .good }
        let spare = try await RawProvider.start(.good)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [spare.url, first.url, equal.url]) { _ in
        } adjustConfig: { config in
            // A weight of 0 is the last of its own priority, not of all.
            for (index, (weight, priority)) in [(9, 1), (5, 0), (0, 0)].enumerated() {
                config.routes[0].targets[index].weight = UInt32(weight)
                config.routes[0].targets[index].priority = UInt32(priority)
            }
        }
        for _ in 0..<3 { #expect(try await proxy.chat("m").status == 200) }
        #expect(first.requests.count == 1 && equal.requests.count == 3 && spare.requests.isEmpty)
        // Both of the first priority are limited now.
        for _ in 0..<2 { #expect(try await proxy.chat("m").status == 200) }
        #expect(first.requests.count == 1 && equal.requests.count == 4 && spare.requests.count == 2)
        _ = try await proxy.finish()
    }

    @Test(arguments: [Weir_V1_RouteStrategy.roundRobin, .leastUsed, .leastLatency, .lowestCost])
    func servesByEachStrategyAndGoesOnAfterAFailure(strategy: Weir_V1_RouteStrategy) async throws {
        let failing = try await RawProvider.start(.json(503, "{}"))
        let second = try await RawProvider.start(.good)
        let third = try await RawProvider.start(.good)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [failing.url, second.url, third.url]) { _ in
        } adjustConfig: { config in
            config.routes[0].strategy = strategy
            for index in config.routes[0].targets.indices { config.routes[0].targets[index].weight = 1 }
        }
        for _ in 0..<24 { #expect(try await proxy.chat("m").status == 200) }
        #expect(!second.requests.isEmpty && !third.requests.isEmpty)
        for target in try #require(proxy.store.current.configs[1]?.models["m"]?.route).targets { #expect(target.meter.running == 0) }
        _ = try await proxy.finish()
    }

    @Test func leavesNoHintToComeBackForWhatDoesNotPass() async throws {
        let proxy = try await ProxyFixture(models: ["m"]) { _ in
        } adjustConfig: {
            $0.routes = []
        }
        let answer = try await proxy.chat("m")
        #expect(answer.status == 503 && answer.errorCode == "model_not_routed")
        #expect(answer.header("retry-after") == nil && answer.header("x-should-retry") == "false")
        #expect(try await proxy.finish().isEmpty)
    }

    private static let limit = #"{"error":{"message":"Rate limit reached","code":"rate_limit_exceeded"}}"#

    @Test func asksTheOthersForAsLongAsAProviderSaid() async throws {
        let first = try await RawProvider.start { $0 == 0 ? .json(429, Self.limit, fields: "retry-after: 60\r\n") : .good }
        let second = try await RawProvider.start(.good)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [first.url, second.url])
        for _ in 0..<4 { #expect(try await proxy.chat("m").status == 200) }
        #expect(first.requests.count == 1 && second.requests.count == 4)
        #expect(try await proxy.finish().map(\.attempts).sorted() == [1, 1, 1, 2])
    }

    @Test func comesBackToALimitedEndpointWhenItsTimeIsOver() async throws {
        let log = CapturingSink()
        let first = try await RawProvider.start { $0 == 0 ? .json(429, Self.limit, fields: "retry-after-ms: 700\r\n") : .good }
        let second = try await RawProvider.start(.good)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [first.url, second.url], log: log)
        while first.requests.count < 2 { #expect(try await proxy.chat("m").status == 200) }
        #expect(second.requests.count >= 1)
        #expect(log.lines.count { $0.contains("an endpoint is failing") && $0.contains("429") } == 1)
        // The next one is the first's again.
        let answered = first.requests.count
        #expect(try await proxy.chat("m").status == 200)
        #expect(first.requests.count == answered + 1)
        _ = try await proxy.finish()
    }

    @Test func asksALimitedEndpointWhereThereIsNoOther() async throws {
        let only = try await RawProvider.start { $0 == 0 ? .json(429, Self.limit, fields: "retry-after: 60\r\n") : .good }
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [only.url])
        #expect(try await proxy.chat("m").status == 429)
        #expect(try await proxy.chat("m").status == 200)
        _ = try await proxy.finish()
    }

    @Test func limitsOneCredentialAndNotItsEndpoint() async throws {
        let endpoint = try await RawProvider.start { $0 == 0 ? .json(429, Self.limit, fields: "retry-after: 60\r\n") : .good }
        let spare = try await RawProvider.start(.good)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [endpoint.url, spare.url]) { _ in
        } adjustConfig: {
            $0.endpoints[0].credentialIds = ["cred_a", "cred_b"]
        }
        var secrets = Weir_V1_SealedSecrets()
        secrets.secrets = [try proxy.snapshots.sealed("sk-upstream-secret"), try proxy.snapshots.sealed("sk-two", id: "cred_b")]
        await proxy.store.apply(secrets)
        try await proxy.server.contexts[0].eventLoop.submit {}.get()
        for _ in 0..<12 { #expect(try await proxy.chat("m").status == 200) }
        #expect(spare.requests.isEmpty && endpoint.requests.count == 13)
        // The limited one is sent once, whichever was drawn first.
        let limited = endpoint.requests[0].contains("sk-two") ? "sk-two" : "sk-upstream-secret"
        #expect(endpoint.requests.count { $0.contains(limited) } == 1)
        _ = try await proxy.finish()
    }

    @Test func usesOfAnEndpointsCredentialsThoseThatTheKeyNames() async throws {
        let endpoint = try await RawProvider.start(.good)
        func proxy(_ names: [String]) async throws -> ProxyFixture {
            let proxy = try await ProxyFixture(
                models: ["m"], endpoints: [endpoint.url], adjustKey: { $0.credentialIds = names },
                adjustConfig: { $0.endpoints[0].credentialIds = ["cred_a", "cred_b"] })
            var secrets = Weir_V1_SealedSecrets()
            secrets.secrets = [try proxy.snapshots.sealed("sk-upstream-secret"), try proxy.snapshots.sealed("sk-two", id: "cred_b")]
            await proxy.store.apply(secrets)
            try await proxy.server.contexts[0].eventLoop.submit {}.get()
            return proxy
        }
        let second = try await proxy(["cred_b", "cred_elsewhere"])
        for _ in 0..<8 { #expect(try await second.chat("m").status == 200) }
        #expect(endpoint.requests.count == 8 && endpoint.requests.allSatisfy { $0.contains("sk-two") })
        _ = try await second.finish()
        let none = try await proxy(["cred_elsewhere"])
        let answer = try await none.chat("m")
        #expect(answer.status == 503 && answer.errorCode == "no_key_credential", "\(answer.text)")
        #expect(endpoint.requests.count == 8)
        _ = try await none.finish()
    }

    @Test func hasWhatAnAttemptCameToInTheJournalBeforeTheNextOneEnds() async throws {
        let first = try await RawProvider.start(.json(503, "{}"))
        let second = try await RawProvider.start(.raw("", end: .silence))
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [first.url, second.url])
        let client = try await RawClient.connect(port: proxy.server.port)
        let body = #"{"model":"m","messages":[]}"#
        try await client.send(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(proxy.key)\r\n"
                + "content-length: \(body.utf8.count)\r\n\r\n\(body)")
        while second.requests.isEmpty { try await ProxyFixture.pause() }
        let loop = proxy.server.contexts[0]
        #expect(try await loop.eventLoop.submit { loop.journal.hasBuffered }.get() == false)
        await client.close()
        _ = try await proxy.finish()
    }

    @Test func triesEndpointsThatCannotBeReachedLast() async throws {
        let good = try await RawProvider.start(.good)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: ["http://127.0.0.1:9/v1", good.url])
        for _ in 0..<3 { #expect(try await proxy.chat("m").status == 200) }
        #expect(try await proxy.finish().map(\.attempts).sorted() == [1, 1, 2])
    }
}

@Suite("What is known of endpoints and credentials", .timeLimit(.minutes(10)))
struct UpstreamHealthTests {
    private let health = UpstreamHealth(logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })

    private func credential(revision: UInt64) -> CredentialEntry {
        CredentialEntry(id: "cred_a", providerID: "prov_a", revision: revision, secret: Array("secret".utf8))
    }

    @Test func isSharedByAllLoops() {
        var one = HealthView(health)
        var other = HealthView(health)
        #expect(one.isQuiet && !other.isRefused(credential(revision: 1), .chat, now: 0))
        health.report(.credential("cred_a"), until: 100, revision: 1, now: 0, words: "no")
        one.refresh()
        other.refresh()
        #expect(one.isRefused(credential(revision: 1), .chat, now: 99) && other.isRefused(credential(revision: 1), .chat, now: 99))
        #expect(!other.isRefused(credential(revision: 1), .chat, now: 100))
        health.recovered(.credential("cred_a"))
        other.refresh()
        #expect(other.isQuiet)
    }

    @Test func ofACredentialIsForgottenWithThatCredentialAlone() {
        health.report(.credential("cred_a"), until: 100, revision: 1, now: 0, words: "no")
        health.report(.credential("cred_b"), until: 100, revision: 7, now: 0, words: "no")
        var view = HealthView(health)
        view.refresh()
        #expect(!view.isRefused(credential(revision: 2), .chat, now: 1))
        let other = CredentialEntry(id: "cred_b", providerID: "prov_a", revision: 7, secret: Array("secret".utf8))
        #expect(view.isRefused(other, .chat, now: 1))
    }

    @Test func ofAMissingPermissionConcernsOneCapability() {
        health.report(.scope(credential: "cred_a", .embeddings), until: 100, revision: 1, now: 0, words: "missing scopes")
        var view = HealthView(health)
        view.refresh()
        #expect(view.isRefused(credential(revision: 1), .embeddings, now: 1))
        #expect(!view.isRefused(credential(revision: 1), .chat, now: 1))
    }
}
