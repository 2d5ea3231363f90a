import Contract
import Primitives
import Testing

@testable import Proxy

@Suite("The ledger of limits")
struct RateLedgerTests {
    private static let key = KeyID.random()

    private func rule(_ change: (inout Weir_V1_Limit) -> Void = { _ in }) throws -> LimitRule {
        var limit = Weir_V1_Limit()
        limit.id = LimitID.random().rawValue
        limit.name = "l"
        limit.level = "ip"
        limit.measure = "requests"
        limit.amount = 2
        limit.windowMs = 1000
        change(&limit)
        return try #require(try LimitRule(limit))
    }

    private func claim(_ rule: LimitRule, _ subject: Int = 1) -> RateLedger.Claim {
        RateLedger.Claim(rule: rule, key: .init(rule: rule.id, subject: LimitSubject(high: 7, low: UInt64(bitPattern: Int64(subject)))))
    }

    @Test("All limits or none: where one refuses nothing is counted, and the one that is to be waited for longest is named")
    func strictest() throws {
        let ledger = RateLedger()
        let (short, long) = (
            try rule(),
            try rule {
                $0.amount = 1; $0.windowMs = 60_000
            }
        )
        let wide = try rule { $0.amount = 100 }
        let claims = [claim(short), claim(long), claim(wide)]
        let first = ledger.take(claims, now: 1000)
        #expect(first.refusal == nil)
        #expect(first.standings.requests == .init(limit: 1, remaining: 0, reset: 60_000_000))
        #expect(ledger.take([claim(short)], now: 1000).refusal == nil)
        let refused = ledger.take(claims, now: 2000)
        #expect(refused.refusal?.rule === long && refused.refusal?.wait == 60_000_000 - 1000)
        #expect(ledger.take([claim(wide)], now: 2000).standings.requests?.remaining == 98, "nothing of the refused one was counted")
    }

    @Test("A limit that observes counts and lets through; a clock that steps back changes nothing")
    func observing() throws {
        let ledger = RateLedger()
        let rule = try rule {
            $0.observe = true; $0.amount = 1
        }
        #expect(!ledger.take([claim(rule)], now: 5_000_000).wouldHaveRefused)
        let second = ledger.take([claim(rule)], now: 0)
        #expect(second.wouldHaveRefused && second.refusal == nil && second.standings == .init())
        #expect(!ledger.take([claim(rule)], now: 6_000_000).wouldHaveRefused)
    }

    @Test("Tokens are counted ahead and corrected by the truth; what was never used is given back")
    func corrections() throws {
        let ledger = RateLedger()
        let rule = try rule {
            $0.measure = "tokens"; $0.amount = 100; $0.windowMs = 60_000
        }
        let plan = RatePlan([claim(rule)])
        func take(_ tokens: Int64, _ now: Int64) -> RateLedger.Taken { ledger.take(plan, tokens: tokens, now: now) }
        func charge(_ tokens: Int64, _ now: Int64) -> RateCharge {
            RateCharge(plan, tokens: tokens, take(tokens, now), of: ledger)
        }
        func remaining(_ now: Int64) -> Int64? { take(0, now).standings.tokens?.remaining }
        let first = charge(80, 0)
        #expect(take(30, 10).refusal?.wait == 59_999_990)
        #expect(take(101, 10).refusal.map { $0.wait == nil } == true)
        #expect(first.settle(tokens: 15, now: 1_000_000)?.tokens == -65 && remaining(1_000_000) == 85)
        #expect(charge(10, 2_000_000).settle(tokens: 200, now: 3_000_000)?.tokens == 190 && remaining(3_000_000) == 0)
        #expect(remaining(62_999_999) == 0 && remaining(63_000_000) == 100, "what nobody foresaw counts from when it was known")
        _ = charge(100, 64_000_000)
        #expect(remaining(64_000_000) == 100, "what nobody settled is given back")
        #expect(charge(100, 64_000_000).settle(tokens: -5, now: 64_000_000)?.tokens == -100)
        #expect(remaining(64_000_000) == 100)
    }

    @Test("Concurrent requests are what runs: each end gives one back, dropped charges too")
    func concurrent() throws {
        let ledger = RateLedger()
        let rule = try rule {
            $0.measure = "concurrent"; $0.windowMs = 0
        }
        var charges: [RateCharge] = []
        func charge(_ now: Int64) -> RateCharge {
            let plan = RatePlan([claim(rule)])
            return RateCharge(plan, tokens: 0, ledger.take(plan, tokens: 0, now: now), of: ledger)
        }
        for _ in 0..<2 { charges.append(charge(0)) }
        #expect(ledger.take([claim(rule)], now: 0).refusal?.wait == 1_000_000)
        #expect(charges[0].settle(tokens: 0, now: 1) == .init() && charges[0].settle(tokens: 0, now: 1) == nil)
        charges.append(charge(2))
        #expect(ledger.take([claim(rule)], now: 2).refusal != nil)
        charges = []
        #expect(ledger.take([claim(rule)], now: 3).refusal == nil)
    }

