/// Endpoints that are spoken to in HTTP/2 without TLS. What the release before writes is spoken to in HTTP/1.1 there.
extension Migration {
    static let http2PriorKnowledge = Migration(311, "http2_prior_knowledge") { _ in
        ["ALTER TABLE endpoints ADD COLUMN http2_prior_knowledge BIGINT NOT NULL DEFAULT 0"]
    }
}
