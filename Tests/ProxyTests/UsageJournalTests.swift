import Contract
import Primitives
import Proxy
import Synchronization
import Testing

@Suite struct UsageJournalTests {
    @Test func recordsOfATickAreWrittenAtOnceAndArriveWhole() throws {
        let bench = try UsageBench()
        try bench.intent(1)
        try bench.intent(2)
        bench.completion(1, tokens: 40)
        #expect(bench.journal.hasBuffered)
        try bench.journal.flush()
        #expect(!bench.journal.hasBuffered)
        #expect(bench.shared.total(\.writes) == 1)
        try bench.foldAll()
        #expect(try bench.records().map(\.outputTokens) == [40])
        bench.completion(2, tokens: 50)
        try bench.journal.flush()
        try bench.foldAll()
        let records = try bench.records()
        #expect(records.map(\.outputTokens) == [40, 50])
        #expect(records.map(\.requestID) == [1, 2].map { .init(UsageBench.id($0).bytes) })
        #expect(bench.counters.pending.load(ordering: .relaxed) == 0)
    }

    @Test func anAbandonedIntentLeavesNoRecord() throws {
        let bench = try UsageBench()
        try bench.intent(1)
        try bench.intent(2)
        #expect(bench.journal.abandon(UsageBench.id(1)))
        try bench.journal.flush()
        #expect(!bench.journal.abandon(UsageBench.id(2)), "it is written")
        bench.completion(1)
        #expect(bench.shared.total(\.strayCompletions) == 1)
        bench.completion(2)
        try bench.journal.flush()
        let next = try bench.restarted()
        try next.foldAll()
        #expect(try next.records().map(\.requestID) == [.init(UsageBench.id(2).bytes)])
    }

    @Test func aSecondIntentOfTheSameRequestAndOneTooLargeAreRefused() throws {
        let bench = try UsageBench()
        try bench.intent(1)
        #expect(throws: JournalRefusal.duplicate) { try bench.intent(1) }
        #expect(throws: JournalRefusal.recordTooLarge) { try bench.intent(2, model: String(repeating: "x", count: 300)) }
        #expect(bench.journal.openRequests == 1)
    }

    @Test func completionsHaveTheirSpaceWhenTheDiskIsFull() throws {
        let bench = try UsageBench()
        bench.disk.setFree(0)
        var accepted: [Int] = []
        for number in 1...1000 {
            do { try bench.intent(number) } catch {
                #expect(error as? JournalRefusal == .full)
                break
            }
            accepted.append(number)
            try bench.journal.flush()
            bench.keeper.step()
        }
        #expect(accepted.count > 10 && accepted.count < 1000)
        guard case .refusing(let reason) = bench.shared.state else {
            Issue.record("the state is \(bench.shared.state)")
            return
        }
        #expect(reason.contains("No space left"))
        // The largest completions, all of them.
        for number in accepted {
            [UInt8](repeating: 0x0A, count: 100).withUnsafeBytes { bench.journal.completion(UsageBench.id(number), $0) }
            try bench.journal.flush()
        }
        #expect(!bench.journal.hasBuffered)
        #expect(bench.shared.totals.heldCompletions == 0)
        #expect(bench.shared.total(\.failedWrites) == 0)

        bench.disk.setFree(100_000)
        bench.keeper.step()
        try bench.intent(2000)
        try bench.journal.flush()
        #expect(bench.shared.state == .ok)
    }

