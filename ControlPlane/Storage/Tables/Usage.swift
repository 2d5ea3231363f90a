/// What records are wanted; nil is everything.
package struct UsageFilter: Sendable, Hashable {
    /// Unix microseconds of admission, included.
    package var from: Int64
    /// Unix microseconds of admission, not included.
    package var to: Int64
    package var tenantID: String?
    package var projectID: String?
    package var keyID: String?
    package var model: String?
    /// A number of `UsageStatus`.
    package var status: Int64?
    package var requestID: [UInt8]?

    package init(
        from: Int64, to: Int64, tenantID: String? = nil, projectID: String? = nil, keyID: String? = nil, model: String? = nil,
        status: Int64? = nil, requestID: [UInt8]? = nil
    ) {
        self.from = from
        self.to = to
        self.tenantID = tenantID
        self.projectID = projectID
        self.keyID = keyID
        self.model = model
        self.status = status
        self.requestID = requestID
    }

    fileprivate var conditions: Conditions {
        var conditions = Conditions()
        conditions.add("admitted_at_us >= ?", .int(from))
        conditions.add("admitted_at_us < ?", .int(to))
        if let tenantID { conditions.add("tenant_id = ?", .text(tenantID)) }
        if let projectID { conditions.add("project_id = ?", .text(projectID)) }
        if let keyID { conditions.add("key_id = ?", .text(keyID)) }
        if let model { conditions.add("model = ?", .text(model)) }
        if let status { conditions.add("status = ?", .int(status)) }
        if let requestID { conditions.add("request_id = ?", .blob(requestID)) }
        return conditions
    }
}

