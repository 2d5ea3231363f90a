import Contract
import Foundation
import Logging
import NIOCore
import Primitives
import Simulator
import Telemetry
import Testing

@testable import Proxy

/// Data planes that count together in Redis.
@Suite(
    "Limits in Redis", .timeLimit(.minutes(10)),
    .enabled(if: RedisProcess.program != nil, "THERE IS NO redis-server: apt-get install redis-server, or name it in WEIR_TEST_REDIS"))
struct RedisLimitTests {
    private static let model = "sim-in10-out5"
    /// Long enough for a loaded machine: what is tested with it is what Redis says.
    private static let patient = 20_000

    private func limit(_ measure: String, _ amount: Int64, _ change: (inout Weir_V1_Limit) -> Void = { _ in }) -> Weir_V1_Limit {
        var limit = Weir_V1_Limit()
        limit.id = LimitID.random().rawValue
        limit.name = "all \(measure)"
        limit.level = "global"
        limit.measure = measure
        limit.amount = amount
        limit.windowMs = measure == "concurrent" ? 0 : 600_000
        change(&limit)
        return limit
    }

    private func logger(_ sink: CapturingSink = CapturingSink()) -> Logger {
        Logger(label: "test") { StructuredLogHandler(label: $0, level: .info, sink: sink) }
    }

    /// Data planes of one region, which know that there are so many.
    private func planes(_ count: Int, _ redis: RedisProcess, timeout: Int = patient, _ limits: [Weir_V1_Limit]) async throws
        -> [ProxyFixture]
    {
        var planes: [ProxyFixture] = []
        for _ in 0..<count { planes.append(try await plane(try redis.settings(timeout: timeout, log: logger()), limits, among: count)) }
        return planes
    }

    private func plane(_ settings: RedisSettings, _ limits: [Weir_V1_Limit], among count: Int, isUp: Bool = true) async throws
        -> ProxyFixture
    {
        let plane = try await ProxyFixture(models: [Self.model, "sim-chunks10000-pace5ms"], redis: settings)
        var directory = plane.directory
        directory.limits = limits
        #expect(await plane.store.apply(try plane.snapshots.directory(2, directory)).accepted)
        plane.rates.take(dataPlanes: count, shares: [])
        while !plane.rates.isReady || (isUp && !settings.health.isUp) { try await ProxyFixture.pause() }
        return plane
    }

