extension Migration {
    /// What routes change in requests, and which checks run for a channel's. The release before knows neither, and writes routes without.
    static let workflows = Migration(270, "workflows") { _ in
        [
            "ALTER TABLE routes ADD COLUMN template TEXT NOT NULL DEFAULT '[]'",
            """
            CREATE TABLE workflows (
                id TEXT PRIMARY KEY, name TEXT NOT NULL, channel TEXT NOT NULL, disabled BIGINT NOT NULL, steps TEXT NOT NULL,
                revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
            )
            """,
            "CREATE UNIQUE INDEX workflows_name ON workflows (name)",
            "CREATE INDEX workflows_page ON workflows (created_at, id)",
        ]
    }
}
