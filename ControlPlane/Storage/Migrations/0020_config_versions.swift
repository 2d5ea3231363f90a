extension Migration {
    static let configVersions = Migration(20, "config_versions", .breaking) { _ in
        [
            // Immutable: no statement ever updates or deletes a row.
            """
            CREATE TABLE config_versions (
                version BIGINT PRIMARY KEY,
                payload BLOB NOT NULL,
                digest BLOB NOT NULL,
                note TEXT NOT NULL,
                author_id TEXT NOT NULL,
                author_name TEXT NOT NULL,
                restores BIGINT REFERENCES config_versions (version),
                created_at BIGINT NOT NULL
            )
            """,
            // The version that the draft's edits started from: the last one published or reset to.
            """
            CREATE TABLE config_draft (
                id BIGINT PRIMARY KEY CHECK (id = 1),
                base_version BIGINT NOT NULL REFERENCES config_versions (version)
            )
            """,
        ]
    }
}
