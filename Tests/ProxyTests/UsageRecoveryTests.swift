import Contract
import Foundation
import GRDB
import Logging
import Primitives
import Proxy
import SwiftProtobuf
import Synchronization
import Testing

@Suite struct UsageRecoveryTests {
    @Test func aRequestThatDiedWithItsProcessIsClosedAsInterrupted() throws {
        let bench = try UsageBench()
        try bench.intent(1)
        try bench.journal.flush()
        try bench.foldAll()
        bench.progress(1, tokens: 17)
        bench.progress(1, tokens: 18)
        try bench.intent(2)
        try bench.journal.flush()
        try bench.foldAll()
        #expect(try bench.records().isEmpty)
        #expect(bench.counters.pending.load(ordering: .relaxed) == 2)

        let next = try bench.restarted()
        try next.foldAll()
        let records = try next.records().sorted { $0.requestID.lexicographicallyPrecedes($1.requestID) }
        #expect(records.map(\.outputTokens) == [18, 0])
        for record in records {
            #expect(record.status == .failed)
            #expect(record.errorOrigin == .weir)
            #expect(record.errorCode == "interrupted")
            #expect(UsageFlags(rawValue: record.flags) == [.interrupted, .estimated])
            #expect(record.costNano == 42)
        }
        #expect(next.counters.interruptedRecords.load(ordering: .relaxed) == 2)

        let third = try next.restarted()
        try third.foldAll()
        #expect(try third.records().count == 2)
    }

