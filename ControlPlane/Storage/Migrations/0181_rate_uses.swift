/// What each data plane had of a limit, as it told last. The release before tells nothing of it.
extension Migration {
    static let rateUses = Migration(181, "rate_uses") { _ in
        ["ALTER TABLE rate_shares ADD COLUMN had BIGINT NOT NULL DEFAULT 0"]
    }
}
