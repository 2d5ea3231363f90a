extension Migration {
    static let endpointReports = Migration(31, "endpoint_reports") { _ in
        [
            // What each data plane said last of the endpoints it uses: JSON arrays, as the report had them. Overwritten by each report, so
            // one row a data plane and not one an endpoint.
            """
            CREATE TABLE data_plane_endpoints (
                data_plane_id TEXT PRIMARY KEY REFERENCES data_planes (id),
                endpoints TEXT NOT NULL,
                credentials TEXT NOT NULL,
                reported_at BIGINT NOT NULL
            )
            """
        ]
    }
}
