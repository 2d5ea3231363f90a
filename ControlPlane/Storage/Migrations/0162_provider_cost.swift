/// Whether a provider's own word for what an answer cost counts.
extension Migration {
    static let providerCost = Migration(162, "provider_cost") { _ in
        ["ALTER TABLE prices ADD COLUMN provider_cost BIGINT NOT NULL DEFAULT 0"]
    }
}
