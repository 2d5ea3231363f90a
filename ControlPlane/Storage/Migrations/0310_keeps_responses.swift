/// Endpoints whose accounts keep responses. What the release before writes keeps none.
extension Migration {
    static let keepsResponses = Migration(310, "keeps_responses") { _ in
        ["ALTER TABLE endpoints ADD COLUMN keeps_responses BIGINT NOT NULL DEFAULT 0"]
    }
}
