extension UsageDailyTable {
    /// What a tenant's usage cost on the last day of some, and on those before together. Micro-dollars: the sums of nano-dollars may be too
    /// large for a column.
    package struct TenantCosts: Sendable, Hashable {
        package let id: String
        package let today: Int64
        package let before: Int64
    }

    /// How many requests were admitted on some days: as many records were stored of them.
    package static func requests(_ c: any SQLConnection, days: Range<Int64>) throws -> Int64 {
        try c.first(
            "SELECT CAST(COALESCE(SUM(requests), 0) AS BIGINT) AS number FROM usage_daily WHERE day >= $1 AND day < $2",
            [.int(days.lowerBound), .int(days.upperBound)])?.int("number") ?? 0
    }

    /// By tenant. Days are numbered from 1970-01-01, UTC.
    package static func costs(_ c: any SQLConnection, from first: Int64, through last: Int64) throws -> [TenantCosts] {
        try c.query(
            """
            SELECT tenant_id, CAST(SUM(CASE WHEN day = $2 THEN cost_nano / 1000 ELSE 0 END) AS BIGINT) AS today,
                CAST(SUM(CASE WHEN day < $2 THEN cost_nano / 1000 ELSE 0 END) AS BIGINT) AS earlier
            FROM usage_daily WHERE day BETWEEN $1 AND $2 GROUP BY tenant_id
            """, [.int(first), .int(last)]
        ).map { TenantCosts(id: try $0.text("tenant_id"), today: try $0.int("today"), before: try $0.int("earlier")) }
    }
}
