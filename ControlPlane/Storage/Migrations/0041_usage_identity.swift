/// Who asked beside the key, and what a record was rated with: on the records, and in sums of their own. The sums that reports read most
/// (`usage_daily`) stay as they are: they have few rows, and the release before writes them, too.
extension Migration {
    static let usageIdentity = Migration(41, "usage_identity") { _ in
        let keys = UsageDailyTable.detailedKeys.joined(separator: ", ")
        let sums = UsageDailyTable.firstSums.map(\.column)
        let columns = ["app_id", "user_id", "did", "dialect", "tags"].map {
            "ALTER TABLE usage_records ADD COLUMN \($0) TEXT NOT NULL DEFAULT ''"
        }
        return columns + [
            // Serialised `UsageAttempt` messages; NULL where there was one attempt or none.
            "ALTER TABLE usage_records ADD COLUMN attempt_list BLOB",
            """
            CREATE TABLE usage_daily_detail (
                day BIGINT NOT NULL,
                tenant_id TEXT NOT NULL,
                project_id TEXT NOT NULL,
                key_id TEXT NOT NULL,
                model TEXT NOT NULL,
                status BIGINT NOT NULL,
                data_plane_id TEXT NOT NULL,
                app_id TEXT NOT NULL,
                user_id TEXT NOT NULL,
                did TEXT NOT NULL,
                tags TEXT NOT NULL,
                dialect TEXT NOT NULL,
                price_id TEXT NOT NULL,
                config_version BIGINT NOT NULL,
                \(sums.map { "\($0) BIGINT NOT NULL" }.joined(separator: ", ")),
                PRIMARY KEY (\(keys))
            )
            """,
            "CREATE INDEX usage_daily_detail_tenant ON usage_daily_detail (tenant_id, day)",
            // What was taken in before this table was there.
            """
            INSERT INTO usage_daily_detail (\(keys), \(sums.joined(separator: ", ")))
            SELECT admitted_at_us / 86400000000, tenant_id, project_id, key_id, model, status, data_plane_id, '', '', '', '', '', price_id,
                config_version, \(UsageDailyTable.firstSums.map { "SUM(\($0.ofRecord))" }.joined(separator: ", "))
            FROM usage_records
            GROUP BY admitted_at_us / 86400000000, tenant_id, project_id, key_id, model, status, data_plane_id, price_id, config_version
            """,
        ]
    }
}
