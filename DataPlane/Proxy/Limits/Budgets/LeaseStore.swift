import Contract
import Foundation
package import GRDB
import Leases
import Primitives
import SwiftProtobuf
import Synchronization

/// The slices on this data plane's disk. Whatever changes them is a transaction that also steps the mark which the witness has to match.
///
/// Records that were served from slices are folded here, in the transaction that puts them into the outbox: what a slice has spent is exactly
/// what its records say.
package final class LeaseStore: FoldParticipant {
    private let store: LocalStore
    private let witness: LeaseWitness
    private let state: Mutex<State>
    /// Some slice is, or was, on the disk. Else no record holds anything, and none is looked through.
    private let mayHold: Atomic<Bool>

    private struct State {
        var mark: ContinuityMark
        /// As it was found.
        let foundStep: UInt64
        let found: (mark: ContinuityMark, begun: UInt64)?
        var previousBoot = ""
    }

    private enum Key {
        static let boot = "lease_boot"
        static let step = "lease_step"
        static let holds = "lease_holds"
        static let hello = "lease_hello"
        static let epoch = "lease_epoch"
    }

    init(store: LocalStore) throws {
        self.store = store
        witness = LeaseWitness(stateFolder: store.directory)
        let (mark, isUsed) = try store.read { db in
            (try Self.mark(db), try Int.fetchOne(db, sql: "SELECT 1 FROM lease_slice LIMIT 1") != nil)
        }
        mayHold = Atomic(isUsed)
        state = Mutex(State(mark: mark, foundStep: mark.step, found: witness.read()))
    }

    private static func mark(_ db: Database) throws -> ContinuityMark {
        ContinuityMark(
            boot: try LocalStore.meta(db, Key.boot) ?? "", step: try number(Key.step, db), holds: try number(Key.holds, db))
    }

    private static func number(_ key: String, _ db: Database) throws -> UInt64 {
        try LocalStore.meta(db, key).flatMap { UInt64($0) } ?? 0
    }

    /// Once everything that an earlier process left is folded, and before anything is reserved: judges whether this process may go on with
    /// what the last one held. If not, it takes a new name, and the slices are orphans.
    /// - Returns: how many of them.
    func judge() throws -> Int {
        let (found, step, boot) = state.withLock { ($0.found, $0.foundStep, $0.mark.boot) }
        let (mark, orphans, isContinued) = try store.write { db in
            var mark = try Self.mark(db)
            if ContinuityMark.isContinued(disk: mark, found: step, witness: found?.mark, begun: found?.begun ?? 0) {
                return (mark, 0, true)
            }
            mark = ContinuityMark(boot: Hex.encode(SecureRandom.bytes(16)), step: mark.step &+ 1)
            try LocalStore.setMeta(db, Key.boot, mark.boot)
            try LocalStore.setMeta(db, Key.step, String(mark.step))
            try LocalStore.setMeta(db, Key.holds, "0")
            try db.execute(sql: "UPDATE lease_slice SET state = 2, changed = ? WHERE state = 0", arguments: [Int64(bitPattern: mark.step)])
            return (mark, db.changesCount, false)
        }
        state.withLock { state in
            state.mark = mark
            if !isContinued { state.previousBoot = boot }
        }
        witness.begin(mark)
        return orphans
    }

    var previousBoot: String { state.withLock { $0.previousBoot } }

    /// Parts of holds are in the journal, before what they are for leaves.
    func wroteDown(_ parts: Int) { witness.add(holds: UInt64(parts)) }

    var boot: String { state.withLock { $0.mark.boot } }

    // MARK: Transactions

    private func change<R>(_ body: (Database, Int64) throws -> R) throws -> R {
        try store.write { db in
            let step = try begin(db)
            return try body(db, step)
        }
    }

    /// Steps the mark within a transaction, and tells the witness before and after.
    private func begin(_ db: Database) throws -> Int64 {
        let disk = try Self.number(Key.step, db)
        let next = disk &+ 1
        try LocalStore.setMeta(db, Key.step, String(next))
        witness.begins(step: next, after: disk)
        db.afterNextTransaction { [witness] _ in witness.isOnDisk(step: next) }
        return Int64(bitPattern: next)
    }

    // MARK: The link

    /// The number of a stream's hello, and for which epoch everything was told.
    func nextHello() throws -> (number: UInt64, epoch: UInt64) {
        try change { db, _ in
            let number = try Self.number(Key.hello, db) &+ 1
            try LocalStore.setMeta(db, Key.hello, String(number))
            return (number, try Self.number(Key.epoch, db))
        }
    }

    func told(epoch: UInt64) throws { try change { db, _ in try LocalStore.setMeta(db, Key.epoch, String(epoch)) } }

    /// A grant, before anything is reserved from it.
    /// - Returns: nil for one that is known.
    func add(_ slice: HeldSlice, unit: Int) throws -> HeldSlice? {
        mayHold.store(true, ordering: .releasing)
        return try change { db, step in
            let known = try Int.fetchOne(db, sql: "SELECT count(*) FROM lease_slice WHERE id = ?", arguments: [slice.id.rawValue]) ?? 0
            guard known == 0 else { return nil }
            try db.execute(
                sql: """
                    INSERT INTO lease_slice (id, budget, period, unit, boot, granted, ceiling, spent, unknown, state, expires, epoch, changed, told)
                    VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, 0, ?, ?, ?, 0)
                    """,
                arguments: [
                    slice.id.rawValue, slice.account.budget.rawValue, slice.account.periodStart, unit, slice.boot, slice.granted,
                    slice.ceiling, slice.expires, Int64(bitPattern: slice.epoch), step,
                ])
            return slice
        }
    }

    /// What this process may reserve from, once everything that the last one left is folded.
    func open() throws -> [(slice: HeldSlice, unit: Int)] {
        try store.read { db in
            try Row.fetchAll(db, sql: "SELECT * FROM lease_slice WHERE state = 0 AND boot = ?", arguments: [boot]).compactMap { row in
                Self.slice(row).map { ($0, row["unit"]) }
            }
        }
    }

    /// - Returns: those that are closed now.
    func apply(_ changes: [SliceChange]) throws -> [HeldSlice] {
        try change { db, step in
            var closed: [HeldSlice] = []
            for change in changes {
                switch change {
                case .lowered(let id, let ceiling):
                    guard var slice = try Self.slice(id, db) else { continue }
                    slice.lower(to: ceiling)
                    try Self.put(slice, step, db)
                case .closing(let id, let spent, let unknown):
                    guard var slice = try Self.slice(id, db), slice.close(spent: spent, unknown: unknown) else { continue }
                    try Self.put(slice, step, db)
                    closed.append(slice)
                }
            }
            return closed
        }
    }

    /// The control plane counts these as held no more.
    func void(_ ids: [SliceID]) throws -> [HeldSlice] {
        guard !ids.isEmpty else { return [] }
        return try change { db, step in
            try ids.compactMap { id in
                guard var slice = try Self.slice(id, db), slice.state == .open else { return nil }
                slice.orphan()
                try Self.put(slice, step, db)
                return slice
            }
        }
    }

    enum Selection {
        /// Not yet told as they are.
        case changed
        /// All that a hello has to name.
        case held
        /// All that is kept.
        case all
    }

    /// - Returns: the reports, and the step up to which they tell.
    func reports(_ selection: Selection) throws -> (reports: [SliceReport], step: Int64) {
        try store.read { db in
            let condition =
                switch selection {
                case .changed: "WHERE changed > told"
                case .held: "WHERE state <> 1 OR changed > told"
                case .all: ""
                }
            let rows = try Row.fetchAll(db, sql: "SELECT * FROM lease_slice \(condition) ORDER BY changed, id")
            let step = try Self.number(Key.step, db)
            return (rows.compactMap { Self.slice($0)?.report }, Int64(bitPattern: step))
        }
    }

    /// The control plane has stored what was reported up to a step. Closed slices are kept for as long as a backup may lack them.
    func told(_ slices: [SliceID], through step: Int64, nowMilliseconds now: Int64) throws {
        try store.write { db in
            for id in slices {
                try db.execute(sql: "UPDATE lease_slice SET told = max(told, ?) WHERE id = ?", arguments: [step, id.rawValue])
            }
            try db.execute(
                sql: "DELETE FROM lease_slice WHERE state <> 0 AND changed <= told AND expires < ?",
                arguments: [now - Self.keptMilliseconds])
        }
    }

    /// After a slice's expiry.
    private static let keptMilliseconds: Int64 = 35 * 86_400_000

    // MARK: Folding

    package func fold(_ records: FoldedRecords, in database: Database) throws {
        guard mayHold.load(ordering: .acquiring) else { return }
        var step: Int64?
        var holds = 0
        // Many records spend from few slices: each is read and written once.
        var touched = TouchedSlices(database)
        var charges: [HoldCharge] = []
        try records.forEach { _, bytes in
            charges.removeAll(keepingCapacity: true)
            guard let progressRecords = HoldCharge.read(bytes, into: &charges) else { return }
            if step == nil { step = try begin(database) }
            holds += Int(progressRecords)
            if charges.isEmpty {
                // Cut short: what was held says the rest.
                guard let record = try? Weir_V1_UsageRecord(serializedBytes: Array(bytes)) else { return }
                holds += record.holds.count + record.extensions.count
                charges = try Self.charges(record, &touched)
            } else {
                holds += charges.count
            }
            for charge in charges { touched.charge(charge) }
        }
        guard holds > 0, let step else { return }
        for slice in try touched.charged() { try Self.put(slice, step, database) }
        let before = try Self.number(Key.holds, database)
        try LocalStore.setMeta(database, Key.holds, String(before &+ UInt64(holds)))
    }

    /// The slices that a fold meets.
    private struct TouchedSlices {
        private let database: Database
        /// Nil for one that is not kept any more.
        private var known: [SliceID: (slice: HeldSlice, unit: Int)?] = [:]
        private var sums: [SliceID: (spent: Int64, unknown: Int64)] = [:]

        init(_ database: Database) { self.database = database }

        /// As it stands on the disk.
        mutating func find(_ id: SliceID) throws -> (slice: HeldSlice, unit: Int)? {
            if let known = known[id] { return known }
            let select = try database.cachedStatement(sql: "SELECT * FROM lease_slice WHERE id = ?")
            let found = try Row.fetchOne(select, arguments: [id.rawValue]).flatMap { row in
                LeaseStore.slice(row).map { (slice: $0, unit: row["unit"] as Int) }
            }
            known[id] = .some(found)
            return found
        }

        mutating func charge(_ charge: HoldCharge) {
            let sum = sums[charge.slice, default: (0, 0)]
            // Each is clamped, and a fold has far fewer than would overflow them.
            sums[charge.slice] = (
                LeaseAmount.clamped(sum.spent + LeaseAmount.clamped(charge.spent)),
                LeaseAmount.clamped(sum.unknown + LeaseAmount.clamped(charge.unknown))
            )
        }

        mutating func charged() throws -> [HeldSlice] {
            try sums.compactMap { id, sum in
                guard var slice = try find(id)?.slice else { return nil }
                slice.charge(spent: sum.spent, unknown: sum.unknown)
                return slice
            }
        }
    }

    /// What a record without charges says of the slices that it held. One that was cut short by the process's death says nothing: what is known of its cost is
    /// spent, the rest of what it held is not known; of a budget that counts what is likely, as much of it as its stream has likely come to.
    private static func charges(
        _ record: Weir_V1_UsageRecord, _ touched: inout TouchedSlices
    ) throws -> [HoldCharge] {
        var accounts: [AccountKey: (unit: Int, slices: [SliceID], held: [Int64], likely: Int64)] = [:]
        for hold in record.holds + record.extensions {
            guard let id = SliceID(hold.slice), let (slice, unit) = try touched.find(id) else { continue }
            var entry = accounts[slice.account] ?? (unit, [], [], 0)
            entry.slices.append(id)
            entry.held.append(hold.amount)
            entry.likely = max(entry.likely, LeaseAmount.clamped(hold.unknown))
            accounts[slice.account] = entry
        }
        return accounts.values.flatMap { entry in
            let tokens = LeaseAmount.clamped(record.inputTokens) + LeaseAmount.clamped(record.outputTokens)
            let unit = Weir_V1_BudgetUnit(rawValue: entry.unit) ?? .unspecified
            let spent = unit.amount(cost: record.costNano, tokens: tokens, requests: record.isUnsentUpload ? 0 : 1)
            let later = unit.amount(cost: record.likelyCostNano, tokens: record.likelyTokens, requests: 0)
            let most: Int64? = entry.likely > 0 ? (later > 0 ? later : entry.likely) : nil
            let parts = HoldDivision.divide(entry.held, spent: spent, isKnown: record.isUnsentUpload, most: most).parts
            return zip(entry.slices, parts).map { HoldCharge(slice: $0, spent: $1.spent, unknown: $1.unknown) }
        }
    }

    // MARK: Rows

    private static func slice(_ id: SliceID, _ db: Database) throws -> HeldSlice? {
        let select = try db.cachedStatement(sql: "SELECT * FROM lease_slice WHERE id = ?")
        return try Row.fetchOne(select, arguments: [id.rawValue]).flatMap(slice)
    }

    private static func slice(_ row: Row) -> HeldSlice? {
        let state: Int = row["state"]
        let epoch: Int64 = row["epoch"]
        guard let id = SliceID(rawValue: row["id"]), let account = AccountKey(BudgetID(row["budget"]), periodStart: row["period"]),
            let state = SliceReport.State(rawValue: state)
        else { return nil }
        return HeldSlice(
            SliceReport(
                slice: id, account: account, boot: row["boot"], granted: row["granted"], ceiling: row["ceiling"], spent: row["spent"],
                unknown: row["unknown"], state: state, expires: row["expires"], epoch: UInt64(bitPattern: epoch)))
    }

    private static func put(_ slice: HeldSlice, _ step: Int64, _ db: Database) throws {
        try db.cachedStatement(
            sql: "UPDATE lease_slice SET ceiling = ?, spent = ?, unknown = ?, state = ?, changed = ? WHERE id = ?"
        ).execute(arguments: [slice.ceiling, slice.spent, slice.unknown, slice.state.rawValue, step, slice.id.rawValue])
    }
}

