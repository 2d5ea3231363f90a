/// The parts of published configurations that data planes with some tenants were sent. Kept, since what one of them is must not depend on
/// the release that cuts it: immutable like the versions themselves.
extension Migration {
    static let configProjections = Migration(43, "config_projections") { _ in
        [
            // scope: SHA-256 of the tenants' ids, in hex.
            """
            CREATE TABLE config_projections (
                version BIGINT NOT NULL REFERENCES config_versions (version),
                scope TEXT NOT NULL,
                payload BLOB NOT NULL,
                created_at BIGINT NOT NULL,
                PRIMARY KEY (version, scope)
            )
            """
        ]
    }
}
