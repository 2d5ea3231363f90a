import Contract
import Domain
import Primitives
import Storage
import Testing

@Suite("Usage queries")
struct UsageQueriesTests {
    typealias Support = UsageSupport
    static let day: Int64 = 86_400_000

    static func filled(_ kind: TestDatabase, _ body: (UsageQueries) async throws -> Void) async throws {
        try await kind.with { database in
            var failed = Support.record(5, tenant: "ten_b", key: "key_c", model: "emb", at: Support.now)
            failed.status = .failed
            let records = [
                Support.record(1, input: 1, output: 10), Support.record(2, input: 2, output: 20, at: Support.now - day),
                Support.record(3, key: "key_b", model: "emb", input: 4, output: 40, at: Support.now - day),
                Support.record(4, tenant: "ten_b", key: "key_c", input: 8, output: 80, at: Support.now - 2 * day), failed,
            ]
            _ = try await Support.intake(database).store(dataPlaneID: "dp_a", batch: Support.batch("i", 1, records))
            try await body(Support.queries(database))
        }
    }

    @Test("group by any of tenant, project, key, model and day", arguments: TestDatabases.all)
    func grouping(_ kind: TestDatabase) async throws {
        try await Self.filled(kind) { queries in
            let tenants = try await queries.sums(Support.everything, by: [.tenant])
            #expect(tenants.map(\.tenantID) == ["ten_a", "ten_b"])
            #expect(tenants.map(\.requests) == [3, 2])
            #expect(tenants.map(\.inputTokens) == [7, 108])
            #expect(tenants.map(\.outputTokens) == [70, 100])
            #expect(tenants.map(\.failed) == [0, 1])
            #expect(tenants.allSatisfy { $0.projectID == nil && $0.day == nil })
            let today = Support.now / Self.day
            let days = try await queries.sums(Support.everything, by: [.day, .model])
            #expect(days.map(\.model) == ["emb", "emb", "gpt", "gpt", "gpt"])
            #expect(days.map { ($0.day ?? 0) - today } == [-1, 0, -2, -1, 0])
            let all = try await queries.sums(Support.everything, by: Set(UsageDimension.allCases))
            #expect(all.count == 5)
            #expect(all.allSatisfy { $0.priceID == "price_a" && $0.configVersion == 1 && $0.dialect == "" })
            #expect(all.map(\.projectID).first == "prj_of_ten_a")
            #expect(try await queries.sums(Support.everything, by: [.project, .key]).map(\.keyID) == ["key_a", "key_b", "key_c"])
        }
    }

    @Test("filter by window, tenant, project, key, model and status", arguments: TestDatabases.all)
    func filters(_ kind: TestDatabase) async throws {
        try await Self.filled(kind) { queries in
            func count(_ change: (inout UsageFilter) -> Void) async throws -> Int64? {
                var filter = Support.everything
                change(&filter)
                return try await queries.sums(filter, by: []).first?.requests
            }
            let now = Support.now * 1000
            let counts = [
                try await count { $0.tenantID = "ten_b" }, try await count { $0.projectID = "prj_of_ten_a" },
                try await count { $0.keyID = "key_b" }, try await count { $0.model = "emb" }, try await count { $0.status = 2 },
                try await count { $0.tenantID = "ten_none" },
                try await count { $0.from = now }, try await count { $0.to = now },
                try await count {
                    $0.from = now - Self.day * 1000
                    $0.to = now + 1
                },
                try await count { $0.requestID = RequestID(high: 1, low: 3).bytes },
            ]
            #expect(counts == [2, 3, 1, 2, 1, 0, 2, 3, 4, 1])
            await #expect(throws: DomainError.self) { try await queries.sums(UsageFilter(from: 5, to: 5), by: []) }
        }
    }

    @Test("sum nothing to zeroes", arguments: TestDatabases.all)
    func nothing(_ kind: TestDatabase) async throws {
        try await kind.with { (database) async throws -> Void in
            let queries = Support.queries(database)
            #expect(try await queries.sums(Support.everything, by: []) == [UsageSums()])
            #expect(try await queries.sums(Support.everything, by: [.tenant]).isEmpty)
            #expect(try await queries.lastReceived(tenantID: TenantID("ten_a")) == nil)
        }
    }

