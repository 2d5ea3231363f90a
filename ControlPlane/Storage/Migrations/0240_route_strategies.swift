extension Migration {
    /// How a route chooses among targets of one priority. The release before draws by weight, and writes routes that do.
    static let routeStrategies = Migration(240, "route_strategies") { _ in
        ["ALTER TABLE routes ADD COLUMN strategy TEXT NOT NULL DEFAULT 'weighted'"]
    }
}