/// What sums can be grouped by.
package enum UsageDimension: String, CaseIterable, Sendable {
    case tenant, project, key, model, day

    fileprivate var expression: String {
        switch self {
        case .tenant: "tenant_id"
        case .project: "project_id"
        case .key: "key_id"
        case .model: "model"
        case .day: "admitted_at_us / 86400000000"
        }
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

    fileprivate init(_ row: SQLRow, _ dimensions: Set<UsageDimension>) throws {
        if dimensions.contains(.tenant) { tenantID = try row.text("tenant") }
        if dimensions.contains(.project) { projectID = try row.text("project") }
        if dimensions.contains(.key) { keyID = try row.text("key") }
        if dimensions.contains(.model) { model = try row.text("model") }
        if dimensions.contains(.day) { day = try row.int("day") }
        requests = try row.int("requests")
        func sum(_ column: String) throws -> Int64 { try row.optionalInt(column) ?? 0 }
        failed = try sum("failed")
        estimated = try sum("estimated")
        costMismatches = try sum("mismatches")
        inputTokens = try sum("input")
        outputTokens = try sum("output")
        cachedInputTokens = try sum("cached_input")
        cacheWriteTokens = try sum("cache_write")
        reasoningTokens = try sum("reasoning")
        costNano = Self.joined(whole: try sum("cost_whole"), fraction: try sum("cost_fraction"))
        reratedCostNano = Self.joined(whole: try sum("rerated_whole"), fraction: try sum("rerated_fraction"))
    }

    private static func joined(whole: Int64, fraction: Int64) -> Int64 {
        Int64(clamping: Int128(whole) * Int128(UsageTable.nano) + Int128(fraction))
    }
}

/// The records themselves.
package enum UsageTable {
    fileprivate static let nano: Int64 = 1_000_000_000

    /// Stores rows whose months have partitions. A request that its data plane has reported before, under another batch, is left out.
    /// - Returns: how many were stored.
    package static func insert(_ c: any SQLConnection, _ rows: [UsageRow]) throws -> Int {
        do {
            try c.savepoint { try c.insertMany(into: "usage_records", columns: UsageRow.columns, rows: rows.map(\.values)) }
            return rows.count
        } catch DatabaseError.uniqueViolation {
            let places = UsageRow.columns.indices.map { "$\($0 + 1)" }.joined(separator: ", ")
            let sql = """
                INSERT INTO usage_records (\(UsageRow.columns.joined(separator: ", "))) VALUES (\(places))
                ON CONFLICT (request_id, data_plane_id, admitted_at_us) DO NOTHING
                """
            return try rows.reduce(0) { try $0 + c.execute(sql, $1.values) }
        }
    }

    /// One group of sums a combination of the dimensions' values, in their order; without dimensions one, of everything.
    package static func sums(
        _ c: any SQLConnection, _ filter: UsageFilter, by dimensions: Set<UsageDimension>, limit: Int
    ) throws -> [UsageSums] {
        var conditions = filter.conditions
        let ordered = UsageDimension.allCases.filter(dimensions.contains)
        let groups = ordered.map { "\($0.expression) AS \(c.dialect.quoted($0.rawValue))" }
        // Dollars and nano-dollars apart: SQLite's SUM fails beyond 64 bits.
        func cost(_ expression: String, _ name: String) -> [String] {
            ["SUM(\(expression) / \(nano)) AS \(name)_whole", "SUM(\(expression) % \(nano)) AS \(name)_fraction"]
        }
        let columns =
            groups + [
                "COUNT(*) AS requests", "SUM(CASE WHEN status = 2 THEN 1 ELSE 0 END) AS failed", "SUM(flags & 1) AS estimated",
                "SUM((flags & 128) / 128) AS mismatches", "SUM(input_tokens) AS input", "SUM(output_tokens) AS output",
                "SUM(cached_input_tokens) AS cached_input", "SUM(cache_write_tokens) AS cache_write",
                "SUM(reasoning_tokens) AS reasoning",
            ] + cost("cost_nano", "cost") + cost("COALESCE(rerated_cost_nano, cost_nano)", "rerated")
        let list = ordered.map(\.expression).joined(separator: ", ")
        let grouping = ordered.isEmpty ? "" : "GROUP BY \(list) ORDER BY \(list)"
        let limitPlace = conditions.place(.int(Int64(limit)))
        return try c.query(
            "SELECT \(columns.joined(separator: ", ")) FROM usage_records \(conditions.clause) \(grouping) LIMIT \(limitPlace)",
            conditions.arguments
        ).map { try UsageSums($0, dimensions) }
    }

    /// Newest first; `before` is the time of admission (microseconds) and the request of the last row seen.
    package static func list(
        _ c: any SQLConnection, _ filter: UsageFilter, before: (admittedAt: Int64, requestID: [UInt8])?, limit: Int
    ) throws -> [UsageRow] {
        var conditions = filter.conditions
        if let before { conditions.add("(admitted_at_us, request_id) < (?, ?)", .int(before.admittedAt), .blob(before.requestID)) }
        let limitPlace = conditions.place(.int(Int64(limit)))
        return try c.query(
            """
            SELECT \(UsageRow.columns.joined(separator: ", ")) FROM usage_records \(conditions.clause)
            ORDER BY admitted_at_us DESC, request_id DESC LIMIT \(limitPlace)
            """, conditions.arguments
        ).map(UsageRow.init)
    }

    /// When the record of the tenant's latest request arrived, Unix milliseconds.
    package static func lastReceived(_ c: any SQLConnection, tenantID: String) throws -> Int64? {
        try c.first(
            "SELECT received_at FROM usage_records WHERE tenant_id = $1 ORDER BY admitted_at_us DESC LIMIT 1", [.text(tenantID)]
        )?.int("received_at")
    }
}

/// How far each life of each data plane has reported.
package enum UsageWatermarksTable {
    /// The number of the last batch that is stored, 0 before the first. Locks it until the transaction ends, so two streams of one
    /// data plane take turns.
    package static func lock(_ c: any SQLConnection, dataPlaneID: String, incarnation: String, now: Int64) throws -> Int64 {
        let row = try c.first(
            """
            INSERT INTO usage_watermarks (data_plane_id, incarnation, sequence, updated_at) VALUES ($1, $2, 0, $3)
            ON CONFLICT (data_plane_id, incarnation) DO UPDATE SET updated_at = excluded.updated_at
            RETURNING sequence
            """, [.text(dataPlaneID), .text(incarnation), .int(now)])
        guard let row else { throw DatabaseError.unexpectedValue("the watermark returned no row") }
        return try row.int("sequence")
    }

    package static func set(_ c: any SQLConnection, dataPlaneID: String, incarnation: String, sequence: Int64) throws {
        try c.execute(
            "UPDATE usage_watermarks SET sequence = $1 WHERE data_plane_id = $2 AND incarnation = $3",
            [.int(sequence), .text(dataPlaneID), .text(incarnation)])
    }
}
