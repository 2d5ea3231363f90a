/// What the operator has stopped. Which data planes act on it is told by the receipts of the bans, in whose documents it travels.
extension Migration {
    static let killSwitches = Migration(150, "kill_switches") { dialect in
        [
            """
            CREATE TABLE kill_switches (
                id TEXT PRIMARY KEY, subject_id TEXT NOT NULL, tenant_id TEXT, reason TEXT NOT NULL, expires_at BIGINT,
                revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
                ban_revision BIGINT NOT NULL, deleted_at BIGINT
            )
            """,
            "CREATE UNIQUE INDEX kill_switches_subject ON kill_switches (subject_id) WHERE deleted_at IS NULL",
            "CREATE INDEX kill_switches_page ON kill_switches (created_at, id)",
            "CREATE INDEX kill_switches_tenant ON kill_switches (tenant_id, created_at, id)",
            "CREATE INDEX kill_switches_removed ON kill_switches (deleted_at) WHERE deleted_at IS NOT NULL",
        ] + RowSecurity.statements(dialect, [("kill_switches", "tenant_id")])
    }
}
