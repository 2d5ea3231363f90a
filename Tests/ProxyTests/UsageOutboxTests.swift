import Contract
import Foundation
import GRDB
import Primitives
import Proxy
import SwiftProtobuf
import Synchronization
import Testing
import Trust

@Suite struct UsageOutboxTests {
    /// Folds one record into a batch of its own.
    private func add(_ bench: UsageBench, _ numbers: ClosedRange<Int>) throws {
        for number in numbers {
            try bench.intent(number)
            bench.completion(number, tokens: number)
            try bench.journal.flush()
            try bench.foldAll()
        }
    }

    private func separate() -> JournalFolder.Limits {
        var limits = JournalFolder.Limits()
        limits.bytesToFillUp = 0
        return limits
    }

    @Test func numbersGoOnAfterAllBatchesWereAcknowledgedAndAcrossRestarts() throws {
        let bench = try UsageBench(limits: separate())
        try add(bench, 1...2)
        #expect(try bench.outbox.batches(after: 0, limit: 10).batches.map(\.sequence) == [1], "one until the first answer")
        #expect(try bench.outbox.acknowledge(through: 1, incarnation: "first") == .removed(batches: 1))
        #expect(try bench.outbox.batches(after: 1, limit: 10).batches.map(\.sequence) == [2])
        #expect(try bench.outbox.acknowledge(through: 2, incarnation: "first") == .removed(batches: 1))
        #expect(bench.counters.outboxRows.load(ordering: .relaxed) == 0)
        #expect(bench.counters.outboxBytes.load(ordering: .relaxed) == 0)
        let next = try bench.restarted()
        try add(next, 3...3)
        let (incarnation, batches) = try next.outbox.batches(after: 0, limit: 10)
        #expect(incarnation == "first")
        #expect(batches.map(\.sequence) == [3])
        #expect(batches.map(\.count) == [1])
    }

    @Test func smallFoldsShareABatchUntilSomebodyHasSeenIt() throws {
        let bench = try UsageBench()
        try add(bench, 1...3)
        #expect(try bench.outbox.batches(after: 0, limit: 1).batches.map(\.count) == [3])
        try add(bench, 4...5)
        _ = try bench.outbox.acknowledge(through: 1, incarnation: "first")
        #expect(try bench.outbox.batches(after: 1, limit: 5).batches.map(\.count) == [2])
        let next = try bench.restarted()
        try add(next, 6...6)
        #expect(try next.outbox.batches(after: 0, limit: 1).batches.map(\.count) == [2], "an earlier process may have sent it")
        #expect(try next.records().map(\.outputTokens) == [4, 5, 6])
    }

    @Test func aBatchHasItsLimits() throws {
        var limits = JournalFolder.Limits()
        limits.recordsPerBatch = 4
        let bench = try UsageBench(settings: UsageBench.settings(segmentBytes: 16 << 10), limits: limits)
        for number in 1...10 {
            try bench.intent(number)
            bench.completion(number)
        }
        try bench.journal.flush()
        try bench.foldAll()
        let counts = try bench.database.read { try Int.fetchAll($0, sql: "SELECT record_count FROM usage_outbox ORDER BY sequence") }
        #expect(counts == [4, 4, 2])
    }

    @Test func listenersHearOfNewRecords() throws {
        let bench = try UsageBench()
        let heard = Counter()
        bench.outbox.onRecords { heard.increment() }
        try bench.foldAll()
        #expect(heard.value == 0)
        try add(bench, 1...1)
        #expect(heard.value == 1)
    }

    /// The database of 3 batches is restored after 5 were stored; since then it gave the numbers 4 and 5 to other records.
    @Test func anAcknowledgementOfMoreThanWasSentBeginsANewIncarnation() throws {
        let before = try UsageBench(limits: separate())
        try add(before, 1...3)
        let bench = try UsageBench(disk: before.disk, database: before.database, limits: separate())
        try add(bench, 14...16)
        #expect(try bench.outbox.batches(after: 0, limit: 10).batches.map(\.sequence) == [1])
        guard case .newIncarnation(let fresh) = try bench.outbox.acknowledge(through: 5, incarnation: "first") else {
            Issue.record("it was not noticed")
            return
        }
        #expect(bench.outbox.incarnation == fresh)
        #expect(bench.counters.newIncarnations.load(ordering: .relaxed) == 1)
        // What the control plane has under these numbers is exactly what the copy held; the rest is sent under new ones.
        #expect(try bench.records().map(\.outputTokens) == [14, 15, 16])
        let (incarnation, batches) = try bench.outbox.batches(after: 0, limit: 10)
        #expect(incarnation == fresh)
        #expect(batches.map(\.sequence) == [1])
        #expect(try bench.outbox.acknowledge(through: 5, incarnation: "first") == .ignored)
        #expect(try bench.outbox.acknowledge(through: 1, incarnation: fresh) == .removed(batches: 1))
        #expect(try bench.outbox.batches(after: 1, limit: 10).batches.map(\.sequence) == [2, 3])
        try add(bench, 17...17)
        #expect(try bench.outbox.batches(after: 3, limit: 10).batches.map(\.sequence) == [4])
        #expect(bench.counters.outboxRows.load(ordering: .relaxed) == 3)

        let next = try bench.restarted()
        #expect(next.outbox.incarnation == fresh)
    }

