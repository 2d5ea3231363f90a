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

    func add(to conditions: inout Conditions) {
        conditions.add("admitted_at_us >= ?", .int(from))
        conditions.add("admitted_at_us < ?", .int(to))
        addParties(to: &conditions)
        if let requestID { conditions.add("request_id = ?", .blob(requestID)) }
    }

    /// Those that the daily sums have, too.
    func addParties(to conditions: inout Conditions) {
        if let tenantID { conditions.add("tenant_id = ?", .text(tenantID)) }
        if let projectID { conditions.add("project_id = ?", .text(projectID)) }
        if let keyID { conditions.add("key_id = ?", .text(keyID)) }
        if let model { conditions.add("model = ?", .text(model)) }
        if let status { conditions.add("status = ?", .int(status)) }
    }
}

/// The records themselves.
package enum UsageTable {
    /// Stores rows whose months have partitions. A request that its data plane has reported before, under another batch, is left out.
    /// - Returns: the rows that were stored.
    package static func insert(_ c: any SQLConnection, _ rows: [UsageRow]) throws -> [UsageRow] {
        do {
            try c.savepoint { try insertAll(c, rows) }
            return rows
        } catch DatabaseError.uniqueViolation {
            let columns = UsageRow.columns
            let sql = """
                INSERT INTO usage_records (\(columns.joined(separator: ", "))) VALUES \(Conditions.places(1, columns.count))
                ON CONFLICT (request_id, data_plane_id, admitted_at_us) DO NOTHING
                """
            return try rows.filter { try c.execute(sql, $0.values) == 1 }
        }
    }

    /// On Postgres straight into the partitions: the table itself has row-level security, and so takes no COPY.
    private static func insertAll(_ c: any SQLConnection, _ rows: [UsageRow]) throws {
        guard c.dialect == .postgres else {
            return try c.insertMany(into: "usage_records", columns: UsageRow.columns, rows: rows.lazy.map(\.values))
        }
        let months = Dictionary(grouping: rows) { UsageMonth(containingMicroseconds: $0.admittedAtMicroseconds) }
        for (month, rows) in months.sorted(by: { $0.key < $1.key }) {
            try c.insertMany(into: month.partition, columns: UsageRow.columns, rows: rows.lazy.map(\.values))
        }
    }

    /// Newest first; `before` is the time of admission (microseconds) and the request of the last row seen.
    package static func list(
        _ c: any SQLConnection, _ filter: UsageFilter, before: (admittedAt: Int64, requestID: [UInt8])?, limit: Int
    ) throws -> [UsageRow] {
        var conditions = Conditions()
        filter.add(to: &conditions)
        return try newest.rows(c, conditions, before: before.map { ($0.admittedAt, .blob($0.requestID)) }, limit: limit).map(UsageRow.init)
    }

    private static let newest = NewestFirst(
        table: "usage_records", columns: UsageRow.columns, order: ("admitted_at_us", "request_id"))

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
            INSERT INTO usage_watermarks (data_plane_id, incarnation, sequence, updated_at, created_at) VALUES ($1, $2, 0, $3, $3)
            ON CONFLICT (data_plane_id, incarnation) DO UPDATE SET updated_at = excluded.updated_at
            RETURNING sequence
            """, [.text(dataPlaneID), .text(incarnation), .int(now)])
        guard let row else { throw DatabaseError.unexpectedValue("the watermark returned no row") }
        return try row.int("sequence")
    }

    /// How many lives of a data plane began after `since`, Unix milliseconds.
    package static func incarnations(_ c: any SQLConnection, dataPlaneID: String, since: Int64) throws -> Int64 {
        try c.first(
            "SELECT COUNT(*) AS lives FROM usage_watermarks WHERE data_plane_id = $1 AND created_at > $2",
            [.text(dataPlaneID), .int(since)])?.int("lives") ?? 0
    }

    package static func set(_ c: any SQLConnection, dataPlaneID: String, incarnation: String, sequence: Int64) throws {
        try c.execute(
            "UPDATE usage_watermarks SET sequence = $1 WHERE data_plane_id = $2 AND incarnation = $3",
            [.int(sequence), .text(dataPlaneID), .text(incarnation)])
    }
}