/// What became of a part of a hold, as a completion says it (`weir.v1.SliceAmount` in `UsageRecord.charges`).
private struct HoldCharge {
    let slice: SliceID
    let spent: Int64
    let unknown: Int64

    /// Reads the charges of a record; its other fields are passed over.
    /// - Returns: how many records of what is likely were written of it; nil for one that has held nothing, or is malformed.
    static func read(_ record: UnsafeRawBufferPointer, into charges: inout [HoldCharge]) -> UInt32? {
        var reader = WireReader(record)
        var hasHolds = false
        var progress: UInt32 = 0
        do {
            while let field = try reader.next() {
                if field.number == UInt64(UsageField.charges.rawValue) {
                    if let charge = try HoldCharge(reader.bytes(field)) { charges.append(charge) }
                } else if field.number == UInt64(UsageField.progressRecords.rawValue) {
                    progress = UInt32(truncatingIfNeeded: try reader.varint(field))
                } else {
                    if field.number == UInt64(UsageField.holds.rawValue) { hasHolds = true }
                    try reader.skip(field)
                }
            }
        } catch {
            return nil
        }
        return hasHolds ? progress : nil
    }

    init(slice: SliceID, spent: Int64, unknown: Int64) {
        self.slice = slice
        self.spent = spent
        self.unknown = unknown
    }

