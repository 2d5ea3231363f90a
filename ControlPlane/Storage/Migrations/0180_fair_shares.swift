/// How many requests an endpoint takes at one time, and a tenant's share of it. What the release before writes has no bound and an equal share.
extension Migration {
    static let fairShares = Migration(180, "fair_shares") { _ in
        [
            "ALTER TABLE endpoints ADD COLUMN max_concurrent BIGINT NOT NULL DEFAULT 0",
            "ALTER TABLE tenants ADD COLUMN weight BIGINT NOT NULL DEFAULT 1",
        ]
    }
}
