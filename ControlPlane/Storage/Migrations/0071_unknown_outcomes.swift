extension Migration {
    /// Whether a route repeats requests whose outcome is not known. The release before does not, and writes none that does.
    static let unknownOutcomes = Migration(71, "unknown_outcomes") { _ in
        ["ALTER TABLE routes ADD COLUMN repeat_unknown_outcomes BIGINT NOT NULL DEFAULT 0"]
    }
}
