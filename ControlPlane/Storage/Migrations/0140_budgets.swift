/// What tenants, projects, apps, users, keys and DIDs may spend.
extension Migration {
    static let budgets = Migration(140, "budgets") { dialect in
        [
            """
            CREATE TABLE budgets (
                id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants (id), project_id TEXT, app_id TEXT, user_id TEXT, key_id TEXT,
                did_id TEXT, name TEXT NOT NULL, unit TEXT NOT NULL, limit_text TEXT NOT NULL, period TEXT NOT NULL,
                time_zone TEXT NOT NULL, kind TEXT NOT NULL, mode TEXT NOT NULL, capability TEXT,
                revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
                directory_revision BIGINT NOT NULL, deleted_at BIGINT
            )
            """,
            "CREATE UNIQUE INDEX budgets_name ON budgets (tenant_id, name) WHERE deleted_at IS NULL",
            "CREATE INDEX budgets_page ON budgets (created_at, id)",
            "CREATE INDEX budgets_tenant ON budgets (tenant_id, created_at, id)",
            "CREATE INDEX budgets_project ON budgets (project_id) WHERE project_id IS NOT NULL",
            "CREATE INDEX budgets_app ON budgets (app_id) WHERE app_id IS NOT NULL",
            "CREATE INDEX budgets_user ON budgets (user_id) WHERE user_id IS NOT NULL",
            "CREATE INDEX budgets_key ON budgets (key_id) WHERE key_id IS NOT NULL",
            "CREATE INDEX budgets_did ON budgets (did_id) WHERE did_id IS NOT NULL",
            "CREATE INDEX budgets_change ON budgets (directory_revision)",
            "CREATE INDEX budgets_removed ON budgets (deleted_at) WHERE deleted_at IS NOT NULL",
        ] + RowSecurity.statements(dialect, [("budgets", "tenant_id")])
    }
}
