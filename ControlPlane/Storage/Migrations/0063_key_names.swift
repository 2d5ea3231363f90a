extension Migration {
    /// Keys are found by their names, listed by them, and told when they are about to end.
    static let keyNames = Migration(
        63, "key_names",
        indexes: [
            OnlineIndex("virtual_keys_name", on: "virtual_keys", "name, id", where: "deleted_at IS NULL"),
            OnlineIndex("virtual_keys_expiry", on: "virtual_keys", "expires_at, id", where: "expires_at IS NOT NULL"),
        ])
}
