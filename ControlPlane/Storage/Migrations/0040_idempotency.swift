extension Migration {
    /// What was answered to requests that may be sent again.
    static let idempotency = Migration(40, "idempotency") { _ in
        [
            """
            CREATE TABLE idempotency_keys (
                actor_id TEXT NOT NULL, idempotency_key TEXT NOT NULL, fingerprint BLOB NOT NULL, attempt TEXT NOT NULL,
                created_at BIGINT NOT NULL, committed BIGINT NOT NULL, answer BLOB,
                PRIMARY KEY (actor_id, idempotency_key)
            )
            """,
            "CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at)",
            // Projects are unique by name within a tenant only; they are looked for by name alone, too.
            "CREATE INDEX projects_by_name ON projects (name, id)",
        ]
    }
}
