package import Contract
import Foundation
package import GRDB
package import Primitives
import Synchronization

/// What one fold came to.
package struct FoldOutcome: Hashable, Sendable {
    package var records = 0
    /// Nothing that was there when the fold began is left.
    package var isDrained = true
    package init() {}
}

/// Takes the journal over into SQLite: one transaction for the records, the intents still open, the counters of the participants and
/// how far each segment is contained in all that. A segment is removed only after the transaction that contains its end.
/// The first fold of a boot starts by replaying what earlier boots left.
///
/// Sendable because `foldOnce` lets one thread in at a time and nothing else touches what changes.
package final class JournalFolder: @unchecked Sendable {
    package struct Limits: Sendable {
        package var recordsPerBatch = 2000
        package var bytesPerBatch = 1 << 20
        /// Of the journal, in one transaction.
        package var bytesPerFold = 4 << 20
        /// A batch that was not handed out yet is filled up to this before another one is begun: an outage leaves fewer rows.
        package var bytesToFillUp = 32 << 10
        package init() {}
    }

    let shared: JournalShared
    let database: DatabaseQueue
    let outbox: UsageOutboxStore
    let counters: UsageCounters
    let limits: Limits
    let clock: any WallClock
    private let participants: [any FoldParticipant]
    private let recovery: JournalRecovery
    private let report: @Sendable (String) -> Void

    private let turn = NSLock()
    private let reader: SegmentReader
    private var plan = FoldPlan()
    private var recovered = false
    private var positions: [SegmentName: Int] = [:]
    /// Segments that are contained in SQLite to their end and not yet removed.
    private var removable: [(lane: JournalLane, segment: JournalSegment)] = []
    /// Removed segments whose rows are of no use any more.
    private var forgettable: [String] = []

    /// - Parameters:
    ///   - estimate: gets the record of a request that an earlier process left behind, already marked as failed and interrupted, and
    ///     returns fields to be appended, such as its estimated cost.
    ///   - report: gets a line for the log when something was lost, damaged or found again.
    package init(
        shared: JournalShared, database: DatabaseQueue, outbox: UsageOutboxStore, counters: UsageCounters,
        participants: [any FoldParticipant] = [], limits: Limits = Limits(), clock: any WallClock = SystemClock(),
        estimate: @escaping @Sendable (Weir_V1_UsageRecord) -> [UInt8], report: @escaping @Sendable (String) -> Void
    ) {
        self.shared = shared
        self.database = database
        self.outbox = outbox
        self.counters = counters
        self.participants = participants
        self.limits = limits
        self.clock = clock
        self.report = report
        reader = SegmentReader(files: shared.files, directory: shared.directory, counters: counters, report: report)
        recovery = JournalRecovery(estimate: estimate, report: report)
    }

    /// Folds what the loops have published, up to `bytesPerFold`.
    /// - Throws: what SQLite, a participant or the file system refused. Nothing is changed then, and the next call tries the same again.
    package func foldOnce() throws -> FoldOutcome {
        turn.lock()
        defer { turn.unlock() }
        if !recovered {
            try recovery.run(self, reader)
            recovered = true
        }
        let start = MonotonicClock.nowMicroseconds()
        plan.reset()
        var outcome = FoldOutcome()
        var done: [(lane: JournalLane, segment: JournalSegment)] = []
        var reached: [SegmentName: Int] = [:]
        var budget = limits.bytesPerFold
        for lane in shared.lanes {
            for segment in lane.segments() {
                if removable.contains(where: { $0.segment === segment }) { continue }
                let closed = segment.closed.load(ordering: .acquiring)
                let committed = segment.committed.load(ordering: .acquiring)
                let from = positions[segment.name] ?? SegmentHeader.bytes
                var position = from
                while position < committed, budget > 0 {
                    let next = try reader.read(
                        segment.file, segment.name, salt: segment.salt, from: position, to: committed, ending: .accepted, into: &plan)
                    budget -= next - position
                    position = next
                }
                if position > from {
                    plan.positions.append((segment.name.description, position))
                    reached[segment.name] = position
                }
                guard closed, position >= committed else {
                    if position < committed { outcome.isDrained = false }
                    break
                }
                done.append((lane, segment))
            }
        }
        if !plan.positions.isEmpty {
            let forgotten = forgettable
            outcome.records = try commit(&plan, forgetting: forgotten)
            forgettable.removeFirst(forgotten.count)
            positions.merge(reached) { $1 }
            let elapsed = UInt64(max(0, MonotonicClock.nowMicroseconds() - start))
            counters.folds.wrappingAdd(1, ordering: .relaxed)
            counters.foldMicroseconds.wrappingAdd(elapsed, ordering: .relaxed)
            counters.lastFoldMicroseconds.store(elapsed, ordering: .relaxed)
        }
        removable += done
        removeSegments()
        return outcome
    }

    /// Removes files whose contents are in SQLite. One that cannot be removed is tried again with the next fold.
    private func removeSegments() {
        guard !removable.isEmpty else { return }
        var left: [(lane: JournalLane, segment: JournalSegment)] = []
        for (lane, segment) in removable {
            // In order: a segment's header says how much of the one before counts, and whether one was given up.
            let number = segment.name.number
            let isFollowing =
                left.contains { $0.lane === lane }
                || lane.state.withLock { state in state.discarded.contains { $0.name.number < number } }
            if isFollowing {
                left.append((lane, segment))
                continue
            }
            do {
                try letGo(of: segment)
            } catch {
                left.append((lane, segment))
                continue
            }
            lane.state.withLock { state in
                state.segments.removeAll { $0 === segment }
                state.finished.append(segment)
            }
            if positions.removeValue(forKey: segment.name) != nil { forgettable.append(segment.name.description) }
        }
        removable = left
        shared.keeperSignal.raise()
    }

    /// The file goes, or is put aside for the keeper to be used again: from here on no recovery takes it for a segment.
    private func letGo(of segment: JournalSegment) throws(JournalFileError) {
        let isWanted = segment.file.isMapped && shared.recycling.load(ordering: .relaxed) < Self.recycledPerLoop * shared.lanes.count
        if isWanted {
            try shared.files.rename(segment.path, to: segment.path + RecycledFile.suffix)
            shared.recycling.wrappingAdd(1, ordering: .relaxed)
            segment.isRecycled.store(true, ordering: .releasing)
        } else {
            try shared.files.remove(segment.path)
            shared.bytes.wrappingSubtract(segment.capacity, ordering: .relaxed)
        }
    }

    private static let recycledPerLoop = 4

    // MARK: The transaction

    /// - Returns: how many records were finished.
    func commit(_ plan: inout FoldPlan, forgetting segments: [String] = []) throws -> Int {
        var orphans: [RequestID] = []
        var pendingChange = 0
        let nowMs = clock.nowMilliseconds()
        var records = RecordBuffer()
        swap(&records, &plan.records)
        defer { swap(&records, &plan.records) }
        let change = try database.write { db in
            for (id, completion) in plan.ended {
                if let intent = try UsageTables.takePending(db, id) {
                    intent.withUnsafeBytes { first in completion.withUnsafeBytes { records.append(id, first, $0) } }
                    pendingChange -= 1
                } else {
                    orphans.append(id)
                }
            }
            for (id, open) in plan.opened {
                try UsageTables.insertPending(db, id, intent: open.intent, progress: open.progress)
                pendingChange += 1
            }
            for (id, progress) in plan.progressed { try UsageTables.setProgress(db, id, progress) }
            for (segment, position) in plan.positions { try UsageTables.setPosition(db, segment, position) }
            for segment in segments { try UsageTables.removePosition(db, segment) }
            return try deliver(records, plan.notes, nowMs, in: db)
        }
        outbox.added(change)
        counters.pending.wrappingAdd(pendingChange, ordering: .relaxed)
        counters.foldedRecords.wrappingAdd(UInt64(records.entries.count), ordering: .relaxed)
        reportStrangers(plan.notes)
        for id in orphans {
            counters.orphanCompletions.wrappingAdd(1, ordering: .relaxed)
            report("usage journal: the end of \(id) was found without its beginning, which lay in a damaged place; it is not counted")
        }
        return records.entries.count
    }

    /// Puts finished records into the outbox, tells the participants, and keeps the notes that none of them takes.
    func deliver(
        _ records: RecordBuffer, _ notes: [JournalNote] = [], _ nowMs: Int64, in db: Database
    ) throws -> UsageOutboxStore.Change {
        let change = records.entries.isEmpty ? .init() : try outbox.insert(records, limits, nowMs, in: db)
        for participant in participants {
            let theirs = notes.isEmpty ? [] : notes.filter { participant.kinds.contains($0.kind) }
            if records.entries.isEmpty, theirs.isEmpty { continue }
            try participant.fold(FoldedRecords(buffer: records, notes: theirs), in: db)
        }
        for note in notes where !isTaken(note.kind) && !note.kind.mayBeLost { try UsageTables.keep(db, note) }
        return change
    }

    func isTaken(_ kind: JournalFrame.Kind) -> Bool { participants.contains { $0.kinds.contains(kind) } }

    /// Says so once a transaction is committed.
    private func reportStrangers(_ notes: [JournalNote]) {
        let strangers = notes.filter { !isTaken($0.kind) }
        if strangers.isEmpty { return }
        counters.unknownNotes.wrappingAdd(UInt64(strangers.count), ordering: .relaxed)
        let kinds = Set(strangers.map(\.kind.rawValue)).sorted().map(String.init).joined(separator: ", ")
        report(
            """
            usage journal: \(strangers.count) entries of kinds that this version does not know (\(kinds)) were found; those that must not be \
            lost are kept for the version that does
            """)
    }
}
