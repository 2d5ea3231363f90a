import Foundation
import GRDB
import Primitives
import Proxy
import Synchronization

/// Stores batches with its high-water mark, as the real one does, and says what should not have come.
struct SimulatedControlPlane {
    /// Everything up to here is stored.
    private(set) var mark: UInt64 = 0
    /// The last batch sent over this connection, or known to be stored.
    private(set) var sent: UInt64 = 0
    private var stored: [UInt64: Data] = [:]

    mutating func reconnect() { sent = 0 }

    /// The data plane has seen an answer.
    mutating func wasHeard() { sent = mark }

    /// - Returns: the records that are new.
    mutating func receive(_ batch: OutboxBatch) throws -> [[UInt8]] {
        if sent > 0, batch.sequence != sent + 1 { throw UsageSimulation.Violation(description: "batch \(batch.sequence) follows \(sent)") }
        sent = batch.sequence
        if let before = stored[batch.sequence] {
            if before != batch.records {
                throw UsageSimulation.Violation(description: "batch \(batch.sequence) came back with other records")
            }
            return []
        }
        guard batch.sequence == mark + 1 else {
            throw UsageSimulation.Violation(description: "batch \(batch.sequence) came after \(mark)")
        }
        mark = batch.sequence
        stored[batch.sequence] = batch.records
        let records = try Self.parse(batch.records)
        if records.count != batch.count {
            throw UsageSimulation.Violation(description: "batch \(batch.sequence) has not \(batch.count) records")
        }
        return records
    }

    private static func parse(_ data: Data) throws -> [[UInt8]] {
        let bytes = [UInt8](data)
        var records: [[UInt8]] = []
        var offset = 0
        while offset < bytes.count {
            guard bytes[offset] == 0x1A else { throw UsageSimulation.Violation(description: "not a record at \(offset)") }
            offset += 1
            var length = 0
            var shift = 0
            while offset < bytes.count {
                length |= Int(bytes[offset] & 0x7F) << shift
                shift += 7
                offset += 1
                if bytes[offset - 1] < 0x80 { break }
            }
            guard offset + length <= bytes.count else { throw UsageSimulation.Violation(description: "a record is cut off") }
            records.append([UInt8](bytes[offset..<offset + length]))
            offset += length
        }
        return records
    }
}

/// Counts records in the folder's transaction, and sometimes dies or fails in it.
final class SimulatedParticipant: FoldParticipant {
    private let disk: UsageSimulatedDisk
    private let random: Mutex<SeededGenerator>
    private let isCalm = Atomic<Bool>(false)

    init(disk: UsageSimulatedDisk, seed: UInt64) {
        self.disk = disk
        random = Mutex(SeededGenerator(seed: seed))
    }

    var kinds: Set<JournalFrame.Kind> { [UsageSimulation.taken] }

    func calm() { isCalm.store(true, ordering: .relaxed) }

    func fold(_ records: FoldedRecords, in database: Database) throws {
        let insert = try database.cachedStatement(sql: "INSERT INTO counted (id) VALUES (?)")
        try records.forEach { id, _ in try insert.execute(arguments: [Data(id.bytes)]) }
        let note = try database.cachedStatement(sql: "INSERT INTO noted (id) VALUES (?)")
        for taken in records.notes { try note.execute(arguments: [Data(taken.subject.bytes)]) }
        if isCalm.load(ordering: .relaxed) { return }
        switch random.withLock({ Int.random(in: 0..<20, using: &$0) }) {
        case 0:
            disk.dieNow()
            throw JournalFileError(operation: "killed before the commit", code: 0)
        case 1: throw JournalFileError(operation: "refused", code: 0)
        default: break
        }
    }
}
