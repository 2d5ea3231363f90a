import Contract
import Primitives
import Telemetry
import Testing

@testable import Proxy

@Suite("Breakers, budgets and pauses of requests", .timeLimit(.minutes(10)))
struct ResilienceTests {
    private static let limit = #"{"error":{"message":"Rate limit reached","code":"rate_limit_exceeded"}}"#
    private static let fault = RawProvider.Answer.json(500, #"{"error":{"message":"internal","type":"server_error"}}"#)

    @Test func anEndpointThatFailsTooOftenIsLeftAloneAndSaidSoOnce() async throws {
        let log = CapturingSink()
        let failing = try await RawProvider.start(Self.fault)
        let good = try await RawProvider.start(.good)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [failing.url, good.url], log: log) {
            $0.breakerMinimum = 3
            $0.endpointCooldown = 600_000
            $0.longestCooldown = 600_000
        }
        for _ in 0..<10 { #expect(try await proxy.chat("m").status == 200) }
        #expect(failing.requests.count == 3 && good.requests.count == 10)
        #expect(log.lines.count { $0.contains("fails too often") && $0.contains("ep_0") } == 1)
        #expect(BreakerReport.states(proxy.server.health) == ["ep_0": "open"])
        _ = try await proxy.finish()
    }

    @Test func whatTheCallerDoesWrongIsNoFaultOfTheEndpoint() async throws {
        let endpoint = try await RawProvider.start(.json(400, #"{"error":{"message":"bad","type":"invalid_request_error"}}"#))
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [endpoint.url]) { $0.breakerMinimum = 1 }
        for _ in 0..<4 { #expect(try await proxy.chat("m").status == 400) }
        #expect(proxy.server.health.openBreakers().isEmpty)
        _ = try await proxy.finish()
    }

    @Test func theLeastBadIsTriedWhereAllAreOpen() async throws {
        let first = try await RawProvider.start { $0 < 1 ? Self.fault : .good }
        let second = try await RawProvider.start(Self.fault)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [first.url, second.url]) {
            $0.breakerMinimum = 1
            $0.endpointCooldown = 600_000
            $0.longestCooldown = 600_000
        }
        #expect(try await proxy.chat("m").status >= 500)
        #expect(proxy.server.health.openBreakers().count == 2)
        #expect(try await proxy.chat("m").status == 200)
        // It works again: that is known without a probe.
        #expect(BreakerReport.states(proxy.server.health) == ["ep_1": "open"])
        _ = try await proxy.finish()
    }

    @Test func aProbeBringsTheTrafficBack() async throws {
        let first = try await RawProvider.start { $0 < 1 ? Self.fault : .good }
        let second = try await RawProvider.start(.good)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [first.url, second.url]) {
            $0.breakerMinimum = 1
            $0.endpointCooldown = 50
        }
        while first.requests.count < 3 { #expect(try await proxy.chat("m").status == 200) }
        #expect(proxy.server.health.openBreakers().isEmpty)
        _ = try await proxy.finish()
    }

    @Test func withoutBudgetTheErrorIsGivenAtOnce() async throws {
        let failing = try await RawProvider.start(Self.fault)
        let good = try await RawProvider.start(.good)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [failing.url, good.url]) {
            $0.breakerMinimum = 1_000_000
            $0.retryPercent = 0
            $0.retryFloor = 2
        }
        var statuses: [Int] = []
        for _ in 0..<4 { statuses.append(try await proxy.chat("m").status) }
        // In the time of a test a part of the floor may come back.
        #expect(statuses.prefix(2).allSatisfy { $0 == 200 } && statuses.contains { $0 >= 500 }, "\(statuses)")
        let denied = await proxy.server.sums().metrics.retriesDenied
        #expect(denied == UInt64(statuses.count { $0 >= 500 }))
        _ = try await proxy.finish()
    }

    @Test func theSameEndpointIsAskedAgainAfterThePauseItNames() async throws {
        let only = try await RawProvider.start { $0 == 0 ? .json(429, Self.limit, fields: "retry-after-ms: 30\r\n") : .good }
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [only.url]) { _ in
        } adjustConfig: {
            $0.routes[0].maxAttempts = 3
        }
        #expect(try await proxy.chat("m").status == 200)
        let record = try #require(try await proxy.finish().first)
        #expect(record.attempts == 2 && record.latencyUs >= 30_000)
    }

    @Test func aLongPauseIsTheCallersToWait() async throws {
        let only = try await RawProvider.start(.json(429, Self.limit, fields: "retry-after: 60\r\n"))
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [only.url]) { _ in
        } adjustConfig: {
            $0.routes[0].maxAttempts = 3
        }
        let answer = try await proxy.chat("m")
        #expect(answer.status == 429 && answer.header("retry-after") == "60" && only.requests.count == 1)
        _ = try await proxy.finish()
    }

    @Test func aCredentialWithNothingLeftGoesBehindTheOthersBeforeItIsRefused() async throws {
        let body =
            #"{"object":"chat.completion","choices":[{"index":0,"message":{"content":"hi"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#
        let first = try await RawProvider.start(
            .json(200, body, fields: "x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 10m0s\r\n"))
        let second = try await RawProvider.start(.good)
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [first.url, second.url])
        for _ in 0..<4 { #expect(try await proxy.chat("m").status == 200) }
        #expect(first.requests.count == 1 && second.requests.count == 3)
        #expect(try await proxy.finish().allSatisfy { $0.attempts == 1 })
    }
}
