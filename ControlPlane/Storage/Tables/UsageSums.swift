/// What sums can be grouped by.
package enum UsageDimension: String, CaseIterable, Sendable {
    case tenant, project, key, model, day
    case app, user, did, tags, dialect, price
    case configVersion = "config_version"

    /// Whether only the detailed sums know it.
    fileprivate var isDetailed: Bool {
        switch self {
        case .tenant, .project, .key, .model, .day: false
        case .app, .user, .did, .tags, .dialect, .price, .configVersion: true
        }
    }

    /// Its column in `usage_daily` or `usage_daily_detail`, and among sums.
    fileprivate var column: String {
        switch self {
        case .app: "app_id"
        case .user: "user_id"
        case .did: "did"
        case .tags: "tags"
        case .dialect: "dialect"
        case .price: "price_id"
        case .configVersion: "config_version"
        case .tenant: "tenant_id"
        case .project: "project_id"
        case .key: "key_id"
        case .model: "model"
        case .day: "day"
        }
    }

    fileprivate var ofRecord: String {
        self == .day ? "admitted_at_us / \(UsageDailyTable.microsecondsPerDay)" : column
    }
}

/// Sums over the records of one group.
package struct UsageSums: Sendable, Hashable {
    /// By the dimensions that were asked for; a day as a number of days since 1970-01-01.
    package var tenantID: String?
    package var projectID: String?
    package var keyID: String?
    package var model: String?
    package var day: Int64?
    package var appID: String?
    package var userID: String?
    package var did: String?
    package var tags: String?
    package var dialect: String?
    package var priceID: String?
    package var configVersion: Int64?

    package var requests: Int64 = 0
    package var failed: Int64 = 0
    package var estimated: Int64 = 0
    package var costMismatches: Int64 = 0
    package var inputTokens: Int64 = 0
    package var outputTokens: Int64 = 0
    package var cachedInputTokens: Int64 = 0
    package var cacheWriteTokens: Int64 = 0
    package var reasoningTokens: Int64 = 0
    /// Nano-dollars as the data planes rated it; saturating.
    package var costNano: Int64 = 0
    /// Nano-dollars as the control plane rates it, where it knows the price, else as the data plane did; saturating.
    package var reratedCostNano: Int64 = 0

    package init() {}

    fileprivate init(_ row: SQLRow, _ dimensions: [UsageDimension]) throws {
        if dimensions.contains(.tenant) { tenantID = try row.text("tenant_id") }
        if dimensions.contains(.project) { projectID = try row.text("project_id") }
        if dimensions.contains(.key) { keyID = try row.text("key_id") }
        if dimensions.contains(.model) { model = try row.text("model") }
        if dimensions.contains(.day) { day = try row.int("day") }
        if dimensions.contains(.app) { appID = try row.text("app_id") }
        if dimensions.contains(.user) { userID = try row.text("user_id") }
        if dimensions.contains(.did) { did = try row.text("did") }
        if dimensions.contains(.tags) { tags = try row.text("tags") }
        if dimensions.contains(.dialect) { dialect = try row.text("dialect") }
        if dimensions.contains(.price) { priceID = try row.text("price_id") }
        if dimensions.contains(.configVersion) { configVersion = try row.int("config_version") }
        requests = try Self.sum(row, "requests")
        failed = try Self.sum(row, "failed")
        estimated = try Self.sum(row, "estimated")
        costMismatches = try Self.sum(row, "mismatches")
        inputTokens = try Self.sum(row, "input_tokens")
        outputTokens = try Self.sum(row, "output_tokens")
        cachedInputTokens = try Self.sum(row, "cached_input_tokens")
        cacheWriteTokens = try Self.sum(row, "cache_write_tokens")
        reasoningTokens = try Self.sum(row, "reasoning_tokens")
        costNano = try Self.sum(row, "cost_nano")
        reratedCostNano = try Self.sum(row, "rerated_cost_nano")
    }

    private static func sum(_ row: SQLRow, _ column: String) throws -> Int64 {
        let high = try row.optionalInt("\(column)_high") ?? 0
        let low = try row.optionalInt("\(column)_low") ?? 0
        return Int64(clamping: Int128(high) * Int128(UsageSumsQuery.half) + Int128(low))
    }
}

