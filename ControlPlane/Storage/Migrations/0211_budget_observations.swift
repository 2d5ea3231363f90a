extension Migration {
    /// How many requests a budget that only observes would have refused, period by period. Apart from its account, which lease streams change.
    static let budgetObservations = Migration(211, "budget_observations") { dialect in
        [
            """
            CREATE TABLE budget_observations (
                budget_id TEXT NOT NULL, period_start BIGINT NOT NULL, tenant_id TEXT NOT NULL, requests BIGINT NOT NULL,
                PRIMARY KEY (budget_id, period_start)
            )
            """
        ] + RowSecurity.statements(dialect, [("budget_observations", "tenant_id")])
    }
}
