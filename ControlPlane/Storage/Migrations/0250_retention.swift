extension Migration {
    /// When what is old was taken away last, of each kind of record, and how much of it.
    static let retention = Migration(250, "retention") { _ in
        [
            // before_at: what is older than that is gone; it never falls. held: why more was kept than was asked for.
            """
            CREATE TABLE retention_runs (
                kind TEXT PRIMARY KEY,
                ran_at BIGINT NOT NULL,
                before_at BIGINT NOT NULL,
                removed BIGINT NOT NULL,
                removed_total BIGINT NOT NULL,
                held TEXT NOT NULL
            )
            """
        ]
    }

    /// Requests that data planes refused before anything of them was admitted: they have no usage record. tenant_id '': nobody's, as far as
    /// the data plane could know. repeated: further ones of the same caller, model and code that are not listed one by one.
    static let requestRefusals = Migration(251, "request_refusals") { dialect in
        [
            """
            CREATE TABLE request_refusals (
                request_id BLOB NOT NULL,
                data_plane_id TEXT NOT NULL,
                at BIGINT NOT NULL,
                received_at BIGINT NOT NULL,
                tenant_id TEXT NOT NULL,
                project_id TEXT NOT NULL,
                key_id TEXT NOT NULL,
                app_id TEXT NOT NULL,
                user_id TEXT NOT NULL,
                did TEXT NOT NULL,
                model TEXT NOT NULL,
                channel TEXT NOT NULL,
                http_status BIGINT NOT NULL,
                error_origin BIGINT NOT NULL,
                error_code TEXT NOT NULL,
                remote_address TEXT NOT NULL,
                repeated BIGINT NOT NULL,
                PRIMARY KEY (request_id, data_plane_id)
            )
            """,
            "CREATE INDEX request_refusals_page ON request_refusals (at, request_id)",
            "CREATE INDEX request_refusals_tenant ON request_refusals (tenant_id, at, request_id)",
        ] + RowSecurity.statements(dialect, [("request_refusals", "tenant_id")])
    }
}
