import Contract
import Foundation
import GRDB
import Primitives
import Proxy
import Synchronization
import Trust

/// A data plane's usage path over a disk that fails, with a control plane that stores what it is sent, and a model that knows which
/// records may and which must arrive. One seed is one run.
final class UsageSimulation {
    struct Violation: Error, CustomStringConvertible {
        var description: String
    }

    /// What may become of a request.
    struct Fate {
        var intent: [UInt8]
        var completion: [UInt8]?
        var progress: Set<[UInt8]> = [[]]
        var boot: Int
        var loop: Int
        /// The record may be absent, closed as interrupted, or complete.
        var mayVanish = true
        var mayBeInterrupted = false
        var mayBeComplete = false
    }

    /// What one loop has done since its last flush.
    private struct Tick {
        var intents: Set<RequestID> = []
        var completions: Set<RequestID> = []
        /// In order.
        var progress: [RequestID: [[UInt8]]] = [:]
        var notes: Set<RequestID> = []
    }

    /// What is no record: of a kind that the participant takes, of one that nobody knows, and of one that may be lost.
    struct Note {
        var kind: JournalFrame.Kind
        var mayVanish = true
    }

    static let taken = JournalFrame.Kind(rawValue: 20)
    static let strange = JournalFrame.Kind(rawValue: 99)
    static let idle = JournalFrame.Kind(rawValue: 200)

    let seed: UInt64
    var random: SeededGenerator
    let disk: UsageSimulatedDisk
    let database: DatabaseQueue
    let settings: JournalSettings
    let limits: JournalFolder.Limits
    let withErrors: Bool
    /// Whether segments are written through memory; a file system does or does not.
    let maps: Bool
    /// Of a hundred steps; the fewer, the more is written at once.
    let flushes: Int
    let participant: SimulatedParticipant

    private(set) var fates: [RequestID: Fate] = [:]
    private var notes: [RequestID: Note] = [:]
    private var boot = 0
    private var shared: JournalShared?
    private var keeper: JournalKeeper?
    private var folder: JournalFolder?
    private var outbox: UsageOutboxStore?
    private var journals: [UsageJournal] = []
    private var ticks: [Tick] = []
    private var held: [Set<RequestID>] = []
    /// Of each loop's requests of this boot, those without a completion.
    private var open: [[RequestID]] = []
    /// Refused, but perhaps still in a file that could not be cut back; until the loop has written elsewhere.
    private var limbo: [Set<RequestID>] = []

    private var controlPlane = SimulatedControlPlane()
    private(set) var delivered: [RequestID: [UInt8]] = [:]
    private(set) var statistics = Statistics()

    struct Statistics {
        var complete = 0
        var interrupted = 0
        var kills = 0
        var failedFlushes = 0
        var refusals = 0
        var failedFolds = 0
        var renames = 0
        var heads = 0
    }

    static let suffix: [UInt8] = {
        var encoder = UsageEncoder()
        encoder.always(.status, 2)
        encoder.always(.errorOrigin, 2)
        encoder.field(.errorCode, "interrupted")
        encoder.always(.flags, UInt64(UsageFlags([.interrupted, .estimated]).rawValue))
        encoder.always(.costNano, 777)
        return encoder.buffer
    }()

    static let signer = UsageSigner(dataPlaneID: "dp_sim", key: IdentityKey(), interval: 0)
    static let tenants = ["ten_a", "ten_b", "ten_c"]

    static let tables = ["meta", "counted", "usage_outbox", "pending_usage", "journal_folded", "journal_kept", "noted", "usage_chains"]

