/// One chain: whose records, by which data plane, in which life of its database.
package struct UsageChainKey: Hashable, Sendable {
    package var tenantID: String
    package var dataPlaneID: String
    package var incarnation: String

    package init(tenantID: String, dataPlaneID: String, incarnation: String) {
        self.tenantID = tenantID
        self.dataPlaneID = dataPlaneID
        self.incarnation = incarnation
    }

    init(_ row: SQLRow) throws {
        self.init(
            tenantID: try row.text("tenant_id"), dataPlaneID: try row.text("data_plane_id"), incarnation: try row.text("incarnation"))
    }

    fileprivate var values: [SQLValue] { [.text(tenantID), .text(dataPlaneID), .text(incarnation)] }
}

/// How far a chain goes.
package struct UsageChainRow: Hashable, Sendable {
    package var key: UsageChainKey
    /// Records in it; -1: not known until a signed head tells.
    package var number: Int64
    package var link: [UInt8]
    /// Of the last signed head, Unix milliseconds; 0: there is none.
    package var signedAt: Int64
    /// What was found wrong first, and when (Unix milliseconds).
    package var broken: String?
    package var brokenAt: Int64?

    package init(
        key: UsageChainKey, number: Int64, link: [UInt8], signedAt: Int64 = 0, broken: String? = nil, brokenAt: Int64? = nil
    ) {
        self.key = key
        self.number = number
        self.link = link
        self.signedAt = signedAt
        self.broken = broken
        self.brokenAt = brokenAt
    }

    fileprivate init(_ row: SQLRow) throws {
        self.init(
            key: try UsageChainKey(row), number: try row.int("number"), link: try row.blob("link"), signedAt: try row.int("signed_at"),
            broken: try row.optionalText("broken"), brokenAt: try row.optionalInt("broken_at"))
    }
}

package enum UsageChainsTable {
    private static let columns = [
        "tenant_id", "data_plane_id", "incarnation", "number", "link", "signed_at", "broken", "broken_at",
    ]
    private static let list = columns.joined(separator: ", ")
    private static let rowsPerStatement = 500

    /// Those of these tenants that there are, by tenant. Who holds the watermark's row changes them alone.
    package static func find(
        _ c: any SQLConnection, dataPlaneID: String, incarnation: String, tenantIDs: [String]
    ) throws -> [String: UsageChainRow] {
        var found: [String: UsageChainRow] = [:]
        for start in stride(from: 0, to: tenantIDs.count, by: rowsPerStatement) {
            let part = tenantIDs[start..<min(start + rowsPerStatement, tenantIDs.count)]
            for row in try c.query(
                """
                SELECT \(list) FROM usage_chains WHERE tenant_id IN \(Conditions.places(1, part.count))
                AND data_plane_id = $\(part.count + 1) AND incarnation = $\(part.count + 2)
                """, part.map { .text($0) } + [.text(dataPlaneID), .text(incarnation)])
            {
                let chain = try UsageChainRow(row)
                found[chain.key.tenantID] = chain
            }
        }
        return found
    }

    package static func put(_ c: any SQLConnection, _ rows: [UsageChainRow]) throws {
        for start in stride(from: 0, to: rows.count, by: rowsPerStatement) {
            let part = rows[start..<min(start + rowsPerStatement, rows.count)]
            try c.execute(
                """
                INSERT INTO usage_chains (\(list)) VALUES \(Conditions.places(part.count, columns.count))
                ON CONFLICT (data_plane_id, incarnation, tenant_id) DO UPDATE SET number = excluded.number, link = excluded.link,
                    signed_at = excluded.signed_at, broken = excluded.broken, broken_at = excluded.broken_at
                """,
                part.flatMap { row in
                    row.key.values + [
                        .int(row.number), .blob(row.link), .int(row.signedAt), .optional(row.broken), .optional(row.brokenAt),
                    ]
                })
        }
    }

    /// A batch of this life was stored by a release that follows no chains: none is known until a head tells.
    package static func lose(_ c: any SQLConnection, dataPlaneID: String, incarnation: String) throws {
        try c.execute(
            "UPDATE usage_chains SET number = -1 WHERE data_plane_id = $1 AND incarnation = $2", [.text(dataPlaneID), .text(incarnation)])
    }

    /// All of one tenant, in a fixed order.
    package static func list(_ c: any SQLConnection, tenantID: String) throws -> [UsageChainRow] {
        try c.query(
            "SELECT \(list) FROM usage_chains WHERE tenant_id = $1 ORDER BY data_plane_id, incarnation", [.text(tenantID)]
        ).map(UsageChainRow.init)
    }

    /// Those in which something was found wrong, the last ones first.
    package static func broken(_ c: any SQLConnection, limit: Int) throws -> [UsageChainRow] {
        try c.query(
            "SELECT \(list) FROM usage_chains WHERE broken_at IS NOT NULL ORDER BY broken_at DESC, tenant_id LIMIT $1", [.int(Int64(limit))]
        ).map(UsageChainRow.init)
    }
}