    @Test("list records newest first, page by page, each once", arguments: TestDatabases.all)
    func paging(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            // Many of the same microsecond: the request's id decides among them.
            let records = (1...25).map { Support.record($0, at: Support.now - Int64($0 / 10)) }
            _ = try await Support.intake(database).store(dataPlaneID: "dp_a", batch: Support.batch("i", 1, records))
            let queries = Support.queries(database)
            var seen: [[UInt8]] = []
            var page = try await queries.records(Support.everything, PageRequest(limit: 4))
            var pages = 1
            while true {
                seen += page.items.map(\.requestID)
                guard let next = page.next else { break }
                let cursor = try Cursor(text: next.text, list: UsageQueries.list)
                page = try await queries.records(Support.everything, PageRequest(limit: 4, after: cursor))
                pages += 1
            }
            #expect(pages == 7)
            let expected = records.sorted { ($0.admittedAtUs, Array($0.requestID)[15]) > ($1.admittedAtUs, Array($1.requestID)[15]) }
            #expect(seen == expected.map { Array($0.requestID) })
            #expect(try await queries.lastReceived(tenantID: TenantID("ten_a")) == Support.now)
            await #expect(throws: DomainError.self) {
                try await queries.records(Support.everything, PageRequest(after: Cursor(list: UsageQueries.list, time: 1, id: "x")))
            }
        }
    }

    @Test("saturate a sum of costs that has no room", arguments: TestDatabases.all)
    func saturation(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            try await database.transaction { c in
                let month = UsageMonth(containingMicroseconds: Support.now * 1000)
                try UsagePartitions.ensure(c, [month])
                let rows = (0..<4).map { index in
                    var row = UsageRow()
                    row.requestID = [UInt8](repeating: UInt8(index), count: 16)
                    row.admittedAtMicroseconds = Support.now * 1000
                    row.costNano = .max / 2
                    return row
                }
                #expect(try UsageTable.insert(c, rows) == rows)
                try UsageDailyTable.add(c, rows)
            }
            for window in [Support.everything, UsageFilter(from: Support.now * 1000 - 1, to: Support.now * 1000 + 1)] {
                let sums = try await Support.queries(database).sums(window, by: [])
                #expect(sums.first?.costNano == .max)
            }
        }
    }

    @Test("sum whole and broken days alike, whatever the window", arguments: TestDatabases.all, [1, 2] as [UInt64])
    func windows(_ kind: TestDatabase, _ seed: UInt64) async throws {
        try await kind.with { database in
            var generator = SeededGenerator(seed: seed)
            let records = (0..<UInt64(300)).map { number in
                var record = Support.record(number, tenant: "ten_\(number % 3)", input: Int64.random(in: 0...999, using: &generator))
                record.admittedAtUs -= Int64.random(in: 0...(6 * Self.day * 1000), using: &generator)
                // Some to the microsecond at midnight.
                if number % 10 == 0 { record.admittedAtUs -= record.admittedAtUs % (Self.day * 1000) }
                if number % 7 == 0 { record.status = .failed }
                return record
            }
            let intake = try await Support.intake(database)
            for (index, dataPlane) in ["dp_a", "dp_b", "dp_a"].enumerated() {
                let part = Array(records[(index * 100)..<(index * 100 + 100)])
                let batch = Support.batch("i\(index)", 1, part)
                _ = try await intake.store(dataPlaneID: dataPlane, batch: batch)
            }
            let queries = Support.queries(database)
            let end = Support.now * 1000
            for _ in 0..<60 {
                var bounds = (0..<2).map { _ in end - Int64.random(in: -1_000_000...(7 * Self.day * 1000), using: &generator) }
                for index in bounds.indices where Bool.random(using: &generator) { bounds[index] -= bounds[index] % (Self.day * 1000) }
                bounds.sort()
                guard bounds[0] < bounds[1] else { continue }
                let filter = UsageFilter(from: bounds[0], to: bounds[1], tenantID: Bool.random(using: &generator) ? "ten_1" : nil)
                let window = bounds[0]..<bounds[1]
                let expected = records.filter { window.contains($0.admittedAtUs) && $0.tenantID == filter.tenantID ?? $0.tenantID }
                let sums = try await queries.sums(filter, by: []).first
                #expect(sums?.requests == Int64(expected.count), "seed \(seed), \(bounds)")
                #expect(sums?.inputTokens == expected.reduce(0) { $0 + $1.inputTokens })
                #expect(sums?.costNano == expected.reduce(0) { $0 + $1.costNano })
                #expect(sums?.failed == Int64(expected.count { $0.status == .failed }))
                let days = try await queries.sums(filter, by: [.day, .model])
                #expect(days.reduce(0) { $0 + $1.requests } == Int64(expected.count))
                #expect(days.map(\.day) == Set(expected.map { $0.admittedAtUs / (Self.day * 1000) }).sorted())
            }
        }
    }

    @Test("refuse more groups than anyone reads", arguments: TestDatabases.all)
    func tooManyGroups(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let intake = try await Support.intake(database)
            let records = (0..<UInt64(UsageQueries.maximumGroups + 1)).map { Support.record($0, key: "key_\($0)") }
            try await database.transaction { try Support.insertKeys($0, records.map(\.keyID), of: "ten_a") }
            let half = records.count / 2
            _ = try await intake.store(dataPlaneID: "dp_a", batch: Support.batch("i", 1, Array(records[..<half])))
            _ = try await intake.store(dataPlaneID: "dp_a", batch: Support.batch("i", 2, Array(records[half...])))
            await #expect(throws: DomainError.self) { try await Support.queries(database).sums(Support.everything, by: [.key]) }
        }
    }
}