    /// In memory, without durability: a transaction is there or not, and SQLite is not what is tested.
    static func makeDatabase() throws -> DatabaseQueue {
        let database = try DatabaseQueue()
        try database.write { db in
            try db.execute(sql: "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
            try db.execute(sql: "CREATE TABLE counted (id BLOB PRIMARY KEY)")
            try db.execute(sql: "CREATE TABLE noted (id BLOB PRIMARY KEY)")
            try db.execute(sql: LocalMigration.usage.sql)
            try db.execute(sql: LocalMigration.usageNotes.sql)
            try db.execute(sql: LocalMigration.usageChains.sql)
        }
        return database
    }

    /// - Parameter database: emptied first; one serves many seeds.
    init(seed: UInt64, database: DatabaseQueue) throws {
        self.seed = seed
        var random = SeededGenerator(seed: seed)
        disk = UsageSimulatedDisk(seed: random.next())
        self.database = database
        try database.write { db in
            for table in Self.tables { try db.cachedStatement(sql: "DELETE FROM \(table)").execute() }
        }
        var settings = JournalSettings()
        settings.maximumRecordBytes = 256
        settings.completionReserve = Int.random(in: 64...128, using: &random)
        settings.segmentBytes = Int.random(in: 1200...5000, using: &random)
        settings.maximumBytes = settings.segmentBytes * Int.random(in: 8...16, using: &random)
        self.settings = settings
        var limits = JournalFolder.Limits()
        limits.recordsPerBatch = Int.random(in: 1...12, using: &random)
        limits.bytesPerBatch = Int.random(in: 100...2000, using: &random)
        limits.bytesPerFold = Int.random(in: 200...6000, using: &random)
        limits.bytesToFillUp = Int.random(in: 0...600, using: &random)
        self.limits = limits
        flushes = Int.random(in: 4...17, using: &random)
        withErrors = Int.random(in: 0..<2, using: &random) == 0
        maps = Bool.random(using: &random)
        participant = SimulatedParticipant(disk: disk, seed: random.next())
        self.random = random
    }

    // MARK: Running

    func run(steps: Int) throws {
        disk.setFaults(faults())
        start()
        for _ in 0..<steps {
            try step()
            if disk.isDead { try die() }
        }
        try finish()
    }

    private func faults() -> UsageSimulatedDisk.Faults {
        UsageSimulatedDisk.Faults(
            shortWrites: pick(4) == 0 ? 200 : 0, errors: withErrors ? pick(3) * 20 : 0, writeErrors: withErrors ? pick(3) * 200 : 0,
            stuckTruncations: withErrors ? pick(2) * 700 : 0,
            reservingExtends: pick(3) == 0, maps: maps)
    }

    private func pick(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }

    private func start() {
        disk.revive()
        boot += 1
        let loops = 1 + pick(3)
        let counters = UsageCounters()
        ticks = Array(repeating: Tick(), count: loops)
        held = Array(repeating: [], count: loops)
        open = Array(repeating: [], count: loops)
        limbo = Array(repeating: [], count: loops)
        journals = []
        controlPlane.reconnect()
        // Opening retries whatever fails, as a supervisor that starts the process again would.
        do {
            let shared = try JournalShared(
                directory: "j", settings: settings, loops: loops, files: disk, boot: random.next(),
                salt: UInt32.random(in: 1...9, using: &random))
            let outbox = try UsageOutboxStore(database: database, counters: counters, incarnation: "one", signer: Self.signer)
            self.shared = shared
            self.outbox = outbox
            keeper = JournalKeeper(shared: shared)
            folder = JournalFolder(
                shared: shared, database: database, outbox: outbox, counters: counters, participants: [participant], limits: limits,
                clock: ManualClock(milliseconds: 1),
                estimate: { _ in
                    var encoder = UsageEncoder()
                    encoder.always(.costNano, 777)
                    return encoder.buffer
                }, report: { _ in })
            journals = try (0..<loops).map { try UsageJournal(directory: "j", loop: $0, settings: settings, shared: shared) }
        } catch {
            disk.dieNow()
        }
    }

    private func step() throws {
        let loop = pick(ticks.count)
        guard journals.indices.contains(loop) else { return }
        switch pick(100) {
        case 0..<26: intent(loop)
        case 26..<30: note(loop)
        case 30..<38: progress(loop)
        case 38..<58: completion(loop)
        case 58..<61: try abandon(loop)
        case 61..<61 + flushes: try flush(loop)
        case 61..<83: try fold()
        case 83..<87: keeper?.step()
        case 87..<88: try outbox?.sign(everything: pick(2) == 0, 1)
        case 88..<92: try ship()
        case 92..<94: disk.setFaults(faults())
        case 94..<96: disk.setFree(pick(3) == 0 ? nil : pick(6000))
        case 96..<97: try close()
        default:
            if pick(seed.isMultiple(of: 4) ? 30 : 3) == 0 { disk.die(afterOperations: pick(12)) }
        }
    }

    // MARK: The data plane

    private func intent(_ loop: Int) {
        let id = RequestID.random(using: &random)
        var encoder = UsageEncoder()
        encoder.field(.requestID, high: id.high, low: id.low)
        encoder.field(.tenantID, Array(Self.tenants[pick(3)].utf8))
        encoder.field(.model, [UInt8]((0..<pick(140)).map { _ in UInt8.random(in: 0...255, using: &random) & 0x7F }))
        let bytes = encoder.buffer
        do {
            try bytes.withUnsafeBytes { try journals[loop].intent(id, $0) }
            fates[id] = Fate(intent: bytes, boot: boot, loop: loop)
            ticks[loop].intents.insert(id)
            open[loop].append(id)
        } catch {
            statistics.refusals += 1
        }
    }

    private func note(_ loop: Int) {
        let subject = RequestID.random(using: &random)
        let kind = [Self.taken, Self.strange, Self.idle][pick(3)]
        do {
            try [UInt8](repeating: 7, count: pick(100)).withUnsafeBytes { try journals[loop].note(kind, subject, $0) }
            notes[subject] = Note(kind: kind)
            ticks[loop].notes.insert(subject)
        } catch {
            statistics.refusals += 1
        }
    }

    private func openRequest(_ loop: Int) -> RequestID? { open[loop].randomElement(using: &random) }

    private func progress(_ loop: Int) {
        guard let id = openRequest(loop), let shared else { return }
        let skipped = shared.totals.skippedProgress
        var encoder = UsageEncoder()
        encoder.always(.outputTokens, UInt64(pick(100_000)))
        encoder.buffer.withUnsafeBytes { journals[loop].progress(id, $0) }
        if shared.totals.skippedProgress == skipped { ticks[loop].progress[id, default: []].append(encoder.buffer) }
    }

    private func completion(_ loop: Int) {
        guard let id = openRequest(loop) else { return }
        var encoder = UsageEncoder()
        encoder.always(.status, 1)
        encoder.always(.inputTokens, UInt64(pick(1_000_000)))
        encoder.field(.upstreamModel, [UInt8](repeating: 97, count: pick(settings.completionReserve - 20)))
        encoder.buffer.withUnsafeBytes { journals[loop].completion(id, $0) }
        fates[id]?.completion = encoder.buffer
        open[loop].removeAll { $0 == id }
        ticks[loop].completions.insert(id)
    }

    private func abandon(_ loop: Int) throws {
        guard let id = openRequest(loop) else { return }
        let isBuffered = ticks[loop].intents.contains(id)
        guard journals[loop].abandon(id) == isBuffered else {
            throw Violation(description: "\(id) was taken back after its flush, or was not before it")
        }
        guard isBuffered else { return }
        open[loop].removeAll { $0 == id }
        ticks[loop].intents.remove(id)
        ticks[loop].progress[id] = nil
        fates[id] = nil
    }

    private func flush(_ loop: Int) throws {
        let tick = ticks[loop]
        let stuck = disk.failedTruncations
        ticks[loop] = Tick()
        var failed = false
        do { try journals[loop].flush() } catch { failed = true }
        held[loop].formUnion(tick.completions)
        if disk.isDead {
            // Any part of it may have been written.
            for id in tick.intents { fates[id]?.mayBeInterrupted = true }
            for id in held[loop] { fates[id]?.mayBeComplete = true }
            for (id, progress) in tick.progress { fates[id]?.progress.formUnion(progress) }
            return
        }
        if failed {
            // Cut off again, unless that failed too.
            if disk.failedTruncations == stuck { for subject in tick.notes { notes[subject] = nil } }
            statistics.failedFlushes += 1
            for id in tick.intents {
                // Cut off again, unless that failed too; and nobody tries to end it.
                if disk.failedTruncations > stuck {
                    limbo[loop].insert(id)
                    fates[id]?.mayBeInterrupted = true
                    fates[id]?.mayBeComplete = tick.completions.contains(id)
                } else {
                    fates[id] = nil
                }
                open[loop].removeAll { $0 == id }
                held[loop].remove(id)
            }
            for (id, progress) in tick.progress { fates[id]?.progress.formUnion(progress) }
        } else {
            for subject in tick.notes { notes[subject]?.mayVanish = false }
            for id in tick.intents {
                fates[id]?.mayVanish = false
                fates[id]?.mayBeInterrupted = true
            }
            for (id, progress) in tick.progress { fates[id]?.progress = Set(progress.suffix(1)) }
        }
        if !journals[loop].hasBuffered {
            if !failed, !tick.intents.isEmpty || !tick.completions.isEmpty {
                for id in limbo[loop] { fates[id] = nil }
                limbo[loop] = []
            }
            for id in held[loop] {
                fates[id]?.mayBeComplete = true
                fates[id]?.mayBeInterrupted = false
            }
            held[loop] = []
        } else {
            if !withErrors { throw Violation(description: "a completion found no space") }
            for id in held[loop] { fates[id]?.mayBeComplete = true }
        }
    }

    private func fold() throws {
        do { _ = try folder?.foldOnce() } catch { statistics.failedFolds += 1 }
    }

    /// A graceful stop, and another start.
    private func close() throws {
        for loop in journals.indices {
            try flush(loop)
            if disk.isDead { return }
        }
        for loop in journals.indices where journals[loop].hasBuffered {
            for id in held[loop] { fates[id]?.mayBeComplete = true }
        }
        for journal in journals { journal.close() }
        keeper?.step()
        disk.dieNow()
    }

    private func die() throws {
        statistics.kills += 1
        // Never written: as if they had not been.
        for tick in ticks {
            for id in tick.intents { fates[id] = nil }
            for subject in tick.notes { notes[subject] = nil }
        }
        start()
    }

    // MARK: The control plane

    /// Takes some batches in, answers or not.
    private func ship() throws {
        guard let outbox else { return }
        let (incarnation, batches) = try outbox.batches(after: controlPlane.sent, limit: 1 + pick(5))
        for batch in batches {
            for record in try controlPlane.receive(batch) { try take(record) }
        }
        if pick(3) > 0, controlPlane.sent > 0 {
            guard case .removed = try outbox.acknowledge(through: controlPlane.mark, incarnation: incarnation) else {
                throw Violation(description: "an acknowledgement of \(controlPlane.mark) was not understood")
            }
            controlPlane.wasHeard()
        }
    }

    private func take(_ record: [UInt8]) throws {
        guard record.count >= 18, let id = RequestID(bytes: record[2..<18]) else { throw Violation(description: "a record has no id") }
        guard let fate = fates[id] else { throw Violation(description: "\(id) was never accepted") }
        if delivered.updateValue(record, forKey: id) != nil { throw Violation(description: "\(id) arrived twice") }
        if let completion = fate.completion, record == fate.intent + completion {
            guard fate.mayBeComplete else { throw Violation(description: "\(id) arrived complete, but was not flushed") }
            statistics.complete += 1
        } else if fate.progress.contains(where: { record == fate.intent + $0 + Self.suffix }) {
            guard fate.mayBeInterrupted else { throw Violation(description: "\(id) was complete, and arrived as interrupted") }
            guard fate.boot < boot else { throw Violation(description: "\(id) was closed while its process lived") }
            statistics.interrupted += 1
        } else {
            let tail = record.dropFirst(fate.intent.count)
            throw Violation(description: "\(id) arrived with other bytes: \(Array(tail)) instead of \(fate)")
        }
    }

    // MARK: The end

    /// All faults cease; the process dies once more, starts again, and everything has to arrive.
    private func finish() throws {
        disk.setFaults(.init())
        disk.setFree(nil)
        participant.calm()
        disk.dieNow()
        try die()
        for _ in 0..<10_000 {
            guard let folder, let outbox else { throw Violation(description: "did not start") }
            let outcome = try folder.foldOnce()
            keeper?.step()
            try ship()
            if outcome.isDrained, try outbox.batches(after: controlPlane.mark, limit: 1).batches.isEmpty { break }
        }
        try outbox?.sign(everything: true, 1)
        while let outbox, try !outbox.batches(after: controlPlane.mark, limit: 1).batches.isEmpty { try ship() }
        statistics.heads = try controlPlane.checkSigned()
        for (id, fate) in fates where !fate.mayVanish && delivered[id] == nil {
            throw Violation(description: "\(id) of boot \(fate.boot) never arrived (complete: \(fate.mayBeComplete))")
        }
        try checkNotes()
        statistics.renames = disk.renames
        let counted = try database.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM counted") ?? 0 }
        if counted != delivered.count { throw Violation(description: "\(counted) counted, \(delivered.count) delivered") }
        let pending = try database.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM pending_usage") ?? 0 }
        if pending != 0 { throw Violation(description: "\(pending) intents are still pending") }
        let damaged = disk.names.filter { !$0.hasSuffix(".journal") && !$0.hasSuffix(".recycled") }
        if !damaged.isEmpty { throw Violation(description: "damage was found where there is none: \(damaged)") }
    }

    /// Each note is where it belongs, once, and no other is.
    private func checkNotes() throws {
        let (noted, kept) = try database.read { db in
            (try Data.fetchAll(db, sql: "SELECT id FROM noted"), try Row.fetchAll(db, sql: "SELECT kind, subject FROM journal_kept"))
        }
        var found: [RequestID: JournalFrame.Kind] = [:]
        for (kind, bytes) in noted.map({ (Self.taken, $0) }) + kept.map({ (JournalFrame.Kind(rawValue: $0["kind"]), $0["subject"]) }) {
            guard let subject = RequestID(bytes: bytes) else { throw Violation(description: "a note has no subject") }
            guard notes[subject]?.kind == kind, kind != Self.idle else {
                throw Violation(description: "note \(subject) was not taken down")
            }
            if found.updateValue(kind, forKey: subject) != nil { throw Violation(description: "note \(subject) is there twice") }
        }
        for (subject, note) in notes where !note.mayVanish && note.kind != Self.idle && found[subject] == nil {
            throw Violation(description: "note \(subject) of kind \(note.kind.rawValue) is lost")
        }
    }
}