    /// Nil for what names no slice.
    private init?(_ bytes: UnsafeRawBufferPointer) throws(WireReader.Malformed) {
        var reader = WireReader(bytes)
        var (id, spent, unknown): (UInt64, Int64, Int64) = (0, 0, 0)
        while let field = try reader.next() {
            switch field.number {
            case 1: id = try reader.fixed64(field)
            case 2: spent = try reader.int64(field)
            case 3: unknown = try reader.int64(field)
            default: try reader.skip(field)
            }
        }
        guard let slice = SliceID(id) else { return nil }
        self.init(slice: slice, spent: spent, unknown: unknown)
    }
}

extension LocalMigration {
    static let leases = LocalMigration(
        name: "0145 leases",
        sql: """
            -- Slices of budgets: what this data plane was granted, and what became of it. `changed` and `told` are steps of meta's lease_step.
            CREATE TABLE lease_slice (
                id INTEGER PRIMARY KEY, budget TEXT NOT NULL, period INTEGER NOT NULL, unit INTEGER NOT NULL, boot TEXT NOT NULL,
                granted INTEGER NOT NULL, ceiling INTEGER NOT NULL, spent INTEGER NOT NULL, unknown INTEGER NOT NULL, state INTEGER NOT NULL,
                expires INTEGER NOT NULL, epoch INTEGER NOT NULL, changed INTEGER NOT NULL, told INTEGER NOT NULL);
            """)
}
