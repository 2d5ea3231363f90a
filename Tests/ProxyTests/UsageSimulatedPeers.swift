import Contract
import Foundation
import GRDB
import Primitives
import Proxy
import SwiftProtobuf
import Synchronization
import Trust

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
        try follow(records, batch)
        return records
    }

    /// The `records` fields of a batch.
    private static func parse(_ data: Data) throws -> [[UInt8]] {
        try data.withUnsafeBytes { bytes in
            var records: [[UInt8]] = []
            var reader = Primitives.WireReader(count: bytes.count)
            while let (number, wire) = reader.tag(bytes) {
                if number == 3, wire == 2 {
                    if let record = reader.block(bytes) { records.append(Array(bytes[record])) }
                } else {
                    reader.skip(wire, bytes)
                }
            }
            if reader.hasFailed { throw UsageSimulation.Violation(description: "a batch is cut off") }
            return records
        }
    }

    // MARK: Chains

    private var chains: [String: (number: Int64, link: Digest256)] = [:]
    private var signed: [String: Int64] = [:]
    private var heads = 0

    /// Follows the records of a batch in their tenants' chains, and compares with the heads that came with it.
    private mutating func follow(_ records: [[UInt8]], _ batch: OutboxBatch) throws {
        let signer = UsageSimulation.signer
        var splitter = UsageSplitter()
        for record in records {
            guard let digests = record.withUnsafeBytes({ splitter.read($0) }) else {
                throw UsageSimulation.Violation(description: "a record cannot be split")
            }
            let tenant = String(decoding: record[splitter.tenant], as: UTF8.self)
            let genesis = UsageChain.genesis(dataPlaneID: signer.dataPlaneID, incarnation: "one", tenantID: tenant)
            let before = chains[tenant] ?? (0, genesis)
            chains[tenant] = (before.number + 1, UsageChain.link(before.link, digests))
        }
        let message = try Weir_V1_UsageBatch(serializedBytes: batch.records)
        guard message.chained else { throw UsageSimulation.Violation(description: "batch \(batch.sequence) is in no chain") }
        for head in message.heads {
            guard let chain = chains[head.tenantID], chain.number == Int64(head.number), chain.link.bytes == Array(head.link) else {
                throw UsageSimulation.Violation(description: "batch \(batch.sequence): the head of \(head.tenantID) is of other records")
            }
            let told = UsageHead(
                dataPlaneID: signer.dataPlaneID, incarnation: "one", tenantID: head.tenantID, number: chain.number, link: chain.link,
                signedAt: head.signedAtMs, signature: Array(head.signature))
            guard told.isSigned(by: signer.key.publicKey) else { throw UsageSimulation.Violation(description: "a bad signature") }
            signed[head.tenantID] = chain.number
            heads += 1
        }
    }

    /// Everything is signed.
    /// - Returns: how many heads came in all.
    func checkSigned() throws -> Int {
        for (tenant, chain) in chains where signed[tenant] != chain.number {
            throw UsageSimulation.Violation(description: "\(tenant): \(signed[tenant] ?? 0) of \(chain.number) records are signed")
        }
        return heads
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
