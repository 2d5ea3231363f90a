import Contract
import Logging
import Primitives
import Telemetry
import Testing

@testable import Proxy

@Suite("What the operator hears of endpoints", .timeLimit(.minutes(10)))
struct EndpointStatesTests {
    private let log = CapturingSink()
    private let clock = ManualClock(milliseconds: SnapshotFixture.now)
    private let endpoint: CompiledEndpoint
    private let states: EndpointStates

    init() throws {
        let config = try ConfigCompiler(reusing: []).compile(SnapshotFixture.smallConfig(), version: 1, digest: [])
        endpoint = try #require(config.endpoints.values.first)
        states = EndpointStates(logger: Logger.structured("test", level: .debug, sink: log), clock: clock)
    }

    private func ended(_ result: AttemptResult, atSecond second: Int64, credential: String = "crd_1", detail: String = "") {
        clock.set(milliseconds: SnapshotFixture.now + second * 1000)
        states.ended(
            endpoint, credentialID: credential, result, refusesCredential: result == .answered(status: 401), isFailure: result.isFailure,
            detail: detail, now: second * 1_000_000)
    }

    private func messages() throws -> [String] { try log.lines.map { try JSONValue(parsing: $0)["message"]?.stringValue ?? "" } }

    @Test func twoLinesForAnEndpointThatFailsEveryOtherTime() throws {
        for request in 0..<200 { ended(request % 2 == 0 ? .unreachable : .answered(status: 200), atSecond: 0, detail: "refused") }
        #expect(try messages() == ["an endpoint is failing"])
        let line = try #require(log.lines.first)
        #expect(line.contains("no connection: refused") && line.contains(endpoint.id) && line.contains("remedy"))
        #expect(states.troubles.endpoints[endpoint.id]?.failures == 100)
        #expect(states.warnings.count == 1)

        ended(.answered(status: 200), atSecond: 9)
        #expect(try messages().count == 1, "it has not been quiet for long enough")
        ended(.answered(status: 200), atSecond: 10)
        #expect(try messages() == ["an endpoint is failing", "an endpoint works again"])
        #expect(states.troubles.endpoints.isEmpty && states.warnings.isEmpty)
    }

    @Test func isBackWithoutAnotherRequestOnceItHasWorked() throws {
        ended(.answered(status: 503), atSecond: 0)
        states.settle(now: 60_000_000)
        #expect(try messages().count == 1, "nothing says that it works")
        ended(.answered(status: 200), atSecond: 61)
        #expect(try messages().last == "an endpoint works again")
        ended(.timedOut, atSecond: 100)
        ended(.answered(status: 404), atSecond: 101)
        states.settle(now: 200_000_000)
        #expect(try messages().count == 4)
    }

    @Test func aRefusedCredentialIsNotTheEndpointsFault() throws {
        ended(.answered(status: 401), atSecond: 0)
        ended(.answered(status: 401), atSecond: 1)
        #expect(try messages() == ["a provider refuses a credential"])
        #expect(states.troubles.endpoints.isEmpty && states.troubles.credentials["crd_1"]?.failures == 2)
        // Nobody may have looked at the credential before the request was complained of.
        ended(.answered(status: 400), atSecond: 2)
        ended(.answered(status: 200), atSecond: 2, credential: "crd_2")
        #expect(try messages().count == 1, "another credential's success says nothing of it")
        ended(.answered(status: 200), atSecond: 3)
        #expect(try messages() == ["a provider refuses a credential", "a provider accepts a credential again"])
    }

    @Test func whatWeOrTheClientEndedBlamesNobody() throws {
        for result in [AttemptResult.clientLeft, .stopped, .overtaken, .answered(status: 200), .answered(status: 404)] {
            ended(result, atSecond: 0)
        }
        #expect(log.lines.isEmpty)
    }

