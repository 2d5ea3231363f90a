/// The records summed by day and by what reports group by. Written in the transaction that stores the records, so the sums are exact.
///
/// A row belongs to one data plane: two of them never wait for each other's sums.
package enum UsageDailyTable {
    static let keys = ["day", "tenant_id", "project_id", "key_id", "model", "status", "data_plane_id"]
    /// Of `usage_daily_detail`, for what is asked for more rarely and has many more rows.
    static let detailedKeys = keys + ["app_id", "user_id", "did", "tags", "dialect", "price_id", "config_version"]

    /// What is summed: the column here, and the expression over a record.
    static let sums = firstSums + laterSums

    /// Those that the tables were made with.
    static let firstSums: [(column: String, ofRecord: String)] = [
        ("requests", "1"), ("estimated", "flags & 1"), ("mismatches", "(flags & 128) / 128"), ("input_tokens", "input_tokens"),
        ("output_tokens", "output_tokens"), ("cached_input_tokens", "cached_input_tokens"), ("cache_write_tokens", "cache_write_tokens"),
        ("reasoning_tokens", "reasoning_tokens"), ("cost_nano", "cost_nano"),
        ("rerated_cost_nano", "COALESCE(rerated_cost_nano, cost_nano)"),
    ]

    /// Those that the release before does not know, so that what it adds to a sum is missing in these. They count what is known, never
    /// what is not: the difference to `requests`, and to those that failed, is what nobody knows.
    static let laterSums: [(column: String, ofRecord: String)] = [
        ("priced", "CASE WHEN \(unpriced) THEN 0 ELSE 1 END"), ("failed_client", failed(by: 1)), ("failed_weir", failed(by: 2)),
        ("failed_provider", failed(by: 3)),
    ]

    /// Whether something of a record's cost is not known: the data plane had no price (256), the control plane could judge that, and there
    /// was something to be charged.
    private static let unpriced =
        "(flags / 256) % 2 = 1 AND rerated_cost_nano IS NOT NULL AND (input_tokens > 0 OR output_tokens > 0 OR status = 1)"

    /// Of a number of `ErrorOrigin`.
    private static func failed(by origin: Int) -> String { "CASE WHEN status = 2 AND error_origin = \(origin) THEN 1 ELSE 0 END" }

    static let microsecondsPerDay: Int64 = 86_400_000_000

    /// Adds records that have just been stored: one row of each table for each group of them, and of `usage_hourly`. Saturating: a data plane
    /// that reports nonsense must not stop its own intake.
    package static func add(_ c: any SQLConnection, _ groups: UsageGroupSums, of rows: PackedRows) throws {
        try add(c, "usage_daily", keys, groups.summed(rows, each: microsecondsPerDay, places))
        try add(c, "usage_daily_detail", detailedKeys, groups.summed(rows, each: microsecondsPerDay, detailedPlaces))
        try add(
            c, "usage_hourly", UsageHourlyTable.keys,
            groups.summed(rows, each: UsageHourlyTable.microsecondsPerHour, UsageHourlyTable.places))
    }

    /// Where the keys stand in a record, after the day.
    private static let places = [
        UsagePlace.tenantID, UsagePlace.projectID, UsagePlace.keyID, UsagePlace.model, UsagePlace.status, UsagePlace.dataPlaneID,
    ]
    private static let detailedPlaces =
        places + [
            UsagePlace.appID, UsagePlace.userID, UsagePlace.did, UsagePlace.tags, UsagePlace.dialect, UsagePlace.priceID,
            UsagePlace.configVersion,
        ]

    private static func add(_ c: any SQLConnection, _ table: String, _ keys: [String], _ groups: [[SQLValue]]) throws {
        guard c.dialect == .postgres else { return try c.executeEach(statement(table, keys, groups: 1), groups) }
        for start in stride(from: 0, to: groups.count, by: groupsPerStatement) {
            let chunk = groups[start..<min(start + groupsPerStatement, groups.count)]
            try c.execute(statement(table, keys, groups: chunk.count), chunk.flatMap { $0 })
        }
    }

    /// Far from the number of parameters that Postgres allows, 65,535.
    private static let groupsPerStatement = 200

    private static func statement(_ table: String, _ keys: [String], groups: Int) -> String {
        let columns = keys + sums.map(\.column)
        let updates = sums.map { sum in
            let (old, new) = ("\(table).\(sum.column)", "excluded.\(sum.column)")
            return "\(sum.column) = CASE WHEN \(old) > \(Int64.max) - \(new) THEN \(Int64.max) ELSE \(old) + \(new) END"
        }
        return """
            INSERT INTO \(table) (\(columns.joined(separator: ", "))) VALUES \(Conditions.places(groups, columns.count))
            ON CONFLICT (\(keys.joined(separator: ", "))) DO UPDATE SET \(updates.joined(separator: ", "))
            """
    }
}
