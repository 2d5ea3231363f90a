/// Bans of a key's signatures alone.
extension Migration {
    static let freezes = Migration(101, "freezes") { _ in
        ["ALTER TABLE bans ADD COLUMN covers TEXT NOT NULL DEFAULT 'everything'"]
    }
}
