/// Prices of kinds of tokens that few providers charge apart, and above a size of the input. Null: as what they are a part of.
extension Migration {
    static let priceKinds = Migration(160, "price_kinds") { _ in
        ["cache_write_hour_nano", "audio_input_nano", "image_input_nano", "reasoning_nano", "audio_output_nano", "image_output_nano"]
            .map { "ALTER TABLE prices ADD COLUMN \($0) BIGINT" } + ["ALTER TABLE prices ADD COLUMN tiers TEXT NOT NULL DEFAULT '[]'"]
    }
}
