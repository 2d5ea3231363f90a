/// Who is shut out, and which data planes have said that they act on it.
extension Migration {
    static let bans = Migration(82, "bans") { dialect in
        [
            """
            CREATE TABLE bans (
                id TEXT PRIMARY KEY, subject_id TEXT NOT NULL, tenant_id TEXT NOT NULL, reason TEXT NOT NULL, expires_at BIGINT,
                revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
                ban_revision BIGINT NOT NULL, deleted_at BIGINT
            )
            """,
            "CREATE UNIQUE INDEX bans_subject ON bans (subject_id) WHERE deleted_at IS NULL",
            "CREATE INDEX bans_page ON bans (created_at, id)",
            "CREATE INDEX bans_tenant ON bans (tenant_id, created_at, id)",
            "CREATE INDEX bans_removed ON bans (deleted_at) WHERE deleted_at IS NOT NULL",
            """
            CREATE TABLE ban_receipts (
                ban_id TEXT NOT NULL, data_plane_id TEXT NOT NULL, acted_at BIGINT NOT NULL, PRIMARY KEY (ban_id, data_plane_id)
            )
            """,
        ] + RowSecurity.statements(dialect, [("bans", "tenant_id")])
    }
}
