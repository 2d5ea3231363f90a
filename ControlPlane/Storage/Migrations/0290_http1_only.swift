/// Endpoints that are sent HTTP/1.1 whatever they offer. What the release before writes is sent HTTP/2 where it is offered.
extension Migration {
    static let http1Only = Migration(290, "http1_only") { _ in ["ALTER TABLE endpoints ADD COLUMN http1_only BIGINT NOT NULL DEFAULT 0"] }
}
