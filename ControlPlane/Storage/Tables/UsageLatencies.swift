/// How long answered requests took: a histogram, so that what is read of any number of records fits into a few hundred rows.
package enum UsageLatenciesTable {
    package struct Bucket: Sendable, Hashable {
        /// Null where nothing was asked to group by.
        package let group: SQLValue
        /// No longer than that, microseconds.
        package let upTo: Int64
        package let requests: Int64
    }

    /// Steps of a millisecond up to a tenth of a second; beyond it two digits are kept.
    private static let upTo = """
        CASE WHEN latency_us < 100000 THEN (latency_us / 1000 + 1) * 1000 WHEN latency_us < 1000000 THEN (latency_us / 10000 + 1) * 10000
            WHEN latency_us < 10000000 THEN (latency_us / 100000 + 1) * 100000
            WHEN latency_us < 100000000 THEN (latency_us / 1000000 + 1) * 1000000 ELSE (latency_us / 10000000 + 1) * 10000000 END
        """

    /// Of requests that were completed, by rising latency within each group.
    /// - Parameter dimension: nil: all of them together.
    package static func histogram(_ c: any SQLConnection, _ filter: UsageFilter, by dimension: UsageDimension?) throws -> [Bucket] {
        var arguments = Conditions()
        let group = dimension?.expression(time: "admitted_at_us", &arguments, c.dialect) ?? "0"
        var conditions = Conditions(continuing: arguments)
        filter.add(to: &conditions, c)
        conditions.add("status = ?", .int(1))
        return try c.query(
            """
            SELECT group_0, up_to, COUNT(*) AS requests FROM (SELECT \(group) AS group_0, \(upTo) AS up_to FROM usage_records \(conditions.clause))
                AS usage GROUP BY group_0, up_to ORDER BY group_0, up_to
            """, conditions.arguments
        ).map { row in
            Bucket(group: try row.value("group_0"), upTo: try row.int("up_to"), requests: try row.int("requests"))
        }
    }
}
