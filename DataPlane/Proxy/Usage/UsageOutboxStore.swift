package import Foundation
package import GRDB
import Primitives
import Synchronization

/// A row of the outbox: what is shipped and acknowledged as one.
package struct OutboxBatch: Sendable, Hashable {
    package var sequence: UInt64
    /// The fields of a `weir.v1.UsageBatch` but its incarnation and sequence, as they stand in its encoding.
    package var records: Data
    package var count: Int
}

/// Usage records on their way to the control plane, in batches numbered without gaps. The only owner of the table `usage_outbox`.
package final class UsageOutboxStore: Sendable {
    /// What a transaction will have done to the table once it is committed.
    package struct Change: Sendable {
        var rows = 0
        var bytes = 0
    }

    package enum Acknowledged: Hashable, Sendable {
        case removed(batches: Int)
        /// It belongs to an incarnation that is no longer ours.
        case ignored
        /// The control plane has more than this database ever sent: the database is an older copy of itself. What the control plane has
        /// was removed, the rest was numbered anew under this incarnation.
        case newIncarnation(String)
    }

    private struct State {
        var incarnation: String
        /// The last batch that this database held when it was opened: any up to there may have been sent by an earlier process.
        var lastAtOpening: Int64
        /// The last batch given to the shipper by this process.
        var handedOut: Int64 = 0
        var acknowledgedOnce = false
        /// The last batch that ends in heads: no record may follow them in it.
        var sealed: Int64 = 0
        /// The month's begin, Unix milliseconds, since which all chains are signed.
        var signedMonth: Int64?
        var listeners: [@Sendable () -> Void] = []
    }

    private let database: DatabaseQueue
    private let counters: UsageCounters
    private let chains: UsageChains?
    private let state: Mutex<State>

    /// - Parameters:
    ///   - incarnation: of the database when it was created; a later one in its table `meta` takes precedence.
    ///   - signer: as whom the records are signed; nil: they are not.
    package init(database: DatabaseQueue, counters: UsageCounters, incarnation: String, signer: UsageSigner? = nil) throws {
        self.database = database
        self.counters = counters
        chains = signer.map(UsageChains.init)
        let (known, last, size) = try database.read { db in
            (
                try LocalStore.meta(db, UsageTables.incarnationKey), try UsageTables.lastSequence(db), try UsageTables.outboxSize(db)
            )
        }
        state = Mutex(State(incarnation: known ?? incarnation, lastAtOpening: last))
        counters.outboxRows.store(size.rows, ordering: .relaxed)
        counters.outboxBytes.store(size.bytes, ordering: .relaxed)
    }

    /// Under which the batches are numbered; it can change (see `acknowledge`).
    package var incarnation: String { state.withLock { $0.incarnation } }

    /// Calls `body` after each transaction that added records, on the folder's thread: it should only wake somebody.
    package func onRecords(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.listeners.append(body) } }

    /// When the oldest batch that waits was begun, Unix milliseconds; `.max` when none waits.
    func oldestMilliseconds() async throws -> Int64 {
        try await database.read { try Int64.fetchOne($0, sql: "SELECT first_at FROM usage_outbox ORDER BY sequence LIMIT 1") ?? .max }
    }

    // MARK: Shipping

    /// The oldest batches with a number above `sequence`, in order. Blocks on SQLite.
    ///
    /// Until the control plane has answered once, only the first one is given out: its answer tells whether this database is an older
    /// copy of itself before many numbers are used twice.
    package func batches(after sequence: UInt64, limit: Int) throws -> (incarnation: String, batches: [OutboxBatch]) {
        try database.read { db in
            let (incarnation, isFirst) = state.withLock { ($0.incarnation, !$0.acknowledgedOnce) }
            let select = try db.cachedStatement(
                sql: "SELECT sequence, records, record_count FROM usage_outbox WHERE sequence > ? ORDER BY sequence LIMIT ?")
            let rows = try Row.fetchAll(
                select, arguments: [Int64(clamping: sequence), isFirst ? min(1, max(0, limit)) : max(0, limit)])
            let batches = rows.map { row in
                OutboxBatch(sequence: UInt64(clamping: row["sequence"] as Int64), records: row["records"], count: row["record_count"])
            }
            if let last = batches.last {
                state.withLock { $0.handedOut = max($0.handedOut, Int64(clamping: last.sequence)) }
            }
            return (incarnation, batches)
        }
    }

    /// The control plane has stored everything up to `sequence` of `incarnation`, with that mark in the same transaction.
    package func acknowledge(through sequence: UInt64, incarnation: String) throws -> Acknowledged {
        let stored = Int64(clamping: sequence)
        let (outcome, size): (Acknowledged, (rows: Int, bytes: Int)) = try database.write { db in
            let known = state.withLock { $0 }
            guard incarnation == known.incarnation else { return (.ignored, (0, 0)) }
            if stored > max(known.lastAtOpening, known.handedOut) {
                let fresh = Hex.encode(SecureRandom.bytes(16))
                let size = try beginIncarnation(db, fresh, stored: stored, lastAtOpening: known.lastAtOpening)
                return (.newIncarnation(fresh), size)
            }
            let size = try UsageTables.outboxSize(db, through: stored)
            if size.rows > 0 {
                try db.cachedStatement(sql: "DELETE FROM usage_outbox WHERE sequence <= ?").execute(arguments: [stored])
            }
            return (.removed(batches: size.rows), size)
        }
        counters.outboxRows.wrappingSubtract(size.rows, ordering: .relaxed)
        counters.outboxBytes.wrappingSubtract(size.bytes, ordering: .relaxed)
        switch outcome {
        case .removed:
            counters.acknowledgedBatches.wrappingAdd(UInt64(size.rows), ordering: .relaxed)
            state.withLock { $0.acknowledgedOnce = true }
        case .newIncarnation:
            counters.newIncarnations.wrappingAdd(1, ordering: .relaxed)
            notify()
        case .ignored:
            break
        }
        return outcome
    }

    /// The control plane has forgotten batches that it acknowledged (it was restored from an older backup) and would ask for them for
    /// ever. What is left here it does not have: that is numbered anew, from 1, under a new incarnation.
    package func restart() throws -> String {
        let fresh = Hex.encode(SecureRandom.bytes(16))
        try database.write { db in
            let last = try UsageTables.lastSequence(db)
            let first = try Int64.fetchOne(db, sql: "SELECT min(sequence) FROM usage_outbox") ?? last + 1
            _ = try beginIncarnation(db, fresh, stored: first - 1, lastAtOpening: first - 1)
        }
        counters.newIncarnations.wrappingAdd(1, ordering: .relaxed)
        notify()
        return fresh
    }

    /// The control plane has a batch of this number with other contents: another process works with a copy of this database. What was
    /// there before it is stored; that batch and all after it are numbered anew.
    package func fork(at sequence: UInt64, incarnation: String) throws -> Acknowledged {
        let last = Int64(clamping: sequence) - 1
        let (outcome, size): (Acknowledged, (rows: Int, bytes: Int)) = try database.write { db in
            guard last >= 0, incarnation == state.withLock({ $0.incarnation }) else { return (.ignored, (0, 0)) }
            let fresh = Hex.encode(SecureRandom.bytes(16))
            return (.newIncarnation(fresh), try beginIncarnation(db, fresh, stored: last, lastAtOpening: last))
        }
        guard outcome != .ignored else { return outcome }
        counters.outboxRows.wrappingSubtract(size.rows, ordering: .relaxed)
        counters.outboxBytes.wrappingSubtract(size.bytes, ordering: .relaxed)
        counters.newIncarnations.wrappingAdd(1, ordering: .relaxed)
        notify()
        return outcome
    }

    /// What this database held when it was opened had its numbers before it was copied, so up to `stored` the control plane has exactly
    /// that. Whatever was added since then it does not have, though it has others of the same numbers.
    private func beginIncarnation(
        _ db: Database, _ fresh: String, stored: Int64, lastAtOpening: Int64
    ) throws -> (rows: Int, bytes: Int) {
        let cut = min(stored, lastAtOpening)
        let size = try UsageTables.outboxSize(db, through: cut)
        let last = try UsageTables.lastSequence(db)
        try db.execute(sql: "DELETE FROM usage_outbox WHERE sequence <= ?", arguments: [cut])
        // By way of the negative numbers, so that no two rows ever have the same one.
        try db.execute(sql: "UPDATE usage_outbox SET sequence = -(sequence - ?)", arguments: [cut])
        try db.execute(sql: "UPDATE usage_outbox SET sequence = -sequence")
        try UsageTables.setLastSequence(db, last - cut)
        try LocalStore.setMeta(db, UsageTables.incarnationKey, fresh)
        try chains?.restart(fresh, in: db)
        db.afterNextTransaction { [self] _ in
            state.withLock { state in
                state.incarnation = fresh
                // Nothing was sent under it yet.
                state.lastAtOpening = 0
                state.handedOut = 0
                state.sealed = 0
                state.acknowledgedOnce = false
            }
        }
        return size
    }

    // MARK: Filling

    /// Adds finished records in the caller's transaction.
    func insert(_ records: RecordBuffer, _ limits: JournalFolder.Limits, _ nowMs: Int64, in db: Database) throws -> Change {
        var change = Change()
        var last = try UsageTables.lastSequence(db)
        try chains?.add(records, incarnation: incarnation, nowMs, in: db)
        var index = try fillUp(last, records, limits, &change, in: db)
        while index < records.entries.count {
            let first = records.entries[index]
            var end = index + 1
            while end < records.entries.count, end - index < limits.recordsPerBatch,
                records.entries[end].end - first.start <= limits.bytesPerBatch
            { end += 1 }
            let range = first.start..<records.entries[end - 1].end
            last += 1
            let batch = records.data(range) + (chains == nil ? [] : UsageChains.mark)
            try UsageTables.insertBatch(db, sequence: last, records: batch, count: end - index, firstAt: nowMs)
            change.rows += 1
            change.bytes += batch.count
            index = end
        }
        if change.rows > 0 { try UsageTables.setLastSequence(db, last) }
        return change
    }

    /// Adds records to the last batch while it is small and nobody has seen it.
    /// - Returns: how many.
    private func fillUp(
        _ last: Int64, _ records: RecordBuffer, _ limits: JournalFolder.Limits, _ change: inout Change, in db: Database
    ) throws -> Int {
        let seen = state.withLock { max($0.handedOut, $0.lastAtOpening, $0.sealed) }
        guard last > seen, let row = try UsageTables.batch(db, last), row.records.count < limits.bytesToFillUp else { return 0 }
        var end = 0
        while end < records.entries.count, row.count + end < limits.recordsPerBatch,
            row.records.count + records.entries[end].end <= limits.bytesToFillUp
        { end += 1 }
        guard end > 0 else { return 0 }
        let added = records.data(0..<records.entries[end - 1].end)
        try UsageTables.replaceBatch(db, sequence: last, records: row.records + added, count: row.count + end)
        change.bytes += added.count
        return end
    }

    // MARK: Signing

    /// Signs the chains that are due; their heads travel with the last batch, or in one of their own.
    /// - Parameter everything: before a stop: also those that could wait.
    /// - Throws: what SQLite refused; nothing is signed then.
    package func sign(everything: Bool, _ nowMs: Int64) throws {
        guard let chains else { return }
        let due: UsageChains.Due = everything ? .everything : .now
        let month = UsageChains.monthBegin(nowMs)
        let withMonth = state.withLock { $0.signedMonth != month }
        while try database.read({ db in
            try chains.isDue(due, nowMs, in: db) || withMonth && chains.isMonthOpen(nowMs, in: db)
        }) {
            let change = try database.write { db in
                let heads = try chains.sign(due, withMonth: withMonth, incarnation: incarnation, nowMs, in: db)
                return heads.isEmpty ? nil : try insert(heads, nowMs, in: db)
            }
            guard let change else { break }
            added(change)
        }
        state.withLock { $0.signedMonth = month }
    }

    private func insert(_ heads: [UInt8], _ nowMs: Int64, in db: Database) throws -> Change {
        let last = try UsageTables.lastSequence(db)
        let seen = state.withLock { max($0.handedOut, $0.lastAtOpening) }
        if last > seen, let row = try UsageTables.batch(db, last) {
            try UsageTables.replaceBatch(db, sequence: last, records: row.records + heads, count: row.count)
            state.withLock { $0.sealed = last }
            return Change(rows: 0, bytes: heads.count)
        }
        let batch = Data(UsageChains.mark + heads)
        try UsageTables.insertBatch(db, sequence: last + 1, records: batch, count: 0, firstAt: nowMs)
        try UsageTables.setLastSequence(db, last + 1)
        state.withLock { $0.sealed = last + 1 }
        return Change(rows: 1, bytes: batch.count)
    }

    /// The transaction is committed.
    func added(_ change: Change) {
        if change.rows == 0, change.bytes == 0 { return }
        counters.outboxRows.wrappingAdd(change.rows, ordering: .relaxed)
        counters.outboxBytes.wrappingAdd(change.bytes, ordering: .relaxed)
        notify()
    }

    private func notify() {
        for listener in state.withLock({ $0.listeners }) { listener() }
    }
}

extension RecordBuffer {
    func data(_ range: Range<Int>) -> Data { bytes.withUnsafeBytes { Data($0[range]) } }
}
