/// The records summed by hour and by what pages look at most. Written in the transaction that stores the records (`UsageDailyTable.add`).
package enum UsageHourlyTable {
    static let keys = ["hour", "tenant_id", "project_id", "model", "status", "data_plane_id"]
    static let places = [UsagePlace.tenantID, UsagePlace.projectID, UsagePlace.model, UsagePlace.status, UsagePlace.dataPlaneID]
    static let microsecondsPerHour: Int64 = 3_600_000_000

    /// Takes away what is about hours before one (Unix microseconds).
    package static func purge(_ c: any SQLConnection, before: Int64) throws {
        for table in ["usage_hourly", "usage_hourly_latencies"] {
            try c.execute("DELETE FROM \(table) WHERE hour < $1", [.int(before / microsecondsPerHour)])
        }
    }
}

/// Which whole hours of a time are answered by the hourly sums. A day of which these have not as many requests as the daily sums is not: it is
/// from before there were any, or a release took part in it that does not know them. Times are Unix microseconds.
struct UsageHours {
    private static let hour = UsageHourlyTable.microsecondsPerHour
    private static let day = UsageDailyTable.microsecondsPerDay

    enum Part: Hashable {
        /// `from` and `to` are hours since 1970.
        case hours(from: Int64, to: Int64)
        case records(from: Int64, to: Int64)
    }

    /// Of more days at once it is not looked up what they lack.
    private static let mostDays: Int64 = 100

    /// Days that lack something, ascending.
    private let incomplete: [Int64]

    /// Nil where the times reach over too many days.
    /// - Parameters:
    ///   - times: In their order.
    ///   - tenantID: Whose rows are wanted; nil: all that the transaction sees.
    init?(_ c: any SQLConnection, _ times: [(from: Int64, to: Int64)], tenantID: SQLValue?) throws {
        var days: [(first: Int64, end: Int64)] = []
        for time in times {
            let (first, end) = (time.from / Self.day, (time.to - 1) / Self.day + 1)
            if let last = days.last, first <= last.end {
                days[days.count - 1].end = max(last.end, end)
            } else {
                days.append((first, end))
            }
        }
        guard days.reduce(0, { $0 + ($1.end - $1.first) }) <= Self.mostDays else { return nil }
        var arguments = Conditions()
        var counted: [String] = []
        for (first, end) in days {
            for (table, time, unit) in [("usage_daily", "day", 1 as Int64), ("usage_hourly", "hour", 24)] {
                var conditions = Conditions(continuing: arguments)
                conditions.add("\(time) >= ?", .int(first * unit))
                conditions.add("\(time) < ?", .int(end * unit))
                conditions.confine("tenant_id", to: c.scope)
                if let tenantID { conditions.add("tenant_id = ?", tenantID) }
                arguments = Conditions(continuing: conditions)
                // In the order of its key: nothing is sorted for it.
                counted.append(
                    """
                    SELECT \(time) / \(unit) AS day, \(unit == 1 ? "" : "-")SUM(requests) AS number FROM \(table) \(conditions.clause)
                        GROUP BY \(time)
                    """)
            }
        }
        incomplete = try c.query(
            """
            SELECT day FROM (\(counted.joined(separator: " UNION ALL "))) AS counted GROUP BY day HAVING SUM(number) <> 0 ORDER BY day
            """, arguments.arguments
        ).map { try $0.int("day") }
    }

    /// A time in its order; what is not a whole hour of a complete day is the records'.
    /// - Parameter borders: Instants that an hour must not reach across.
    func parts(from: Int64, to: Int64, borders: [Int64] = []) -> [Part] {
        let (begin, end) = (from > 0 ? (from - 1) / Self.hour + 1 : 0, to / Self.hour)
        guard begin < end else { return [.records(from: from, to: to)] }
        let broken = borders.filter { $0 % Self.hour != 0 }.map { ($0 / Self.hour, $0 / Self.hour + 1) }
        let left = (incomplete.map { ($0 * 24, ($0 + 1) * 24) } + broken)
            .map { (max($0.0, begin), min($0.1, end)) }.filter { $0.0 < $0.1 }.sorted { $0 < $1 }
        var parts: [Part] = []
        var at = begin
        func records(_ from: Int64, _ to: Int64) {
            guard from < to else { return }
            if case .records(from: let earlier, to: from)? = parts.last {
                parts[parts.count - 1] = .records(from: earlier, to: to)
            } else {
                parts.append(.records(from: from, to: to))
            }
        }
        records(from, begin * Self.hour)
        for (from, to) in left where to > at {
            if at < from { parts.append(.hours(from: at, to: from)) }
            records(max(at, from) * Self.hour, to * Self.hour)
            at = to
        }
        if at < end { parts.append(.hours(from: at, to: end)) }
        records(end * Self.hour, to)
        return parts
    }
}