/// Some records of a chain that follow each other, as they were signed.
package struct SignedUsageRow: Hashable, Sendable {
    package var key: UsageChainKey
    package var numbers: ClosedRange<Int64>
    /// Of use, as charged: days since 1970.
    package var days: ClosedRange<Int64>
    package var records: [UInt8]

    package init(key: UsageChainKey, numbers: ClosedRange<Int64>, days: ClosedRange<Int64>, records: [UInt8]) {
        self.key = key
        self.numbers = numbers
        self.days = days
        self.records = records
    }
}

package enum SignedUsageTable {
    private static let columns = [
        "tenant_id", "data_plane_id", "incarnation", "first_number", "last_number", "first_day", "last_day", "records",
    ]
    private static let rowsPerStatement = 100

    package static func insert(_ c: any SQLConnection, _ rows: [SignedUsageRow]) throws {
        for start in stride(from: 0, to: rows.count, by: rowsPerStatement) {
            let part = rows[start..<min(start + rowsPerStatement, rows.count)]
            try c.execute(
                """
                INSERT INTO usage_signed (\(columns.joined(separator: ", "))) VALUES \(Conditions.places(part.count, columns.count))
                ON CONFLICT (tenant_id, data_plane_id, incarnation, first_number) DO NOTHING
                """,
                part.flatMap { row in
                    row.key.values + [
                        .int(row.numbers.lowerBound), .int(row.numbers.upperBound), .int(row.days.lowerBound), .int(row.days.upperBound),
                        .blob(row.records),
                    ]
                })
        }
    }

    /// Which stretch of each chain of a tenant has records of these days, about: no record of them lies outside.
    package static func stretches(
        _ c: any SQLConnection, tenantID: String, days: Range<Int64>
    ) throws -> [UsageChainKey: ClosedRange<Int64>] {
        var found: [UsageChainKey: ClosedRange<Int64>] = [:]
        for row in try c.query(
            """
            SELECT tenant_id, data_plane_id, incarnation, MIN(first_number) AS first_number, MAX(last_number) AS last_number
            FROM usage_signed WHERE tenant_id = $1 AND last_day >= $2 AND first_day < $3 GROUP BY tenant_id, data_plane_id, incarnation
            """, [.text(tenantID), .int(days.lowerBound), .int(days.upperBound)])
        {
            let first = try row.int("first_number")
            found[try UsageChainKey(row)] = first...max(first, try row.int("last_number"))
        }
        return found
    }

    /// Chains with records of days before this one, and nothing of it or later in the same row.
    package static func chains(_ c: any SQLConnection, before day: Int64) throws -> [UsageChainKey] {
        try c.query(
            """
            SELECT tenant_id, data_plane_id, incarnation FROM usage_signed WHERE last_day < $1
            GROUP BY tenant_id, data_plane_id, incarnation ORDER BY tenant_id, data_plane_id, incarnation
            """, [.int(day)]
        ).map(UsageChainKey.init)
    }

    /// Where the records of a day and later begin; nil: there are none.
    package static func first(_ c: any SQLConnection, _ key: UsageChainKey, from day: Int64) throws -> Int64? {
        try c.first(
            """
            SELECT MIN(first_number) AS number FROM usage_signed
            WHERE tenant_id = $1 AND data_plane_id = $2 AND incarnation = $3 AND last_day >= $4
            """, key.values + [.int(day)])?.optionalInt("number")
    }

    /// Takes away some of a chain's rows that hold nothing of this day or later, and nothing beyond a record; nil: whichever.
    /// - Returns: how many rows went, and how many records were in them.
    package static func purge(
        _ c: any SQLConnection, _ key: UsageChainKey, before day: Int64, through number: Int64?, limit: Int
    ) throws -> (rows: Int, records: Int64) {
        let gone = try c.query(
            """
            DELETE FROM usage_signed WHERE tenant_id = $1 AND data_plane_id = $2 AND incarnation = $3 AND first_number IN (
                SELECT first_number FROM usage_signed
                WHERE tenant_id = $1 AND data_plane_id = $2 AND incarnation = $3 AND last_day < $4 AND last_number <= $5
                ORDER BY first_number LIMIT $6)
            RETURNING last_number - first_number + 1 AS records
            """, key.values + [.int(day), .int(number ?? .max), .int(Int64(limit))])
        return (gone.count, try gone.reduce(0) { $0 + (try $1.int("records")) })
    }

    /// Those that reach beyond `number` and begin at `through` at the latest, in order.
    package static func list(
        _ c: any SQLConnection, _ key: UsageChainKey, after number: Int64, through: Int64, limit: Int
    ) throws -> [SignedUsageRow] {
        try c.query(
            """
            SELECT \(columns.joined(separator: ", ")) FROM usage_signed
            WHERE tenant_id = $1 AND data_plane_id = $2 AND incarnation = $3 AND last_number > $4 AND first_number <= $5
            ORDER BY first_number LIMIT $6
            """, key.values + [.int(number), .int(through), .int(Int64(limit))]
        ).map { row in
            let (number, day) = (try row.int("first_number"), try row.int("first_day"))
            return SignedUsageRow(
                key: key, numbers: number...max(number, try row.int("last_number")), days: day...max(day, try row.int("last_day")),
                records: try row.blob("records"))
        }
    }
}

