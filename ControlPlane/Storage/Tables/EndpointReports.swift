/// What a data plane said last of its endpoints and of the credentials that providers refuse.
package struct EndpointReportRow: Sendable, Hashable {
    package let dataPlaneID: String
    /// JSON arrays.
    package let endpoints: String
    package let credentials: String
    package let reportedAt: Int64

    package init(dataPlaneID: String, endpoints: String, credentials: String, reportedAt: Int64) {
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
            INSERT INTO data_plane_endpoints (data_plane_id, endpoints, credentials, reported_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (data_plane_id) DO UPDATE SET endpoints = excluded.endpoints, credentials = excluded.credentials,
                reported_at = excluded.reported_at
            """,
            [.text(row.dataPlaneID), .text(row.endpoints), .text(row.credentials), .int(row.reportedAt)])
    }

    package static func find(_ c: any SQLConnection, dataPlaneID: String) throws -> EndpointReportRow? {
        try c.query(
            "SELECT data_plane_id, endpoints, credentials, reported_at FROM data_plane_endpoints WHERE data_plane_id = $1",
            [.text(dataPlaneID)]
        ).first.map {
            EndpointReportRow(
                dataPlaneID: try $0.text("data_plane_id"), endpoints: try $0.text("endpoints"), credentials: try $0.text("credentials"),
                reportedAt: try $0.int("reported_at"))
        }
    }
}