    @Test func everyResultHasALabelOfItsOwnKind() {
        let statuses = [0, 99, 100, 199, 200, 204, 301, 400, 418, 429, 500, 599, 600, 999, -1, .max].map {
            AttemptResult.answered(status: $0)
        }
        let others: [AttemptResult] = [
            .unreachable, .timedOut, .broken, .clientLeft, .stopped, .unusable, .notBegun, .noRoom, .overtaken, .forbidden(nil),
        ]
        let labels = (statuses + others).map { AttemptResult.labels[$0.labelIndex] }
        #expect(
            labels == [
                "other", "other", "other", "other", "200", "2xx", "3xx", "400", "4xx", "429", "500", "5xx", "other", "other", "other",
                "other",
                "unreachable", "timeout", "broken", "client_left", "stopped", "unusable", "not_begun", "no_room",
                "overtaken", "not_allowed",
            ])
    }

    @Test func seriesAreBounded() throws {
        let config = try ConfigCompiler(reusing: []).compile(SnapshotFixture.smallConfig(), version: 1, digest: [])
        let model = try #require(config.models.values.first)
        let metrics = AttemptMetrics()
        for version in 0..<UInt64(AttemptMetrics.maximumSeries + 500) {
            metrics.count(model, endpoint, version: version, .answered(status: 200), duration: 10, firstByte: 5)
        }
        #expect(metrics.all.count == AttemptMetrics.maximumSeries + 1)
        #expect(metrics.all[.other]?.attempts == 500)
        metrics.keep(versions: [0])
        #expect(metrics.all.count == 3, "version 0, the older ones, the others")
        #expect(metrics.all.values.reduce(0) { $0 + $1.attempts } == UInt64(AttemptMetrics.maximumSeries + 500))
        var out = PrometheusText()
        AttemptMetrics.write(metrics.all, to: &out)
        #expect(out.text.contains("config_version=\"older\",status=\"200\"} 999\n"))
    }
}

@Suite("Failing over is seen", .timeLimit(.minutes(10)))
struct FailoverSeenTests {
    @Test func aDeadFirstEndpointShowsInLogMetricsAndHealth() async throws {
        let log = CapturingSink()
        let proxy = try await ProxyFixture(models: ["sim-in5-out2"], endpoints: ["http://127.0.0.1:9/v1", "http://SIMULATOR/v1"], log: log)
        for _ in 0..<3 { #expect(try await proxy.chat("sim-in5-out2").status == 200) }
        #expect(log.lines.filter { $0.contains("an endpoint is failing") && $0.contains("ep_0") && $0.contains("127.0.0.1:9") }.count == 1)
        let metrics = await proxy.page("/metrics").body
        func attempts(_ endpoint: String, _ status: String) -> Bool {
            metrics.split(separator: "\n").contains {
                $0.hasPrefix("weir_proxy_attempts_total{model=\"sim-in5-out2\",endpoint=\"\(endpoint)\"")
                    && $0.contains("config_version=\"1\"")
                    && $0.contains("status=\"\(status)\"")
            }
        }
        #expect(attempts("ep_0", "unreachable") && attempts("ep_1", "200"))
        #expect(metrics.contains("weir_proxy_failing_endpoints 1\n") && metrics.contains("weir_build_info{component=\"weir-proxy\""))
        let ready = await proxy.page("/health/ready")
        #expect(ready.status == 200 && ready.body.contains("endpoint ep_0 is failing since"))
        _ = try await proxy.finish()
    }

    @Test func aRefusedCredentialShowsOnce() async throws {
        let log = CapturingSink()
        let proxy = try await ProxyFixture(models: ["sim-status401"], log: log)
        for _ in 0..<3 { _ = try await proxy.chat("sim-status401") }
        #expect(log.lines.filter { $0.contains("a provider refuses a credential") }.count == 1)
        #expect(!log.lines.contains { $0.contains("sk-upstream-secret") })
        #expect(await proxy.page("/health/ready").body.contains("the provider refuses credential"))
        _ = try await proxy.finish()
    }
}
