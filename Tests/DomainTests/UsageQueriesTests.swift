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

    @Test("group by any column, in the order that was asked for", arguments: TestDatabases.all)
    func grouping(_ kind: TestDatabase) async throws {
        try await Self.filled(kind) { queries in
            let tenants = try await queries.sums(Support.everything, by: [.tenant], as: .all)
            #expect(tenants.rows.map(\.group) == [["ten_a"], ["ten_b"]])
            #expect(tenants.rows.map(\.requests) == [3, 2])
            #expect(tenants.rows.map(\.inputTokens) == [7, 108])
            #expect(tenants.rows.map(\.outputTokens) == [70, 100])
            #expect(tenants.rows.map(\.failed) == [0, 1])
            #expect(tenants.totals.requests == 5 && tenants.totals.inputTokens == 115 && tenants.others == 0)
            let today = Support.now / Self.day
            let days = try await queries.sums(Support.everything, by: [.model, .day], as: .all).rows
            #expect(
                days.map(\.group) == [
                    ["emb", .int(today - 1)], ["emb", .int(today)], ["gpt", .int(today - 2)], ["gpt", .int(today - 1)],
                    ["gpt", .int(today)],
                ])
            // What the records alone know, and what only the detailed sums do, come to the same.
            for column in UsageColumn.allCases where ![.latency, .trace, .request, .party, .idText].contains(column) {
                let found = try await queries.sums(Support.everything, by: [.column(column)], as: .all)
                #expect(found.rows.reduce(0) { $0 + $1.requests } == 5, "\(column)")
                #expect(found.totals.costNano == tenants.totals.costNano, "\(column)")
            }
        }
    }

    @Test("narrow by each column, whatever table has it", arguments: TestDatabases.all)
    func filters(_ kind: TestDatabase) async throws {
        try await Self.filled(kind) { queries in
            func count(_ values: [UsageColumn: SQLValue], from: Int64 = 0, to: Int64 = .max) async throws -> Int64? {
                try await queries.sums(UsageFilter(from: from, to: to, values), by: [], as: .all).rows.first?.requests
            }
            let now = Support.now * 1000
            let counts = [
                try await count([.tenant: "ten_b"]), try await count([.project: "prj_of_ten_a"]), try await count([.key: "key_b"]),
                try await count([.model: "emb"]), try await count([.status: 2]), try await count([.tenant: "ten_none"]),
                try await count([:], from: now), try await count([:], to: now),
                try await count([:], from: now - Self.day * 1000, to: now + 1),
                try await count([.request: .blob(RequestID(high: 1, low: 3).bytes)]), try await count([.configVersion: 1, .model: "gpt"]),
                try await count([.latency: 1234]), try await count([.latency: 1235]), try await count([.errorOrigin: 1]),
                try await count([.trace: .blob([UInt8](repeating: 9, count: 16)), .model: "emb"]), try await count([.tag: "team=search"]),
            ]
            #expect(counts == [2, 3, 1, 2, 1, 0, 2, 3, 4, 1, 3, 5, 0, 0, 2, 0])
            await #expect(throws: DomainError.self) { try await queries.sums(UsageFilter(from: 5, to: 5), by: [], as: .all) }
        }
    }

    @Test("show a tenant its own usage only, whatever is asked for", arguments: TestDatabases.all)
    func confined(_ kind: TestDatabase) async throws {
        try await Self.filled(kind) { (queries) async throws -> Void in
            let scope = TenantScope.tenant("ten_b")
            let endless = Support.everything
            let hours = UsageFilter(from: 0, to: Support.now * 1000 + 1)
            for filter in [endless, hours] {
                for by in [[UsageDimension.tenant], [.tenant, .column(.endpoint)], [.tenant, .column(.user)]] {
                    #expect(try await queries.sums(filter, by: by, as: scope).rows.map { $0.group[0] } == ["ten_b"])
                }
                #expect(try await queries.records(filter, PageRequest(), as: scope).items.map(\.tenantID) == ["ten_b", "ten_b"])
            }
            #expect(try await queries.sums(UsageFilter(from: 0, to: .max, [.tenant: "ten_a"]), by: [.tenant], as: scope).rows.isEmpty)
        }
    }

    @Test("sum nothing to zeroes", arguments: TestDatabases.all)
    func nothing(_ kind: TestDatabase) async throws {
        try await kind.with { (database) async throws -> Void in
            let queries = Support.queries(database)
            #expect(try await queries.sums(Support.everything, by: [], as: .all).rows == [UsageSums()])
            #expect(try await queries.sums(Support.everything, by: [.tenant], as: .all).rows.isEmpty)
            #expect(try await queries.lastReceived(tenantID: TenantID("ten_a")) == nil)
        }
    }

    @Test("count a failure by whose fault it was, and a cost as known only where there was a price", arguments: TestDatabases.all)
    func outcomes(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            var records: [Weir_V1_UsageRecord] = []
            for (index, origin) in [Weir_V1_ErrorOrigin.client, .client, .weir, .provider, .UNRECOGNIZED(9)].enumerated() {
                var record = Support.record(UInt64(index))
                record.status = .failed
                record.errorOrigin = origin
                records.append(record)
            }
            var unpriced = Support.record(10, tenant: "ten_b")
            unpriced.priceID = ""
            unpriced.costNano = 0
            unpriced.flags = UsageFlags.priceMissing.rawValue
            // There was nothing to be charged: its cost is known to be none.
            var unused = unpriced
            unused.requestID = Support.record(11).requestID
            unused.tenantID = "ten_0"
            unused.projectID = "prj_of_ten_0"
            unused.keyID = "key_of_ten_0"
            unused.status = .failed
            unused.errorOrigin = .provider
            unused.inputTokens = 0
            unused.outputTokens = 0
            _ = try await Support.intake(database).store(
                dataPlaneID: "dp_a", batch: Support.batch("i", 1, records + [unpriced, unused]))
            // Of the daily sums, and of the records.
            for window in [Support.everything, UsageFilter(from: Support.now * 1000, to: Support.now * 1000 + 1)] {
                let found = try await Support.queries(database).sums(window, by: [.tenant], as: .all)
                #expect(found.rows.map(\.group) == [["ten_0"], ["ten_a"], ["ten_b"]])
                #expect(found.rows.map(\.failed) == [1, 5, 0])
                #expect(found.rows.map(\.failedByClient) == [0, 2, 0])
                #expect(found.rows.map(\.failedByWeir) == [0, 1, 0])
                #expect(found.rows.map(\.failedByProvider) == [1, 1, 0])
                #expect(found.rows.map(\.priced) == [1, 5, 0])
            }
            var request = UsageReportRequest()
            request.groups = [.tenant]
            let report = try await Support.queries(database).report(request, for: .administrator).json
            let items = report["items"]?.arrayValue ?? []
            #expect(items.map { $0["cost"] } == ["0.00", .string(NanoDollars(5 * records[0].costNano).decimalString), .null])
            #expect(items.map { $0["unpriced"] } == [0, 0, 1])
            #expect(report["totals"]?["unpriced"] == 1 && report["totals"]?["cost"] != .null)
            #expect(items.map { $0["tenant"] } == ["ten_0", "ten_a", "ten_b"])
        }
    }

    @Test("group by one of the tags, and count what has none", arguments: TestDatabases.all)
    func tags(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            var records = (1...5).map { Support.record(UInt64($0)) }
            records[0].tags = ["team=search", "env=prod"]
            records[1].tags = ["team=search \"new\"", "teams=no"]
            records[2].tags = ["env=test", "team=search"]
            records[3].tags = ["team="]
            _ = try await Support.intake(database).store(dataPlaneID: "dp_a", batch: Support.batch("i", 1, records))
            let queries = Support.queries(database)
            for window in [Support.everything, UsageFilter(from: Support.now * 1000, to: Support.now * 1000 + 1)] {
                let teams = try await queries.sums(window, by: [.tag("team")], as: .all).rows
                #expect(teams.map(\.group) == [[""], ["search"], [#"search "new""#]])
                #expect(teams.map(\.requests) == [2, 2, 1])
            }
            let narrowed = try await queries.sums(UsageFilter(from: 0, to: .max, [.tag: "env=prod"]), by: [.tag("team")], as: .all)
            #expect(narrowed.rows.map(\.group) == [["search"]] && narrowed.totals.requests == 1)
        }
    }

    @Test("sort by a sum, and sum up what is beyond the limit", arguments: TestDatabases.all)
    func sorting(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let intake = try await Support.intake(database)
            let records = (1...300).map { Support.record($0, key: "key_\($0 % 40)", input: Int64($0)) }
            try await database.transaction { try Support.insertKeys($0, (0..<40).map { "key_\($0)" }, of: "ten_a") }
            _ = try await intake.store(dataPlaneID: "dp_a", batch: Support.batch("i", 1, records))
            let queries = Support.queries(database)
            let all = try await queries.sums(Support.everything, by: [.key], as: .all)
            #expect(all.rows.count == 40 && all.others == 0)
            let order = UsageSumsQuery.Order.sum("input_tokens", isDescending: true)
            let top = try await queries.sums(Support.everything, by: [.key], order: order, limit: 3, as: .all)
            let expected = all.rows.map(\.inputTokens).sorted(by: >)
            #expect(top.rows.map(\.inputTokens) == Array(expected.prefix(3)))
            #expect(top.others == 37)
            #expect(top.totals.inputTokens == records.reduce(0) { $0 + $1.inputTokens } && top.totals.requests == 300)
            var request = UsageReportRequest()
            request.groups = [.key]
            request.limit = 3
            request.order = try #require(UsageReportRequest.Order(word: "-input_tokens"))
            let report = try await queries.report(request, for: .administrator).json
            #expect(report["others"]?["groups"] == 37)
            let shown = (report["items"]?.arrayValue ?? []).reduce(0) { $0 + ($1["requests"]?.intValue ?? 0) }
            #expect(shown + (report["others"]?["requests"]?.intValue ?? 0) == 300)
        }
    }

    @Test("count hours, days and months as the reader's clock has them, when it is put forward and back", arguments: TestDatabases.all)
    func timeZones(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            func at(_ text: String) throws -> Int64 { try #require(RFC3339.milliseconds(text)) }
            // In Berlin: 25 October 2026 has 25 hours, the clock goes back at 3 (1 in UTC).
            let times = [
                "2026-10-24T21:59:59Z", "2026-10-24T22:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T22:59:59Z",
                "2026-10-25T23:00:00Z", "2026-10-31T22:59:59Z", "2026-10-31T23:00:00Z",
            ]
            let records = try times.enumerated().map { Support.record(UInt64($0 + 1), at: try at($1)) }
            _ = try await Support.intake(database).store(dataPlaneID: "dp_a", batch: Support.batch("i", 1, records))
            let queries = Support.queries(database)
            var request = UsageReportRequest()
            request.query.from = try at("2026-10-20T00:00:00Z")
            request.query.until = try at("2026-11-02T00:00:00Z")
            request.timeZone = try ReaderTimeZone(named: "Europe/Berlin")
            func report(_ groups: [UsageGroup]) async throws -> [(JSONValue?, JSONValue?)] {
                request.groups = groups
                let json = try await queries.report(request, for: .administrator).json
                #expect(json["totals"]?["requests"] == 8 && json["from"] == "2026-10-20T02:00:00+02:00")
                return (json["items"]?.arrayValue ?? []).map { ($0[groups[0].word], $0["requests"]) }
            }
            let days = try await report([.day])
            #expect(days.map { $0.0 } == ["2026-10-24", "2026-10-25", "2026-10-26", "2026-10-31", "2026-11-01"])
            #expect(days.map { $0.1 } == [1, 4, 1, 1, 1])
            // A month ends within a day of UTC: of that day the records are read, of the others the sums.
            let months = try await report([.month])
            #expect(months.map { $0.0 } == ["2026-10", "2026-11"] && months.map { $0.1 } == [7, 1])
            let hours = try await report([.hour])
            #expect(
                hours.map { $0.0 }.prefix(4) == [
                    "2026-10-24T23:00:00+02:00", "2026-10-25T00:00:00+02:00", "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00",
                ])
            request.timeZone = try ReaderTimeZone(named: "Asia/Kathmandu")
            request.groups = [.hour]
            let halves = try await queries.report(request, for: .administrator).json
            #expect(halves["items"]?[0]?["hour"] == "2026-10-25T03:00:00+05:45")
            request.timeZone = .utc
            request.groups = [.day]
            let utc = try await queries.report(request, for: .administrator).json
            #expect((utc["items"]?.arrayValue ?? []).map { $0["requests"] } == [2, 4, 2])
        }
    }

    @Test("take no time zone that there is none, and no window that would read all records")
    func refusals() async throws {
        for name in ["Mars/Olympus", "", "../etc/passwd", "Europe/Berlin\u{0}", String(repeating: "a", count: 100)] {
            #expect(throws: DomainError.self) { try ReaderTimeZone(named: name) }
        }
        let kind = try #require(TestDatabases.all.first)
        try await kind.with { (database) async throws -> Void in
            let queries = Support.queries(database)
            var request = UsageReportRequest()
            request.query.from = Support.now - 60 * Self.day
            for group in [UsageGroup.hour, .endpoint, .provider] {
                request.groups = [group]
                let asked = request
                await #expect(throws: DomainError.self) { try await queries.report(asked, for: .administrator) }
            }
            request.groups = [.day, .model, .configVersion]
            _ = try await queries.report(request, for: .administrator)
            var query = UsageQuery(from: 0)
            _ = try await queries.list(query, PageRequest(), for: .administrator)
            try query.narrow(.errorOrigin, to: "client")
            let narrowed = query
            await #expect(throws: DomainError.self) { try await queries.list(narrowed, PageRequest(), for: .administrator) }
        }
    }

    @Test("say up to when every data plane has told its usage", arguments: TestDatabases.all)
    func positions(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            _ = try await Support.intake(database)
            let queries = Support.queries(database)
            func report(_ tenant: String? = nil) async throws -> JSONValue {
                var request = UsageReportRequest()
                request.query[.tenant] = tenant
                return try await queries.report(request, for: tenant.map { .tenant(TenantID($0)) } ?? .administrator).json
            }
            func tell(_ dataPlane: String, _ json: String, at time: Int64) async throws {
                try await database.transaction { try DataPlanesTable.reported($0, id: dataPlane, report: json, now: time) }
            }
            // Those that never said anything have served nothing.
            #expect(try await report()["as_of"] == .time(Support.now))
            try await tell("dp_a", #"{"usage_lag_ms": 1500}"#, at: Support.now - 1000)
            let close = try await report()
            #expect(close["as_of"] == .time(Support.now - 2500) && close["behind"] == [])
            try await tell("dp_b", #"{"outbox_batches": 0}"#, at: Support.now - 3_600_000)
            let behind = try await report()
            #expect(behind["as_of"] == .time(Support.now - 3_600_000))
            #expect(behind["behind"]?[0]?["data_plane_id"] == "dp_b" && behind["behind"]?.arrayValue?.count == 1)
            try await tell("dp_b", #"{"outbox_batches": 3}"#, at: Support.now)
            #expect(try await report()["as_of"] == .null)
            #expect(try await report("ten_a")["behind"] == nil)
            // One that does not serve a tenant holds back nothing of it.
            _ = try await database.transaction { try $0.execute("UPDATE data_planes SET tenant_ids = '[\"ten_b\"]' WHERE id = 'dp_b'") }
            #expect(try await report("ten_a")["as_of"] == .time(Support.now - 2500))
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
            var page = try await queries.records(Support.everything, PageRequest(limit: 4), as: .all)
            var pages = 1
            while true {
                seen += page.items.map(\.requestID)
                guard let next = page.next else { break }
                let cursor = try Cursor(text: next.text, list: UsageQueries.list)
                page = try await queries.records(Support.everything, PageRequest(limit: 4, after: cursor), as: .all)
                pages += 1
            }
            #expect(pages == 7)
            let expected = records.sorted { ($0.admittedAtUs, Array($0.requestID)[15]) > ($1.admittedAtUs, Array($1.requestID)[15]) }
            #expect(seen == expected.map { Array($0.requestID) })
            #expect(try await queries.lastReceived(tenantID: TenantID("ten_a")) == Support.now)
            await #expect(throws: DomainError.self) {
                try await queries.records(
                    Support.everything, PageRequest(after: Cursor(list: UsageQueries.list, time: 1, id: "x")), as: .all)
            }
        }
    }

    @Test("sort records by what they cost and took: of many the latest, page by page, each once", arguments: TestDatabases.all)
    func sortingRecords(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let records = (1...25).map { (number: Int64) in
                var record = Support.record(UInt64(number), at: Support.now - number)
                // Several are equal.
                record.latencyUs = number * 7 % 5
                return record
            }
            _ = try await Support.intake(database).store(dataPlaneID: "dp_a", batch: Support.batch("i", 1, records))
            let queries = Support.queries(database)
            let query = UsageQuery(until: Support.now + 1000)
            for (word, limit) in [("latency_us", 25), ("-latency_us", 25), ("-latency_us", 10), ("admitted_at", 25)] {
                let order = try RecordOrder(word: word)
                var (seen, cursor): ([JSONValue], Cursor?) = ([], nil)
                repeat {
                    let request = PageRequest(limit: 4, after: cursor)
                    var page: Page<UsageRecord>
                    if order.isByTime {
                        page = try await queries.list(query, request, sortedBy: order, for: .administrator)
                    } else {
                        var since: Int64?
                        (page, since) = try await queries.sorted(query, request, by: order, among: limit, for: .administrator)
                        #expect((since != nil) == (limit < 25), "\(word)")
                    }
                    seen += page.items.map { $0.json(for: .administrator) }
                    cursor = try page.next.map { try Cursor(text: $0.text, list: order.list) }
                } while cursor != nil && seen.count <= 25
                #expect(seen.count == limit && Set(seen.compactMap { $0["request_id"]?.stringValue }).count == limit, "\(word)")
                let values = seen.compactMap { $0["latency_us"]?.intValue }
                let times = seen.compactMap { $0["admitted_at"]?.stringValue }
                switch word {
                case "latency_us": #expect(values == values.sorted())
                case "-latency_us": #expect(values == values.sorted(by: >))
                default: #expect(times == times.sorted() && times.count == 25)
                }
                #expect(limit == 25 || times.min() == RFC3339.string(milliseconds: Support.now - 10), "the latest ten")
            }
            let foreign = PageRequest(after: Cursor(list: "usage:-cost", time: 1, id: "1.2.x"))
            await #expect(throws: DomainError.self) {
                try await queries.sorted(query, foreign, by: RecordOrder(word: "-cost"), for: .administrator)
            }
        }
    }

    @Test("saturate a sum of costs that has no room", arguments: TestDatabases.all)
    func saturation(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            try await database.transaction { c in
                let month = UsageMonth(containingMicroseconds: Support.now * 1000)
                try UsagePartitions.ensure(c, [month])
                var rows = UsageRow.packed()
                for index in 0..<4 {
                    var row = UsageRow()
                    row.requestID = [UInt8](repeating: UInt8(index), count: 16)
                    row.admittedAtMicroseconds = Support.now * 1000
                    row.costNano = .max / 2
                    try row.append(to: &rows)
                }
                #expect(try UsageTable.insert(c, rows, at: Array(0..<4)) == Array(0..<4))
                try UsageDailyTable.add(c, UsageGroupSums(rows, at: Array(0..<4)), of: rows)
            }
            for window in [Support.everything, UsageFilter(from: Support.now * 1000 - 1, to: Support.now * 1000 + 1)] {
                let sums = try await Support.queries(database).sums(window, by: [], as: .all)
                #expect(sums.totals.costNano == .max)
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
                let filter = UsageFilter(
                    from: bounds[0], to: bounds[1], Bool.random(using: &generator) ? [.tenant: "ten_1"] : [:])
                let window = bounds[0]..<bounds[1]
                let expected = records.filter {
                    window.contains($0.admittedAtUs) && filter[.tenant] ?? .text($0.tenantID) == .text($0.tenantID)
                }
                let sums = try await queries.sums(filter, by: [], as: .all).rows.first
                #expect(sums?.requests == Int64(expected.count), "seed \(seed), \(bounds)")
                #expect(sums?.inputTokens == expected.reduce(0) { $0 + $1.inputTokens })
                #expect(sums?.costNano == expected.reduce(0) { $0 + $1.costNano })
                #expect(sums?.failed == Int64(expected.count { $0.status == .failed }))
                let days = try await queries.sums(filter, by: [.day, .model], as: .all).rows
                #expect(days.reduce(0) { $0 + $1.requests } == Int64(expected.count))
                #expect(Set(days.map { $0.group[0] }) == Set(expected.map { SQLValue.int($0.admittedAtUs / (Self.day * 1000)) }))
            }
        }
    }
}
