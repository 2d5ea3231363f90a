/// What the holder of a virtual key may read about others than the key: nothing, unless it says so.
extension Migration {
    static let keyRights = Migration(44, "key_rights") { _ in
        ["ALTER TABLE virtual_keys ADD COLUMN rights TEXT NOT NULL DEFAULT '[]'"]
    }
}
