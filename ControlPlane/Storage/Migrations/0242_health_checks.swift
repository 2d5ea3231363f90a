extension Migration {
    /// Checks of endpoints by the data planes. The release before makes none, and writes endpoints without.
    static let healthChecks = Migration(242, "health_checks") { _ in
        [
            "ALTER TABLE endpoints ADD COLUMN health_interval_ms BIGINT NOT NULL DEFAULT 0",
            "ALTER TABLE endpoints ADD COLUMN health_timeout_ms BIGINT NOT NULL DEFAULT 5000",
            "ALTER TABLE endpoints ADD COLUMN health_path TEXT NOT NULL DEFAULT '/models'",
        ]
    }
}
