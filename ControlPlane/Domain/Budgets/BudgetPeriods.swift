package import Nouns
import Primitives
import Storage

/// A stretch of time with an account of its own.
package struct AccountPeriod: Sendable, Hashable {
    /// Unix milliseconds; 0: the budget never begins anew.
    package let start: Int64
    /// Nil: it has no end.
    package let end: Int64?

    package static let endless = AccountPeriod(start: 0, end: nil)
}

extension BudgetContent {
    /// A zone that was taken from the time zone database counts as UTC: the period has to be some stretch of time.
    private var zone: ReaderTimeZone { (try? ReaderTimeZone(named: timeZone)) ?? .utc }

    /// The period that `now` (Unix milliseconds) is in.
    package func period(at now: Int64) -> AccountPeriod {
        let zone = zone
        switch period {
        case .never: return .endless
        case .daily:
            let day = zone.localDay(at: now)
            return AccountPeriod(start: zone.start(ofDay: day), end: zone.start(ofDay: day + 1))
        case .monthly:
            let month = zone.month(at: now)
            return AccountPeriod(start: zone.start(ofMonth: month), end: zone.start(ofMonth: month + 1))
        }
    }

    /// That one, and the one that follows.
    package func periods(at now: Int64) -> [AccountPeriod] {
        let present = period(at: now)
        return present.end.map { [present, period(at: $0)] } ?? [present]
    }

    /// The period of this beginning; nil where none begins then.
    func period(startingAt start: Int64) -> AccountPeriod? {
        let found = period(at: start)
        return found.start == start ? found : nil
    }
}

/// Tells data planes when budgets begin anew: they know the present period and the next, and no time zones.
package struct BudgetPeriodService: Sendable {
    /// Budgets of one transaction.
    private static let batch = 500

    private let domain: DomainContext

    package init(_ domain: DomainContext) {
        self.domain = domain
    }

    /// Doing it twice does no harm.
    package func roll() async throws {
        while !Task.isCancelled {
            let now = domain.clock.nowMilliseconds()
            guard try await !domain.read(as: .all, { try BudgetPeriodsTable.due($0, now: now, limit: 1) }).isEmpty else { return }
            let rolled = try await domain.write(as: .all, raising: .directory) { c in
                let change = try ChangeCounter.directory.next(c)
                let due = try BudgetPeriodsTable.due(c, now: now, limit: Self.batch)
                for (id, isNew) in due {
                    guard let budget = try BudgetContent.find(c, id) else { continue }
                    let period = budget.content.period(at: now)
                    // A new one was told with its present period, unless that has ended before anybody looked.
                    let isTold = isNew && budget.content.period(at: budget.meta.createdAt) == period
                    try BudgetPeriodsTable.roll(c, budgetID: id, at: period.end ?? .max, change: isTold ? nil : change)
                }
                return due.count
            }
            if rolled < Self.batch { return }
        }
    }
}
