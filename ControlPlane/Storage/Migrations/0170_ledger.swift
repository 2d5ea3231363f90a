/// The tenants' money as a double-entry ledger: entries whose lines add up to nothing, and what the lines of each account come to.
extension Migration {
    static let ledger = Migration(170, "ledger") { dialect in
        [
            // kind: usage, top_up, adjustment. value_day: the day (days since 1970, UTC) that it counts for; usage that comes late counts for
            // its own day and is posted when it is known.
            """
            CREATE TABLE ledger_entries (
                id TEXT PRIMARY KEY,
                tenant_id TEXT NOT NULL,
                kind TEXT NOT NULL,
                value_day BIGINT NOT NULL,
                posted_at BIGINT NOT NULL,
                idempotency_key TEXT NOT NULL,
                description TEXT NOT NULL,
                corrects_id TEXT,
                actor_id TEXT NOT NULL,
                actor_name TEXT NOT NULL
            )
            """,
            "CREATE UNIQUE INDEX ledger_entries_once ON ledger_entries (tenant_id, kind, idempotency_key)",
            "CREATE INDEX ledger_entries_page ON ledger_entries (tenant_id, posted_at, id)",
            "CREATE INDEX ledger_entries_day ON ledger_entries (tenant_id, value_day, posted_at, id)",
            // amount_nano: nano-dollars; a credit is positive, a debit negative.
            """
            CREATE TABLE ledger_lines (
                entry_id TEXT NOT NULL REFERENCES ledger_entries (id),
                line BIGINT NOT NULL,
                tenant_id TEXT NOT NULL,
                account TEXT NOT NULL,
                value_day BIGINT NOT NULL,
                amount_nano BIGINT NOT NULL,
                requests BIGINT NOT NULL,
                project_id TEXT NOT NULL,
                model TEXT NOT NULL,
                PRIMARY KEY (entry_id, line)
            )
            """,
            "CREATE INDEX ledger_lines_account ON ledger_lines (tenant_id, account, value_day)",
            """
            CREATE TABLE ledger_balances (
                tenant_id TEXT NOT NULL,
                account TEXT NOT NULL,
                amount_nano BIGINT NOT NULL,
                updated_at BIGINT NOT NULL,
                PRIMARY KEY (tenant_id, account)
            )
            """,
        ] + kept(dialect)
            + RowSecurity.statements(
                dialect, ["ledger_entries", "ledger_lines", "ledger_balances"].map { (name: $0, tenantColumn: "tenant_id") })
    }

    /// Entries are never edited, by nobody: what was wrong is put right by another entry.
    private static func kept(_ dialect: SQLDialect) -> [String] {
        let tables = ["ledger_entries", "ledger_lines"]
        switch dialect {
        case .sqlite:
            return tables.flatMap { table in
                ["UPDATE", "DELETE"].map { verb in
                    """
                    CREATE TRIGGER \(table)_kept_\(verb.lowercased()) BEFORE \(verb) ON \(table)
                    BEGIN SELECT RAISE(ABORT, 'the ledger is never edited'); END
                    """
                }
            }
        case .postgres:
            let function = """
                CREATE FUNCTION weir_ledger_kept() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN RAISE EXCEPTION ''the ledger is never edited''; END'
                """
            return [function]
                + tables.map {
                    """
                    CREATE TRIGGER \($0)_kept BEFORE UPDATE OR DELETE ON \($0)
                    FOR EACH STATEMENT EXECUTE FUNCTION weir_ledger_kept()
                    """
                }
        }
    }
}
