import Contract
import Foundation
import NIOCore
import Primitives
import Simulator
import Testing

@testable import Proxy

/// Limits as callers meet them.
@Suite("Limited requests", .timeLimit(.minutes(10)))
struct LimitedRequestTests {
    private func limit(_ level: String, _ amount: Int64, _ change: (inout Weir_V1_Limit) -> Void = { _ in }) -> Weir_V1_Limit {
        limit(level, "requests", amount, change)
    }

    private func limit(
        _ level: String, _ measure: String, _ amount: Int64, _ change: (inout Weir_V1_Limit) -> Void = { _ in }
    ) -> Weir_V1_Limit {
        var limit = Weir_V1_Limit()
        limit.id = LimitID.random().rawValue
        limit.name = "\(level) of \(measure)"
        limit.level = level
        limit.measure = measure
        limit.amount = amount
        limit.windowMs = measure == "concurrent" ? 0 : 60_000
        change(&limit)
        return limit
    }

    private func fixture(_ models: [String], _ limits: [Weir_V1_Limit]) async throws -> ProxyFixture {
        let proxy = try await ProxyFixture(models: models)
        try await put(proxy, 2, limits)
        return proxy
    }

    private func put(_ proxy: ProxyFixture, _ version: UInt64, _ limits: [Weir_V1_Limit]) async throws {
        var directory = proxy.directory
        directory.limits = limits
        #expect(await proxy.store.apply(try proxy.snapshots.directory(version, directory)).accepted)
        while !proxy.rates.isReady { try await ProxyFixture.pause() }
    }

    @Test("Who is over a limit gets 429 with the limit's name, when to come back, and how he stands; each answer before tells him")
    func requests() async throws {
        let model = "sim-in10-out5"
        let proxy = try await fixture([model], [limit("key", 2), limit("global", 100), limit("tenant", 50) { $0.observe = true }])
        for left in [1, 0] {
            let answer = try await proxy.chat(model, stream: left == 0)
            #expect(answer.status == 200 && answer.header("x-ratelimit-limit-requests") == "2")
            #expect(answer.header("x-ratelimit-remaining-requests") == "\(left)" && answer.header("x-ratelimit-limit-tokens") == nil)
        }
        let refused = try await proxy.chat(model)
        #expect(refused.status == 429 && refused.errorCode == "rate_limit_exceeded" && refused.field("type") == "rate_limit_error")
        #expect(refused.field("message")?.contains("'key of requests'") == true)
        let wait = try #require(refused.header("retry-after").flatMap { Int($0) })
        #expect((30...60).contains(wait) && refused.header("x-ratelimit-remaining-requests") == "0")
        #expect(refused.header("x-ratelimit-reset-requests") != nil && refused.header("x-should-retry") == nil)
        let other = try await proxy.send(
            "POST /v1/chat/completions", headers: ["authorization: Bearer \(proxy.neighbour)"],
            body: #"{"model":"\#(model)","messages":[]}"#,
            authorised: false)
        #expect(other.status == 200, "another key has a window of its own")
        try await put(proxy, 3, [])
        let free = try await proxy.chat(model)
        #expect(free.status == 200 && free.header("x-ratelimit-limit-requests") == nil)
        #expect(await proxy.server.sums().metrics.limited == 1)
        #expect(try await proxy.finish().count == 4)
    }

    @Test("Levels, channels and models: only what they are about counts")
    func scopes() async throws {
        let (model, second) = ("sim-in10-out5", "sim-in1-out1")
        let proxy = try await ProxyFixture(models: [model, second])
        let key = proxy.directory.keys[0]
        let mine: [(Weir_V1_Limit, Bool)] = [
            (limit("key", 1) { $0.subjectID = key.id }, true), (limit("key", 1) { $0.subjectID = KeyID.random().rawValue }, false),
            (limit("project", 1) { $0.subjectID = key.projectID }, true), (limit("project", 1), true),
            (limit("tenant", 1) { $0.tenantID = proxy.tenant.rawValue }, true),
            (limit("tenant", 1) { $0.subjectID = proxy.tenant.rawValue }, true),
            (limit("key", 1) { $0.tenantID = TenantID.random().rawValue }, false), (limit("ip", 1), true),
            (limit("ip", 1) { $0.subjectID = "127.0.0.1" }, true), (limit("ip", 1) { $0.subjectID = "127.0.0.2" }, false),
            (limit("global", 1) { $0.model = model }, true), (limit("global", 1) { $0.model = second }, false),
            (limit("key", 1) { $0.channel = "default" }, true), (limit("key", 1) { $0.channel = "external" }, false),
            (limit("user", 1), false), (limit("app", 1), false), (limit("did", 1), false), (limit("a later one", 1), false),
            (limit("key", 1) { $0.tokenBucket = true }, true),
            (
                limit("key", 1) {
                    $0.tokenBucket = true; $0.burst = 5
                }, false
            ),
        ]
        for (index, (limit, counts)) in mine.enumerated() {
            try await put(proxy, UInt64(2 + index), [limit])
            #expect(try await proxy.chat(model).status == 200)
            #expect(try await proxy.chat(model).status == (counts ? 429 : 200), "\(limit.level) \(limit.subjectID) \(limit.model)")
        }
        _ = try await proxy.finish()
    }