/// Sums of whole days come from `usage_daily` (or its detailed sister), those of a window's broken days at its ends from the records. Both are read in one
/// view of the database, so every record counts once.
package enum UsageSumsQuery {
    /// Sums are carried in two parts, as SQLite's SUM fails beyond 64 bits.
    fileprivate static let half: Int64 = 1_000_000_000

    /// One group of sums a combination of the dimensions' values, in their order; without dimensions one, of everything.
    package static func run(
        _ c: any SQLConnection, _ filter: UsageFilter, by dimensions: Set<UsageDimension>, limit: Int
    ) throws -> [UsageSums] {
        let ordered = UsageDimension.allCases.filter(dimensions.contains)
        var conditions = Conditions()
        let sources = Self.sources(filter, ordered, &conditions)
        let columns = ordered.map(\.column)
        let sums = (UsageDailyTable.sums.map(\.column) + ["failed"]).flatMap { name in
            ["SUM(\(name) / \(half)) AS \(name)_high", "SUM(\(name) % \(half)) AS \(name)_low"]
        }
        let list = columns.joined(separator: ", ")
        let grouping = columns.isEmpty ? "" : "GROUP BY \(list) ORDER BY \(list)"
        let limitPlace = conditions.place(.int(Int64(limit)))
        let rows = try c.query(
            """
            SELECT \((columns + sums).joined(separator: ", ")) FROM (\(sources.joined(separator: " UNION ALL "))) AS usage
            \(grouping) LIMIT \(limitPlace)
            """, conditions.arguments)
        return try rows.map { try UsageSums($0, ordered) }
    }

    /// The SELECTs to be united; their arguments go to `arguments`.
    private static func sources(_ filter: UsageFilter, _ dimensions: [UsageDimension], _ arguments: inout Conditions) -> [String] {
        let day = UsageDailyTable.microsecondsPerDay
        var filter = filter
        filter.from = min(max(0, filter.from), .max / 2)
        let first = filter.from == 0 ? 0 : (filter.from - 1) / day + 1
        // Without an end it reaches further than any record.
        let end = filter.to == .max ? Int64.max : max(0, filter.to) / day
        guard first < end, filter.requestID == nil else { return [records(filter, filter.from, filter.to, dimensions, &arguments)] }
        var sources = [daily(filter, first, end, dimensions, &arguments)]
        if filter.from < first * day { sources.append(records(filter, filter.from, first * day, dimensions, &arguments)) }
        if end < .max, end * day < filter.to { sources.append(records(filter, end * day, filter.to, dimensions, &arguments)) }
        return sources
    }

    private static func daily(
        _ filter: UsageFilter, _ first: Int64, _ end: Int64, _ dimensions: [UsageDimension], _ arguments: inout Conditions
    ) -> String {
        var conditions = Conditions(continuing: arguments)
        conditions.add("day >= ?", .int(first))
        conditions.add("day < ?", .int(end))
        filter.addParties(to: &conditions)
        arguments = Conditions(continuing: conditions)
        let columns =
            dimensions.map(\.column) + UsageDailyTable.sums.map(\.column) + ["CASE WHEN status = 2 THEN requests ELSE 0 END AS failed"]
        let table = dimensions.contains(where: \.isDetailed) ? "usage_daily_detail" : "usage_daily"
        return "SELECT \(columns.joined(separator: ", ")) FROM \(table) \(conditions.clause)"
    }

    private static func records(
        _ filter: UsageFilter, _ from: Int64, _ to: Int64, _ dimensions: [UsageDimension], _ arguments: inout Conditions
    ) -> String {
        var narrowed = filter
        narrowed.from = from
        narrowed.to = to
        var conditions = Conditions(continuing: arguments)
        narrowed.add(to: &conditions)
        arguments = Conditions(continuing: conditions)
        let columns =
            dimensions.map { "\($0.ofRecord) AS \($0.column)" } + UsageDailyTable.sums.map { "\($0.ofRecord) AS \($0.column)" }
            + ["CASE WHEN status = 2 THEN 1 ELSE 0 END AS failed"]
        return "SELECT \(columns.joined(separator: ", ")) FROM usage_records \(conditions.clause)"
    }
}
