/// What a data plane said last of its endpoints and of the credentials that providers refuse.
package struct EndpointReportRow: Sendable, Hashable {
    package let dataPlaneID: String
    /// JSON arrays.
    package let endpoints: String
    package let credentials: String
    package let arms: String
    package let reportedAt: Int64

    package init(dataPlaneID: String, endpoints: String, credentials: String, arms: String = "[]", reportedAt: Int64) {
        self.arms = arms
        self.dataPlaneID = dataPlaneID
        self.endpoints = endpoints
        self.credentials = credentials
        self.reportedAt = reportedAt
    }
}

package enum EndpointReportsTable {
    package static func put(_ c: any SQLConnection, _ row: EndpointReportRow) throws {
        try c.execute(
            """
            INSERT INTO data_plane_endpoints (data_plane_id, endpoints, credentials, reported_at, arms) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (data_plane_id) DO UPDATE SET endpoints = excluded.endpoints, credentials = excluded.credentials,
                reported_at = excluded.reported_at, arms = excluded.arms
            """,
            [.text(row.dataPlaneID), .text(row.endpoints), .text(row.credentials), .int(row.reportedAt), .text(row.arms)])
    }

    package static func find(_ c: any SQLConnection, dataPlaneID: String) throws -> EndpointReportRow? {
        try c.query(
            "SELECT data_plane_id, endpoints, credentials, arms, reported_at FROM data_plane_endpoints WHERE data_plane_id = $1",
            [.text(dataPlaneID)]
        ).first.map(row)
    }

    /// Those of data planes in good standing that told of arms since a time, but for one.
    package static func withArms(_ c: any SQLConnection, since: Int64, besides dataPlaneID: String) throws -> [EndpointReportRow] {
        try c.query(
            """
            SELECT e.data_plane_id AS data_plane_id, e.endpoints AS endpoints, e.credentials AS credentials, e.arms AS arms,
                e.reported_at AS reported_at
            FROM data_plane_endpoints e JOIN data_planes p ON p.id = e.data_plane_id
            WHERE e.arms <> '[]' AND e.reported_at >= $1 AND e.data_plane_id <> $2 AND p.revoked_at IS NULL
            ORDER BY e.reported_at DESC LIMIT 100
            """, [.int(since), .text(dataPlaneID)]
        ).map(row)
    }

    private static func row(_ row: SQLRow) throws -> EndpointReportRow {
        EndpointReportRow(
            dataPlaneID: try row.text("data_plane_id"), endpoints: try row.text("endpoints"), credentials: try row.text("credentials"),
            arms: try row.text("arms"), reportedAt: try row.int("reported_at"))
    }
}