    /// Through several lives of each file: what one record leaves behind is never read as part of another.
    @Test func mappedSegmentsAreUsedAgain() throws {
        let directory = try UsageDirectory()
        var settings = UsageBench.settings(segmentBytes: 16 << 10)
        settings.maximumBytes = 128 << 10
        let counters = UsageCounters()
        let database = try UsageSimulation.makeDatabase()
        for boot in 0..<3 {
            let shared = try JournalShared(directory: directory.path, settings: settings, loops: 1)
            let outbox = try UsageOutboxStore(database: database, counters: counters, incarnation: "one")
            let keeper = JournalKeeper(shared: shared)
            let folder = JournalFolder(
                shared: shared, database: database, outbox: outbox, counters: counters, estimate: { _ in [] },
                report: { Issue.record("\($0)") })
            let journal = try UsageJournal(directory: directory.path, loop: 0, settings: settings, shared: shared)
            for number in 0..<1000 {
                let id = UsageBench.id(boot * 1000 + number)
                try UsageBench.intentBytes(boot * 1000 + number).withUnsafeBytes { try journal.intent(id, $0) }
                UsageBench.completionBytes(boot * 1000 + number).withUnsafeBytes { journal.completion(id, $0) }
                try journal.flush()
                if number % 40 == 39 { _ = try folder.foldOnce() }
                keeper.step()
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).count <= 8)
            if boot == 0 {
                // A stop; otherwise the process dies and leaves its files behind.
                journal.close()
                _ = try folder.foldOnce()
                for _ in 0..<2 { keeper.step() }
                #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
            } else {
                _ = try folder.foldOnce()
            }
        }
        let found = try UsageBench.records(database).map(\.outputTokens)
        #expect(found == (0..<3000).map(Int64.init))
        #expect(counters.damagedPlaces.load(ordering: .relaxed) == 0 && counters.tornTails.load(ordering: .relaxed) == 0)
    }

    /// A later version wrote a kind of entry that this one does not know, and died: none of it is damage, what must not be lost is kept,
    /// and given to the version that knows it, once.
    @Test func aKindThatNobodyKnowsIsKeptForTheVersionThatDoes() throws {
        let kept = JournalFrame.Kind(rawValue: 17)
        let idle = JournalFrame.Kind(rawValue: 130)
        let bench = try UsageBench()
        try bench.intent(1)
        for number in 1...3 {
            try [UInt8(number)].withUnsafeBytes { try bench.journal.note(kept, UsageBench.id(100 + number), $0) }
            try [UInt8(number)].withUnsafeBytes { try bench.journal.note(idle, UsageBench.id(200 + number), $0) }
        }
        bench.completion(1)
        try bench.journal.flush()

        let older = try bench.restarted()
        try older.foldAll()
        #expect(try older.records().map(\.outputTokens) == [5])
        #expect(older.counters.damagedPlaces.load(ordering: .relaxed) == 0)
        #expect(older.counters.tornTails.load(ordering: .relaxed) == 0)
        #expect(older.counters.unknownNotes.load(ordering: .relaxed) == 6)

        let knowing = NoteTaker(kept)
        older.disk.dieNow()
        let newer = try UsageBench(disk: older.disk, database: older.database, participants: [knowing])
        try newer.foldAll()
        #expect(knowing.taken.withLock { $0 }.map(\.payload) == [[1], [2], [3]])
        try [UInt8(4)].withUnsafeBytes { try newer.journal.note(kept, UsageBench.id(104), $0) }
        try newer.journal.flush()
        try newer.foldAll()
        #expect(knowing.taken.withLock { $0 }.map(\.subject) == (101...104).map(UsageBench.id))
        #expect(newer.counters.unknownNotes.load(ordering: .relaxed) == 0)
    }

    @Test func progressDoesNotLeakIntoACompletedRecord() throws {
        let bench = try UsageBench()
        try bench.intent(1)
        try bench.journal.flush()
        bench.progress(1, tokens: 90)
        try bench.journal.flush()
        try bench.foldAll()
        [UInt8]().withUnsafeBytes { bench.journal.completion(UsageBench.id(1), $0) }
        try bench.journal.flush()
        try bench.foldAll()
        #expect(try bench.records().map(\.outputTokens) == [0])
    }

    /// Cuts the last segment at every byte: what was whole before the cut arrives, nothing else, and nobody stumbles.
    @Test func aTornTailIsCutOffAtAnyByte() throws {
        let bench = try UsageBench()
        for number in 1...3 {
            try bench.intent(number)
            bench.completion(number, tokens: number)
        }
        try bench.journal.flush()
        let name = try #require(bench.disk.names.first { !bench.disk.bytes($0).isEmpty })
        let whole = bench.disk.bytes(name)
        let pair = (whole.count - SegmentHeader.bytes) / 3
        for length in 0...whole.count {
            let disk = UsageSimulatedDisk(seed: 1)
            _ = try disk.create(name, reserving: 0)
            disk.change(name) { $0 = Array(whole[..<length]) }
            let next = try UsageBench(disk: disk)
            try next.foldAll()
            let complete = try next.records().filter { $0.status == .completed }.count
            #expect(complete == max(0, length - SegmentHeader.bytes) / pair)
            #expect(next.counters.damagedPlaces.load(ordering: .relaxed) == 0)
            #expect(!disk.names.contains(name))
        }
    }

    @Test func aDamagedPlaceIsPassedOverKeptAndReported() throws {
        let bench = try UsageBench()
        for number in 1...5 {
            try bench.intent(number)
            bench.completion(number, tokens: number)
        }
        try bench.journal.flush()
        let name = try #require(bench.disk.names.first { !bench.disk.bytes($0).isEmpty })
        let pair = (bench.disk.bytes(name).count - SegmentHeader.bytes) / 5
        let place = SegmentHeader.bytes + 2 * pair + 30
        bench.disk.change(name) { $0[place] ^= 1 }
        let next = try bench.restarted()
        try next.foldAll()
        #expect(try next.records().map(\.outputTokens) == [1, 2, 4, 5])
        #expect(next.counters.damagedPlaces.load(ordering: .relaxed) == 1)
        #expect(next.counters.orphanCompletions.load(ordering: .relaxed) == 1)
        #expect(next.disk.names.contains { $0.hasSuffix(".damaged") })
    }

    @Test func aDamagedHeaderLosesNothingWhenAnotherSegmentKnowsTheSalt() throws {
        let bench = try UsageBench()
        for number in 1...60 {
            try bench.intent(number)
            bench.completion(number, tokens: number)
            try bench.journal.flush()
            bench.keeper.step()
        }
        let used = bench.disk.names.filter { !bench.disk.bytes($0).isEmpty }
        #expect(used.count > 1)
        let first = try #require(used.first)
        bench.disk.change(first) { $0[3] ^= 0x40 }
        let next = try bench.restarted()
        try next.foldAll()
        #expect(try next.records().count == 60)
    }

    @Test func bytesOfACallerAreNeverTakenForFrames() throws {
        let bench = try UsageBench()
        try bench.intent(1)
        bench.completion(1)
        try bench.journal.flush()
        let name = try #require(bench.disk.names.first { !bench.disk.bytes($0).isEmpty })
        // The frames of another journal, as a caller could put them into a model's name, behind a damaged place.
        let other = try UsageBench()
        try other.intent(66)
        other.completion(66)
        try other.journal.flush()
        let foreign = other.disk.bytes(try #require(other.disk.names.first { !other.disk.bytes($0).isEmpty })).dropFirst(
            SegmentHeader.bytes)
        bench.disk.change(name) { $0 += [1, 2, 3] + foreign }
        let next = try bench.restarted()
        try next.foldAll()
        #expect(try next.records().map(\.requestID) == [.init(UsageBench.id(1).bytes)])
        #expect(next.counters.tornTails.load(ordering: .relaxed) == 1)
    }

    @Test func aParticipantChangesInTheSameTransactionOrNothingDoes() throws {
        let participant = Refusing()
        let bench = try UsageBench(participants: [participant])
        try bench.intent(1)
        bench.completion(1)
        try bench.journal.flush()
        #expect(throws: Refusing.Refusal.self) { _ = try bench.folder.foldOnce() }
        #expect(try bench.records().isEmpty)
        #expect(try bench.database.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM counted") } == 0)
        participant.refuses.store(false, ordering: .relaxed)
        try bench.foldAll()
        #expect(try bench.records().count == 1)
        #expect(try bench.database.read { try Data.fetchAll($0, sql: "SELECT id FROM counted") } == [Data(UsageBench.id(1).bytes)])
    }

    /// The real file system, the real database and the threads.
    @Test func thePipelineMovesEverythingAndLeavesNoFiles() async throws {
        let directory = try UsageDirectory()
        let total = 3000
        let store = try LocalStore(directory: directory.path)
        defer { store.close() }
        var settings = JournalSettings()
        settings.segmentBytes = 128 << 10
        let pipeline = try UsagePipeline(
            store: store, journalDirectory: directory.path + "/journal", settings: settings, loops: 2, logger: Logger(label: "test"),
            estimateInterrupted: { _ in [] })
        pipeline.start()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for loop in 0..<2 {
                group.addTask {
                    let journal = try pipeline.journal(loop: loop) { $0() }
                    for number in 1...total {
                        let id = RequestID(high: UInt64(loop + 1), low: UInt64(number))
                        try UsageBench.intentBytes(number).withUnsafeBytes { try journal.intent(id, $0) }
                        try journal.flush()
                        UsageBench.completionBytes(number).withUnsafeBytes { journal.completion(id, $0) }
                        try journal.flush()
                    }
                    journal.close()
                }
            }
            try await group.waitForAll()
        }
        pipeline.stop()
        #expect(try UsageBench.records(store.queue).count == 2 * total)
        #expect(pipeline.health.isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path + "/journal").isEmpty)
        let size = try store.read { try Int.fetchOne($0, sql: "SELECT sum(length(records)) FROM usage_outbox") }
        #expect(pipeline.counters.outboxBytes.load(ordering: .relaxed) == size)
    }

    /// `/health/ready` sends nobody whose signature or limit could not be judged yet.
    @Test func readingWhatWasLeftIsToldUntilItIsRead() async throws {
        let directory = try UsageDirectory()
        let store = try LocalStore(directory: directory.path)
        defer { store.close() }
        let (told, teller) = AsyncStream.makeStream(of: Bool?.self)
        let pipeline = Mutex<UsagePipeline?>(nil)
        let made = try UsagePipeline(
            store: store, journalDirectory: directory.path + "/journal", settings: JournalSettings(), loops: 1,
            recovered: { teller.yield(pipeline.withLock { $0 }?.isRecovering) }, logger: Logger(label: "test"),
            estimateInterrupted: { _ in [] })
        pipeline.withLock { $0 = made }
        #expect(!made.isRecovering)
        made.start()
        var events = told.makeAsyncIterator()
        #expect(await events.next() == true)
        // It is told just ahead of what it is about, by a thread that goes on at once.
        while made.isRecovering { await Task.yield() }
        made.stop()
        pipeline.withLock { $0 = nil }
    }

    /// Whatever a process leaves behind on a real disk is taken over by the next one.
    @Test func anotherProcessTakesOverWhatWasLeftOnTheDisk() throws {
        let directory = try UsageDirectory()
        let store = try LocalStore(directory: directory.path)
        defer { store.close() }
        func pipeline() throws -> UsagePipeline {
            try UsagePipeline(
                store: store, journalDirectory: directory.path + "/journal", settings: JournalSettings(), loops: 1,
                logger: Logger(label: "test"), estimateInterrupted: { _ in [] })
        }
        let died = try pipeline()
        let journal = try died.journal(loop: 0) { $0() }
        try UsageBench.intentBytes(1).withUnsafeBytes { try journal.intent(UsageBench.id(1), $0) }
        try UsageBench.intentBytes(2).withUnsafeBytes { try journal.intent(UsageBench.id(2), $0) }
        UsageBench.completionBytes(4).withUnsafeBytes { journal.completion(UsageBench.id(1), $0) }
        try journal.flush()

        let next = try pipeline()
        while try !next.folder.foldOnce().isDrained {}
        #expect(try UsageBench.records(store.queue).map(\.status) == [.completed, .failed])
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path + "/journal").isEmpty)
        withExtendedLifetime((died, journal)) {}
    }
}

private final class Refusing: FoldParticipant {
    struct Refusal: Error {}
    let refuses = Atomic<Bool>(true)

    func fold(_ records: FoldedRecords, in database: Database) throws {
        try records.forEach { id, record in
            #expect(try Weir_V1_UsageRecord(serializedBytes: Array(record)).requestID == Data(id.bytes))
            try database.execute(sql: "INSERT INTO counted (id) VALUES (?)", arguments: [Data(id.bytes)])
        }
        if refuses.load(ordering: .relaxed) { throw Refusal() }
    }
}

/// Remembers the notes of one kind.
private final class NoteTaker: FoldParticipant {
    let kinds: Set<JournalFrame.Kind>
    let taken = Mutex<[JournalNote]>([])

    init(_ kind: JournalFrame.Kind) { kinds = [kind] }

    func fold(_ records: FoldedRecords, in database: Database) throws { taken.withLock { $0 += records.notes } }
}
