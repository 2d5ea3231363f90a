/// What usage can be narrowed to. The raw value is the column.
package enum UsageColumn: String, CaseIterable, Sendable {
    case tenant = "tenant_id"
    case project = "project_id"
    case key = "key_id"
    case model, status
    case dataPlane = "data_plane_id"
    case app = "app_id"
    case user = "user_id"
    case did, dialect
    case price = "price_id"
    case configVersion = "config_version"
    /// One of the tags: `team=search`.
    case tag = "tags"
    case endpoint = "endpoint_id"
    case provider = "provider_id"
    /// The model as the provider calls it.
    case upstreamModel = "upstream_model"
    case errorOrigin = "error_origin"
    case errorCode = "error_code"
    /// Microseconds, at least.
    case latency = "latency_us"
    case trace = "trace_id"
    case request = "request_id"
    /// Who asked, whatever it is: a key, an app, a user or a DID.
    case party
    /// A part of an id of who asked, for what, and whom it was sent to.
    case idText = "id_text"

    /// Which tables have it: what has it has all that stands before it, too.
    enum Detail: Int, Comparable {
        /// `usage_daily`, `usage_daily_detail` and the records.
        case days, details, records

        static func < (a: Detail, b: Detail) -> Bool { a.rawValue < b.rawValue }
    }

    var detail: Detail {
        switch self {
        case .tenant, .project, .key, .model, .status, .dataPlane: .days
        case .app, .user, .did, .dialect, .price, .configVersion, .tag: .details
        case .endpoint, .provider, .upstreamModel, .errorOrigin, .errorCode, .latency, .trace, .request, .party, .idText:
            .records
        }
    }

    /// Whether `usage_hourly` has it, too.
    var isHourly: Bool { UsageHourlyTable.keys.contains(rawValue) }

    /// Whether an index leads to what has one value of it, however long the window is.
    package var isIndexed: Bool { self == .tenant || self == .request }

    func add(_ value: SQLValue, to conditions: inout Conditions, _ dialect: SQLDialect) {
        switch self {
        case .tag: conditions.add("EXISTS (SELECT 1 FROM \(dialect.elements(of: rawValue)) WHERE value = ?)", value)
        case .latency: conditions.add("\(rawValue) >= ?", value)
        case .party: conditions.add("(key_id = ? OR app_id = ? OR user_id = ? OR did = ?)", value, value, value, value)
        case .idText:
            let columns = ["project_id", "key_id", "app_id", "user_id", "did", "model"]
            conditions.add(
                "(\(columns.map { dialect.contains($0, "?") }.joined(separator: " OR ")))", values: columns.map { _ in value })
        default: conditions.add("\(rawValue) = ?", value)
        }
    }
}

/// What records are wanted.
package struct UsageFilter: Sendable, Hashable {
    /// Unix microseconds of admission, included.
    package var from: Int64
    /// Unix microseconds of admission, not included.
    package var to: Int64
    /// What each of these columns has to hold.
    package var values: [UsageColumn: SQLValue]

    package init(from: Int64, to: Int64, _ values: [UsageColumn: SQLValue] = [:]) {
        self.from = from
        self.to = to
        self.values = values
    }

    package subscript(column: UsageColumn) -> SQLValue? {
        get { values[column] }
        set { values[column] = newValue }
    }

    var detail: UsageColumn.Detail { values.keys.map(\.detail).max() ?? .days }

    /// Of records.
    func add(to conditions: inout Conditions, _ c: any SQLConnection) {
        conditions.add("admitted_at_us >= ?", .int(from))
        conditions.add("admitted_at_us < ?", .int(to))
        addValues(to: &conditions, c)
    }

    /// The values, and whose rows the transaction may see.
    func addValues(to conditions: inout Conditions, _ c: any SQLConnection) {
        conditions.confine("tenant_id", to: c.scope)
        // In one order, so that the same filters are the same statement.
        for column in UsageColumn.allCases {
            if let value = values[column] { column.add(value, to: &conditions, c.dialect) }
        }
    }
}