    @Test("Tokens are counted ahead by what was asked for, and then by what it came to, whatever the end")
    func tokens() async throws {
        let models = ["sim-in100-out50", "sim-status500", "sim-reset", "sim-in5-out5"]
        let proxy = try await fixture(models, [limit("key", "tokens", 1000)])
        func left() async throws -> Int { Int(try await proxy.chat("sim-in5-out5").header("x-ratelimit-remaining-tokens") ?? "") ?? -1 }
        // Stated by the provider: 100 and 50. Foreseen: what the answer's head says.
        let first = try await proxy.chat("sim-in100-out50", extra: #","max_tokens":400"#)
        let foreseen = try #require(first.header("x-ratelimit-remaining-tokens").flatMap { Int($0) })
        #expect(foreseen < 600 && foreseen > 550)
        let after = try await left()
        #expect(after <= 850 && after >= 800)
        // An error that the provider stated costs nothing.
        #expect(try await proxy.chat("sim-status500", extra: #","max_tokens":400"#).status >= 500)
        #expect(try await left() == after - 10)
        let large = try await proxy.chat("sim-in5-out5", extra: #","max_tokens":999"#)
        #expect(large.status == 429 && large.header("x-should-retry") == "false" && large.header("retry-after") == nil)
        _ = try await proxy.finish()
    }

    @Test(
        "Concurrent requests count while they run, and each end gives the place back",
        arguments: ["answered", "died", "client left", "stopped", "provider refused", "stalled body"])
    func concurrent(end: String) async throws {
        let long = "sim-chunks10000-pace5ms"
        let proxy = try await fixture(
            [long, "sim-in1-out1", "sim-die2-chunks9", "sim-status400"], [limit("key", "concurrent", 1)])
        func isFree() async throws -> Bool { try await proxy.chat("sim-in1-out1").status == 200 }
        switch end {
        case "answered": #expect(try await isFree())
        case "died": _ = try await proxy.chat("sim-die2-chunks9", stream: true)
        case "provider refused": #expect(try await proxy.chat("sim-status400").status == 400)
        case "stalled body":
            let client = try await RawClient.connect(port: proxy.server.port)
            try await client.send(
                "POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(proxy.key)\r\ncontent-length: 50\r\n\r\n{")
            #expect(try await isFree(), "what has not been admitted does not run")
            await client.close()
        default:
            let client = try await RawClient.connect(port: proxy.server.port)
            let body = #"{"model":"\#(long)","messages":[],"stream":true}"#
            try await client.send(
                "POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(proxy.key)\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)"
            )
            while proxy.simulator.requestsTotal == 0 { try await ProxyFixture.pause() }
            let refused = try await proxy.chat("sim-in1-out1")
            #expect(refused.status == 429 && refused.header("retry-after") == "1")
            if end == "client left" {
                await client.close()
            } else {
                let contexts = proxy.server.contexts
                try await contexts[0].eventLoop.submit { contexts[0].endExchanges { _ in .stopped } }.get()
            }
        }
        while try await !isFree() { try await ProxyFixture.pause() }
        #expect(try await isFree(), "and nothing was given back twice or kept")
        _ = try await proxy.finish()
    }

    @Test("What would have been refused is served, counted and in the record")
    func observed() async throws {
        let model = "sim-in10-out5"
        let proxy = try await fixture([model], [limit("key", 1) { $0.observe = true }])
        for _ in 0..<2 { #expect(try await proxy.chat(model).status == 200) }
        #expect(await proxy.server.sums().metrics.wouldHaveLimited == 1)
        let flags = try await proxy.finish().map { UsageFlags(rawValue: $0.flags).contains(.wouldHaveRefused) }
        #expect(flags.count(where: \.self) == 1 && flags.count == 2)
    }

    @Test("Until what the process before had counted is read, who is limited waits, and who is not does not")
    func notReady() async throws {
        let ledger = RateLedger(isReady: false)
        #expect(!ledger.isReady)
        ledger.recovered()
        #expect(ledger.isReady)
        let refusal = Rejection.limitsNotReady()
        #expect(refusal.status == 503 && refusal.retryMilliseconds == 1000 && !refusal.isPermanent)
    }

    @Test("Windows are what they were after a restart, also by kill -9; time that has passed counts, a clock that stepped back does not")
    func restart() async throws {
        let model = "sim-in10-out5"
        let rates = [limit("key", 3), limit("tenant", "tokens", 100_000)]
        let proxy = try await fixture([model], rates)
        for _ in 0..<2 { #expect(try await proxy.chat(model, extra: #","max_tokens":500"#).status == 200) }
        let rules = try rates.compactMap { try LimitRule($0) }
        let set = LimitSet(Dictionary(uniqueKeysWithValues: rules.map { ($0.id, $0) }))
        let entry = try #require(proxy.store.current.directory.lookup(KeyID(proxy.directory.keys[0].id)))
        let principal = Principal(kind: .key, id: entry.id, tenant: entry.tenant, project: entry.project)
        func standings(_ ledger: RateLedger, ahead: Int64 = 0) -> RateLedger.Standings {
            let now = MonotonicClock.nowMicroseconds() + ahead
            return ledger.take(set.plan(principal, .standard, model: model, address: nil), tokens: 0, now: now).standings
        }
        // Nothing was folded on purpose: the journal alone is what a kill leaves, and the fold is what reads it.
        await proxy.server.drain()
        await proxy.server.close()
        proxy.pipeline.stop()
        let next = RateLedger()
        _ = try RateKeeper(ledger: next, store: proxy.local, clock: proxy.snapshots.clock)
        let restored = standings(next)
        // Two were had, this is the third; of the tokens the truth, not what was foreseen.
        #expect(restored.requests?.remaining == 0 && restored.tokens?.remaining == 100_000 - 30)
        #expect(standings(next, ahead: 61_000_000).requests?.remaining == 2)

        proxy.snapshots.clock.advance(milliseconds: 50_000)
        let later = RateLedger()
        _ = try RateKeeper(ledger: later, store: proxy.local, clock: proxy.snapshots.clock)
        #expect(standings(later).requests?.remaining == 0)
        #expect(standings(later, ahead: 12_000_000).requests?.remaining == 1, "ten seconds were left of them")

        proxy.snapshots.clock.advance(milliseconds: -3_600_000)
        let back = RateLedger()
        _ = try RateKeeper(ledger: back, store: proxy.local, clock: proxy.snapshots.clock)
        #expect(standings(back).requests?.remaining == 0, "as if it had been now")

        // Of the journal of a process that was killed, notes come by the fold; of this process's own they are known.
        let own = RateLedger()
        let keeper = try RateKeeper(ledger: own, store: proxy.local, clock: proxy.snapshots.clock)
        let key = RateLedger.Key(rule: rules[0].id, subject: LimitSubject(high: 1, low: 2))
        let now = proxy.snapshots.clock.nowMilliseconds()
        func note(_ boot: UInt64) -> JournalNote {
            JournalNote(
                kind: .rates, subject: RequestID(high: 1, low: boot),
                payload: RateNote.write(boot: boot, [.init(key: key, at: now, window: 60_000, amount: 2)]))
        }
        try proxy.local.write { db in
            try keeper.fold(FoldedRecords(buffer: RecordBuffer(), notes: [note(own.boot), note(own.boot &+ 1)]), in: db)
            try keeper.fold(
                FoldedRecords(
                    buffer: RecordBuffer(), notes: [JournalNote(kind: .rates, subject: RequestID(high: 0, low: 0), payload: [1, 2])]),
                in: db)
        }
        let plan = RatePlan([RateLedger.Claim(rule: rules[0], key: key)])
        #expect(own.take(plan, tokens: 0, now: MonotonicClock.nowMicroseconds()).standings.requests?.remaining == 0)
        proxy.local.close()
        try await proxy.simulator.shutdown()
    }
}
