/// The usage records summed by hour, and how long those of an hour took, so that a page about the last day reads no records. What was taken in
/// before these tables were there, or by a release that does not know them, is read from the records (`UsageHours`).
extension Migration {
    static let usageHourly = Migration(330, "usage_hourly") { dialect in
        // Read by ranges of its key: on SQLite the rows lie in that order.
        let ordered = dialect == .sqlite ? " WITHOUT ROWID" : ""
        return [
            """
            CREATE TABLE usage_hourly (
                hour BIGINT NOT NULL,
                tenant_id TEXT NOT NULL,
                project_id TEXT NOT NULL,
                model TEXT NOT NULL,
                status BIGINT NOT NULL,
                data_plane_id TEXT NOT NULL,
                \(UsageDailyTable.sums.map { "\($0.column) BIGINT NOT NULL" }.joined(separator: ",\n    ")),
                PRIMARY KEY (\(UsageHourlyTable.keys.joined(separator: ", ")))
            )\(ordered)
            """,
            "CREATE INDEX usage_hourly_tenant ON usage_hourly (tenant_id, hour)",
            // Of all tenants together. up_to: microseconds.
            """
            CREATE TABLE usage_hourly_latencies (
                hour BIGINT NOT NULL,
                up_to BIGINT NOT NULL,
                data_plane_id TEXT NOT NULL,
                requests BIGINT NOT NULL,
                PRIMARY KEY (hour, up_to, data_plane_id)
            )\(ordered)
            """,
        ] + RowSecurity.statements(dialect, [("usage_hourly", "tenant_id")])
    }
}
