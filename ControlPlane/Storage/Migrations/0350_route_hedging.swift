/// Routes that send a request to a second target while the first is silent. Those of the release before do not.
extension Migration {
    static let routeHedging = Migration(350, "route_hedging") { _ in
        ["ALTER TABLE routes ADD COLUMN hedge_after_ms BIGINT NOT NULL DEFAULT 0"]
    }
}
