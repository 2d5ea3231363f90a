import Foundation
import GRDB
import Primitives

extension LocalMigration {
    /// What the journal is folded into.
    package static let usage = LocalMigration(
        name: "0020 usage", .breaking,
        sql: """
            -- Batches to be shipped, each the `records` fields of a weir.v1.UsageBatch one after the other.
            CREATE TABLE usage_outbox (
                sequence INTEGER PRIMARY KEY, records BLOB NOT NULL, record_count INTEGER NOT NULL, first_at INTEGER NOT NULL);
            -- Intents that were folded without a completion, and what was last known of their requests.
            CREATE TABLE pending_usage (request_id BLOB PRIMARY KEY, intent BLOB NOT NULL, progress BLOB) WITHOUT ROWID;
            -- How far each segment of the journal is contained in the two tables above. A file without a row counts from its start; a row
            -- without a file is of no use any more.
            CREATE TABLE journal_folded (segment TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
            """)

    package static let usageNotes = LocalMigration(
        name: "0021 usage notes",
        sql: """
            -- Entries of the journal that no part of this version takes. It writes none itself: they are what a later version left in the
            -- journal before this one was started again, so there are at most as many as the journal holds.
            CREATE TABLE journal_kept (number INTEGER PRIMARY KEY, kind INTEGER NOT NULL, subject BLOB NOT NULL, payload BLOB NOT NULL);
            """)
}

/// The statements on the tables above; each runs in its caller's transaction.
enum UsageTables {
    /// The last sequence number given to a batch; outlives the batches.
    private static let sequenceKey = "usage_sequence"
    static let incarnationKey = "incarnation"

    static func lastSequence(_ db: Database) throws -> Int64 {
        let meta = try db.cachedStatement(sql: "SELECT value FROM meta WHERE key = ?")
        let stored = try String.fetchOne(meta, arguments: [sequenceKey]).flatMap(Int64.init) ?? 0
        // The rows are the better witness, should somebody have edited the other.
        return max(stored, try Int64.fetchOne(db.cachedStatement(sql: "SELECT max(sequence) FROM usage_outbox")) ?? 0)
    }

