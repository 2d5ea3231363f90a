extension Migration {
    /// Models that serve when a route's own cannot, and routes of requests that name none. The release before knows none, and writes routes without.
    static let routeFallbacks = Migration(241, "route_fallbacks") { _ in
        [
            "ALTER TABLE routes ADD COLUMN fallback_model_ids TEXT NOT NULL DEFAULT '[]'",
            "ALTER TABLE routes ADD COLUMN fallback_on TEXT NOT NULL DEFAULT '[]'",
            "ALTER TABLE routes ADD COLUMN serves_unnamed BIGINT NOT NULL DEFAULT 0",
        ]
    }
}
