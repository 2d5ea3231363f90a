import Nouns
import Primitives
import Storage

/// What budgets that only observe would have refused: data planes name them in the records of requests that they served all the same.
struct BudgetObservations {
    struct Period: Hashable {
        let budget: BudgetID
        let start: Int64
    }

    typealias Counts = [Period: (tenantID: String, requests: Int64)]

    /// Of one request.
    struct Observation: Sendable {
        /// Its record's place.
        let place: Int
        let tenantID: String
        /// Unix milliseconds.
        let admittedAt: Int64
        let budgets: [String]
    }

    /// Counts those of records that are stored, in the transaction that stores them. A budget of another tenant, or none, is passed over.
    /// - Parameter counted: what was found otherwise, of the same transaction. Rows are changed once, and in one order.
    static func store(_ c: any SQLConnection, _ observations: [Observation], storedAt places: [Int], and counted: Counts) throws {
        guard !observations.isEmpty || !counted.isEmpty else { return }
        let stored = Set(places)
        var budgets: [BudgetID: BudgetContent?] = [:]
        var counts = counted
        for observation in observations where stored.contains(observation.place) {
            for id in Set(observation.budgets).prefix(maximumBudgets).map({ BudgetID($0) }) {
                if budgets[id] == nil { budgets[id] = .some(try BudgetContent.find(c, id.rawValue)?.content) }
                guard let content = budgets[id] ?? nil, content.tenantID.rawValue == observation.tenantID else { continue }
                let period = Period(budget: id, start: content.period(at: observation.admittedAt).start)
                counts[period, default: (observation.tenantID, 0)].requests += 1
            }
        }
        // In one order, so that two streams do not wait for each other.
        for (period, count) in counts.sorted(by: { ($0.key.budget.rawValue, $0.key.start) < ($1.key.budget.rawValue, $1.key.start) }) {
            try BudgetObservationsTable.add(
                c, budgetID: period.budget.rawValue, periodStart: period.start, tenantID: count.tenantID, requests: count.requests)
        }
    }

    /// A record that names more is no honest one.
    private static let maximumBudgets = 40
}