    // MARK: Chains

    private static let signer = UsageSigner(dataPlaneID: "dp_a", key: IdentityKey(), interval: 0)

    /// What the batches' records come to in the tenant's chain of this incarnation, and the heads that travel with them.
    private func chain(
        _ database: DatabaseQueue, _ incarnation: String
    ) throws -> (number: Int64, link: Digest256, heads: [Weir_V1_UsageHead], chained: [Bool]) {
        let blobs = try database.read { try Data.fetchAll($0, sql: "SELECT records FROM usage_outbox ORDER BY sequence") }
        var link = UsageChain.genesis(dataPlaneID: "dp_a", incarnation: incarnation, tenantID: "ten_a")
        var number: Int64 = 0
        var heads: [Weir_V1_UsageHead] = []
        var chained: [Bool] = []
        var splitter = UsageSplitter()
        for blob in blobs {
            let batch = try Weir_V1_UsageBatch(serializedBytes: blob)
            for record in batch.records {
                let bytes: [UInt8] = try record.serializedBytes()
                let read = bytes.withUnsafeBytes { splitter.read($0) }
                link = UsageChain.link(link, try #require(read))
                number += 1
            }
            heads += batch.heads
            chained.append(batch.chained)
        }
        return (number, link, heads, chained)
    }

    @Test func aNewIncarnationBeginsNewChainsOfWhatStillWaits() throws {
        let bench = try UsageBench(limits: separate(), signer: Self.signer)
        try add(bench, 1...2)
        try bench.outbox.sign(everything: false, 5)
        try add(bench, 3...4)
        #expect(try bench.outbox.batches(after: 0, limit: 10).batches.count == 1)
        var found = try chain(bench.database, "first")
        #expect(found.heads.map(\.number) == [2] && found.chained == [true, true, true, true])
        // Another process with a copy of this disk told batch 3 first: that one and what follows go on under another name.
        guard case .newIncarnation(let fresh) = try bench.outbox.fork(at: 3, incarnation: "first") else {
            Issue.record("no new incarnation")
            return
        }
        #expect(try bench.outbox.fork(at: 3, incarnation: "first") == .ignored)
        #expect(try bench.records().map(\.outputTokens) == [3, 4])
        try bench.outbox.sign(everything: true, 5)
        found = try chain(bench.database, fresh)
        let head = try #require(found.heads.last)
        #expect(found.heads.count == 1 && head.number == 2 && Array(head.link) == found.link.bytes)
        let told = UsageHead(
            dataPlaneID: "dp_a", incarnation: fresh, tenantID: "ten_a", number: 2, link: found.link, signedAt: head.signedAtMs,
            signature: Array(head.signature))
        #expect(told.isSigned(by: Self.signer.key.publicKey))
        #expect(bench.counters.outboxRows.load(ordering: .relaxed) == 2 + (found.chained.count - 2))
    }

    @Test func chainsAreSignedAgainWhenAMonthHasBegunAndOnlyThen() throws {
        let december: Int64 = 1_796_083_200_000
        let bench = try UsageBench(signer: UsageSigner(dataPlaneID: "dp_a", key: Self.signer.key, interval: 10_000))
        try add(bench, 1...1)
        try bench.outbox.sign(everything: false, 9_000)
        #expect(try chain(bench.database, "first").heads.isEmpty, "a record may wait")
        try bench.outbox.sign(everything: false, december - 1)
        try bench.outbox.sign(everything: false, december - 1)
        #expect(try chain(bench.database, "first").heads.map(\.signedAtMs) == [december - 1])
        try bench.outbox.sign(everything: false, december)
        try bench.outbox.sign(everything: false, december + 1)
        #expect(try chain(bench.database, "first").heads.map(\.signedAtMs) == [december - 1, december])
        // Nothing follows a head in its batch.
        try add(bench, 2...2)
        #expect(try chain(bench.database, "first").chained.count == 2)
    }

    /// A release before, started on the folder again, adds batches that are in no chain.
    @Test func whatAnotherReleaseAddedIsInNoChain() throws {
        let before = try UsageBench(limits: separate())
        try add(before, 1...1)
        let bench = try UsageBench(disk: before.disk, database: before.database, limits: separate(), signer: Self.signer)
        try add(bench, 2...2)
        try bench.outbox.sign(everything: true, 5)
        let found = try chain(bench.database, "first")
        #expect(found.chained == [false, true] && found.heads.map(\.number) == [1])
    }
}

private final class Counter: @unchecked Sendable {
    private let lock = NSLock()
    private var count = 0
    func increment() { lock.withLock { count += 1 } }
    var value: Int { lock.withLock { count } }
}
