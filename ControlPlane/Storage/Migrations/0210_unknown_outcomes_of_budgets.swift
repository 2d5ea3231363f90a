extension Migration {
    /// What requests count for in a budget whose end nobody saw.
    static let budgetsUnknownOutcomes = Migration(210, "budgets_unknown_outcomes") { _ in
        ["ALTER TABLE budgets ADD COLUMN unknown_outcomes TEXT NOT NULL DEFAULT 'worst_case'"]
    }
}
