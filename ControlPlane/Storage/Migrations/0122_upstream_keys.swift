/// Keys at a provider that belong to one DID each: what is wanted of them, and how far it has come.
extension Migration {
    static let upstreamKeys = Migration(122, "upstream_keys") { dialect in
        [
            """
            CREATE TABLE upstream_keys (
                id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants (id), did_id TEXT NOT NULL, credential_id TEXT NOT NULL,
                provider_id TEXT NOT NULL, state TEXT NOT NULL, attempt BIGINT NOT NULL, hash TEXT, is_disabled BIGINT NOT NULL,
                ciphertext BLOB, master_key_id TEXT, due_at BIGINT NOT NULL, doubtful_until BIGINT NOT NULL, failures BIGINT NOT NULL,
                last_error TEXT NOT NULL, revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
                deleted_at BIGINT
            )
            """,
            "CREATE UNIQUE INDEX upstream_keys_did ON upstream_keys (did_id) WHERE state <> 'gone'",
            "CREATE INDEX upstream_keys_due ON upstream_keys (due_at) WHERE state <> 'gone'",
            "CREATE INDEX upstream_keys_removed ON upstream_keys (deleted_at) WHERE deleted_at IS NOT NULL",
            "CREATE INDEX upstream_keys_tenant ON upstream_keys (tenant_id)",
            // With which key new ones are made, and what each may spend there.
            "ALTER TABLE tenants ADD COLUMN did_credential_id TEXT",
            "ALTER TABLE tenants ADD COLUMN did_key_limit BIGINT",
            "ALTER TABLE tenants ADD COLUMN did_key_limit_reset TEXT NOT NULL DEFAULT 'monthly'",
            "ALTER TABLE credentials ADD COLUMN purpose TEXT NOT NULL DEFAULT 'requests'",
        ] + RowSecurity.statements(dialect, [("upstream_keys", "tenant_id")])
    }
}
