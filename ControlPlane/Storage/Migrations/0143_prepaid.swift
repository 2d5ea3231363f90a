extension Migration {
    /// Budgets whose limit is what was paid in.
    static let prepaidBudgets = Migration(143, "prepaid_budgets") { _ in
        ["ALTER TABLE budgets ADD COLUMN prepaid BIGINT NOT NULL DEFAULT 0"]
    }
}
