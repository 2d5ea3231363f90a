import Testing

@testable import Proxy

@Suite("Breakers and retry budgets")
struct BreakerTests {
    private let settings = Breaker.Settings()
    private static let second: Int64 = 1_000_000

    private func end(_ breaker: inout Breaker, failed: Bool, at now: Int64, startedAt: Int64? = nil, isProof: Bool = false) -> Breaker
        .Change?
    {
        breaker.ended(failed: failed, isProof: isProof, startedAt: startedAt ?? now, now: now, jitter: 200, settings)
    }

    private func probe(_ breaker: inout Breaker, at now: Int64) -> Bool { breaker.takeProbe(now: now, settings) }

    /// Opened at `now`, for five seconds.
    private func opened(at now: Int64) -> Breaker {
        var breaker = Breaker()
        _ = end(&breaker, failed: true, at: now, isProof: true)
        return breaker
    }

    @Test func opensByARateOfEnoughAttempts() {
        var breaker = Breaker()
        for turn in 0..<9 { #expect(end(&breaker, failed: true, at: Int64(turn) * 1000) == nil) }
        #expect(!breaker.isBlocked(now: 9000, settings))
        #expect(end(&breaker, failed: true, at: 9000) == .opened)
        #expect(breaker.isBlocked(now: 9000, settings) && breaker.isBlocked(now: 9000 + 4_999_999, settings))
    }

    @Test func staysClosedBelowTheRateAndForgetsWhatIsOld() {
        var breaker = Breaker()
        for turn in 0..<100 { #expect(end(&breaker, failed: turn % 5 > 2, at: Int64(turn) * 10_000) == nil) }
        breaker = Breaker()
        // Nine failures, and nine more when those are out of the window.
        for turn in 0..<9 { #expect(end(&breaker, failed: true, at: Int64(turn)) == nil) }
        for turn in 0..<9 { #expect(end(&breaker, failed: true, at: 11 * Self.second + Int64(turn)) == nil) }
        #expect(breaker.state == .closed)
    }

    @Test func oneFailureIsProofThatNobodyAnswers() {
        var breaker = Breaker()
        #expect(end(&breaker, failed: true, at: 0, isProof: true) == .opened)
    }

    @Test func letsOneProbeGoAtATime() {
        var breaker = opened(at: 0)
        let due = 5 * Self.second
        #expect(!probe(&breaker, at: due - 1))
        #expect(!breaker.isBlocked(now: due, settings) && probe(&breaker, at: due))
        #expect(breaker.isBlocked(now: due + 1, settings) && !probe(&breaker, at: due + 1))
        // What began before the probe says nothing of now.
        #expect(end(&breaker, failed: false, at: due + 2, startedAt: due - 100) == nil)
        #expect(breaker.isBlocked(now: due + 3, settings))
        #expect(end(&breaker, failed: false, at: due + 4, startedAt: due) == .closed)
        #expect(!breaker.isBlocked(now: due + 5, settings))
        // It begins with an empty window.
        #expect(end(&breaker, failed: true, at: due + 6) == nil)
    }

    @Test func staysOpenLongerEachTimeUpToABound() {
        var breaker = opened(at: 0)
        var now: Int64 = 0
        var waits: [Int64] = []
        for _ in 0..<6 {
            guard let until = breaker.blockedUntil else { break }
            waits.append((until - now) / Self.second)
            now = until
            #expect(probe(&breaker, at: now))
            #expect(end(&breaker, failed: true, at: now) == .reopened)
        }
        #expect(waits == [5, 10, 20, 20, 20, 20])
        // The bound holds with the jitter, for every draw.
        for jitter in (0..<401).map({ UInt64($0) }) + [.max] {
            var breaker = Breaker()
            _ = breaker.ended(failed: true, isProof: true, startedAt: 0, now: 0, jitter: jitter, settings)
            #expect(breaker.blockedUntil.map { (4 * Self.second...6 * Self.second).contains($0) } == true)
        }
    }

    @Test func aLostProbeMakesRoomForAnother() {
        var breaker = opened(at: 0)
        #expect(probe(&breaker, at: 6 * Self.second))
        breaker.passedOver(startedAt: 6 * Self.second, now: 7 * Self.second)
        #expect(probe(&breaker, at: 7 * Self.second))
        #expect(!probe(&breaker, at: 8 * Self.second))
        #expect(probe(&breaker, at: 17 * Self.second), "nothing was heard of it")
    }

    @Test func whatIsAskedForWantOfABetterOneClosesItWhenItWorks() {
        var breaker = opened(at: 1000)
        #expect(end(&breaker, failed: true, at: 2000) == nil)
        #expect(end(&breaker, failed: false, at: 3000, startedAt: 500) == nil)
        #expect(end(&breaker, failed: false, at: 4000, startedAt: 2000) == .closed)
    }

    @Test func isForgottenAfterAQuietTime() {
        var breaker = Breaker()
        _ = end(&breaker, failed: true, at: 0)
        #expect(!breaker.isIdle(now: Self.second, settings))
        #expect(breaker.isIdle(now: 100 * Self.second, settings))
        #expect(!opened(at: 0).isIdle(now: 100 * Self.second, settings))
        #expect(opened(at: 0).isIdle(now: 700 * Self.second, settings))
    }

    @Test func retriesAreAShareOfTheRequestsAndAFloor() {
        let settings = RetryBudget.Settings()
        var budget = RetryBudget()
        var requests: UInt64 = 0
        var retries = 0
        // A hundred requests a second, all of which fail, for a minute.
        for turn in 0..<6000 {
            requests += 1
            if budget.take(requests: requests, now: Int64(turn) * 10_000, settings) { retries += 1 }
        }
        #expect(retries > 1200 && retries < 1200 + 6 * 30 + 40, "\(retries)")
        // A long time of peace saves up a window's worth and no more.
        requests += 100_000
        var burst = 0
        for _ in 0..<30_000 where budget.take(requests: requests, now: 3_660 * Self.second, settings) { burst += 1 }
        #expect(burst < 100, "\(burst)")
    }

    @Test func fewRequestsHaveTheFloor() {
        var budget = RetryBudget()
        let taken = (0..<100).count { _ in budget.take(requests: 1, now: 0, RetryBudget.Settings()) }
        #expect(taken == 30)
        let none = RetryBudget.Settings(percent: 0, floor: 0)
        var empty = RetryBudget()
        let refused = (0..<10).count { !empty.take(requests: 1000, now: Int64($0) * Self.second, none) }
        #expect(refused == 10)
    }
}
