import Contract
import Logging
import Primitives
import Testing

@testable import Proxy

@Suite("Which endpoint, and which one after it")
struct ChoiceTests {
    @Test func isDrawnAnewAmongWhatIsLeft() async throws {
        let first = try await RawProvider.start(.json(503, "{}"))
        let second = try await RawProvider.start(.good)
        let third = try await RawProvider.start(.good)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [first.url, second.url, third.url]) { _ in
        } adjustConfig: { config in
            for index in config.routes[0].targets.indices { config.routes[0].targets[index].weight = 1 }
        }
        for _ in 0..<60 { #expect(try await proxy.chat("m").status == 200) }
        let afterFailure = try await proxy.finish().filter { $0.attempts == 2 }.map(\.endpointID)
        // Of some twenty, each half: that one gets none is one in a million.
        #expect(Set(afterFailure) == ["ep_1", "ep_2"], "\(afterFailure)")
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

    @Test func triesEndpointsThatCannotBeReachedLast() async throws {
        let good = try await RawProvider.start(.good)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: ["http://127.0.0.1:9/v1", good.url])
        for _ in 0..<3 { #expect(try await proxy.chat("m").status == 200) }
        #expect(try await proxy.finish().map(\.attempts).sorted() == [1, 1, 2])
    }
}

@Suite("What is known of endpoints and credentials")
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