    static func setLastSequence(_ db: Database, _ sequence: Int64) throws {
        try db.cachedStatement(
            sql: "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        ).execute(arguments: [sequenceKey, String(sequence)])
    }

    // MARK: Positions

    static func positions(_ db: Database) throws -> [String: Int] {
        var positions: [String: Int] = [:]
        for row in try Row.fetchAll(db, sql: "SELECT segment, position FROM journal_folded") {
            positions[row["segment"]] = row["position"]
        }
        return positions
    }

    static func setPosition(_ db: Database, _ segment: String, _ position: Int) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO journal_folded (segment, position) VALUES (?, ?) ON CONFLICT (segment) DO UPDATE SET position = excluded.position
                """
        ).execute(arguments: [segment, position])
    }

    static func removePosition(_ db: Database, _ segment: String) throws {
        try db.cachedStatement(sql: "DELETE FROM journal_folded WHERE segment = ?").execute(arguments: [segment])
    }

    // MARK: Notes of unknown kinds

    static func keep(_ db: Database, _ note: JournalNote) throws {
        try db.cachedStatement(sql: "INSERT INTO journal_kept (kind, subject, payload) VALUES (?, ?, ?)")
            .execute(arguments: [Int(note.kind.rawValue), note.subject.data, note.payload.data])
    }

    static func keptKinds(_ db: Database) throws -> [JournalFrame.Kind] {
        try Int.fetchAll(db, sql: "SELECT DISTINCT kind FROM journal_kept ORDER BY kind").map {
            JournalFrame.Kind(rawValue: UInt8(truncatingIfNeeded: $0))
        }
    }

    /// The oldest kept notes of a kind, at most `limit`.
    static func kept(_ db: Database, _ kind: JournalFrame.Kind, limit: Int) throws -> [(number: Int64, note: JournalNote)] {
        let rows = try Row.fetchAll(
            db, sql: "SELECT number, subject, payload FROM journal_kept WHERE kind = ? ORDER BY number LIMIT ?",
            arguments: [Int(kind.rawValue), limit])
        return rows.compactMap { row in
            let payload: Data = row["payload"]
            let subject: Data = row["subject"]
            return RequestID(bytes: subject).map {
                (row["number"], JournalNote(kind: kind, subject: $0, payload: [UInt8](payload)))
            }
        }
    }

    static func removeKept(_ db: Database, _ kind: JournalFrame.Kind, through number: Int64) throws {
        try db.execute(sql: "DELETE FROM journal_kept WHERE kind = ? AND number <= ?", arguments: [Int(kind.rawValue), number])
    }

    // MARK: Pending intents

    static func insertPending(_ db: Database, _ id: RequestID, intent: [UInt8], progress: [UInt8]?) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO pending_usage (request_id, intent, progress) VALUES (?, ?, ?)
                ON CONFLICT (request_id) DO UPDATE SET intent = excluded.intent, progress = excluded.progress
                """
        ).execute(arguments: [id.data, intent.data, progress?.data])
    }

    static func setProgress(_ db: Database, _ id: RequestID, _ progress: [UInt8]) throws {
        try db.cachedStatement(sql: "UPDATE pending_usage SET progress = ? WHERE request_id = ?")
            .execute(arguments: [progress.data, id.data])
    }

    /// - Returns: the intent, which is no longer pending; nil when there was none.
    static func takePending(_ db: Database, _ id: RequestID) throws -> Data? {
        let select = try db.cachedStatement(sql: "SELECT intent FROM pending_usage WHERE request_id = ?")
        guard let intent = try Data.fetchOne(select, arguments: [id.data]) else { return nil }
        try db.cachedStatement(sql: "DELETE FROM pending_usage WHERE request_id = ?").execute(arguments: [id.data])
        return intent
    }

    struct Pending {
        var id: RequestID
        /// The intent and what is known beyond it.
        var bytes: [UInt8]
    }

    /// Some pending intents, at most `limit`.
    static func pending(_ db: Database, limit: Int) throws -> [Pending] {
        let select = try db.cachedStatement(
            sql: "SELECT request_id, intent, progress FROM pending_usage WHERE length(request_id) = 16 LIMIT ?")
        let rows = try Row.fetchAll(select, arguments: [limit])
        return rows.compactMap { row in
            let id: Data = row["request_id"]
            let intent: Data = row["intent"]
            let progress: Data? = row["progress"]
            return RequestID(bytes: id).map { Pending(id: $0, bytes: [UInt8](intent) + [UInt8](progress ?? Data())) }
        }
    }

    static func removePending(_ db: Database, _ id: RequestID) throws {
        try db.cachedStatement(sql: "DELETE FROM pending_usage WHERE request_id = ?").execute(arguments: [id.data])
    }

    // MARK: Outbox

    static func insertBatch(_ db: Database, sequence: Int64, records: Data, count: Int, firstAt: Int64) throws {
        try db.cachedStatement(sql: "INSERT INTO usage_outbox (sequence, records, record_count, first_at) VALUES (?, ?, ?, ?)")
            .execute(arguments: [sequence, records, count, firstAt])
    }

    static func batch(_ db: Database, _ sequence: Int64) throws -> (records: Data, count: Int)? {
        let select = try db.cachedStatement(sql: "SELECT records, record_count FROM usage_outbox WHERE sequence = ?")
        let row = try Row.fetchOne(select, arguments: [sequence])
        return row.map { ($0["records"], $0["record_count"]) }
    }

    static func replaceBatch(_ db: Database, sequence: Int64, records: Data, count: Int) throws {
        try db.cachedStatement(sql: "UPDATE usage_outbox SET records = ?, record_count = ? WHERE sequence = ?")
            .execute(arguments: [records, count, sequence])
    }

    static func outboxSize(_ db: Database, through sequence: Int64 = .max) throws -> (rows: Int, bytes: Int) {
        let select = try db.cachedStatement(
            sql: "SELECT count(*) AS n, coalesce(sum(length(records)), 0) AS b FROM usage_outbox WHERE sequence <= ?")
        let row = try Row.fetchOne(select, arguments: [sequence])
        return (row?["n"] ?? 0, row?["b"] ?? 0)
    }
}

extension RequestID {
    fileprivate var data: Data {
        var words = (high.bigEndian, low.bigEndian)
        return withUnsafeBytes(of: &words) { Data($0) }
    }
}

extension [UInt8] {
    fileprivate var data: Data { Data(self) }
}
