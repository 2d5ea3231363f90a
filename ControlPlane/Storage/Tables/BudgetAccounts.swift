/// A budget in one of its periods.
package struct BudgetAccountRow: Sendable, Hashable {
    package var budgetID: String
    /// Unix milliseconds; 0: of a budget that never begins anew.
    package var periodStart: Int64
    /// Nil: it has no end.
    package var periodEnd: Int64?
    package var tenantID: String
    package var limit: Int64
    package var settled: Int64
    package var unknown: Int64
    package var leased: Int64
    package var createdAt: Int64
    package var updatedAt: Int64

    package init(
        budgetID: String, periodStart: Int64, periodEnd: Int64?, tenantID: String, limit: Int64, settled: Int64 = 0, unknown: Int64 = 0,
        leased: Int64 = 0, createdAt: Int64
    ) {
        self.budgetID = budgetID
        self.periodStart = periodStart
        self.periodEnd = periodEnd
        self.tenantID = tenantID
        self.limit = limit
        self.settled = settled
        self.unknown = unknown
        self.leased = leased
        self.createdAt = createdAt
        updatedAt = createdAt
    }

    fileprivate init(_ row: SQLRow) throws {
        budgetID = try row.text("budget_id")
        periodStart = try row.int("period_start")
        periodEnd = try row.optionalInt("period_end")
        tenantID = try row.text("tenant_id")
        limit = try row.int("limit_units")
        settled = try row.int("settled")
        unknown = try row.int("unknown")
        leased = try row.int("leased")
        createdAt = try row.int("created_at")
        updatedAt = try row.int("updated_at")
    }
}

/// What is spent and held of budgets.
package enum BudgetAccountsTable {
    private static let columns =
        "budget_id, period_start, period_end, tenant_id, limit_units, settled, unknown, leased, created_at, updated_at"

    /// Held until the transaction ends: its sums are changed by one at a time.
    package static func take(_ c: any SQLConnection, budgetID: String, periodStart: Int64) throws -> BudgetAccountRow? {
        try find(c, budgetID: budgetID, periodStart: periodStart, c.dialect.forUpdate)
    }

    package static func find(_ c: any SQLConnection, budgetID: String, periodStart: Int64) throws -> BudgetAccountRow? {
        try find(c, budgetID: budgetID, periodStart: periodStart, "")
    }

    private static func find(
        _ c: any SQLConnection, budgetID: String, periodStart: Int64, _ suffix: String
    ) throws -> BudgetAccountRow? {
        var conditions = Conditions()
        conditions.add("budget_id = ?", .text(budgetID))
        conditions.add("period_start = ?", .int(periodStart))
        conditions.confine("tenant_id", to: c.scope)
        return try c.first("SELECT \(columns) FROM budget_accounts \(conditions.clause)\(suffix)", conditions.arguments)
            .map(BudgetAccountRow.init)
    }

    package static func put(_ c: any SQLConnection, _ row: BudgetAccountRow, now: Int64) throws {
        try insert(
            c, row, now: now,
            onConflict: """
                UPDATE SET limit_units = excluded.limit_units, settled = excluded.settled, unknown = excluded.unknown,
                    leased = excluded.leased, updated_at = excluded.updated_at
                """)
    }

    /// Makes the account unless it is there, so that one can be taken that is held to nobody's reading before: for transactions of isolation
    /// `readCommitted`.
    package static func make(_ c: any SQLConnection, _ row: BudgetAccountRow, now: Int64) throws {
        try insert(c, row, now: now, onConflict: "NOTHING")
    }

    private static func insert(_ c: any SQLConnection, _ row: BudgetAccountRow, now: Int64, onConflict: String) throws {
        try c.execute(
            """
            INSERT INTO budget_accounts (\(columns)) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            ON CONFLICT (budget_id, period_start) DO \(onConflict)
            """,
            [
                .text(row.budgetID), .int(row.periodStart), .optional(row.periodEnd), .text(row.tenantID), .int(row.limit),
                .int(row.settled), .int(row.unknown), .int(row.leased), .int(row.createdAt), .int(now),
            ])
    }

    /// Those whose period has not ended at `now`, with what `budgets` says of them, the fullest first.
    package static func current(_ c: any SQLConnection, now: Int64, limit: Int) throws -> [BudgetAccountRow] {
        var conditions = Conditions()
        conditions.confine("tenant_id", to: c.scope)
        conditions.add("(period_end IS NULL OR period_end > \(now))")
        conditions.add("period_start <= \(now)")
        conditions.add("budget_id IN (SELECT id FROM budgets WHERE deleted_at IS NULL)")
        return try c.query(
            """
            SELECT \(columns) FROM budget_accounts \(conditions.clause)
            ORDER BY (settled + unknown) * 1.0 / CASE WHEN limit_units = 0 THEN 1 ELSE limit_units END DESC, budget_id LIMIT \(limit)
            """, conditions.arguments
        ).map(BudgetAccountRow.init)
    }
}

/// When budgets begin anew.
package enum BudgetPeriodsTable {
    /// Present budgets whose period has ended, or that nobody has looked at.
    package static func due(_ c: any SQLConnection, now: Int64, limit: Int) throws -> [(id: String, isNew: Bool)] {
        try c.query(
            """
            SELECT id, rolls_at FROM budgets WHERE deleted_at IS NULL AND period <> 'never' AND rolls_at <= $1
            ORDER BY rolls_at, id LIMIT \(limit)
            """, [.int(now)]
        ).map { (try $0.text("id"), try $0.int("rolls_at") == 0) }
    }

    /// - Parameter change: the directory's number for it; nil: data planes need not hear of it.
    package static func roll(_ c: any SQLConnection, budgetID: String, at end: Int64, change: Int64?) throws {
        try c.execute(
            "UPDATE budgets SET rolls_at = $1, directory_revision = COALESCE($2, directory_revision) WHERE id = $3",
            [.int(end), .optional(change), .text(budgetID)])
    }
}
