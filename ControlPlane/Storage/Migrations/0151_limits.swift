/// How many requests and tokens there may be, for whom, in which time.
extension Migration {
    static let limits = Migration(151, "limits") { dialect in
        [
            """
            CREATE TABLE limits (
                id TEXT PRIMARY KEY, name TEXT NOT NULL, level TEXT NOT NULL, tenant_id TEXT, project_id TEXT, app_id TEXT, user_id TEXT,
                key_id TEXT, did_id TEXT, ip TEXT, channel TEXT, model TEXT, measure TEXT NOT NULL, amount BIGINT NOT NULL,
                window_seconds BIGINT NOT NULL, algorithm TEXT NOT NULL, burst BIGINT NOT NULL, mode TEXT NOT NULL,
                revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
                directory_revision BIGINT NOT NULL, deleted_at BIGINT
            )
            """,
            "CREATE UNIQUE INDEX limits_name ON limits (name) WHERE deleted_at IS NULL",
            "CREATE INDEX limits_page ON limits (created_at, id)",
            "CREATE INDEX limits_tenant ON limits (tenant_id, created_at, id)",
            "CREATE INDEX limits_project ON limits (project_id) WHERE project_id IS NOT NULL",
            "CREATE INDEX limits_app ON limits (app_id) WHERE app_id IS NOT NULL",
            "CREATE INDEX limits_user ON limits (user_id) WHERE user_id IS NOT NULL",
            "CREATE INDEX limits_key ON limits (key_id) WHERE key_id IS NOT NULL",
            "CREATE INDEX limits_did ON limits (did_id) WHERE did_id IS NOT NULL",
            "CREATE INDEX limits_change ON limits (directory_revision)",
            "CREATE INDEX limits_removed ON limits (deleted_at) WHERE deleted_at IS NOT NULL",
        ] + RowSecurity.statements(dialect, [("limits", "tenant_id")])
    }
}