/// A signed head as it came.
package struct UsageHeadRow: Hashable, Sendable {
    package var key: UsageChainKey
    package var number: Int64
    package var link: [UInt8]
    /// Unix milliseconds, by the data plane's clock.
    package var signedAt: Int64
    package var signature: [UInt8]

    package init(key: UsageChainKey, number: Int64, link: [UInt8], signedAt: Int64, signature: [UInt8]) {
        self.key = key
        self.number = number
        self.link = link
        self.signedAt = signedAt
        self.signature = signature
    }
}

/// Of each chain and day the first head and the last one.
package enum UsageHeadsTable {
    private static let columns = "tenant_id, data_plane_id, incarnation, day, is_last, number, link, signed_at, signature"

    package static func put(_ c: any SQLConnection, _ heads: [UsageHeadRow]) throws {
        for head in heads {
            let values =
                { isLast in
                    head.key.values + [
                        .int(head.signedAt / 86_400_000), .int(isLast), .int(head.number), .blob(head.link), .int(head.signedAt),
                        .blob(head.signature),
                    ]
                } as (Int64) -> [SQLValue]
            try c.execute(
                """
                INSERT INTO usage_heads (\(columns)) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                ON CONFLICT (tenant_id, data_plane_id, incarnation, day, is_last) DO NOTHING
                """, values(0))
            try c.execute(
                """
                INSERT INTO usage_heads (\(columns)) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                ON CONFLICT (tenant_id, data_plane_id, incarnation, day, is_last) DO UPDATE SET number = excluded.number,
                    link = excluded.link, signed_at = excluded.signed_at, signature = excluded.signature
                """, values(1))
        }
    }

    /// All of a chain, in the order in which they were signed: two a day at most.
    package static func list(_ c: any SQLConnection, _ key: UsageChainKey) throws -> [UsageHeadRow] {
        try c.query(
            """
            SELECT \(columns) FROM usage_heads WHERE tenant_id = $1 AND data_plane_id = $2 AND incarnation = $3
            ORDER BY number, signed_at, is_last
            """, key.values
        ).map { row in
            UsageHeadRow(
                key: key, number: try row.int("number"), link: try row.blob("link"), signedAt: try row.int("signed_at"),
                signature: try row.blob("signature"))
        }
    }
}

/// What became of a record that was not charged when it came.
package struct UsageVerdictRow: Hashable, Sendable {
    package enum State: String, Sendable {
        case charged, repeated, discarded
    }

    package var key: UsageChainKey
    package var number: Int64
    package var state: State
    package var chargedNano: Int64
    /// Days since 1970.
    package var day: Int64
    /// Unix milliseconds.
    package var decidedAt: Int64

    package init(key: UsageChainKey, number: Int64, state: State, chargedNano: Int64, day: Int64, decidedAt: Int64) {
        self.key = key
        self.number = number
        self.state = state
        self.chargedNano = chargedNano
        self.day = day
        self.decidedAt = decidedAt
    }
}

package enum UsageVerdictsTable {
    package static func insert(_ c: any SQLConnection, _ rows: [UsageVerdictRow]) throws {
        try c.executeEach(
            """
            INSERT INTO usage_verdicts (tenant_id, data_plane_id, incarnation, number, state, charged_nano, day, decided_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant_id, data_plane_id, incarnation, number) DO NOTHING
            """,
            rows.map { row in
                row.key.values + [
                    .int(row.number), .text(row.state.rawValue), .int(row.chargedNano), .int(row.day), .int(row.decidedAt),
                ]
            })
    }

    /// Of a stretch of a chain, by number.
    package static func find(
        _ c: any SQLConnection, _ key: UsageChainKey, numbers: ClosedRange<Int64>
    ) throws -> [Int64: UsageVerdictRow] {
        var found: [Int64: UsageVerdictRow] = [:]
        for row in try c.query(
            """
            SELECT number, state, charged_nano, day, decided_at FROM usage_verdicts
            WHERE tenant_id = $1 AND data_plane_id = $2 AND incarnation = $3 AND number BETWEEN $4 AND $5
            """, key.values + [.int(numbers.lowerBound), .int(numbers.upperBound)])
        {
            let number = try row.int("number")
            found[number] = UsageVerdictRow(
                key: key, number: number, state: UsageVerdictRow.State(rawValue: try row.text("state")) ?? .discarded,
                chargedNano: try row.int("charged_nano"), day: try row.int("day"), decidedAt: try row.int("decided_at"))
        }
        return found
    }
}
