import Primitives
import Testing

@testable import Wire

@Suite("A provider's limits")
struct RateLimitFieldsTests {
    private func wait(_ fields: [(String, String)], now: Int64 = 1_790_000_000_000) -> Int64? {
        var read = RateLimitFields()
        for (name, value) in fields {
            Array(name.utf8).withUnsafeBytes { name in
                Array(value.utf8).withUnsafeBytes { value in if RateLimitFields.mayBe(name) { read.take(name, value) } }
            }
        }
        return read.wait(nowMilliseconds: now)
    }

    @Test func areReadInBothVendorsForms() {
        #expect(wait([("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "6m0s")]) == 360_000)
        #expect(wait([("X-RateLimit-Remaining-Tokens", "0"), ("X-RateLimit-Reset-Tokens", "12ms")]) == 12)
        #expect(wait([("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "1.5")]) == 1500)
        #expect(wait([("x-ratelimit-reset-tokens", "1h0m1.0001s"), ("x-ratelimit-remaining-tokens", "0")]) == 3_601_001)
        let now: Int64 = 1_790_000_000_000
        let reset = RFC3339.string(milliseconds: now + 4000)
        #expect(
            wait([("anthropic-ratelimit-output-tokens-remaining", "0"), ("anthropic-ratelimit-output-tokens-reset", reset)], now: now)
                == 4000)
    }

    @Test func theLongestOfThoseThatRanOutCounts() {
        let fields = [
            ("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "1s"), ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "3s"), ("anthropic-ratelimit-requests-remaining", "9"),
            ("anthropic-ratelimit-requests-reset", "2099-01-01T00:00:00Z"),
        ]
        #expect(wait(fields) == 3000)
    }

    @Test(arguments: ["", "soon", "-1s", "1x", "..", "1e999", "s", "2026-13-01T00:00:00Z", "99999999999999999999999d"])
    func nonsenseIsNoLimitAndNoTrap(reset: String) {
        let read = wait([("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", reset)])
        #expect(read == nil || read == RetryAfter.longestMilliseconds)
        #expect(wait([("x-ratelimit-remaining-requests", "-1"), ("x-ratelimit-reset-requests", "1s")]) == nil)
        #expect(wait([("x-ratelimit-remaining-requests", "0")]) == nil)
        #expect(wait([("x-ratelimit-remaining-requests", "7"), ("x-ratelimit-reset-requests", "1s")]) == nil)
    }
}
