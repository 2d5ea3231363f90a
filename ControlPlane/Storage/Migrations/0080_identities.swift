/// Callers beside keys: users and apps of tenants.
extension Migration {
    static let identities = Migration(80, "identities") { dialect in
        [
            """
            CREATE TABLE users (
                id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants (id), oid TEXT NOT NULL, email TEXT, status TEXT NOT NULL,
                payment_valid_until BIGINT, synced_status TEXT NOT NULL,
                revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
                directory_revision BIGINT NOT NULL, deleted_at BIGINT
            )
            """,
            "CREATE UNIQUE INDEX users_oid ON users (tenant_id, oid) WHERE deleted_at IS NULL",
            "CREATE INDEX users_by_oid ON users (oid)",
            "CREATE INDEX users_page ON users (created_at, id)",
            "CREATE INDEX users_tenant ON users (tenant_id, created_at, id)",
            "CREATE INDEX users_change ON users (directory_revision)",
            "CREATE INDEX users_removed ON users (deleted_at) WHERE deleted_at IS NOT NULL",
            """
            CREATE TABLE apps (
                id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants (id), app_id TEXT NOT NULL, name TEXT NOT NULL,
                description TEXT NOT NULL, owner_id TEXT NOT NULL REFERENCES users (id), status TEXT NOT NULL,
                sha256 BLOB, previous_sha256 BLOB, previous_expires_at BIGINT,
                revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
                directory_revision BIGINT NOT NULL, deleted_at BIGINT
            )
            """,
            "CREATE UNIQUE INDEX apps_app_id ON apps (app_id) WHERE deleted_at IS NULL",
            "CREATE INDEX apps_page ON apps (created_at, id)",
            "CREATE INDEX apps_tenant ON apps (tenant_id, created_at, id)",
            "CREATE INDEX apps_owner ON apps (owner_id)",
            "CREATE INDEX apps_change ON apps (directory_revision)",
            "CREATE INDEX apps_removed ON apps (deleted_at) WHERE deleted_at IS NOT NULL",
            // Whose key it is; null: nobody's in particular.
            "ALTER TABLE virtual_keys ADD COLUMN user_id TEXT",
            // Who pays, where that is not who asked.
            "ALTER TABLE usage_records ADD COLUMN owner_id TEXT NOT NULL DEFAULT ''",
        ] + RowSecurity.statements(dialect, [("users", "tenant_id"), ("apps", "tenant_id")])
    }

    static let identityIndexes = Migration(
        81, "identity_indexes",
        indexes: [OnlineIndex("virtual_keys_user", on: "virtual_keys", "user_id, created_at, id", where: "user_id IS NOT NULL")])
}
