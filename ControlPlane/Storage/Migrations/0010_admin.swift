extension Migration {
    /// What administrators edit, who they are, and the log of what they did.
    package static let admin = Migration(10, "admin", .breaking) { _ in
        directory + catalog + administration
    }

    /// Tenants, projects, keys and credentials: in force at once, so their rows carry the number of their last change and stay,
    /// marked as deleted, for those who have yet to hear of it.
    private static let directory = [
        """
        CREATE TABLE tenants (
            id TEXT PRIMARY KEY, name TEXT NOT NULL, status TEXT NOT NULL,
            revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
            directory_revision BIGINT NOT NULL, deleted_at BIGINT
        )
        """,
        "CREATE UNIQUE INDEX tenants_name ON tenants (name) WHERE deleted_at IS NULL",
        "CREATE INDEX tenants_page ON tenants (created_at, id)",
        "CREATE INDEX tenants_change ON tenants (directory_revision)",
        """
        CREATE TABLE projects (
            id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants (id), name TEXT NOT NULL, status TEXT NOT NULL,
            revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
            directory_revision BIGINT NOT NULL, deleted_at BIGINT
        )
        """,
        "CREATE UNIQUE INDEX projects_name ON projects (tenant_id, name) WHERE deleted_at IS NULL",
        "CREATE INDEX projects_page ON projects (created_at, id)",
        "CREATE INDEX projects_change ON projects (directory_revision)",
        """
        CREATE TABLE virtual_keys (
            id TEXT PRIMARY KEY, project_id TEXT NOT NULL REFERENCES projects (id), tenant_id TEXT NOT NULL REFERENCES tenants (id),
            name TEXT NOT NULL, sha256 BLOB NOT NULL, previous_sha256 BLOB, previous_expires_at BIGINT, expires_at BIGINT,
            revoked_at BIGINT, models TEXT NOT NULL, capabilities TEXT NOT NULL, channels TEXT NOT NULL, tags TEXT NOT NULL,
            revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
            directory_revision BIGINT NOT NULL, deleted_at BIGINT
        )
        """,
        "CREATE INDEX virtual_keys_page ON virtual_keys (created_at, id)",
        "CREATE INDEX virtual_keys_project ON virtual_keys (project_id, created_at, id)",
        "CREATE INDEX virtual_keys_tenant ON virtual_keys (tenant_id, created_at, id)",
        "CREATE INDEX virtual_keys_change ON virtual_keys (directory_revision)",
        // The revision is the number of the change among all credentials, so that a data plane's copy can be told from this one.
        """
        CREATE TABLE credentials (
            id TEXT PRIMARY KEY, provider_id TEXT NOT NULL, name TEXT NOT NULL, ciphertext BLOB NOT NULL, secret_hint TEXT NOT NULL,
            revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, deleted_at BIGINT
        )
        """,
        "CREATE UNIQUE INDEX credentials_name ON credentials (name) WHERE deleted_at IS NULL",
        "CREATE INDEX credentials_page ON credentials (created_at, id)",
        "CREATE INDEX credentials_change ON credentials (revision)",
    ]

    /// The draft of the next configuration. References between its tables are checked when it is written and again when it is
    /// published, not by foreign keys: a draft that is replaced as a whole is in pieces for a moment.
    private static let catalog = [
        """
        CREATE TABLE providers (
            id TEXT PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, base_url TEXT NOT NULL, auth_scheme TEXT NOT NULL,
            auth_header TEXT NOT NULL, ca_pem TEXT NOT NULL,
            connect_ms BIGINT NOT NULL, first_byte_ms BIGINT NOT NULL, idle_ms BIGINT NOT NULL, total_ms BIGINT NOT NULL,
            revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
        )
        """,
        "CREATE UNIQUE INDEX providers_name ON providers (name)",
        """
        CREATE TABLE endpoints (
            id TEXT PRIMARY KEY, provider_id TEXT NOT NULL, name TEXT NOT NULL, base_url TEXT, credential_ids TEXT NOT NULL,
            disabled BIGINT NOT NULL,
            connect_ms BIGINT NOT NULL, first_byte_ms BIGINT NOT NULL, idle_ms BIGINT NOT NULL, total_ms BIGINT NOT NULL,
            revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
        )
        """,
        "CREATE UNIQUE INDEX endpoints_name ON endpoints (name)",
        """
        CREATE TABLE models (
            id TEXT PRIMARY KEY, name TEXT NOT NULL, capabilities TEXT NOT NULL, context_window BIGINT NOT NULL,
            max_output_tokens BIGINT NOT NULL, tenant_ids TEXT NOT NULL, owned_by TEXT NOT NULL,
            revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
        )
        """,
        "CREATE UNIQUE INDEX models_name ON models (name)",
        """
        CREATE TABLE routes (
            id TEXT PRIMARY KEY, model_id TEXT NOT NULL, name TEXT NOT NULL, targets TEXT NOT NULL, max_attempts BIGINT NOT NULL,
            disabled BIGINT NOT NULL,
            revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
        )
        """,
        "CREATE UNIQUE INDEX routes_name ON routes (name)",
        """
        CREATE TABLE prices (
            id TEXT PRIMARY KEY, model_id TEXT NOT NULL, endpoint_id TEXT, input_nano BIGINT NOT NULL, output_nano BIGINT NOT NULL,
            cached_input_nano BIGINT NOT NULL, cache_write_nano BIGINT NOT NULL, per_request_nano BIGINT NOT NULL,
            effective_from BIGINT NOT NULL,
            revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
        )
        """,
        // Two prices of one moment would leave open which is in force.
        "CREATE UNIQUE INDEX prices_moment ON prices (model_id, COALESCE(endpoint_id, ''), effective_from)",
    ]

    private static let administration = [
        """
        CREATE TABLE admin_tokens (
            id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, sha256 BLOB NOT NULL, expires_at BIGINT,
            revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
        )
        """,
        "CREATE UNIQUE INDEX admin_tokens_name ON admin_tokens (name)",
        """
        CREATE TABLE audit_log (
            id TEXT PRIMARY KEY, at BIGINT NOT NULL, actor_id TEXT NOT NULL, actor_name TEXT NOT NULL, actor_role TEXT NOT NULL,
            remote_address TEXT NOT NULL, request_id TEXT NOT NULL, action TEXT NOT NULL, resource_kind TEXT NOT NULL,
            resource_id TEXT NOT NULL, before_json TEXT, after_json TEXT
        )
        """,
        "CREATE INDEX audit_log_page ON audit_log (at, id)",
        "CREATE INDEX audit_log_resource ON audit_log (resource_kind, resource_id, at)",
    ]
}
