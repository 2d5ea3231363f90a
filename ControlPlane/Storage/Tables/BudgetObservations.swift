/// What budgets that only observe would have refused.
package enum BudgetObservationsTable {
    /// So many requests more, in a period of a budget.
    package static func add(_ c: any SQLConnection, budgetID: String, periodStart: Int64, tenantID: String, requests: Int64) throws {
        try c.execute(
            """
            INSERT INTO budget_observations (budget_id, period_start, tenant_id, requests) VALUES ($1, $2, $3, $4)
            ON CONFLICT (budget_id, period_start) DO UPDATE SET requests = budget_observations.requests + excluded.requests
            """, [.text(budgetID), .int(periodStart), .text(tenantID), .int(requests)])
    }

    package static func requests(_ c: any SQLConnection, budgetID: String, periodStart: Int64) throws -> Int64 {
        try c.first(
            "SELECT requests FROM budget_observations WHERE budget_id = $1 AND period_start = $2", [.text(budgetID), .int(periodStart)]
        )?.int("requests") ?? 0
    }
}