    @Test("Memory is bounded: counters in which nothing is go; where there is no room, who comes new shares one, and nobody's is forgotten")
    func bounded() throws {
        let ledger = RateLedger(maximum: 100)
        let rule = try rule()
        for _ in 0..<2 { #expect(ledger.take([claim(rule, -1)], now: 0).refusal == nil) }
        for subject in 1...20_000 { _ = ledger.take([claim(rule, subject)], now: Int64(subject)) }
        #expect(ledger.size.counters <= 100 + 1024 && ledger.size.sharing > 0)
        #expect(ledger.take([claim(rule, -1)], now: 30_000).refusal != nil, "an attack with many addresses does not free anybody")
        // Twenty thousand others cannot each have two: what they share is counted together.
        let served = (1...20_000).filter { ledger.take([claim(rule, $0)], now: 30_000).refusal == nil }.count
        #expect(served <= 2 * (100 + 1024))
        // A window later all of it is idle, and goes a few at a time.
        for subject in 1...3000 { _ = ledger.take([claim(rule, subject % 3)], now: 2_000_000 + Int64(subject) * 1_000_000) }
        #expect(ledger.size.counters <= 10)
        #expect(ledger.take([claim(rule, -1)], now: 4_000_000_000).refusal == nil)
    }

    @Test("Who asks again finds its counter, and a new one where that went meanwhile and another's stands in its place")
    func foundAgain() throws {
        let ledger = RateLedger()
        let rule = try rule()
        let plan = RatePlan([claim(rule, -1)])
        let running = RateCharge(plan, tokens: 0, ledger.take(plan, tokens: 0, now: 0), of: ledger)
        for subject in 1...50 { _ = ledger.take([claim(rule, subject)], now: 2_000_000 + Int64(subject) * 1_000_000) }
        #expect(ledger.take(RatePlan([claim(rule, 50)]), tokens: 0, now: 52_000_000).refusal == nil)
        // What ends now ends nobody else's.
        #expect(running.undo() == .init(requests: -1))
        #expect(ledger.take(RatePlan([claim(rule, 50)]), tokens: 0, now: 52_000_000).refusal != nil)
        for _ in 0..<2 { #expect(ledger.take(plan, tokens: 0, now: 52_000_000).refusal == nil) }
        #expect(ledger.take(plan, tokens: 0, now: 52_000_000).refusal != nil)
    }

    @Test("What one millisecond brings for one counter is one entry of the journal's note")
    func notes() throws {
        let (rule, other) = (try rule { $0.windowMs = 60_000 }, try rule { $0.windowMs = 60_000 })
        var notes = RateNotes()
        let id = RequestID(high: 1, low: 1)
        for at: Int64 in [5, 5, 6] {
            for rule in [rule, other] { notes.add(3, to: claim(rule).key, of: rule, at: at, by: id) }
        }
        notes.add(-2, to: claim(rule).key, of: rule, at: 5, by: id)
        notes.add(.max, to: claim(other).key, of: other, at: 6, by: id)
        let found = try #require(RateNote.read(notes.take(boot: 9)))
        #expect(found.boot == 9 && notes.isEmpty)
        #expect(found.entries.filter { $0.key == claim(rule).key }.map(\.amount) == [4, 3])
        #expect(found.entries.filter { $0.key == claim(other).key }.map(\.amount) == [6, 3, .max])
    }

    @Test("A limit that changes keeps what was counted, be it another window, a bucket, or more")
    func changes() throws {
        let ledger = RateLedger()
        let id = LimitID.random().rawValue
        func changed(_ change: (inout Weir_V1_Limit) -> Void) throws -> LimitRule {
            try rule {
                $0.id = id
                $0.amount = 4
                $0.windowMs = 60_000
                change(&$0)
            }
        }
        for _ in 0..<3 { _ = ledger.take([claim(try changed { _ in })], now: 0) }
        let bucket = try changed { $0.tokenBucket = true }
        #expect(ledger.take([claim(bucket)], now: 1).standings.requests?.remaining == 0)
        #expect(ledger.take([claim(bucket)], now: 1).refusal != nil)
        let more = try changed { $0.amount = 10 }
        #expect(ledger.take([claim(more)], now: 2).standings.requests?.remaining == 5)
    }

    @Test("What a limit of an unknown kind says limits nobody; what is malformed is refused")
    func malformed() throws {
        var limit = Weir_V1_Limit()
        limit.id = LimitID.random().rawValue
        limit.level = "planet"
        limit.measure = "requests"
        limit.amount = 1
        limit.windowMs = 1
        #expect(try LimitRule(limit) == nil)
        limit.level = "key"
        #expect(try LimitRule(limit) != nil)
        for change: (inout Weir_V1_Limit) -> Void in [
            { $0.amount = 0 }, { $0.amount = .max }, { $0.windowMs = 0 }, { $0.windowMs = .max }, { $0.id = "lim_" },
            { $0.subjectID = "x" },
            { $0.tenantID = "ten_x" }, { $0.burst = -1 },
        ] {
            var wrong = limit
            change(&wrong)
            #expect(throws: DocumentRefusal.self) { try LimitRule(wrong) }
        }
    }

    @Test("Addresses: IPv6 counts by its /64, IPv4 in IPv6 is itself, and the kinds do not meet")
    func addresses() {
        #expect(LimitSubject(address: "2001:db8::1") == LimitSubject(address: "2001:db8:0:0:ffff::2"))
        #expect(LimitSubject(address: "2001:db8::1") != LimitSubject(address: "2001:db8:0:1::1"))
        #expect(LimitSubject(address: "::ffff:192.0.2.7") == LimitSubject(address: "192.0.2.7"))
        #expect(LimitSubject(address: "0.0.0.0") != LimitSubject(address: "::"))
        #expect(LimitSubject(address: "localhost") == nil)
    }
}

extension RateLedger {
    /// One request of a caller that asks for the first time.
    fileprivate func take(_ claims: [Claim], now: Int64) -> Taken { take(RatePlan(claims), tokens: 1, now: now) }
}
