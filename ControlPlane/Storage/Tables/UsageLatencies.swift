import Primitives

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

    /// The same of one record, as it is stored.
    private static func upTo(_ latency: Int64) -> Int64 {
        var step: Int64 = 1000
        while step < 10_000_000, latency >= step * 100 { step *= 10 }
        return (latency / step + 1) * step
    }

    /// Adds records that have just been stored to their hours, those of all tenants together.
    package static func add(_ c: any SQLConnection, _ rows: PackedRows, at places: [Int]) throws {
        struct Key: Hashable {
            let hour: Int64
            let upTo: Int64
            let dataPlaneID: Int64
        }
        var counts: [Key: Int64] = [:]
        for row in places where rows[row, UsagePlace.status] == 1 {
            let hour = rows[row, UsagePlace.admittedAt] / UsageHourlyTable.microsecondsPerHour
            counts[
                Key(hour: hour, upTo: upTo(rows[row, UsagePlace.latency]), dataPlaneID: rows[row, UsagePlace.dataPlaneID]), default: 0] += 1
        }
        // In one order always, so that two of them wait for each other and never both.
        let sorted = counts.sorted { a, b in
            if a.key.hour != b.key.hour { return a.key.hour < b.key.hour }
            if a.key.upTo != b.key.upTo { return a.key.upTo < b.key.upTo }
            return rows.precedes(a.key.dataPlaneID, b.key.dataPlaneID)
        }
        let values: [[SQLValue]] = sorted.map { key, count in
            [.int(key.hour), .int(key.upTo), .text(rows.text(at: key.dataPlaneID)), .int(count)]
        }
        guard c.dialect == .postgres else { return try c.executeEach(statement(1), values) }
        for start in stride(from: 0, to: values.count, by: 500) {
            let chunk = values[start..<min(start + 500, values.count)]
            try c.execute(statement(chunk.count), chunk.flatMap { $0 })
        }
    }

    private static func statement(_ rows: Int) -> String {
        """
        INSERT INTO usage_hourly_latencies (hour, up_to, data_plane_id, requests) VALUES \(Conditions.places(rows, 4))
        ON CONFLICT (hour, up_to, data_plane_id) DO UPDATE SET requests = usage_hourly_latencies.requests + excluded.requests
        """
    }

    /// Of requests that were completed, by rising latency within each group. By the hour and of all tenants it is read from the sums.
    /// - Parameter dimension: nil: all of them together.
    package static func histogram(_ c: any SQLConnection, _ filter: UsageFilter, by dimension: UsageDimension?) throws -> [Bucket] {
        var arguments = Conditions()
        var parts = [UsageHours.Part.records(from: filter.from, to: filter.to)]
        if c.scope == .all, filter.values.isEmpty, dimension == nil || dimension == .hour(.utc),
            let hours = try UsageHours(c, [(filter.from, filter.to)], tenantID: nil)
        {
            parts = hours.parts(from: filter.from, to: filter.to)
        }
        let sources = parts.map { part in
            switch part {
            case .records(let from, let to):
                let group = dimension?.expression(time: "admitted_at_us", &arguments, c.dialect) ?? "0"
                var (narrowed, conditions) = (filter, Conditions(continuing: arguments))
                (narrowed.from, narrowed.to) = (from, to)
                narrowed.add(to: &conditions, c)
                conditions.add("status = ?", .int(1))
                arguments = Conditions(continuing: conditions)
                return "SELECT \(group) AS group_0, \(upTo) AS up_to, 1 AS requests FROM usage_records \(conditions.clause)"
            case .hours(let from, let to):
                let group = dimension?.expression(time: "hour * \(UsageHourlyTable.microsecondsPerHour)", &arguments, c.dialect) ?? "0"
                var conditions = Conditions(continuing: arguments)
                conditions.add("hour >= ?", .int(from))
                conditions.add("hour < ?", .int(to))
                arguments = Conditions(continuing: conditions)
                return "SELECT \(group) AS group_0, up_to, requests FROM usage_hourly_latencies \(conditions.clause)"
            }
        }
        return try c.query(
            """
            SELECT group_0, up_to, CAST(SUM(requests) AS BIGINT) AS requests FROM (\(sources.joined(separator: " UNION ALL "))) AS usage
            GROUP BY group_0, up_to ORDER BY group_0, up_to
            """, arguments.arguments
        ).map { row in
            Bucket(group: try row.value("group_0"), upTo: try row.int("up_to"), requests: try row.int("requests"))
        }
    }
}
