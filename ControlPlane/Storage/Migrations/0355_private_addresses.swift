/// Endpoints that may lead into private networks. Those that are there already, and what the release before writes, go on as before.
extension Migration {
    static let privateAddresses = Migration(355, "private_addresses") { _ in
        ["ALTER TABLE endpoints ADD COLUMN private_addresses BIGINT NOT NULL DEFAULT 1"]
    }
}