/// The records themselves.
package enum UsageTable {
    /// Stores the rows at these places, whose months have partitions. A request that its data plane has reported before, under another
    /// batch, is left out.
    /// - Returns: the places of those that were stored.
    package static func insert(_ c: any SQLConnection, _ rows: PackedRows, at places: [Int]) throws -> [Int] {
        do {
            try c.savepoint { try insertAll(c, rows, places) }
            return places
        } catch DatabaseError.uniqueViolation {
            let columns = rows.columns
            let sql = """
                INSERT INTO usage_records (\(columns.joined(separator: ", "))) VALUES \(Conditions.places(1, columns.count))
                ON CONFLICT (request_id, data_plane_id, admitted_at_us) DO NOTHING
                """
            return try places.filter { try c.execute(sql, rows.values($0)) == 1 }
        }
    }

    /// On Postgres straight into the partitions: the table itself has row-level security, and so takes no COPY.
    private static func insertAll(_ c: any SQLConnection, _ rows: PackedRows, _ places: [Int]) throws {
        guard c.dialect == .postgres else { return try c.insertMany(into: "usage_records", rows, at: places) }
        for (month, places) in months(rows, places).sorted(by: { $0.key < $1.key }) {
            try c.insertMany(into: month.partition, rows, at: places)
        }
    }

    /// The months that rows belong to.
    package static func months(_ rows: PackedRows, _ places: [Int]) -> [UsageMonth: [Int]] {
        var months: [UsageMonth: [Int]] = [:]
        var (month, end) = (UsageMonth(containingMicroseconds: 0), Int64.min)
        var run: [Int] = []
        for place in places {
            let time = rows[place, UsagePlace.admittedAt]
            if time < month.startMicroseconds || time >= end {
                if !run.isEmpty { months[month, default: []] += run }
                run = []
                month = UsageMonth(containingMicroseconds: time)
                end = month.next.startMicroseconds
            }
            run.append(place)
        }
        if !run.isEmpty { months[month, default: []] += run }
        return months
    }

    /// What a list of records is ordered by; among those that are equal in it their time decides, and then the request. The raw value is the
    /// column.
    package enum Order: String, Sendable, Hashable {
        /// Of admission: the one that an index leads along.
        case time = "admitted_at_us"
        case cost = "cost_nano"
        case latency = "latency_us"
        case timeToFirstByte = "time_to_first_byte_us"
        case inputTokens = "input_tokens"
        case outputTokens = "output_tokens"

        fileprivate var columns: [String] { (self == .time ? [] : [rawValue]) + ["admitted_at_us", "request_id"] }
    }

    /// A record's place in a list.
    package struct Place: Sendable, Hashable {
        /// What the list is ordered by.
        package var value: Int64
        /// Unix microseconds.
        package var admittedAt: Int64
        package var requestID: [UInt8]

        package init(value: Int64? = nil, admittedAt: Int64, requestID: [UInt8]) {
            self.value = value ?? admittedAt
            self.admittedAt = admittedAt
            self.requestID = requestID
        }

        fileprivate func values(_ order: Order) -> [SQLValue] {
            (order == .time ? [] : [.int(value)]) + [.int(admittedAt), .blob(requestID)]
        }
    }

    /// Of the window all rows are looked at but where they are ordered by time: see `start(ofLatest:)`.
    /// - Parameter after: The place of the last row seen.
    package static func list(
        _ c: any SQLConnection, _ filter: UsageFilter, by order: Order = .time, isDescending: Bool = true, after: Place? = nil, limit: Int
    ) throws -> [UsageRow] {
        var (conditions, filter) = (Conditions(), filter)
        // SQLite begins its walk through an index at the window's end, not at the place of the last row: so the window ends there.
        if let after, order == .time {
            if isDescending {
                filter.to = min(filter.to, after.admittedAt.addingReportingOverflow(1).partialValue)
            } else {
                filter.from = max(filter.from, after.admittedAt)
            }
        }
        filter.add(to: &conditions, c)
        let page = KeysetOrder(table: "usage_records", columns: UsageRow.columns, order: order.columns)
        let values = after.map { $0.values(order) }
        return try page.rows(c, conditions, isDescending: isDescending, after: values, limit: limit).map(UsageRow.init)
    }

    /// Since when (Unix microseconds) there are no more than so many records in the filter's window, of its tenant where it names one. Nil:
    /// there are no more in all of it. An index answers.
    package static func start(ofLatest limit: Int, _ c: any SQLConnection, _ filter: UsageFilter) throws -> Int64? {
        var conditions = Conditions()
        UsageFilter(from: filter.from, to: filter.to, filter.values.filter { $0.key == .tenant }).add(to: &conditions, c)
        let place = conditions.place(.int(Int64(limit)))
        let first = try c.first(
            "SELECT admitted_at_us FROM usage_records \(conditions.clause) ORDER BY admitted_at_us DESC LIMIT 1 OFFSET \(place)",
            conditions.arguments)
        return try first.map { try $0.int("admitted_at_us").addingReportingOverflow(1).partialValue }
    }

    /// How many records there are of a time (Unix microseconds).
    package static func count(_ c: any SQLConnection, admitted times: Range<Int64>) throws -> Int64 {
        try c.first(
            "SELECT COUNT(*) AS number FROM usage_records WHERE admitted_at_us >= $1 AND admitted_at_us < $2",
            [.int(times.lowerBound), .int(times.upperBound)])?.int("number") ?? 0
    }

    /// Takes away about `limit` of the oldest records that were admitted before a moment (Unix microseconds).
    /// - Returns: how many went, and whether there are more.
    package static func purge(_ c: any SQLConnection, before: Int64, limit: Int) throws -> (gone: Int, hasMore: Bool) {
        let last = try c.first(
            "SELECT admitted_at_us FROM usage_records WHERE admitted_at_us < $1 ORDER BY admitted_at_us LIMIT 1 OFFSET $2",
            [.int(before), .int(Int64(limit))])
        let end = try last?.int("admitted_at_us") ?? before
        // Those of one moment go together.
        let gone = try c.execute("DELETE FROM usage_records WHERE admitted_at_us \(last == nil ? "<" : "<=") $1", [.int(end)])
        return (gone, last != nil)
    }

    /// When the record of the tenant's latest request arrived, Unix milliseconds.
    package static func lastReceived(_ c: any SQLConnection, tenantID: String) throws -> Int64? {
        try c.first(
            "SELECT received_at FROM usage_records WHERE tenant_id = $1 ORDER BY admitted_at_us DESC LIMIT 1", [.text(tenantID)]
        )?.int("received_at")
    }
}

