import Contract
import Formats
import Primitives
import Testing

@testable import Proxy

/// Windows and buckets against models that remember every single event.
@Suite("Windows of limits")
struct RateWindowTests {
    /// Xorshift: a failing seed replays.
    private struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return state
        }
    }

    @Test(
        "A sliding window lets in no more than its amount in any window, refuses nothing that a 256th shorter memory would let in, and names the moment when there is room",
        arguments: 1...40)
    func sliding(seed: UInt64) {
        var random = Generator(state: seed &* 0x9E37_79B9_7F4A_7C15)
        let window = Int64.random(in: 1...2_000_000, using: &random)
        let limit = Int64.random(in: 1...40, using: &random)
        let step = Int64.random(in: 1...max(1, window / 8), using: &random)
        var (subject, now) = (SlidingWindow(), Int64.random(in: 0...1_000_000, using: &random))
        var events: [(at: Int64, amount: Int64)] = []
        func sum(since start: Int64) -> Int64 { events.reduce(0) { $0 + ($1.at > start ? $1.amount : 0) } }
        for _ in 0..<400 {
            now += Int64.random(in: 0...step, using: &random)
            subject.advance(to: now, window: window)
            let amount = Int64.random(in: 1...3, using: &random)
            guard amount <= limit else {
                #expect(subject.wait(for: amount, limit: limit, now: now, window: window) == nil)
                continue
            }
            let exact = sum(since: now - window)
            switch subject.wait(for: amount, limit: limit, now: now, window: window) {
            case 0:
                #expect(exact + amount <= limit, "seed \(seed)")
                subject.add(amount, at: now, window: window)
                events.append((now, amount))
            case let wait?:
                #expect(sum(since: now - window - max(1, window / 256)) + amount > limit, "seed \(seed)")
                var (before, after) = (subject, subject)
                before.advance(to: now + wait - 1, window: window)
                #expect(before.wait(for: amount, limit: limit, now: now + wait - 1, window: window) == 1, "seed \(seed)")
                after.advance(to: now + wait, window: window)
                #expect(after.wait(for: amount, limit: limit, now: now + wait, window: window) == 0, "seed \(seed)")
            case nil: Issue.record("seed \(seed): never")
            }
            if Int.random(in: 0..<4, using: &random) == 0, let index = events.indices.randomElement(using: &random) {
                // Too much was counted: it is given back where it is still counted.
                let back = Int64.random(in: 0...events[index].amount, using: &random)
                subject.giveBack(back, from: events[index].at)
                events[index].amount -= back
            }
            #expect(subject.used >= sum(since: now - window) && subject.used >= 0, "seed \(seed)")
        }
        subject.advance(to: now + window, window: window)
        #expect(subject.isEmpty && subject.used == 0)
    }

    @Test("What comes seldom is known to the microsecond: at the window's end, and not before, there is room again")
    func boundary() {
        var subject = SlidingWindow()
        for at in [0, 400_000, 1_000_000] as [Int64] { subject.add(1, at: at, window: 1_000_000) }
        subject.advance(to: 999_999, window: 1_000_000)
        #expect(subject.used == 3)
        #expect(subject.wait(for: 1, limit: 3, now: 999_999, window: 1_000_000) == 1)
        subject.advance(to: 1_000_000, window: 1_000_000)
        #expect(subject.used == 2 && subject.wait(for: 1, limit: 3, now: 1_000_000, window: 1_000_000) == 0)
        #expect(subject.wait(for: 3, limit: 3, now: 1_000_000, window: 1_000_000) == 1_000_000)
        #expect(subject.wait(for: 4, limit: 3, now: 1_000_000, window: 1_000_000) == nil)
    }

    @Test("A token bucket is exact, however slowly it fills", arguments: 1...40)
    func bucket(seed: UInt64) {
        var random = Generator(state: seed &* 0x9E37_79B9_7F4A_7C15)
        let window = Int64.random(in: 1...86_400_000_000, using: &random)
        let amount = Int64.random(in: 1...1000, using: &random)
        let burst = Int64.random(in: 1...50, using: &random)
        var (subject, now) = (TokenBucket(), Int64.random(in: 0...1_000_000, using: &random))
        subject.advance(to: now, amount: amount)
        // In units times microseconds: how full it is, and since when.
        var level = Int128(burst) * Int128(window)
        var at = now
        for _ in 0..<300 {
            now += Int64.random(in: 0...max(1, window / amount * 2), using: &random)
            subject.advance(to: now, amount: amount)
            level = min(Int128(burst) * Int128(window), level + Int128(now - at) * Int128(amount))
            at = now
            let wanted = Int64.random(in: 1...3, using: &random)
            let wait = subject.wait(for: wanted, burst: burst, amount: amount, window: window)
            guard wanted <= burst else {
                #expect(wait == nil)
                continue
            }
            let missing = Int128(wanted) * Int128(window) - level
            #expect((wait == 0) == (missing <= 0), "seed \(seed)")
            if wait == 0 {
                subject.add(wanted, window: window)
                level -= Int128(wanted) * Int128(window)
            } else if let wait {
                var (before, after) = (subject, subject)
                before.advance(to: now + wait - 1, amount: amount)
                #expect(before.wait(for: wanted, burst: burst, amount: amount, window: window) == 1, "seed \(seed)")
                after.advance(to: now + wait, amount: amount)
                #expect(after.wait(for: wanted, burst: burst, amount: amount, window: window) == 0, "seed \(seed)")
            }
        }
    }

    @Test("Amounts beyond any sense do not trap")
    func absurd() {
        var window = SlidingWindow()
        for _ in 0..<3 { window.add(.max, at: 1, window: 10) }
        window.insert(.max, at: 0)
        #expect(window.wait(for: .max, limit: 1, now: 1, window: 10) == nil)
        #expect(window.wait(for: 1, limit: 1, now: 1, window: .max) ?? 1 > 0)
        window.giveBack(.max, from: 1)
        window.advance(to: 100, window: 10)
        #expect(window.isEmpty)
        var bucket = TokenBucket()
        bucket.add(.max, window: 86_400_000_000)
        bucket.advance(to: .max, amount: 1_000_000_000_000)
        #expect(bucket.reset(amount: 1) >= 0)
    }

    @Test(
        "Durations are as OpenAI writes them",
        arguments: [
            (0, "0ms"), (1, "1ms"), (12_000, "12ms"), (999_001, "1s"), (1_500_000, "1.500s"), (60_000_000, "1m0s"),
            (3_661_000_000, "1h1m1s"),
        ] as [(Int64, String)])
    func durations(microseconds: Int64, text: String) {
        let written = withUnsafeTemporaryAllocation(byteCount: 32, alignment: 1) { memory in
            var out = HeadWriter(memory)
            RateStandings.put(duration: microseconds, to: &out)
            return String(decoding: memory[..<out.count], as: UTF8.self)
        }
        #expect(written == text)
    }
}
