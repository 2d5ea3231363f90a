import Contract
import Leases
import Nouns
import Primitives
import Storage

/// What a request used of a budget beyond what was held of its slices: of one that makes nobody wait for a slice, or because the provider
/// charged more than the request could come to. Slices tell of all else.
struct UncoveredUse: Sendable {
    /// Its record's place.
    let place: Int
    let tenantID: String
    /// Unix milliseconds.
    let admittedAt: Int64
    let budget: BudgetID
    /// In the budget's unit.
    let amount: Int64

    /// A record that names more is no honest one.
    static let maximum = 40

    /// What a record says of it.
    /// - Parameter place: Its record's.
    static func of(_ record: Weir_V1_UsageRecord, _ usage: UsageRow, at place: Int) -> [UncoveredUse] {
        record.uncovered.prefix(maximum).compactMap { part in
            // No id of ours, and nothing that a database takes must come of it.
            guard part.budgetID.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else { return nil }
            return UncoveredUse(
                place: place, tenantID: usage.tenantID, admittedAt: usage.admittedAtMicroseconds / 1000, budget: BudgetID(part.budgetID),
                amount: part.amount)
        }
    }

    private struct Account: Hashable, Comparable {
        let budget: BudgetID
        let tenantID: String
        let start: Int64

        static func < (a: Account, b: Account) -> Bool {
            (a.budget.rawValue, a.start, a.tenantID) < (b.budget.rawValue, b.start, b.tenantID)
        }
    }

    /// Takes what records that are stored say from its accounts, in the transaction that stores them. A budget of another tenant, or none, is
    /// passed over.
    /// For a transaction of isolation `readCommitted`.
    /// - Returns: the requests that budgets which only observe had no room for: they are no use of theirs, but what they would have refused.
    static func store(
        _ c: any SQLConnection, _ uses: [UncoveredUse], storedAt places: [Int], now: Int64
    ) throws -> BudgetObservations.Counts {
        guard !uses.isEmpty else { return [:] }
        let stored = Set(places)
        var budgets: [BudgetID: BudgetContent?] = [:]
        var amounts: [Account: [Int64]] = [:]
        for use in uses where use.amount > 0 && stored.contains(use.place) {
            if budgets[use.budget] == nil { budgets[use.budget] = .some(try BudgetContent.find(c, use.budget.rawValue)?.content) }
            // An account without a budget is that of a grant, which never begins anew.
            let start = (budgets[use.budget] ?? nil)?.period(at: use.admittedAt).start ?? 0
            amounts[Account(budget: use.budget, tenantID: use.tenantID, start: start), default: []].append(LeaseAmount.clamped(use.amount))
        }
        // In one order, so that two streams do not wait for each other.
        var refused: BudgetObservations.Counts = [:]
        for (key, amounts) in amounts.sorted(by: { $0.key < $1.key }) {
            let beyond = try take(amounts, from: key, budgets[key.budget] ?? nil, c, now)
            if beyond > 0 { refused[BudgetObservations.Period(budget: key.budget, start: key.start)] = (key.tenantID, beyond) }
        }
        return refused
    }

    /// - Returns: how many of the amounts a budget that only observes had no room for.
    private static func take(
        _ amounts: [Int64], from key: Account, _ budget: BudgetContent?, _ c: any SQLConnection, _ now: Int64
    ) throws -> Int64 {
        let id = key.budget.rawValue
        if let budget {
            guard budget.tenantID.rawValue == key.tenantID else { return 0 }
            let row = BudgetAccountRow(
                budgetID: id, periodStart: key.start, periodEnd: budget.period(at: key.start).end, tenantID: key.tenantID,
                limit: try budget.limit(c), settled: try budget.usedBefore(c), createdAt: now)
            try BudgetAccountsTable.make(c, row, now: now)
        }
        guard var row = try BudgetAccountsTable.take(c, budgetID: id, periodStart: key.start), row.tenantID == key.tenantID else {
            return 0
        }
        if let budget { row.limit = LeaseAmount.clamped(try budget.limit(c)) }
        let onlyObserves = budget.map { $0.mode == .observe && $0.kind == .hard } ?? false
        var beyond: Int64 = 0
        for amount in amounts {
            if onlyObserves, amount > LeaseAccount(row).free {
                beyond += 1
            } else {
                row.settled = LeaseAmount.clamped(row.settled &+ amount)
            }
        }
        try BudgetAccountsTable.put(c, row, now: now)
        try BudgetEvents.crossed(row, now, c)
        return beyond
    }
}
