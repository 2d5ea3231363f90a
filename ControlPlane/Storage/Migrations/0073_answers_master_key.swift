extension Migration {
    /// Which master key a kept answer is under; NULL: written by a release that did not say.
    static let answersMasterKey = Migration(73, "answers_master_key") { _ in
        ["ALTER TABLE idempotency_keys ADD COLUMN master_key_id TEXT"]
    }
}
