/// Prices of images, seconds, characters and searches, and of other service tiers.
extension Migration {
    static let unitPrices = Migration(280, "unit_prices") { _ in
        ["per_image_nano", "per_second_nano", "per_character_nano", "per_search_nano"]
            .map { "ALTER TABLE prices ADD COLUMN \($0) BIGINT NOT NULL DEFAULT 0" }
            + ["ALTER TABLE prices ADD COLUMN service_tiers TEXT NOT NULL DEFAULT '[]'"]
    }
}
