/// In which APIs a provider is asked, and in which version of them.
extension Migration {
    static let providerKinds = Migration(220, "provider_kinds") { _ in
        [
            "ALTER TABLE providers ADD COLUMN api_version TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE providers ADD COLUMN apis TEXT NOT NULL DEFAULT '[]'",
        ]
    }
}
