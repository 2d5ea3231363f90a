import Contract
import Foundation
import GRDB
import Proxy
import Synchronization
import Testing

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
}

private final class Counter: @unchecked Sendable {
    private let lock = NSLock()
    private var count = 0
    func increment() { lock.withLock { count += 1 } }
    var value: Int { lock.withLock { count } }
}