/// How far each life of each data plane has reported.
package struct UsageWatermark: Hashable, Sendable {
    /// The number of the last batch that is stored; 0 before the first.
    package var sequence: Int64
    /// Of the batches stored last, each as its number (8 bytes, big-endian) and the first 16 bytes of its digest.
    package var recent: [UInt8]
    /// The last batch whose records were followed in their chains.
    package var followed: Int64
    /// The last batch that was not, though others came before or after it; 0: none.
    package var lost: Int64
}

package enum UsageWatermarksTable {
    /// Locks it until the transaction ends, so two streams of one data plane take turns.
    package static func lock(_ c: any SQLConnection, dataPlaneID: String, incarnation: String, now: Int64) throws -> UsageWatermark {
        let row = try c.first(
            """
            INSERT INTO usage_watermarks (data_plane_id, incarnation, sequence, updated_at, created_at) VALUES ($1, $2, 0, $3, $3)
            ON CONFLICT (data_plane_id, incarnation) DO UPDATE SET updated_at = excluded.updated_at
            RETURNING sequence, recent, followed, lost
            """, [.text(dataPlaneID), .text(incarnation), .int(now)])
        guard let row else { throw DatabaseError.unexpectedValue("the watermark returned no row") }
        return UsageWatermark(
            sequence: try row.int("sequence"), recent: try row.optionalBlob("recent") ?? [], followed: try row.int("followed"),
            lost: try row.int("lost"))
    }

    /// How many lives of a data plane began after `since`, Unix milliseconds.
    package static func incarnations(_ c: any SQLConnection, dataPlaneID: String, since: Int64) throws -> Int64 {
        try c.first(
            "SELECT COUNT(*) AS lives FROM usage_watermarks WHERE data_plane_id = $1 AND created_at > $2",
            [.text(dataPlaneID), .int(since)])?.int("lives") ?? 0
    }

    package static func set(_ c: any SQLConnection, dataPlaneID: String, incarnation: String, _ mark: UsageWatermark) throws {
        try c.execute(
            """
            UPDATE usage_watermarks SET sequence = $1, recent = $2, followed = $3, lost = $4 WHERE data_plane_id = $5 AND incarnation = $6
            """,
            [
                .int(mark.sequence), .blob(mark.recent), .int(mark.followed), .int(mark.lost), .text(dataPlaneID), .text(incarnation),
            ])
    }
}
