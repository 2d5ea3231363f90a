/// What holds a data plane to its tenants: where usage goes that it may not report, and what it served and held before.
extension Migration {
    static let confinement = Migration(47, "confinement") { _ in
        [
            // 0: from before this column.
            "ALTER TABLE usage_watermarks ADD COLUMN created_at BIGINT NOT NULL DEFAULT 0",
            // Records as they came, byte for byte: never billed until somebody releases them.
            """
            CREATE TABLE usage_quarantine (
                id TEXT PRIMARY KEY,
                received_at BIGINT NOT NULL,
                reason TEXT NOT NULL,
                data_plane_id TEXT NOT NULL,
                incarnation TEXT NOT NULL,
                sequence BIGINT NOT NULL,
                position BIGINT NOT NULL,
                tenant_id TEXT NOT NULL,
                record BLOB NOT NULL
            )
            """,
            "CREATE UNIQUE INDEX usage_quarantine_place ON usage_quarantine (data_plane_id, incarnation, sequence, position)",
            "CREATE INDEX usage_quarantine_page ON usage_quarantine (received_at, id)",
            // How much of it there is, so that a bound and an alert do not count rows.
            """
            CREATE TABLE usage_quarantine_totals (
                data_plane_id TEXT NOT NULL,
                reason TEXT NOT NULL,
                records BIGINT NOT NULL,
                last_at BIGINT NOT NULL,
                PRIMARY KEY (data_plane_id, reason)
            )
            """,
            // Tenants that were taken from a data plane; '*': it served all. told_at: when it was first in contact afterwards; NULL: it
            // does not know yet, and serves them in good faith.
            """
            CREATE TABLE data_plane_former_tenants (
                data_plane_id TEXT NOT NULL REFERENCES data_planes (id),
                tenant_id TEXT NOT NULL,
                until_at BIGINT NOT NULL,
                told_at BIGINT,
                PRIMARY KEY (data_plane_id, tenant_id)
            )
            """,
            // The configuration versions that a data plane was ever sent: what its usage may name.
            """
            CREATE TABLE data_plane_configs (
                data_plane_id TEXT NOT NULL REFERENCES data_planes (id),
                version BIGINT NOT NULL,
                sent_at BIGINT NOT NULL,
                PRIMARY KEY (data_plane_id, version)
            )
            """,
            // Nobody wrote it down so far.
            """
            INSERT INTO data_plane_configs (data_plane_id, version, sent_at)
            SELECT p.id, v.version, v.created_at FROM data_planes p CROSS JOIN config_versions v
            """,
        ]
    }
}
