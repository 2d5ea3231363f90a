import Testing

@testable import Proxy

@Suite("Whose request bodies are held", .timeLimit(.minutes(10)))
struct BodyBudgetTests {
    @Test func aloneATenantMayFillIt() {
        var budget = BodyBudget(maximum: 1000)
        let share = budget.share(of: [1])
        budget.add(1001, to: share)
        #expect(budget.verdict(share, adding: 1) == .refuse && budget.verdict(nil, adding: 1) == .fits)
        budget.remove(1001, from: share)
        #expect(budget.total == 0 && budget.largest == nil && budget.verdict(share, adding: 1) == .fits)
    }

    @Test func whoHoldsMoreThanAFairShareGivesWay() {
        var budget = BodyBudget(maximum: 900)
        let (big, small) = (budget.share(of: [1]), budget.share(of: [2]))
        budget.add(800, to: big)
        budget.add(200, to: small)
        #expect(budget.verdict(big, adding: 1) == .refuse && budget.verdict(small, adding: 1) == .makeRoom && budget.largest === big)
        // A third one comes: shares are a third each.
        let third = budget.share(of: [3])
        budget.add(10, to: third)
        #expect(budget.verdict(third, adding: 1) == .makeRoom && !budget.isHopeless)
        budget.add(900, to: small)
        #expect(budget.isHopeless && budget.verdict(small, adding: 1) == .refuse)
    }

    @Test func aShareOutlivesNobody() {
        var budget = BodyBudget(maximum: 100)
        let first = budget.share(of: [1])
        budget.add(60, to: first)
        budget.remove(60, from: first)
        let second = budget.share(of: [1])
        #expect(second !== first)
        budget.add(70, to: second)
        budget.remove(0, from: first)
        #expect(budget.share(of: [1]) === second && budget.total == 70)
    }

    @Test func allConnectionsOfATenantStandInOneShare() {
        var budget = BodyBudget(maximum: 100)
        let first = budget.share(of: [1])
        budget.add(0, to: first)
        budget.add(60, to: budget.share(of: [1]))
        #expect(budget.share(of: [1]) === first && budget.verdict(first, adding: 41) == .refuse)
    }
}