    @Test func theJournalStopsAtItsMaximumAndGoesOnOnceItIsFolded() throws {
        let bench = try UsageBench(settings: UsageBench.settings(maximumBytes: 4 * 4096))
        var number = 0
        #expect(throws: JournalRefusal.full) {
            while number < 10_000 {
                number += 1
                try bench.intent(number)
                bench.completion(number)
                try bench.journal.flush()
                bench.keeper.step()
            }
        }
        #expect(bench.shared.totals.reservedBytes == 4 * 4096)
        if case .refusing(let reason) = bench.shared.state {
            #expect(reason.contains("maximum size"))
        } else {
            Issue.record("not refusing")
        }
        try bench.foldAll()
        bench.keeper.step()
        try bench.intent(20_000)
        bench.completion(20_000)
        try bench.journal.flush()
        #expect(bench.shared.state == .ok)
        try bench.foldAll()
        #expect(try bench.records().count == number)
    }

    @Test func aFailedWriteRefusesTheTickAndKeepsEarlierCompletions() throws {
        let bench = try UsageBench()
        try bench.intent(1)
        try bench.journal.flush()
        try bench.intent(2)
        bench.completion(1, tokens: 9)
        var faults = UsageSimulatedDisk.Faults()
        faults.errors = 1000
        faults.writeErrors = 1000
        bench.disk.setFaults(faults)
        #expect(throws: JournalRefusal.failing(code: 5)) { try bench.journal.flush() }
        #expect(bench.journal.hasBuffered)
        #expect(bench.journal.openRequests == 0)
        #expect(throws: JournalRefusal.failing(code: 5)) { try bench.intent(3) }
        if case .refusing = bench.shared.state {} else { Issue.record("the state is \(bench.shared.state)") }

        bench.disk.setFaults(.init())
        bench.keeper.step()
        try bench.journal.flush()
        #expect(!bench.journal.hasBuffered)
        try bench.intent(4)
        bench.completion(4)
        try bench.journal.flush()
        bench.keeper.step()
        #expect(bench.shared.state == .ok)
        let next = try bench.restarted()
        try next.foldAll()
        #expect(
            try next.records().map(\.requestID).sorted { $0.lexicographicallyPrecedes($1) }
                == [1, 4].map { .init(UsageBench.id($0).bytes) })
    }

    @Test func theKeeperHasAFailedWriteTriedAgain() throws {
        let bench = try UsageBench(hop: { $0() })
        try bench.intent(1)
        try bench.journal.flush()
        var faults = UsageSimulatedDisk.Faults()
        faults.errors = 1000
        faults.writeErrors = 1000
        bench.disk.setFaults(faults)
        bench.completion(1)
        #expect(throws: JournalRefusal.self) { try bench.journal.flush() }
        bench.disk.setFaults(.init())
        bench.keeper.step()
        #expect(!bench.journal.hasBuffered)
        #expect(bench.shared.totals.heldCompletions == 0)
    }

    @Test func withPowerDurabilityTheEndWaitsForTheGroupSync() throws {
        var settings = UsageBench.settings()
        settings.durability = .power
        let bench = try UsageBench(settings: settings, hop: { $0() })
        var outcomes: [Bool] = []
        try bench.intent(1)
        try bench.journal.flush()
        bench.journal.whenSynced(bench.journal.syncPoint()) { outcomes.append($0) }
        #expect(outcomes.isEmpty)
        bench.keeper.step()
        #expect(outcomes == [true])
        bench.journal.whenSynced(bench.journal.syncPoint()) { outcomes.append($0) }
        #expect(outcomes == [true, true], "nothing new to sync")

        bench.completion(1)
        try bench.journal.flush()
        bench.journal.whenSynced(bench.journal.syncPoint()) { outcomes.append($0) }
        var faults = UsageSimulatedDisk.Faults()
        faults.errors = 1000
        faults.writeErrors = 1000
        bench.disk.setFaults(faults)
        bench.keeper.step()
        #expect(outcomes == [true, true, false])
        if case .degraded(let reason) = bench.shared.state { #expect(reason.contains("extended") || reason.contains("sync")) }
        bench.disk.setFaults(.init())
        bench.keeper.step()

        // The next record goes to a segment whose pages the kernel has not given up.
        let before = bench.disk.names.count
        try bench.intent(2)
        try bench.journal.flush()
        bench.journal.whenSynced(bench.journal.syncPoint()) { outcomes.append($0) }
        bench.keeper.step()
        #expect(outcomes == [true, true, false, true])
        #expect(bench.disk.names.count > before)
    }

    @Test func closingGivesSparesBackAndAnotherJournalOfTheLoopMayFollow() throws {
        let bench = try UsageBench()
        #expect(throws: JournalError.self) {
            try UsageJournal(directory: "j", loop: 0, settings: bench.shared.settings, shared: bench.shared)
        }
        try bench.intent(1)
        bench.completion(1)
        bench.journal.close()
        try bench.foldAll()
        bench.keeper.step()
        #expect(bench.disk.names.isEmpty)
        #expect(bench.disk.openFiles == 0)
        #expect(bench.shared.totals.reservedBytes == 0)
        let again = try UsageJournal(directory: "j", loop: 0, settings: bench.shared.settings, shared: bench.shared)
        try UsageBench.intentBytes(2).withUnsafeBytes { try again.intent(UsageBench.id(2), $0) }
        try again.flush()
    }

    @Test func settingsThatCannotWorkAreExplained() {
        var settings = JournalSettings()
        #expect(settings.problem(loops: 4) == nil)
        settings.maximumBytes = settings.segmentBytes * 7
        #expect(settings.problem(loops: 4)?.contains("two segments") == true)
        settings = JournalSettings()
        settings.completionReserve = 10
        #expect(settings.problem(loops: 1)?.contains("reserve") == true)
        settings = JournalSettings()
        settings.segmentBytes = 100
        #expect(settings.problem(loops: 1)?.contains("segment") == true)
        #expect(JournalSettings().problem(loops: 0) != nil)
    }

    @Test func segmentNamesAndHeadersAreReadBack() {
        let name = SegmentName(boot: 0xAB, loop: 3, number: 12)
        #expect(name.description == "00000000000000ab-3-12.journal")
        #expect(SegmentName(parsing: name.description) == name)
        for text in ["ab-3-12.journal", "00000000000000ab-3-12", "00000000000000ab-03-12.journal", "x-1-2.journal", ".journal", ""] {
            #expect(SegmentName(parsing: text) == nil)
        }
        let header = SegmentHeader(loop: 3, boot: 0xAB, number: 12, salt: 99, previousNumber: 11, previousLength: 4000)
        var bytes = [UInt8](repeating: 0xFF, count: SegmentHeader.bytes)
        bytes.withUnsafeMutableBytes { if let base = $0.baseAddress { header.write(to: base) } }
        #expect(bytes.withUnsafeBytes { SegmentHeader($0) } == header)
        #expect(bytes.dropLast().withUnsafeBytes { SegmentHeader($0) } == nil)
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= 0x10
            #expect(damaged.withUnsafeBytes { SegmentHeader($0) } == nil)
        }
    }
}
