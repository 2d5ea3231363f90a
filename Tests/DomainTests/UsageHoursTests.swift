import Contract
import Domain
import Primitives
import Storage
import Testing

/// Reports by the hour, and by the days of a time zone, from the hourly sums and from the records.
@Suite("Usage by the hour")
struct UsageHoursTests {
    typealias Support = UsageSupport
    private static let hour: Int64 = 3_600_000
    private static let day: Int64 = 86_400_000

    /// Some of each day, failures among them, and some at the first and last moment of an hour.
    private static let records: [Weir_V1_UsageRecord] = {
        var generator = SeededGenerator(seed: 12)
        return (0..<UInt64(400)).map { number in
            var record = Support.record(
                number, tenant: "ten_\(number % 3)", model: number % 2 == 0 ? "gpt" : "emb",
                input: Int64.random(in: 0...999, using: &generator))
            record.admittedAtUs -= Int64.random(in: 0...(5 * day * 1000), using: &generator)
            if number % 5 == 0 { record.admittedAtUs -= record.admittedAtUs % (hour * 1000) + Int64(number % 2) }
            if number % 7 == 0 { record.status = .failed }
            record.latencyUs = Int64.random(in: 0...(1 << Int64.random(in: 8...36, using: &generator)), using: &generator)
            return record
        }
    }()

    private static func told(_ database: any Database, as reader: UsageReader = .administrator) async throws -> [String] {
        let queries = Support.queries(database)
        var told: [String] = []
        for zone in ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"] {
            for groups in [[UsageGroup.day], [.hour], [.day, .tenant], [.model], [.month, .project]] {
                for (from, until) in [
                    (Support.now - 4 * day + 1, Support.now - hour),
                    (Support.now / hour * hour - 23 * hour, Support.now / hour * hour + hour),
                ] {
                    var request = UsageReportRequest()
                    request.groups = groups
                    request.timeZone = try ReaderTimeZone(named: zone)
                    (request.query.from, request.query.until) = (from, until)
                    told.append("\(zone) \(groups): \(try await queries.report(request, for: reader).json["items"]?.text ?? "")")
                }
            }
        }
        for group in [UsageLatencyGroup.none, .hour] {
            told.append(try await queries.latencies(UsageQuery(), by: group, for: reader).text)
        }
        return told
    }

    @Test("is the same from sums, from records, and from both", arguments: TestDatabases.all)
    func same(_ kind: TestDatabase) async throws {
        try await kind.with { (database) async throws -> Void in
            let intake = try await Support.intake(database)
            for (index, dataPlane) in ["dp_a", "dp_b", "dp_a", "dp_b"].enumerated() {
                _ = try await intake.store(
                    dataPlaneID: dataPlane, batch: Support.batch("i\(index)", 1, Array(Self.records[(index * 100)..<(index * 100 + 100)])))
            }
            let reader = UsageReader.tenant(TenantID("ten_1"))
            let (whole, own) = (try await Self.told(database), try await Self.told(database, as: reader))
            // What a release that knows no hours stored: of some days nothing, of one a part.
            let middle = Support.now / Self.day - 2
            try await database.transaction { c in
                try c.execute("DELETE FROM usage_hourly WHERE hour / 24 = $1 AND (hour % 24 > 11 OR tenant_id = 'ten_1')", [.int(middle)])
                try c.execute("DELETE FROM usage_hourly_latencies WHERE hour / 24 = $1", [.int(middle)])
            }
            #expect(try await Self.told(database) == whole)
            #expect(try await Self.told(database, as: reader) == own)
            try await database.transaction { c in
                try c.execute("DELETE FROM usage_hourly")
                try c.execute("DELETE FROM usage_hourly_latencies")
            }
            #expect(try await Self.told(database) == whole)
            #expect(try await Self.told(database, as: reader) == own)
            let day = UsageFilter(from: middle * Self.day * 1000, to: (middle + 1) * Self.day * 1000)
            let expected = Self.records.filter { (day.from..<day.to).contains($0.admittedAtUs) }
            #expect(try await Support.queries(database).sums(day, by: [.hour(.utc)], as: .all).totals.requests == Int64(expected.count))
        }
    }

    @Test("reads no record of whole hours", arguments: TestDatabases.all)
    func sumsOnly(_ kind: TestDatabase) async throws {
        try await kind.with { (database) async throws -> Void in
            _ = try await Support.intake(database).store(dataPlaneID: "dp_a", batch: Support.batch("i", 1, Self.records))
            func told() async throws -> [UsageSums] {
                let from = (Support.now / Self.hour - 60) * Self.hour * 1000
                let filter = UsageFilter(from: from, to: from + 48 * Self.hour * 1000)
                var found: [UsageSums] = []
                for by in [[UsageDimension.hour(.utc)], [.model], [.tenant, .column(.status)]] {
                    found += try await Support.queries(database).sums(filter, by: by, as: .all).rows
                }
                return found
            }
            let (before, latencies) = (
                try await told(), try await Support.queries(database).latencies(UsageQuery(), by: .hour, for: .administrator)
            )
            #expect(before.count > 40)
            try await database.transaction { c in _ = try c.execute("DELETE FROM usage_records") }
            #expect(try await told() == before)
            #expect(try await Support.queries(database).latencies(UsageQuery(), by: .hour, for: .administrator) == latencies)
            // Gone with the records: what is left of a purged time is the daily sums.
            try await database.transaction { c in try UsageHourlyTable.purge(c, before: .max) }
            let hours = UsageFilter(from: (Support.now / Self.hour - 60) * Self.hour * 1000, to: Support.now * 1000)
            #expect(try await Support.queries(database).sums(hours, by: [.hour(.utc)], as: .all).rows.isEmpty)
        }
    }
}
