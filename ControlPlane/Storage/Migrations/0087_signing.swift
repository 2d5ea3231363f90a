/// Callers that sign their requests: signing secrets of keys, DIDs, and from where a key may be used.
extension Migration {
    static let signing = Migration(87, "signing") { dialect in
        [
            """
            CREATE TABLE signing_secrets (
                id TEXT PRIMARY KEY, key_id TEXT NOT NULL, tenant_id TEXT NOT NULL, previous_expires_at BIGINT,
                ciphertext BLOB NOT NULL, master_key_id TEXT,
                revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, deleted_at BIGINT
            )
            """,
            "CREATE UNIQUE INDEX signing_secrets_key ON signing_secrets (key_id) WHERE deleted_at IS NULL",
            "CREATE INDEX signing_secrets_page ON signing_secrets (created_at, id)",
            "CREATE INDEX signing_secrets_change ON signing_secrets (revision)",
            """
            CREATE TABLE dids (
                id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants (id), did TEXT NOT NULL, user_id TEXT, status TEXT NOT NULL,
                fingerprint BLOB NOT NULL,
                revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
                directory_revision BIGINT NOT NULL, deleted_at BIGINT
            )
            """,
            "CREATE UNIQUE INDEX dids_fingerprint ON dids (fingerprint) WHERE deleted_at IS NULL",
            "CREATE INDEX dids_by_did ON dids (did)",
            "CREATE INDEX dids_page ON dids (created_at, id)",
            "CREATE INDEX dids_tenant ON dids (tenant_id, created_at, id)",
            "CREATE INDEX dids_user ON dids (user_id)",
            "CREATE INDEX dids_change ON dids (directory_revision)",
            "CREATE INDEX dids_removed ON dids (deleted_at) WHERE deleted_at IS NOT NULL",
            """
            CREATE TABLE revoked_grants (
                id TEXT PRIMARY KEY, did_id TEXT NOT NULL, tenant_id TEXT NOT NULL REFERENCES tenants (id), grant_id TEXT NOT NULL,
                grant_name BLOB NOT NULL,
                revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
                directory_revision BIGINT NOT NULL, deleted_at BIGINT
            )
            """,
            "CREATE UNIQUE INDEX revoked_grants_name ON revoked_grants (grant_name) WHERE deleted_at IS NULL",
            "CREATE INDEX revoked_grants_page ON revoked_grants (created_at, id)",
            "CREATE INDEX revoked_grants_tenant ON revoked_grants (tenant_id, created_at, id)",
            "CREATE INDEX revoked_grants_did ON revoked_grants (did_id)",
            "CREATE INDEX revoked_grants_change ON revoked_grants (directory_revision)",
            "CREATE INDEX revoked_grants_removed ON revoked_grants (deleted_at) WHERE deleted_at IS NOT NULL",
            "ALTER TABLE virtual_keys ADD COLUMN networks TEXT NOT NULL DEFAULT '[]'",
            "ALTER TABLE virtual_keys ADD COLUMN domains TEXT NOT NULL DEFAULT '[]'",
        ] + RowSecurity.statements(dialect, [("signing_secrets", "tenant_id"), ("dids", "tenant_id"), ("revoked_grants", "tenant_id")])
    }
}
