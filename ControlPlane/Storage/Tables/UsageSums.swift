/// Sums over the records of one group.
package struct UsageSums: Sendable, Hashable {
    /// The group's value of each dimension that was asked for, in their order.
    package var group: [SQLValue] = []

    package var requests: Int64 = 0
    package var failed: Int64 = 0
    /// Of those that failed: by whose fault. The rest is not known.
    package var failedByClient: Int64 = 0
    package var failedByWeir: Int64 = 0
    package var failedByProvider: Int64 = 0
    package var estimated: Int64 = 0
    /// Requests of which the whole cost is known.
    package var priced: Int64 = 0
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

    /// Each sum and its column.
    package static let columns: [(name: String, path: any WritableKeyPath<UsageSums, Int64> & Sendable)] = [
        ("requests", \.requests), ("failed", \.failed), ("failed_client", \.failedByClient), ("failed_weir", \.failedByWeir),
        ("failed_provider", \.failedByProvider), ("estimated", \.estimated), ("priced", \.priced), ("mismatches", \.costMismatches),
        ("input_tokens", \.inputTokens), ("output_tokens", \.outputTokens), ("cached_input_tokens", \.cachedInputTokens),
        ("cache_write_tokens", \.cacheWriteTokens), ("reasoning_tokens", \.reasoningTokens), ("cost_nano", \.costNano),
        ("rerated_cost_nano", \.reratedCostNano),
    ]

    fileprivate init(_ row: SQLRow, groups: [String]) throws {
        group = try groups.map { try row.value($0) }
        for (name, path) in Self.columns {
            let high = try row.optionalInt("\(name)_high") ?? 0
            let low = try row.optionalInt("\(name)_low") ?? 0
            self[keyPath: path] = Int64(clamping: Int128(high) * Int128(UsageSumsQuery.half) + Int128(low))
        }
    }

    /// Saturating.
    package mutating func add(_ other: UsageSums) {
        for (_, path) in Self.columns {
            let (sum, overflow) = self[keyPath: path].addingReportingOverflow(other[keyPath: path])
            self[keyPath: path] = overflow ? .max : sum
        }
    }

    package mutating func subtract(_ other: UsageSums) {
        for (_, path) in Self.columns { self[keyPath: path] = max(0, self[keyPath: path] &- other[keyPath: path]) }
    }
}

/// The groups that were asked for, and what all of them come to.
package struct UsageGroups: Sendable, Hashable {
    package var rows: [UsageSums] = []
    /// Of all groups.
    package var totals = UsageSums()
    /// How many there are beyond those in `rows`.
    package var others: Int64 = 0

    package init() {}
}

