import Contract
import Foundation
import Primitives
import Storage
import SwiftProtobuf
import Testing

@testable import Domain

@Suite("Usage intake")
struct UsageIntakeTests {
    typealias Support = UsageSupport

    @Test("stores the next batch, ignores repetitions, and asks again for what it has not seen", arguments: TestDatabases.all)
    func order(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let intake = try await Support.intake(database)
            func send(_ sequence: UInt64, _ numbers: ClosedRange<UInt64>, _ incarnation: String = "i1") async throws -> UInt64 {
                let batch = Support.batch(incarnation, sequence, numbers.map { Support.record($0) })
                let ack = try await intake.store(dataPlaneID: "dp_a", batch: batch)
                #expect(ack.incarnation == incarnation)
                return ack.storedSequence
            }
            let answers = [
                try await send(2, 3...4), try await send(1, 1...2), try await send(1, 1...2), try await send(3, 5...5),
                try await send(2, 3...4), try await send(3, 5...5), try await send(1, 1...2), try await send(.max, 9...9),
                try await send(1, 6...6, "i2"),
            ]
            #expect(answers == [0, 1, 1, 1, 2, 3, 3, 3, 1])
            let sums = try await Support.queries(database).sums(Support.everything, by: [], as: .all).rows
            #expect(sums.first?.requests == 6)
            #expect(sums.first?.inputTokens == 600)
            #expect(sums.first?.costNano == 6 * Support.record(1).costNano)
            #expect(sums.first?.reratedCostNano == sums.first?.costNano)
            #expect(sums.first?.costMismatches == 0)
        }
    }

    @Test("tokens of other kinds are kept, and count for the control plane's own rating", arguments: TestDatabases.all)
    func tokenKinds(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            var record = Support.record(1, input: 100, output: 50)
            (record.audioInputTokens, record.imageOutputTokens, record.cacheWriteTokens) = (30, 7, 20)
            record.cacheWriteHourTokens = 20
            var usage = TokenUsage(input: 100, output: 50, cacheWrite: 20)
            (usage.audioInput, usage.imageOutput, usage.cacheWriteHour) = (30, 7, 20)
            record.costNano = Pricing.rate(usage, Support.price).rawValue
            _ = try await Support.intake(database).store(dataPlaneID: "dp_a", batch: Support.batch("i", 1, [record, Support.record(2)]))
            let rows = try await Support.queries(database).records(Support.everything, PageRequest(), as: .all).items
            let row = try #require(rows.first { $0.position == 0 })
            #expect(row.tokenKinds == #"{"cache_write_hour":20,"audio_input":30,"image_output":7}"#)
            #expect(row.reratedCostNano == row.costNano && row.flags == 0)
            #expect(rows.first { $0.position == 1 }?.tokenKinds == "")
        }
    }

    @Test("a provider's own word for the cost counts where the price takes it", arguments: [true, false])
    func statedCost(_ takesIt: Bool) throws {
        var price = Support.price
        price.providerCost = takesIt
        var config = Weir_V1_ConfigPayload()
        config.prices = [price]
        let record = Support.record(1)
        var row = UsageRow()
        (row.inputTokens, row.outputTokens, row.priceID) = (record.inputTokens, record.outputTokens, price.id)
        (row.costNano, row.flags, row.status) = (1, Int64(UsageFlags.providerStatedCost.rawValue), 1)
        UsageRating.rate(&row, record, PublishedConfig(config))
        #expect((row.reratedCostNano == 1) == takesIt)
        #expect((row.flags & Int64(UsageFlags.costMismatch.rawValue) != 0) == !takesIt)
    }

    @Test("keeps every field of a record", arguments: TestDatabases.all)
    func fields(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            var record = Support.record(1)
            record.streaming = true
            record.status = .failed
            record.errorOrigin = .provider
            record.errorCode = "upstream_timeout"
            record.estimatedInputTokens = 11
            record.requestBytes = 12
            record.responseBytes = 13
            record.cachedInputTokens = 14
            record.cacheWriteTokens = 15
            record.reasoningTokens = 16
            record.timeToFirstByteUs = 17
            record.endpointID = "ep_a"
            record.providerID = "prov_a"
            record.credentialID = "cred_a"
            record.upstreamModel = "gpt-up"
            record.flags = UsageFlags.estimated.rawValue
            record.appID = "app_a"
            record.userID = "usr_a"
            record.did = "did:key:z6Mk"
            record.dialect = "anthropic"
            record.tags = ["team=search", "env=prod", "team=search"]
            record.attemptList = [Weir_V1_UsageAttempt(), Weir_V1_UsageAttempt()]
            record.attemptList[0].errorCode = "upstream_timeout"
            record.attemptList[1].inputTokens = 100
            record.attemptList[1].outputTokens = 20
            record.attemptList[1].priceID = "price_a"
            _ = try await Support.intake(database).store(dataPlaneID: "dp_a", batch: Support.batch("i", 1, [record]))
            let page = try await Support.queries(database).records(Support.everything, PageRequest(), as: .all)
            let row = try #require(page.items.first)
            #expect(row.requestID == Array(record.requestID) && row.traceID == Array(record.traceID))
            #expect(row.dataPlaneID == "dp_a" && row.incarnation == "i" && row.sequence == 1 && row.position == 0)
            #expect(row.tenantID == "ten_a" && row.projectID == "prj_of_ten_a" && row.keyID == "key_a" && row.model == "gpt")
            #expect(row.admittedAtMicroseconds == Support.now * 1000 && row.receivedAt == Support.now)
            #expect(row.routeID == "rt_a" && row.capability == 1 && row.channel == "default" && row.streaming && row.configVersion == 1)
            #expect(row.status == 2 && row.errorOrigin == 3 && row.errorCode == "upstream_timeout")
            #expect(row.httpStatus == 200 && row.upstreamStatus == 200 && row.attempts == 1 && row.sentUpstream)
            #expect(row.estimatedInputTokens == 11 && row.requestBytes == 12 && row.responseBytes == 13)
            #expect(row.inputTokens == 100 && row.outputTokens == 20)
            #expect(row.cachedInputTokens == 14 && row.cacheWriteTokens == 15 && row.reasoningTokens == 16)
            #expect(row.latencyMicroseconds == 1234 && row.timeToFirstByteMicroseconds == 17)
            #expect(row.endpointID == "ep_a" && row.providerID == "prov_a" && row.credentialID == "cred_a")
            #expect(row.upstreamModel == "gpt-up" && row.priceID == "price_a")
            #expect(row.flags & Int64(UsageFlags.estimated.rawValue) != 0)
            #expect(row.appID == "app_a" && row.userID == "usr_a" && row.did == "did:key:z6Mk" && row.dialect == "anthropic")
            #expect(row.tags == #"["env=prod","team=search"]"#)
            let attempts = try Weir_V1_UsageRecord(serializedBytes: try #require(row.attemptList)).attemptList
            #expect(attempts == record.attemptList)
            // Each attempt is rated by itself: a failed one that used nothing costs nothing.
            #expect(row.reratedCostNano == Pricing.rate(TokenUsage(input: 100, output: 20), Support.price).rawValue)
            let by = [UsageColumn.app, .user, .did, .tag, .dialect, .configVersion].map(UsageDimension.column)
            let sums = try await Support.queries(database).sums(Support.everything, by: by, as: .all).rows
            #expect(sums.map(\.group) == [["app_a", "usr_a", "did:key:z6Mk", .text(row.tags), "anthropic", 1]])
            #expect(sums.map(\.costNano) == [record.costNano])
        }
    }

    @Test("brings hostile numbers, times and texts into range, flags them, and loses no record", arguments: TestDatabases.all)
    func hostile(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            var low = Support.record(1)
            low.requestID = Data()
            low.admittedAtUs = .min
            low.inputTokens = .min
            low.outputTokens = -1
            low.costNano = .min
            low.latencyUs = -5
            low.status = .UNRECOGNIZED(-3)
            low.capability = .UNRECOGNIZED(Int(Int32.min))
            var high = Support.record(1)
            high.requestID = Data(repeating: 1, count: 4000)
            high.endpointID = "te\0n" + String(repeating: "é", count: 5000)
            high.upstreamModel = "\0\u{202E}gpt\u{200B}\u{2028}\u{1B}[31m"
            high.tags = (0..<5000).map { "t\($0)\u{202E}" }
            high.did = String(repeating: "é", count: 5000)
            high.attemptList = Array(repeating: Weir_V1_UsageAttempt(), count: 500)
            high.attemptList[0].inputTokens = .max
            high.attemptList[0].costNano = .min
            high.attemptList[0].priceID = Support.price.id
            high.errorCode = String(repeating: "\u{1F989}", count: 100)
            high.admittedAtUs = .max
            high.inputTokens = .max
            high.outputTokens = .max
            high.cachedInputTokens = .max
            high.cacheWriteTokens = .max
            high.reasoningTokens = .max
            high.estimatedInputTokens = .max
            high.costNano = .max
            high.latencyUs = .max
            high.responseBytes = .max
            high.requestBytes = .max
            high.httpStatus = .max
            high.attempts = .max
            high.flags = .max
            high.traceID = Data([1])
            let batch = Support.batch("i", 1, [low, high, low, high])
            _ = try await Support.intake(database).store(dataPlaneID: "dp_a", batch: batch)
            let queries = Support.queries(database)
            let sums = try await queries.sums(Support.everything, by: [], as: .all).rows
            #expect(sums.first?.requests == 4)
            #expect(sums.first?.inputTokens == 20_000_000_000)
            #expect(sums.first?.costNano == 2_000_000_000_000_000)
            let rows = try await queries.records(Support.everything, PageRequest(), as: .all).items
            #expect(rows.allSatisfy { UsageFlags(rawValue: UInt32(truncatingIfNeeded: $0.flags)).contains(.clampedAtIntake) })
            #expect(Set(rows.map(\.requestID)).count == 4)
            #expect(rows.allSatisfy { abs($0.admittedAtMicroseconds - Support.now * 1000) <= 400 * 86_400_000_000 })
            #expect(rows.allSatisfy { $0.endpointID.utf8.count <= 128 && !$0.endpointID.utf8.contains(0) })
            #expect(rows.contains { $0.upstreamModel == "gpt[31m" })
            #expect(rows.allSatisfy { $0.tags.utf8.count <= 512 && $0.did.utf8.count <= 512 })
            #expect(rows.contains { $0.errorCode == String(repeating: "\u{1F989}", count: 32) })
        }
    }

    @Test("refuses a batch that cannot be numbered", arguments: TestDatabases.all)
    func malformed(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let intake = try await Support.intake(database)
            let unusable: [(String, UInt64)] = [("", 1), ("i", 0), ("a b", 1), ("é", 1), (String(repeating: "a", count: 65), 1)]
            for (incarnation, sequence) in unusable {
                await #expect(throws: DomainError.self) {
                    try await intake.store(dataPlaneID: "dp_a", batch: Support.batch(incarnation, sequence, [Support.record(1)]))
                }
            }
            try await database.ping()
        }
    }

    @Test("stores an empty batch, which moves the mark", arguments: TestDatabases.all)
    func empty(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let ack = try await Support.intake(database).store(dataPlaneID: "dp_a", batch: Support.batch("i", 1, []))
            #expect(ack.storedSequence == 1)
        }
    }

    @Test("leaves out a request that its data plane reports in a second batch, and keeps the others of it", arguments: TestDatabases.all)
    func repeatedRequest(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let intake = try await Support.intake(database)
            _ = try await intake.store(dataPlaneID: "dp_a", batch: Support.batch("i", 1, [Support.record(1), Support.record(2)]))
            let second = Support.batch("i", 2, [Support.record(3), Support.record(2), Support.record(4), Support.record(4)])
            #expect(try await intake.store(dataPlaneID: "dp_a", batch: second).storedSequence == 2)
            // Another data plane's requests are its own.
            _ = try await intake.store(dataPlaneID: "dp_b", batch: Support.batch("i", 1, [Support.record(1)]))
            #expect(try await Support.queries(database).sums(Support.everything, by: [], as: .all).rows.first?.requests == 5)
        }
    }

    @Test("rates each record itself and flags what differs", arguments: TestDatabases.all)
    func rerating(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            var cheap = Support.record(1)
            cheap.costNano -= 1
            var unknownPrice = Support.record(2)
            unknownPrice.priceID = "price_gone"
            var unpriced = Support.record(4)
            unpriced.priceID = ""
            unpriced.costNano = 5
            var refused = Support.record(5, input: 0, output: 0)
            refused.status = .failed
            refused.costNano = 0
            let batch = Support.batch("i", 1, [cheap, unknownPrice, unpriced, refused, Support.record(6)])
            _ = try await Support.intake(database).store(dataPlaneID: "dp_a", batch: batch)
            let page = try await Support.queries(database).records(Support.everything, PageRequest(), as: .all)
            let rows = page.items.sorted { $0.position < $1.position }
            let cost = Support.record(1).costNano
            #expect(rows.map(\.reratedCostNano) == [cost, nil, 0, 0, cost])
            let mismatch = Int64(UsageFlags.costMismatch.rawValue)
            let missing = Int64(UsageFlags.priceMissing.rawValue)
            #expect(rows.map { $0.flags & (mismatch | missing) } == [mismatch, missing, mismatch, 0, 0])
            let sums = try await Support.queries(database).sums(Support.everything, by: [], as: .all).rows
            #expect(sums.first?.costMismatches == 2)
            #expect(sums.first?.reratedCostNano == 3 * cost)
        }
    }

    @Test("rates with the published configurations, which it reads once", arguments: TestDatabases.all)
    func publishedPrices(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let book = PublishedPriceBook(database: database)
            #expect(try await book.config(version: 3) == nil)
            var config = Weir_V1_ConfigPayload()
            config.prices = [Support.price]
            let payload: [UInt8] = try config.serializedBytes()
            let row = ConfigVersionRow(
                version: 3, digest: [1], payloadBytes: Int64(payload.count), note: "", authorID: "tok_a", authorName: "a", restores: nil,
                createdAt: Support.now)
            try await database.transaction { try ConfigVersionsTable.insert($0, row, payload: payload) }
            // That it was absent is not remembered: who asked for it too early must not make it unknown for the others.
            #expect(try await book.config(version: 3)?.prices == ["price_a": RateCard(Support.price)])
            await database.close()
            #expect(try await book.config(version: 3)?.prices == ["price_a": RateCard(Support.price)])
        }
    }

    @Test("makes partitions ahead, and for late records on demand", arguments: TestDatabases.all)
    func partitions(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let clock = ManualClock(milliseconds: Support.now)
            let intake = try await Support.intake(database, clock: clock)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 { group.addTask { try await intake.preparePartitions() } }
                try await group.waitForAll()
            }
            try await intake.preparePartitions()
            let ahead: Set = ["usage_records_2026_11", "usage_records_2026_12", "usage_records_2027_01"]
            #expect(try await database.read { try UsagePartitions.names($0) } == (kind.name == "postgres" ? ahead : []))
            // Months that nobody prepared, from several data planes at once: the last instant of one and the first of another.
            let march = try #require(RFC3339.milliseconds("2026-03-01T00:00:00Z"))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<6 {
                    group.addTask {
                        let records = [Support.record(1, at: march - 1), Support.record(2, at: march), Support.record(3)]
                        _ = try await intake.store(dataPlaneID: "dp_\(index)", batch: Support.batch("i", 1, records))
                    }
                }
                try await group.waitForAll()
            }
            #expect(
                try await database.read { try UsagePartitions.names($0) }
                    == (kind.name == "postgres" ? ahead.union(["usage_records_2026_02", "usage_records_2026_03"]) : []))
            #expect(try await Support.queries(database).sums(Support.everything, by: [], as: .all).rows.first?.requests == 18)
        }
    }

    @Test("loses nothing when the database stops in between", arguments: TestDatabases.all)
    func reopened(_ kind: TestDatabase) async throws {
        try await kind.withURL { url in
            for round in 1...3 {
                let database = try await DatabaseFactory.open(url: url)
                try await MigrationRunner.run(database)
                let intake = try await Support.intake(database)
                for sequence in 1...round {
                    let records = [Support.record(UInt64(sequence))]
                    let ack = try await intake.store(dataPlaneID: "dp_a", batch: Support.batch("i", UInt64(sequence), records))
                    #expect(ack.storedSequence == UInt64(max(round - 1, sequence)))
                }
                #expect(try await Support.queries(database).sums(Support.everything, by: [], as: .all).rows.first?.requests == Int64(round))
                await database.close()
                await #expect(throws: DatabaseError.closed) {
                    try await intake.store(dataPlaneID: "dp_a", batch: Support.batch("i", 9, []))
                }
            }
        }
    }
}
