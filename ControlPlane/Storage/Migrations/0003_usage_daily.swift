/// The usage records summed by day, so that a month's report reads thousands of rows and not all of its requests.
extension Migration {
    static let usageDaily = Migration(3, "usage_daily", .breaking) { _ in
        let keys = UsageDailyTable.keys.joined(separator: ", ")
        let sums = UsageDailyTable.firstSums
        return [
            """
            CREATE TABLE usage_daily (
                day BIGINT NOT NULL,
                tenant_id TEXT NOT NULL,
                project_id TEXT NOT NULL,
                key_id TEXT NOT NULL,
                model TEXT NOT NULL,
                status BIGINT NOT NULL,
                data_plane_id TEXT NOT NULL,
                requests BIGINT NOT NULL,
                estimated BIGINT NOT NULL,
                mismatches BIGINT NOT NULL,
                input_tokens BIGINT NOT NULL,
                output_tokens BIGINT NOT NULL,
                cached_input_tokens BIGINT NOT NULL,
                cache_write_tokens BIGINT NOT NULL,
                reasoning_tokens BIGINT NOT NULL,
                cost_nano BIGINT NOT NULL,
                rerated_cost_nano BIGINT NOT NULL,
                PRIMARY KEY (\(keys))
            )
            """,
            "CREATE INDEX usage_daily_tenant ON usage_daily (tenant_id, day)",
            // What was taken in before this table was there.
            """
            INSERT INTO usage_daily (\(keys), \(sums.map(\.column).joined(separator: ", ")))
            SELECT admitted_at_us / 86400000000, tenant_id, project_id, key_id, model, status, data_plane_id,
                \(sums.map { "SUM(\($0.ofRecord))" }.joined(separator: ", "))
            FROM usage_records
            GROUP BY admitted_at_us / 86400000000, tenant_id, project_id, key_id, model, status, data_plane_id
            """,
        ]
    }
}
