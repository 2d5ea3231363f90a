/// Which master key a ciphertext is under; NULL: written by a release that did not say. Beside the ciphertext and not in it, so that the
/// release before reads what this one writes.
extension Migration {
    static let masterKeyIDs = Migration(45, "master_key_ids") { _ in
        ["credentials", "signing_keys", "fleet_state"].map { "ALTER TABLE \($0) ADD COLUMN master_key_id TEXT" }
    }
}
