/// Whose fault failures were, and of how many requests the cost is known, in the daily sums.
extension Migration {
    static let usageOutcomes = Migration(65, "usage_outcomes") { _ in
        [("usage_daily", UsageDailyTable.keys), ("usage_daily_detail", UsageDailyTable.detailedKeys)].flatMap { table, keys in
            let sums = UsageDailyTable.laterSums
            let ofRecord = keys.map { $0 == "day" ? "admitted_at_us / \(UsageDailyTable.microsecondsPerDay) AS day" : $0 }
            let matching = keys.map { "\(table).\($0) = counted.\($0)" }.joined(separator: " AND ")
            return sums.map { "ALTER TABLE \(table) ADD COLUMN \($0.column) BIGINT NOT NULL DEFAULT 0" } + [
                """
                UPDATE \(table) SET \(sums.map { "\($0.column) = counted.\($0.column)" }.joined(separator: ", "))
                FROM (
                    SELECT \((ofRecord + sums.map { "SUM(\($0.ofRecord)) AS \($0.column)" }).joined(separator: ", "))
                    FROM usage_records GROUP BY \(keys.indices.map { String($0 + 1) }.joined(separator: ", "))
                ) AS counted
                WHERE \(matching)
                """
            ]
        }
    }

    /// When each data plane saw a key last. Not in the key's row: that would be a change of the directory, a new revision and a wait of data
    /// planes for each other.
    static let keyUses = Migration(66, "key_uses") { dialect in
        [
            """
            CREATE TABLE virtual_key_uses (
                key_id TEXT NOT NULL,
                data_plane_id TEXT NOT NULL,
                tenant_id TEXT NOT NULL,
                used_at BIGINT NOT NULL,
                PRIMARY KEY (key_id, data_plane_id)
            )
            """,
            """
            INSERT INTO virtual_key_uses (key_id, data_plane_id, tenant_id, used_at)
            SELECT key_id, data_plane_id, MIN(tenant_id), MAX(admitted_at_us) / 1000 FROM usage_records
            WHERE key_id <> '' GROUP BY key_id, data_plane_id
            """,
        ] + RowSecurity.statements(dialect, [("virtual_key_uses", "tenant_id")])
    }
}