    /// How many of so many requests are let in, sent to the data planes in turn, several at a time.
    private func served(_ count: Int, _ planes: [ProxyFixture]) async throws -> Int {
        try await withThrowingTaskGroup(of: Int.self) { group in
            for lane in 0..<6 {
                group.addTask {
                    var served = 0
                    for index in stride(from: lane, to: count, by: 6) {
                        let answer = try await planes[index % planes.count].chat(Self.model)
                        #expect(answer.status == 200 || answer.errorCode == "rate_limit_exceeded", "\(answer.text)")
                        if answer.status == 429 { #expect(answer.header("retry-after") != nil) }
                        served += answer.status == 200 ? 1 : 0
                    }
                    return served
                }
            }
            return try await group.reduce(0, +)
        }
    }

    private func finish(_ planes: [ProxyFixture]) async throws { for plane in planes { _ = try await plane.finish() } }

    @Test("A limit of 100 over three data planes lets 100 in, as a window and as a bucket, whoever is asked", arguments: [false, true])
    func together(isBucket: Bool) async throws {
        let redis = try await RedisProcess()
        let planes = try await planes(
            3, redis,
            [
                limit("requests", 100) { limit in
                    limit.tokenBucket = isBucket
                    // Nothing comes back while the test runs.
                    if isBucket { limit.windowMs = 86_400_000 }
                }, limit("requests", 1000),
            ])
        #expect(try await served(90, planes) == 90)
        let next = try await planes[1].chat(Self.model)
        #expect(next.header("x-ratelimit-limit-requests") == "100" && next.header("x-ratelimit-remaining-requests") == "9")
        // Redis has forgotten the scripts, and learns them anew.
        try await redis.say("SCRIPT", "FLUSH")
        #expect(try await served(30, [planes[0], planes[2]]) == 9)
        let refused = try await planes[2].chat(Self.model)
        #expect(refused.status == 429 && refused.field("message")?.contains("'all requests'") == true)
        let page = await planes[0].page("/metrics").body
        #expect(page.contains("weir_proxy_redis_up 1") && page.contains(#"weir_proxy_redis_limited_requests_total{counted="locally"} 0"#))
        try await finish(planes)
    }

    @Test("Tokens are counted ahead and then by what they came to, on whichever data plane")
    func tokens() async throws {
        let redis = try await RedisProcess()
        let planes = try await planes(2, redis, [limit("tokens", 1000)])
        let first = try await planes[0].chat(Self.model, extra: #","max_tokens":900"#)
        #expect(first.status == 200 && Int(first.header("x-ratelimit-remaining-tokens") ?? "") ?? 1000 < 100)
        // 15 were used; what was foreseen beyond it comes back when the record is written.
        while try await planes[1].chat(Self.model, extra: #","max_tokens":900"#).status != 200 { try await ProxyFixture.pause() }
        let large = try await planes[1].chat(Self.model, extra: #","max_tokens":1000"#)
        #expect(large.status == 429 && large.header("x-should-retry") == "false")
        try await finish(planes)
    }

    @Test("What runs at one time counts on all data planes until it ends, and is known again when Redis has lost everything")
    func concurrent() async throws {
        let redis = try await RedisProcess()
        let planes = try await planes(2, redis, [limit("concurrent", 1)])
        let client = try await RawClient.connect(port: planes[0].server.port)
        let body = #"{"model":"sim-chunks10000-pace5ms","messages":[],"stream":true}"#
        try await client.send(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(planes[0].key)\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)"
        )
        while planes[0].simulator.requestsTotal == 0 { try await ProxyFixture.pause() }
        #expect(try await planes[1].chat(Self.model).status == 429)
        redis.stop()
        try await redis.start()
        // Back, and told of what runs.
        while try await planes[1].chat(Self.model).status != 429 || planes[1].server.redis?.health.isUp != true {
            try await ProxyFixture.pause()
        }
        await client.close()
        while try await planes[1].chat(Self.model).status != 200 { try await ProxyFixture.pause() }
        try await finish(planes)
    }

    @Test("While Redis is silent nobody waits for it longer than the deadline, shares decide, and it is used again when it answers")
    func silent() async throws {
        let redis = try await RedisProcess()
        let sink = CapturingSink()
        let settings = try redis.settings(timeout: 3000, log: logger(sink))
        let plane = try await plane(settings, [limit("requests", 100)], among: 4)
        #expect(try await served(40, [plane]) == 40)
        redis.freeze()
        // Its own share is a quarter, which it has had and more.
        #expect(try await plane.chat(Self.model).status == 429)
        while settings.health.isUp { try await ProxyFixture.pause() }
        #expect(try await plane.chat(Self.model).status == 429)
        let (isReady, _, warnings) = OperatorStatus(
            server: plane.server, snapshots: plane.store, pipeline: plane.pipeline, quarantined: []
        ).readiness()
        #expect(isReady && warnings.contains { $0.contains("Redis") && $0.contains("127.0.0.1") })
        plane.rates.take(dataPlanes: 1, shares: [])
        #expect(try await plane.chat(Self.model).status == 200, "shares go on")
        redis.thaw()
        while !settings.health.isUp { try await ProxyFixture.pause() }
        let next = try await plane.chat(Self.model)
        #expect(next.status == 200 && (Int(next.header("x-ratelimit-remaining-requests") ?? "") ?? 0) > 50)
        try await redis.say("FLUSHALL")
        #expect(try await plane.chat(Self.model).header("x-ratelimit-remaining-requests") == "99", "it was emptied, and goes on")
        let lines = sink.lines.filter { $0.contains("Redis") }
        #expect(lines.count == Int(settings.health.changes) && lines.count >= 3, "one line a change")
        _ = try await plane.finish()
    }

    @Test("A password that is wrong keeps nobody from being served and is in no line; the right one is used")
    func password() async throws {
        let redis = try await RedisProcess("--requirepass", "right-one")
        let sink = CapturingSink()
        let wrong = try redis.settings(timeout: Self.patient, password: "wrong-one", log: logger(sink))
        let plane = try await plane(wrong, [limit("requests", 2)], among: 1, isUp: false)
        while !sink.lines.contains(where: { $0.contains("WRONGPASS") }) { try await ProxyFixture.pause() }
        #expect(try await served(3, [plane]) == 2)
        #expect(!sink.lines.contains { $0.contains("wrong-one") })
        _ = try await plane.finish()
        let right = try redis.settings(timeout: Self.patient, password: "right-one", log: logger())
        let next = try await self.plane(right, [limit("requests", 2)], among: 1)
        #expect(try await served(3, [next]) == 2)
        #expect(await next.server.sums().metrics.redisMissed == 0)
        _ = try await next.finish()
    }

    @Test("With TLS it is used where its certificate is from somebody who is trusted, and else nobody is kept from being served")
    func encrypted() async throws {
        let redis = try await RedisProcess("--requirepass", "right-one", authority: try TestAuthority())
        let shared = limit("requests", 10)
        var planes: [ProxyFixture] = []
        for _ in 0..<2 {
            let settings = try redis.settings(timeout: Self.patient, password: "right-one", log: logger())
            planes.append(try await plane(settings, [shared], among: 2))
        }
        #expect(try await served(16, planes) == 10)
        for plane in planes { #expect(await plane.server.sums().metrics.redisMissed == 0) }
        try await finish(planes)
        let sink = CapturingSink()
        let unknown = try redis.settings(timeout: Self.patient, password: "right-one", knows: false, log: logger(sink))
        let doubtful = try await plane(unknown, [limit("requests", 2)], among: 1, isUp: false)
        while !sink.lines.contains(where: { $0.contains("certificate") }) { try await ProxyFixture.pause() }
        #expect(try await served(3, [doubtful]) == 2)
        #expect(!sink.lines.contains { $0.contains("right-one") })
        try await finish([doubtful])
        #expect(throws: RedisAddress.Problem.self) { try RedisSettings.certificates("/nonexistent") }
    }

    @Test("Of a limit that another region shares, a region has its part")
    func regions() async throws {
        let redis = try await RedisProcess()
        let limit = limit("requests", 100)
        let plane = try await plane(try redis.settings(timeout: Self.patient, log: logger()), [limit], among: 4)
        plane.rates.take(dataPlanes: 4, inRegion: 2, shares: [])
        #expect(try await served(60, [plane]) == 50)
        let rule = try #require(try LimitRule(limit))
        plane.rates.take(
            dataPlanes: 4, inRegion: 2, shares: [.init(RateLedger.Key(rule: rule.id, subject: .all), 30, region: 55)])
        #expect(try await served(10, [plane]) == 5)
        _ = try await plane.finish()
    }
}

@Suite("Addresses of Redis")
struct RedisAddressTests {
    @Test("They are read as they are written elsewhere, and shown without what is secret")
    func reading() throws {
        let whole = try RedisAddress("rediss://weir:p%40ss%3A@cache.example:6380/7")
        #expect(whole.isTLS && whole.host == "cache.example" && whole.port == 6380 && whole.database == 7)
        #expect(whole.user == "weir" && whole.password == "p@ss:" && "\(whole)" == "rediss://cache.example:6380/7")
        var dumped = ""
        dump(whole, to: &dumped)
        #expect(!dumped.contains("p@ss"))
        let short = try RedisAddress("redis://:secret@[::1]")
        #expect(!short.isTLS && short.host == "::1" && short.port == 6379 && short.user == nil && short.password == "secret")
    }

    @Test(
        "What is no address says so, without itself",
        arguments: ["", "http://h", "redis://", "redis://h/x", "redis://h/1?a=b", "redis://me@h", "redis://:s3cret@h:0", "redis://h:99999"])
    func refusals(text: String) {
        let problem = #expect(throws: RedisAddress.Problem.self) { _ = try RedisAddress(text) }
        #expect(problem.map { !$0.description.isEmpty && !$0.description.contains("s3cret") } == true)
    }
}
