import Contract
import Domain
import Foundation
import Primitives
import Storage
import SwiftProtobuf
import Testing

/// Batches as bytes: read without decoding where a record is as it ought to be, and several stored at once.
@Suite("Reported usage")
struct UsageReadingTests {
    typealias Support = UsageSupport

    private struct Dice: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ state >> 29
        }

        mutating func pick<T>(_ values: [T], or usual: T) -> T {
            Bool.random(using: &self) ? usual : values.randomElement(using: &self) ?? usual
        }
    }

    /// Usual in most fields, hostile in some.
    private static func record(_ number: UInt64, _ dice: inout Dice) -> Weir_V1_UsageRecord {
        var record = Support.record(number)
        let texts = ["", "x", "with space", "é", "\u{0}", "tab\t", String(repeating: "y", count: 129), String(repeating: "z", count: 600)]
        let numbers: [Int64] = [.min, -1, 0, 1, 999, 1000, 1001, 10_000_000_001, .max]
        record.requestID = dice.pick([record.requestID, Data([1, 2])], or: record.requestID)
        record.traceID = dice.pick([Data(), Data([1]), Data(repeating: 0, count: 16)], or: record.traceID)
        record.model = dice.pick(["emb", "none", "é"], or: record.model)
        record.keyID = dice.pick(["key_b", "key_c", ""], or: record.keyID)
        record.userID = dice.pick(["usr_a", "usr_b"], or: "")
        record.configVersion = dice.pick([2, 3, .max], or: 1)
        record.endpointID = dice.pick(texts, or: "ep_a")
        record.errorCode = dice.pick(texts, or: "")
        record.dialect = dice.pick(texts, or: "")
        record.did = dice.pick(texts, or: "")
        record.priceID = dice.pick(["", "price_b"], or: record.priceID)
        record.inputTokens = dice.pick(numbers, or: 100)
        record.outputTokens = dice.pick(numbers, or: 20)
        record.latencyUs = dice.pick(numbers, or: 5)
        record.costNano = dice.pick(numbers, or: record.costNano)
        record.admittedAtUs = dice.pick([0, .min, .max, record.admittedAtUs - 86_400_000_000], or: record.admittedAtUs)
        record.httpStatus = dice.pick([0, 999, 1000, .max], or: 200)
        record.flags = dice.pick([1, 256, .max], or: 0)
        record.status = dice.pick([.pending, .failed, .UNRECOGNIZED(-1), .UNRECOGNIZED(5000)], or: .completed)
        record.errorOrigin = dice.pick([.client, .provider, .UNRECOGNIZED(7)], or: .none)
        record.streaming = Bool.random(using: &dice)
        record.tags = dice.pick([["b=2", "a=1", "b=2"], ["é"], (0..<70).map { "tag\($0)=\(String(repeating: "x", count: 20))" }], or: [])
        var held = Weir_V1_SliceAmount()
        (held.slice, held.amount) = (7, 9)
        record.holds = dice.pick([[held, held]], or: [])
        record.charges = record.holds
        record.wouldHaveRefused = dice.pick([["bgt_a", "é"]], or: [])
        if UInt8.random(in: 0..<8, using: &dice) == 0 { record.attemptList = [Weir_V1_UsageAttempt(), Weir_V1_UsageAttempt()] }
        return record
    }

    @Test("that is read from the wire is what it is when it is decoded in full", arguments: [1, 2, 3])
    func sameBothWays(_ seed: UInt64) async throws {
        try await TestDatabases.all[0].with { database in
            let intake = try await Support.intake(database)
            var dice = Dice(state: seed)
            let records = (0..<400).map { Self.record(UInt64($0 + 1), &dice) }
            // A field that nobody knows yet leads the other way.
            let decoded = try records.map { try Weir_V1_UsageRecord(serializedBytes: try $0.serializedBytes() + [0xF8, 0x06, 1]) }
            _ = try await intake.store(dataPlaneID: "dp_a", batch: Support.batch("i", 1, records))
            _ = try await intake.store(dataPlaneID: "dp_b", batch: Support.batch("i", 1, decoded))
            func rows(_ dataPlane: String) async throws -> [UsageRow] {
                let filter = UsageFilter(from: .min, to: .max, [.dataPlane: .text(dataPlane)])
                let found = try await database.read { try UsageTable.list($0, filter, limit: 1000) }
                return found.sorted { $0.position < $1.position }.map { row in
                    var row = row
                    row.dataPlaneID = ""
                    // One that has none gets one that depends on its data plane.
                    if records[Int(row.position)].requestID.count != 16 { row.requestID = [] }
                    return row
                }
            }
            let (read, whole) = (try await rows("dp_a"), try await rows("dp_b"))
            #expect(read.count > 20 && read.count < 400)
            #expect(read == whole)
            let apart = try await database.read { try UsageQuarantineTable.totals($0).map { "\($0.reason) \($0.records)" } }
            #expect(Set(apart).count * 2 == apart.count)
            func sums(_ dataPlane: String) async throws -> [UsageSums] {
                try await Support.queries(database).sums(
                    UsageFilter(from: 0, to: .max, [.dataPlane: .text(dataPlane)]), by: [.tenant, .model, .column(.tag), .day], as: .all
                ).rows
            }
            #expect(try await sums("dp_a") == sums("dp_b"))
        }
    }

    @Test("is stored the same in batches by themselves and in batches together", arguments: TestDatabases.all)
    func together(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let intake = try await Support.intake(database)
            var dice = Dice(state: 7)
            var number: UInt64 = 0
            let batches = (1...12).map { sequence in
                Support.batch(
                    "i", UInt64(sequence),
                    (0..<3).map { _ in
                        number += 1
                        return Support.record(number, key: dice.pick(["key_b"], or: "key_a"))
                    })
            }
            // With repetitions and gaps, as after a broken connection.
            let sent = (0..<60).map { place in batches[min(11, max(0, place / 5 + Int.random(in: -2...2, using: &dice)))] } + batches
            var alone: [UInt64] = []
            for batch in sent { alone.append(try await intake.store(dataPlaneID: "dp_a", batch: batch).storedSequence) }
            var together: [UInt64] = []
            var rest = sent[...]
            while !rest.isEmpty {
                let group = Array(rest.prefix(Int.random(in: 1...9, using: &dice)))
                rest = rest.dropFirst(group.count)
                together += try await intake.store(dataPlaneID: "dp_b", batches: try group.map { try UsageBatchBytes($0) }).map(
                    \.storedSequence)
            }
            #expect(alone == together && alone.last == 12)
            let sums = try await Support.queries(database).sums(Support.everything, by: [.column(.dataPlane), .key], as: .all).rows
            #expect(sums.count == 4 && sums.prefix(2).map(\.requests) == sums.suffix(2).map(\.requests))
            #expect(sums.reduce(0) { $0 + $1.requests } == 72)
        }
    }

    @Test("of two incarnations in one go is stored for each")
    func incarnations() async throws {
        try await TestDatabases.all[0].with { database in
            let intake = try await Support.intake(database)
            let batches = [
                Support.batch("i1", 1, [Support.record(1)]), Support.batch("i2", 1, [Support.record(2)]), Support.batch("i1", 2, []),
            ]
            let acks = try await intake.store(dataPlaneID: "dp_a", batches: try batches.map { try UsageBatchBytes($0) })
            #expect(acks.map(\.incarnation) == ["i1", "i2", "i1"] && acks.map(\.storedSequence) == [1, 1, 2])
        }
    }

    @Test("is refused where it is cut off, and never read beyond its end")
    func cutOff() throws {
        let bytes: [UInt8] = try Support.batch("i", 1, [Support.record(1), Support.record(2)]).serializedBytes()
        let whole = try UsageBatchBytes(bytes)
        #expect(whole.records.count == 2 && whole.incarnation == "i" && whole.sequence == 1)
        var readable = 0
        for length in 0..<bytes.count {
            if (try? UsageBatchBytes(Array(bytes[..<length]))) != nil { readable += 1 }
        }
        // Between fields only: nothing, the incarnation, the number, the first record.
        #expect(readable == 4)
        for bytes: [UInt8] in [[0x1A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], [0x0B], [0x07], [0x00, 0x01], [0x80]] {
            #expect(throws: DomainError.self) { try UsageBatchBytes(bytes) }
        }
    }
}
