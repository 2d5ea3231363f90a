import Contract
import Foundation
import GRDB
import Logging
import Primitives
import Proxy
import SwiftProtobuf

/// A journal, a folder and an outbox over the simulated disk and a database in memory, for tests of one thing at a time.
final class UsageBench {
    let disk: UsageSimulatedDisk
    let database: DatabaseQueue
    let shared: JournalShared
    let counters = UsageCounters()
    let outbox: UsageOutboxStore
    let keeper: JournalKeeper
    let folder: JournalFolder
    let journal: UsageJournal

    static func settings(segmentBytes: Int = 4096, maximumBytes: Int = 1 << 20) -> JournalSettings {
        var settings = JournalSettings()
        settings.segmentBytes = segmentBytes
        settings.maximumBytes = maximumBytes
        settings.maximumRecordBytes = 256
        settings.completionReserve = 100
        return settings
    }

    init(
        disk: UsageSimulatedDisk = UsageSimulatedDisk(seed: 1), database: DatabaseQueue? = nil,
        settings: JournalSettings = UsageBench.settings(), participants: [any FoldParticipant] = [], limits: JournalFolder.Limits = .init(),
        signer: UsageSigner? = nil, hop: (@Sendable (@escaping @Sendable () -> Void) -> Void)? = nil
    ) throws {
        disk.revive()
        self.disk = disk
        let database = try database ?? UsageSimulation.makeDatabase()
        self.database = database
        shared = try JournalShared(directory: "j", settings: settings, loops: 1, files: disk)
        outbox = try UsageOutboxStore(database: database, counters: counters, incarnation: "first", signer: signer)
        keeper = JournalKeeper(shared: shared)
        folder = JournalFolder(
            shared: shared, database: database, outbox: outbox, counters: counters, participants: participants, limits: limits,
            clock: ManualClock(milliseconds: 5),
            estimate: { record in
                var encoder = UsageEncoder()
                encoder.always(.costNano, UInt64(record.estimatedInputTokens) * 2)
                return encoder.buffer
            }, report: { _ in })
        journal = try UsageJournal(directory: "j", loop: 0, settings: settings, shared: shared, hop: hop)
    }

    /// The same disk and database after the process died.
    func restarted(settings: JournalSettings = UsageBench.settings()) throws -> UsageBench {
        disk.dieNow()
        return try UsageBench(disk: disk, database: database, settings: settings)
    }

    static func id(_ number: Int) -> RequestID { RequestID(high: 7, low: UInt64(number)) }

    static func intentBytes(_ number: Int, model: String = "m") -> [UInt8] {
        var encoder = UsageEncoder()
        encoder.field(.requestID, high: 7, low: UInt64(number))
        encoder.field(.tenantID, Array("ten_a".utf8))
        encoder.field(.model, [UInt8](model.utf8))
        encoder.field(.estimatedInputTokens, Int64(21))
        return encoder.buffer
    }

    static func completionBytes(_ tokens: Int) -> [UInt8] {
        var encoder = UsageEncoder()
        encoder.always(.status, 1)
        encoder.always(.outputTokens, UInt64(tokens))
        return encoder.buffer
    }

    func intent(_ number: Int, model: String = "m") throws {
        let refusal: JournalRefusal? = Self.intentBytes(number, model: model).withUnsafeBytes { bytes in
            do throws(JournalRefusal) {
                try journal.intent(Self.id(number), bytes)
                return nil
            } catch { return error }
        }
        if let refusal { throw refusal }
    }

    func completion(_ number: Int, tokens: Int = 5) {
        Self.completionBytes(tokens).withUnsafeBytes { journal.completion(Self.id(number), $0) }
    }

    func progress(_ number: Int, tokens: Int) {
        var encoder = UsageEncoder()
        encoder.always(.outputTokens, UInt64(tokens))
        encoder.buffer.withUnsafeBytes { journal.progress(Self.id(number), $0) }
    }

    func foldAll() throws { while try !folder.foldOnce().isDrained {} }

    /// Everything in the outbox, without acknowledging it.
    func records() throws -> [Weir_V1_UsageRecord] {
        try Self.records(database)
    }

    static func records(_ database: DatabaseQueue) throws -> [Weir_V1_UsageRecord] {
        let blobs = try database.read { try Data.fetchAll($0, sql: "SELECT records FROM usage_outbox ORDER BY sequence") }
        // The blobs are fields of a batch: a batch's decoder reads them.
        return try blobs.flatMap { try Weir_V1_UsageBatch(serializedBytes: $0).records }
    }
}

/// A folder of its own that is gone with the value.
final class UsageDirectory {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "weir-usage-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}
