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

    private struct Key: Hashable, Comparable {
        let day: Int64
        let tenantID: String
        let projectID: String
        let keyID: String
        let model: String
        let status: Int64
        let dataPlaneID: String

        init(_ row: UsageRow) {
            day = row.admittedAtMicroseconds / microsecondsPerDay
            tenantID = row.tenantID
            projectID = row.projectID
            keyID = row.keyID
            model = row.model
            status = row.status
            dataPlaneID = row.dataPlaneID
        }

        var values: [SQLValue] {
            [.int(day), .text(tenantID), .text(projectID), .text(keyID), .text(model), .int(status), .text(dataPlaneID)]
        }

        func isOf(_ row: UsageRow) -> Bool {
            day == row.admittedAtMicroseconds / microsecondsPerDay && status == row.status && keyID == row.keyID && model == row.model
                && projectID == row.projectID && tenantID == row.tenantID && dataPlaneID == row.dataPlaneID
        }

        static func < (a: Key, b: Key) -> Bool {
            (a.day, a.tenantID, a.projectID, a.keyID, a.model, a.status) < (b.day, b.tenantID, b.projectID, b.keyID, b.model, b.status)
        }
    }

    private struct Detail: Hashable, Comparable {
        let key: Key
        let appID: String
        let userID: String
        let did: String
        let tags: String
        let dialect: String
        let priceID: String
        let configVersion: Int64

        init(_ row: UsageRow) {
            key = Key(row)
            appID = row.appID
            userID = row.userID
            did = row.did
            tags = row.tags
            dialect = row.dialect
            priceID = row.priceID
            configVersion = row.configVersion
        }

        var values: [SQLValue] {
            key.values + [.text(appID), .text(userID), .text(did), .text(tags), .text(dialect), .text(priceID), .int(configVersion)]
        }

        func isOf(_ row: UsageRow) -> Bool {
            configVersion == row.configVersion && priceID == row.priceID && appID == row.appID && userID == row.userID && did == row.did
                && tags == row.tags && dialect == row.dialect && key.isOf(row)
        }

        static func < (a: Detail, b: Detail) -> Bool {
            if a.key != b.key { return a.key < b.key }
            if a.configVersion != b.configVersion { return a.configVersion < b.configVersion }
            return (a.appID, a.userID, a.did, a.tags, a.dialect, a.priceID) < (b.appID, b.userID, b.did, b.tags, b.dialect, b.priceID)
        }
    }

    /// Adds records, which have just been stored. Saturating: a data plane that reports nonsense must not stop its own intake.
    package static func add(_ c: any SQLConnection, _ rows: [UsageRow]) throws {
        guard let first = rows.first else { return }
        let zeros = [Int64](repeating: 0, count: sums.count)
        var details: [Detail: [Int64]] = [:]
        // Neighbours are often of one group: what a run of them comes to is looked up once.
        var (detail, run) = (Detail(first), zeros)
        // By index: an iterator would make a copy of each row, with all its texts.
        for index in rows.indices {
            if !detail.isOf(rows[index]) {
                details[detail, default: zeros].addSaturating(run)
                (detail, run) = (Detail(rows[index]), zeros)
            }
            run.addSaturating(amounts(rows[index]))
        }
        details[detail, default: zeros].addSaturating(run)
        var groups: [Key: [Int64]] = [:]
        for (detail, amounts) in details { groups[detail.key, default: zeros].addSaturating(amounts) }
        // In one order always: two incarnations of a data plane may be at it together.
        try add(c, "usage_daily", keys, groups.sorted { $0.key < $1.key }.map { ($0.key.values, $0.value) })
        try add(c, "usage_daily_detail", detailedKeys, details.sorted { $0.key < $1.key }.map { ($0.key.values, $0.value) })
    }

    private static func add(
        _ c: any SQLConnection, _ table: String, _ keys: [String], _ groups: [(keys: [SQLValue], sums: [Int64])]
    ) throws {
        for start in stride(from: 0, to: groups.count, by: groupsPerStatement) {
            let chunk = groups[start..<min(start + groupsPerStatement, groups.count)]
            try c.execute(statement(table, keys, groups: chunk.count), chunk.flatMap { $0.keys + $0.sums.map { .int($0) } })
        }
    }

    /// Far from the numbers of parameters that the databases allow, 32,766 and 65,535.
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

    /// In the order of `sums`.
    private static func amounts(_ row: UsageRow) -> [Int64] {
        let failed = row.status == 2
        return [
            1, row.flags & 1, (row.flags & 128) / 128, row.inputTokens, row.outputTokens, row.cachedInputTokens, row.cacheWriteTokens,
            row.reasoningTokens, row.costNano, row.reratedCostNano ?? row.costNano, row.isPriced ? 1 : 0,
            failed && row.errorOrigin == 1 ? 1 : 0, failed && row.errorOrigin == 2 ? 1 : 0, failed && row.errorOrigin == 3 ? 1 : 0,
        ]
    }
}

extension [Int64] {
    fileprivate mutating func addSaturating(_ other: [Int64]) {
        for index in indices where other.indices.contains(index) {
            let (sum, overflow) = self[index].addingReportingOverflow(other[index])
            self[index] = overflow ? .max : sum
        }
    }
}
