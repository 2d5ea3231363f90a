import Contract
import Foundation
import Primitives
import SwiftProtobuf
import Testing

@testable import Proxy

@Suite("Shipping usage", .timeLimit(.minutes(10)))
struct UsageShippingTests {
    @Test("The first batch goes alone, then a window's worth, and nothing more until answers come")
    func window() {
        var shipping = UsageShipping()
        #expect(shipping.request?.limit == 1)
        #expect(shipping.willSend(40) == .send)
        #expect(shipping.request == nil)
        #expect(shipping.didReceive(stored: 40) == .acknowledged(through: 40))
        #expect(shipping.isIdle)
        #expect(shipping.request?.after == 40)
        #expect(shipping.request?.limit == 8)
        for sequence in UInt64(41)...48 { #expect(shipping.willSend(sequence) == .send) }
        #expect(shipping.request == nil)
        #expect(shipping.didReceive(stored: 43) == .acknowledged(through: 43))
        #expect(shipping.request?.limit == 3)
    }

    @Test("What the control plane has from an earlier connection is not sent again")
    func overlap() {
        var shipping = UsageShipping()
        #expect(shipping.willSend(10) == .send)
        #expect(shipping.didReceive(stored: 15) == .acknowledged(through: 15))
        #expect(shipping.request?.after == 15)
        #expect(shipping.willSend(16) == .send)
    }

    @Test("A gap is sent again from where it begins; one that cannot be filled is said")
    func gap() {
        var shipping = UsageShipping()
        #expect(shipping.willSend(5) == .send)
        #expect(shipping.didReceive(stored: 5) == .acknowledged(through: 5))
        for sequence in UInt64(6)...8 { #expect(shipping.willSend(sequence) == .send) }
        #expect(shipping.didReceive(stored: 5) == .acknowledged(through: 5), "others are still to be answered")
        #expect(shipping.didReceive(stored: 5) == .acknowledged(through: 5))
        #expect(shipping.didReceive(stored: 5) == .again(after: 5))
        #expect(shipping.request?.after == 5)
        #expect(shipping.willSend(8) == .lost(from: 6, through: 7))
    }

    /// A control plane that stores what is next and answers each batch with where it stands; a connection that breaks at will, also
    /// between storing and answering.
    @Test("Every batch is stored exactly once, in order, whatever breaks", arguments: 1...200)
    func simulation(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        var outbox: [UInt64] = []
        var produced: UInt64 = 0
        var stored: [UInt64] = []
        var steps = 0
        while stored.count < 300 {
            var shipping = UsageShipping()
            var underWay: [UInt64] = []
            var answers: [UInt64] = []
            for _ in 0..<Int.random(in: 1...200, using: &random) {
                steps += 1
                switch Int.random(in: 0..<4, using: &random) {
                case 0:
                    produced += 1
                    outbox.append(produced)
                case 1:
                    guard let wanted = shipping.request else { break }
                    for sequence in outbox.filter({ $0 > wanted.after }).prefix(wanted.limit) {
                        #expect(shipping.willSend(sequence) == .send, "seed \(seed)")
                        underWay.append(sequence)
                    }
                case 2:
                    guard !underWay.isEmpty else { break }
                    let sequence = underWay.removeFirst()
                    if sequence == (stored.last ?? 0) + 1 { stored.append(sequence) }
                    answers.append(stored.last ?? 0)
                default:
                    guard !answers.isEmpty else { break }
                    let answer = answers.removeFirst()
                    outbox.removeAll { $0 <= answer }
                    if case .again = shipping.didReceive(stored: answer) { Issue.record("nothing was missing, seed \(seed)") }
                }
            }
            guard steps < 200_000 else {
                Issue.record("no progress, seed \(seed)")
                return
            }
        }
        #expect(stored == Array(1...UInt64(stored.count)))
    }

    @Test("A shipped batch is exactly the message that its parts make")
    func encoding() throws {
        var record = Weir_V1_UsageRecord()
        record.tenantID = "ten_a"
        record.inputTokens = 5
        var part = Weir_V1_UsageBatch()
        part.records = [record, record]
        let blob: [UInt8] = try part.serializedBytes()
        let message = UsageMessage(incarnation: "abc", batch: OutboxBatch(sequence: 300, records: .init(blob), count: 2))
        let decoded = try Weir_V1_UsageBatch(serializedBytes: message.bytes)
        #expect(decoded.incarnation == "abc")
        #expect(decoded.sequence == 300)
        #expect(decoded.records == [record, record])
    }

    @Test("Waiting grows to five seconds, never to the same moment for all")
    func backoff() {
        var backoff = Backoff()
        var random = SeededGenerator(seed: 1)
        let delays = (0..<8).map { _ in backoff.delay(using: &random) }
        let wholes: [Int64] = [200, 400, 800, 1600, 3200, 5000, 5000, 5000]
        for (delay, whole) in zip(delays, wholes) { #expect((whole / 2...whole).contains(delay)) }
        backoff.reset()
        #expect(backoff.delay(using: &random) <= 200)
    }
}