/// Sums of whole days come from `usage_daily` (or its detailed sister), of whole hours from `usage_hourly`, and the rest from the records:
/// broken days or hours at a window's ends and where a month or day of the reader's begins, and everything that the sums do not know. All is
/// read in one view of the database, so every record counts once.
package struct UsageSumsQuery: Sendable {
    package enum Order: Sendable, Hashable {
        /// By the groups' values.
        case groups
        /// By the column of a sum.
        case sum(String, isDescending: Bool)
    }

    /// Sums are carried in two parts, as SQLite's SUM fails beyond 64 bits.
    fileprivate static let half: Int64 = 1_000_000_000

    private let filter: UsageFilter
    private let dimensions: [UsageDimension]
    private let order: Order
    private let limit: Int

    /// - Parameter limit: At most so many groups.
    package init(_ filter: UsageFilter, by dimensions: [UsageDimension], order: Order = .groups, limit: Int) {
        var filter = filter
        filter.from = min(max(0, filter.from), .max / 2)
        self.filter = filter
        self.dimensions = dimensions
        self.order = order
        self.limit = limit
    }

    /// Whether only the records can tell, so that the whole window of them is read.
    package var readsRecordsOnly: Bool { detail == .records }

    private var detail: UsageColumn.Detail { max(filter.detail, dimensions.map(\.detail).max() ?? .days) }

    package func run(_ c: any SQLConnection) throws -> UsageGroups {
        var found = UsageGroups()
        found.rows = try rows(c)
        // One more than is wanted shows that there are others.
        if found.rows.count > limit {
            found.rows.removeLast(found.rows.count - limit)
            found.others = try count(c) - Int64(limit)
            found.totals = try UsageSumsQuery(filter, by: [], limit: 1).rows(c).first ?? UsageSums()
        } else {
            for row in found.rows { found.totals.add(row) }
        }
        return found
    }

    private var groups: [String] { dimensions.indices.map { "group_\($0)" } }

    private func rows(_ c: any SQLConnection) throws -> [UsageSums] {
        var arguments = Conditions()
        let sources = try sources(&arguments, c)
        let sums = UsageSums.columns.flatMap { name, _ in
            ["SUM(\(name) / \(Self.half)) AS \(name)_high", "SUM(\(name) % \(Self.half)) AS \(name)_low"]
        }
        var grouping = ""
        if !groups.isEmpty {
            grouping = "GROUP BY \(groups.joined(separator: ", ")) ORDER BY \((sortedBy + groups).joined(separator: ", "))"
        }
        let limitPlace = arguments.place(.int(Int64(limit) + 1))
        let rows = try c.query(
            """
            SELECT \((groups + sums).joined(separator: ", ")) FROM (\(sources)) AS usage \(grouping) LIMIT \(limitPlace)
            """, arguments.arguments)
        return try rows.map { try UsageSums($0, groups: groups) }
    }

    private func count(_ c: any SQLConnection) throws -> Int64 {
        var arguments = Conditions()
        let sources = try sources(&arguments, c)
        let list = groups.joined(separator: ", ")
        return try c.first(
            "SELECT COUNT(*) AS groups FROM (SELECT \(list) FROM (\(sources)) AS usage GROUP BY \(list)) AS counted", arguments.arguments
        )?.int("groups") ?? 0
    }

    private var sortedBy: [String] {
        guard case .sum(let column, let isDescending) = order, UsageSums.columns.contains(where: { $0.name == column }) else { return [] }
        let turn = isDescending ? " DESC" : ""
        // Both parts, the lower one carried into the upper.
        return [
            "SUM(\(column) / \(Self.half)) + (SUM(\(column) % \(Self.half)) - SUM(\(column) % \(Self.half)) % \(Self.half)) / \(Self.half)\(turn)",
            "SUM(\(column) % \(Self.half)) % \(Self.half)\(turn)",
        ]
    }

    // MARK: Where it is read

    /// The SELECTs that are united; their arguments go to `arguments`.
    private func sources(_ arguments: inout Conditions, _ c: any SQLConnection) throws -> String {
        let day = UsageDailyTable.microsecondsPerDay
        let first = filter.from == 0 ? 0 : (filter.from - 1) / day + 1
        // Without an end it reaches further than any record.
        let end = filter.to == .max ? Int64.max : max(0, filter.to) / day
        guard first < end, detail < .records else {
            return try broken([(filter.from, filter.to)], &arguments, c).joined(separator: Self.unites)
        }
        var parts: [(from: Int64, to: Int64)] = []
        if filter.from < first * day { parts.append((filter.from, first * day)) }
        let borders = borders(from: filter.from, to: filter.to)
        let broken = Set(borders.filter { $0 % day != 0 }.map { $0 / day }.filter { first <= $0 && $0 < end })
        for number in broken.sorted() { parts.append((number * day, (number + 1) * day)) }
        if end < .max, end * day < filter.to { parts.append((end * day, filter.to)) }
        let days = daily(first, end, without: broken.sorted(), &arguments, c)
        return try ([days] + self.broken(parts, &arguments, c)).joined(separator: Self.unites)
    }

    private func borders(from: Int64, to: Int64) -> [Int64] { dimensions.flatMap { $0.borders(from: from, to: to) } }

    /// Of times that the daily sums do not tell.
    private func broken(_ parts: [(from: Int64, to: Int64)], _ arguments: inout Conditions, _ c: any SQLConnection) throws -> [String] {
        guard filter.values.keys.allSatisfy(\.isHourly), dimensions.allSatisfy(\.isHourly),
            parts.contains(where: { $0.to - $0.from >= UsageHourlyTable.microsecondsPerHour }),
            let hours = try UsageHours(c, parts.sorted { $0 < $1 }, tenantID: filter[.tenant])
        else { return parts.map { records($0.from, $0.to, &arguments, c) } }
        return parts.flatMap { part in
            hours.parts(from: part.from, to: part.to, borders: borders(from: part.from, to: part.to)).map { piece in
                switch piece {
                case .hours(let from, let to): hourly(from, to, &arguments, c)
                case .records(let from, let to): records(from, to, &arguments, c)
                }
            }
        }
    }

    private func hourly(_ from: Int64, _ to: Int64, _ arguments: inout Conditions, _ c: any SQLConnection) -> String {
        let groups = named(time: "hour * \(UsageHourlyTable.microsecondsPerHour)", &arguments, c)
        var conditions = Conditions(continuing: arguments)
        conditions.add("hour >= ?", .int(from))
        conditions.add("hour < ?", .int(to))
        filter.addValues(to: &conditions, c)
        arguments = Conditions(continuing: conditions)
        return "SELECT \((groups + Self.ofSums).joined(separator: ", ")) FROM usage_hourly \(conditions.clause)"
    }

    private static let unites = " UNION ALL "
    private static let ofSums = UsageDailyTable.sums.map(\.column) + ["CASE WHEN status = 2 THEN requests ELSE 0 END AS failed"]

    private func daily(
        _ first: Int64, _ end: Int64, without broken: [Int64], _ arguments: inout Conditions, _ c: any SQLConnection
    ) -> String {
        let groups = named(time: "day * \(UsageDailyTable.microsecondsPerDay)", &arguments, c)
        var conditions = Conditions(continuing: arguments)
        conditions.add("day >= ?", .int(first))
        conditions.add("day < ?", .int(end))
        for day in broken { conditions.add("day <> ?", .int(day)) }
        filter.addValues(to: &conditions, c)
        arguments = Conditions(continuing: conditions)
        let table = detail == .details ? "usage_daily_detail" : "usage_daily"
        return "SELECT \((groups + Self.ofSums).joined(separator: ", ")) FROM \(table) \(conditions.clause)"
    }

    private func records(_ from: Int64, _ to: Int64, _ arguments: inout Conditions, _ c: any SQLConnection) -> String {
        var narrowed = filter
        narrowed.from = from
        narrowed.to = to
        let groups = named(time: "admitted_at_us", &arguments, c)
        var conditions = Conditions(continuing: arguments)
        narrowed.add(to: &conditions, c)
        arguments = Conditions(continuing: conditions)
        let sums =
            UsageDailyTable.sums.map { "\($0.ofRecord) AS \($0.column)" } + ["CASE WHEN status = 2 THEN 1 ELSE 0 END AS failed"]
        return "SELECT \((groups + sums).joined(separator: ", ")) FROM usage_records \(conditions.clause)"
    }

    private func named(time: String, _ arguments: inout Conditions, _ c: any SQLConnection) -> [String] {
        zip(dimensions, groups).map { "\($0.expression(time: time, &arguments, c.dialect)) AS \($1)" }
    }
}
