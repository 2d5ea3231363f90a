/// Administrators of one tenant, people who sign on, and who made what for a tenant.
extension Migration {
    static let administrators = Migration(110, "administrators") { dialect in
        [
            // Of a release before this one a token that has a tenant or a person is none: see `VirtualKeyText.scopedTokenPrefix`.
            "ALTER TABLE admin_tokens ADD COLUMN tenant_id TEXT",
            "ALTER TABLE admin_tokens ADD COLUMN person_id TEXT",
            "ALTER TABLE admin_tokens ADD COLUMN break_glass BIGINT NOT NULL DEFAULT 0",
            "ALTER TABLE admin_tokens ADD COLUMN last_used_at BIGINT",
            // A tenant does not learn what others call theirs.
            "DROP INDEX admin_tokens_name",
            "CREATE UNIQUE INDEX admin_tokens_name ON admin_tokens (COALESCE(tenant_id, ''), COALESCE(person_id, ''), name)",
            "CREATE INDEX admin_tokens_person ON admin_tokens (person_id)",
            """
            CREATE TABLE people (
                id TEXT PRIMARY KEY, tenant_id TEXT, email TEXT, name TEXT NOT NULL, role TEXT NOT NULL, status TEXT NOT NULL,
                role_source TEXT NOT NULL, issuer TEXT, subject TEXT, last_sign_in_at BIGINT,
                revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
            )
            """,
            "CREATE UNIQUE INDEX people_email ON people (COALESCE(tenant_id, ''), email)",
            "CREATE UNIQUE INDEX people_subject ON people (issuer, subject, COALESCE(tenant_id, '')) WHERE subject IS NOT NULL",
            "CREATE INDEX people_page ON people (created_at, id)",
            """
            CREATE TABLE group_roles (
                id TEXT PRIMARY KEY, tenant_id TEXT, group_name TEXT NOT NULL, role TEXT NOT NULL,
                revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
            )
            """,
            "CREATE UNIQUE INDEX group_roles_group ON group_roles (COALESCE(tenant_id, ''), group_name)",
            // What a browser holds is not here: a session is found by the SHA-256 of it.
            """
            CREATE TABLE admin_sessions (
                sha256 BLOB PRIMARY KEY, person_id TEXT NOT NULL, tenant_id TEXT, created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL,
                last_seen_at BIGINT NOT NULL
            )
            """,
            "CREATE INDEX admin_sessions_person ON admin_sessions (person_id)",
            "CREATE INDEX admin_sessions_end ON admin_sessions (expires_at)",
            // Whose administrator did it; null: one of the whole deployment.
            "ALTER TABLE audit_log ADD COLUMN actor_tenant_id TEXT",
            "ALTER TABLE bans ADD COLUMN by_tenant BIGINT NOT NULL DEFAULT 0",
        ]
            + RowSecurity.statements(
                dialect, ["admin_tokens", "people", "group_roles", "admin_sessions"].map { (name: $0, tenantColumn: "tenant_id") })
    }
}
