/// A reported record that is kept apart.
package struct QuarantinedUsageRow: Sendable, Hashable {
    package var id: String
    /// Unix milliseconds.
    package var receivedAt: Int64
    package var reason: String
    package var dataPlaneID: String
    package var incarnation: String
    /// The batch, and the place in it.
    package var sequence: Int64
    package var position: Int64
    /// Whom the record claims to be of.
    package var tenantID: String
    /// A serialised `UsageRecord`, as it was reported.
    package var record: [UInt8]
    /// Its number in its tenant's chain; nil: it is in none.
    package var chainNumber: Int64?

    package init(
        id: String, receivedAt: Int64, reason: String, dataPlaneID: String, incarnation: String, sequence: Int64, position: Int64,
        tenantID: String, record: [UInt8], chainNumber: Int64? = nil
    ) {
        self.id = id
        self.receivedAt = receivedAt
        self.reason = reason
        self.dataPlaneID = dataPlaneID
        self.incarnation = incarnation
        self.sequence = sequence
        self.position = position
        self.tenantID = tenantID
        self.record = record
        self.chainNumber = chainNumber
    }

    static let columns = [
        "id", "received_at", "reason", "data_plane_id", "incarnation", "sequence", "position", "tenant_id", "record",
        "chain_number",
    ]

    var values: [SQLValue] {
        [
            .text(id), .int(receivedAt), .text(reason), .text(dataPlaneID), .text(incarnation), .int(sequence), .int(position),
            .text(tenantID), .blob(record), .optional(chainNumber),
        ]
    }

    fileprivate init(_ row: SQLRow) throws {
        self.init(
            id: try row.text("id"), receivedAt: try row.int("received_at"), reason: try row.text("reason"),
            dataPlaneID: try row.text("data_plane_id"), incarnation: try row.text("incarnation"), sequence: try row.int("sequence"),
            position: try row.int("position"), tenantID: try row.text("tenant_id"), record: try row.blob("record"),
            chainNumber: try row.optionalInt("chain_number"))
    }
}

/// How many records of one data plane are kept apart for one reason.
package struct QuarantineTotal: Sendable, Hashable {
    package let dataPlaneID: String
    package let reason: String
    package let records: Int64
    /// Unix milliseconds.
    package let lastAt: Int64
}

/// Which quarantined records are meant; nil is all.
package struct QuarantineFilter: Sendable, Hashable {
    package var dataPlaneID: String?
    package var reason: String?
    package var tenantID: String?

    package init(dataPlaneID: String? = nil, reason: String? = nil, tenantID: String? = nil) {
        self.dataPlaneID = dataPlaneID
        self.reason = reason
        self.tenantID = tenantID
    }

    fileprivate func add(to conditions: inout Conditions) {
        if let dataPlaneID { conditions.add("data_plane_id = ?", .text(dataPlaneID)) }
        if let reason { conditions.add("reason = ?", .text(reason)) }
        if let tenantID { conditions.add("tenant_id = ?", .text(tenantID)) }
    }
}

/// Usage that a data plane may not report.
package enum UsageQuarantineTable {
    private static let newest = KeysetOrder(
        table: "usage_quarantine", columns: QuarantinedUsageRow.columns, order: ["received_at", "id"])

    /// Stores rows and counts them.
    package static func insert(_ c: any SQLConnection, _ rows: [QuarantinedUsageRow]) throws {
        try c.insertMany(into: "usage_quarantine", columns: QuarantinedUsageRow.columns, rows: rows.map(\.values))
        for (key, group) in Dictionary(grouping: rows, by: { [$0.dataPlaneID, $0.reason] }).sorted(by: {
            $0.key.lexicographicallyPrecedes($1.key)
        }) {
            try c.execute(
                """
                INSERT INTO usage_quarantine_totals (data_plane_id, reason, records, last_at) VALUES ($1, $2, $3, $4)
                ON CONFLICT (data_plane_id, reason) DO UPDATE SET records = usage_quarantine_totals.records + excluded.records,
                    last_at = excluded.last_at
                """,
                [.text(key[0]), .text(key[1]), .int(Int64(group.count)), .int(group.map(\.receivedAt).max() ?? 0)])
        }
    }

    /// Newest first; `before` is the time and id of the last row seen.
    package static func list(
        _ c: any SQLConnection, _ filter: QuarantineFilter, before: (receivedAt: Int64, id: String)?, limit: Int
    ) throws -> [QuarantinedUsageRow] {
        var conditions = Conditions()
        filter.add(to: &conditions)
        return try newest.rows(c, conditions, after: before.map { [.int($0.receivedAt), .text($0.id)] }, limit: limit).map(
            QuarantinedUsageRow.init)
    }

    /// Which of these are still there; locked until the transaction ends.
    package static func lock(_ c: any SQLConnection, ids: [String]) throws -> Set<String> {
        guard !ids.isEmpty else { return [] }
        let rows = try c.query(
            "SELECT id FROM usage_quarantine WHERE id IN \(Conditions.places(1, ids.count)) ORDER BY id\(c.dialect.forUpdate)",
            ids.map { .text($0) })
        return Set(try rows.map { try $0.text("id") })
    }

    /// Takes rows out, which the caller has locked.
    package static func remove(_ c: any SQLConnection, _ rows: [QuarantinedUsageRow]) throws {
        for start in stride(from: 0, to: rows.count, by: 500) {
            let part = rows[start..<min(start + 500, rows.count)]
            try c.execute("DELETE FROM usage_quarantine WHERE id IN \(Conditions.places(1, part.count))", part.map { .text($0.id) })
        }
        for (key, group) in Dictionary(grouping: rows, by: { [$0.dataPlaneID, $0.reason] }).sorted(by: {
            $0.key.lexicographicallyPrecedes($1.key)
        }) {
            try c.execute(
                "UPDATE usage_quarantine_totals SET records = records - $1 WHERE data_plane_id = $2 AND reason = $3",
                [.int(Int64(group.count)), .text(key[0]), .text(key[1])])
        }
        try c.execute("DELETE FROM usage_quarantine_totals WHERE records <= 0")
    }

    package static func totals(_ c: any SQLConnection, dataPlaneID: String? = nil) throws -> [QuarantineTotal] {
        var conditions = Conditions()
        if let dataPlaneID { conditions.add("data_plane_id = ?", .text(dataPlaneID)) }
        return try c.query(
            """
            SELECT data_plane_id, reason, records, last_at FROM usage_quarantine_totals \(conditions.clause)
            ORDER BY data_plane_id, reason
            """, conditions.arguments
        ).map { row in
            QuarantineTotal(
                dataPlaneID: try row.text("data_plane_id"), reason: try row.text("reason"), records: try row.int("records"),
                lastAt: try row.int("last_at"))
        }
    }
}
