import Primitives

/// A month in UTC: one partition of the usage records.
package struct UsageMonth: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let year: Int64
    package let month: Int64

    package init(containingMicroseconds time: Int64) {
        let day = (time / 86_400_000_000) - (time % 86_400_000_000 < 0 ? 1 : 0)
        let date = RFC3339.civil(fromDays: day)
        year = date.year
        month = date.month
    }

    private init(year: Int64, month: Int64) {
        self.year = year
        self.month = month
    }

    package var next: UsageMonth { month == 12 ? UsageMonth(year: year + 1, month: 1) : UsageMonth(year: year, month: month + 1) }

    /// Unix microseconds of its first instant.
    package var startMicroseconds: Int64 { RFC3339.days(year: year, month: month, day: 1) * 86_400_000_000 }

    package var description: String { "\(year)-\(month < 10 ? "0" : "")\(month)" }
    package static func < (a: UsageMonth, b: UsageMonth) -> Bool { (a.year, a.month) < (b.year, b.month) }

    init?(partition: String) {
        let parts = partition.split(separator: "_").suffix(2).compactMap { Int64($0) }
        guard partition.hasPrefix("usage_records_"), parts.count == 2, (1...12).contains(parts[1]) else { return nil }
        self.init(year: parts[0], month: parts[1])
    }

    var partition: String { "usage_records_\(year)_\(month < 10 ? "0" : "")\(month)" }
}

/// The monthly partitions on Postgres. On SQLite there is nothing to do.
package enum UsagePartitions {
    /// Makes the partitions of these months where they are missing. For a transaction of isolation `readCommitted`.
    ///
    /// A partition is made as a table and then attached, which others that read and write the records meanwhile do not notice
    /// (CREATE TABLE … PARTITION OF would lock them out).
    /// - Returns: the months that were made.
    @discardableResult
    package static func ensure(_ c: any SQLConnection, _ months: Set<UsageMonth>) throws -> [UsageMonth] {
        guard c.dialect == .postgres else { return [] }
        guard try !missing(c, months).isEmpty else { return [] }
        // Among replicas and streams, one makes it; the others wait and find it made.
        _ = try c.query("SELECT pg_advisory_xact_lock(\(lockKey), hashtext(current_schema()))")
        let toMake = try missing(c, months)
        try c.asOwner { try make(c, toMake) }
        return toMake
    }

    private static func make(_ c: any SQLConnection, _ months: [UsageMonth]) throws {
        for month in months {
            try c.execute("CREATE TABLE \(month.partition) (LIKE usage_records INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
            try c.execute(
                """
                ALTER TABLE usage_records ATTACH PARTITION \(month.partition)
                FOR VALUES FROM (\(month.startMicroseconds)) TO (\(month.next.startMicroseconds))
                """)
        }
        for month in months { try c.execute(RowSecurity.grant(partition: month.partition)) }
    }

    /// The months that have a partition and end at `before` (Unix microseconds) or earlier. On SQLite there are none.
    package static func months(_ c: any SQLConnection, endingBy before: Int64) throws -> [UsageMonth] {
        try names(c).compactMap(UsageMonth.init(partition:)).filter { $0.next.startMicroseconds <= before }.sorted()
    }

    /// Takes away a whole month. It locks everybody out for a moment, and waits for reports that are being read; nobody waits for it longer
    /// than `lockMilliseconds`, then it fails. For a transaction of isolation `readCommitted`.
    package static func drop(_ c: any SQLConnection, _ month: UsageMonth, lockMilliseconds: Int = 2000) throws {
        guard c.dialect == .postgres else { return }
        try c.asOwner {
            try c.execute("SET LOCAL lock_timeout = \(lockMilliseconds)")
            _ = try c.query("SELECT pg_advisory_xact_lock(\(lockKey), hashtext(current_schema()))")
            try c.execute("DROP TABLE IF EXISTS \(month.partition)")
            try c.execute("SET LOCAL lock_timeout = 0")
        }
    }

    /// The partitions that are attached, by name.
    package static func names(_ c: any SQLConnection) throws -> Set<String> {
        guard c.dialect == .postgres else { return [] }
        let rows = try c.query(
            """
            SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'usage_records'::regclass
            """)
        return Set(try rows.map { try $0.text("name") })
    }

    private static func missing(_ c: any SQLConnection, _ months: Set<UsageMonth>) throws -> [UsageMonth] {
        let present = try names(c)
        return months.filter { !present.contains($0.partition) }.sorted()
    }

    /// First half of the advisory lock's key: "usag" in ASCII.
    private static let lockKey = 0x7573_6167
}
