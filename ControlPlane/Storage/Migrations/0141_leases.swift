/// What is spent and held of budgets, period by period, and who holds it.
extension Migration {
    static let leases = Migration(141, "leases") { dialect in
        [
            // An account is a budget in one of its periods; its sums are those of its slices. period_start 0: of one that never begins anew.
            """
            CREATE TABLE budget_accounts (
                budget_id TEXT NOT NULL, period_start BIGINT NOT NULL, period_end BIGINT, tenant_id TEXT NOT NULL,
                limit_units BIGINT NOT NULL, settled BIGINT NOT NULL, unknown BIGINT NOT NULL, leased BIGINT NOT NULL,
                created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
                PRIMARY KEY (budget_id, period_start)
            )
            """,
            "CREATE INDEX budget_accounts_period ON budget_accounts (period_end)",
            """
            CREATE TABLE budget_slices (
                id BIGINT PRIMARY KEY, budget_id TEXT NOT NULL, period_start BIGINT NOT NULL, tenant_id TEXT NOT NULL,
                data_plane_id TEXT NOT NULL, boot TEXT NOT NULL, ask BIGINT NOT NULL, granted BIGINT NOT NULL, ceiling BIGINT NOT NULL,
                spent BIGINT NOT NULL, unknown BIGINT NOT NULL, resolved BIGINT NOT NULL, charged BIGINT NOT NULL, state BIGINT NOT NULL,
                expires_at BIGINT NOT NULL, epoch BIGINT NOT NULL, findings BIGINT NOT NULL, granted_at BIGINT NOT NULL,
                updated_at BIGINT NOT NULL
            )
            """,
            // The same ask gets the same slice.
            "CREATE UNIQUE INDEX budget_slices_ask ON budget_slices (data_plane_id, boot, ask) WHERE ask <> 0",
            "CREATE INDEX budget_slices_account ON budget_slices (budget_id, period_start, id)",
            "CREATE INDEX budget_slices_held ON budget_slices (data_plane_id, boot) WHERE state IN (0, 2)",
            "CREATE INDEX budget_slices_overdue ON budget_slices (expires_at) WHERE state IN (0, 2)",
            // The boots of data planes, and how far each has told what it holds.
            """
            CREATE TABLE lease_holders (
                data_plane_id TEXT NOT NULL, boot TEXT NOT NULL, hello BIGINT NOT NULL, told_epoch BIGINT NOT NULL, seen_at BIGINT NOT NULL,
                PRIMARY KEY (data_plane_id, boot)
            )
            """,
            // What those who hold an account were last asked to give back, for replicas whose streams they are.
            """
            CREATE TABLE lease_recalls (
                budget_id TEXT NOT NULL, period_start BIGINT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (budget_id, period_start)
            )
            """,
            "CREATE INDEX lease_recalls_at ON lease_recalls (at)",
            // What somebody should hear of: a limit that is near, spending that rises, a disk that is an older one. Each once.
            """
            CREATE TABLE spend_events (
                id TEXT PRIMARY KEY, at BIGINT NOT NULL, kind TEXT NOT NULL, tenant_id TEXT NOT NULL, budget_id TEXT, data_plane_id TEXT,
                occasion TEXT NOT NULL, detail TEXT NOT NULL
            )
            """,
            "CREATE UNIQUE INDEX spend_events_occasion ON spend_events (occasion)",
            "CREATE INDEX spend_events_page ON spend_events (at, id)",
            "CREATE INDEX spend_events_tenant ON spend_events (tenant_id, at, id)",
        ]
            + RowSecurity.statements(
                dialect, [("budget_accounts", "tenant_id"), ("budget_slices", "tenant_id"), ("spend_events", "tenant_id")])
    }

    /// When the period ends of which data planes were told as the present one; 0: nobody has looked yet.
    static let budgetPeriods = Migration(142, "budget_periods") { _ in
        [
            "ALTER TABLE budgets ADD COLUMN rolls_at BIGINT NOT NULL DEFAULT 0",
            "CREATE INDEX budgets_rolls ON budgets (rolls_at) WHERE deleted_at IS NULL",
        ]
    }
}
