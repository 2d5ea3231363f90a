/// How limits are divided between data planes: for each counter that somebody needs more of than an equal part.
extension Migration {
    static let rateShares = Migration(152, "rate_shares") { _ in
        [
            """
            CREATE TABLE rate_shares (
                counter BLOB NOT NULL, data_plane_id TEXT NOT NULL, wanted BIGINT NOT NULL, ceiling BIGINT NOT NULL, told BIGINT NOT NULL,
                number BIGINT NOT NULL, updated_at BIGINT NOT NULL, PRIMARY KEY (counter, data_plane_id)
            )
            """
        ]
    }
}
