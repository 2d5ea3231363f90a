/// Keys that use some provider credentials and no others.
extension Migration {
    static let keyCredentials = Migration(102, "key_credentials") { _ in
        ["ALTER TABLE virtual_keys ADD COLUMN credential_ids TEXT NOT NULL DEFAULT '[]'"]
    }
}
