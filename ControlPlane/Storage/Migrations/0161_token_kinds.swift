/// What of a record's tokens is sound, images or kept by the provider's cache for an hour.
extension Migration {
    static let tokenKinds = Migration(161, "token_kinds") { _ in
        ["ALTER TABLE usage_records ADD COLUMN token_kinds TEXT NOT NULL DEFAULT ''"]
    }
}
