import Foundation
package import GRDB
package import Primitives
import Synchronization
import Trust

/// The nonces of signed requests that were accepted, for all loops of a data plane: a signature counts once. They are kept for twice the
/// clock's skew, since what is signed ahead of this clock stays valid for that long; when there is no more room, signed requests are refused:
/// to forget a nonce would let its request in again.
///
/// On the disk they are journal notes, folded into SQLite; until what the last process left is read, nothing is taken.
package final class NonceMemory: Sendable {
    enum Verdict {
        case taken
        /// It was used before.
        case used
        /// There is no room, or no more of it for this tenant.
        case full
        /// What the last process accepted is not read yet.
        case notReady
    }

    /// A slice of time whose nonces are let go together.
    private struct Slice {
        /// In units of `sliceMilliseconds`.
        let end: Int64
        var nonces: [RequestID] = []
        var held: [IDBits: Int] = [:]
    }

    private struct Shard {
        var nonces: Set<RequestID> = []
        /// A handful, in no order.
        var slices: [Slice] = []
        var held: [IDBits: Int] = [:]
    }

    private final class Locked: Sendable {
        let state = Mutex(Shard())
    }

    /// One lock for each: loops seldom meet, and a set that grows keeps few waiting.
    private static let shardCount = 64
    private let shards: [Locked]
    private let shardCapacity: Int
    package let skewSeconds: Int64
    private let sliceMilliseconds: Int64
    private let isReady: Atomic<Bool>

    /// - Parameter isReady: false where an earlier process may have left nonces in the journal; `recovered` follows.
    package init(skewSeconds: Int64 = 300, maximum: Int = 2_000_000, isReady: Bool = true) {
        self.skewSeconds = max(1, skewSeconds)
        sliceMilliseconds = max(1000, self.skewSeconds * 250)
        shardCapacity = max(1, maximum / Self.shardCount)
        shards = (0..<Self.shardCount).map { _ in Locked() }
        self.isReady = Atomic(isReady)
    }

    package func recovered() { isReady.store(true, ordering: .releasing) }
    fileprivate var isRecovered: Bool { isReady.load(ordering: .acquiring) }

    /// Until when a nonce that is used now has to be known.
    func expiry(nowMilliseconds: Int64) -> Int64 { nowMilliseconds &+ 2 * skewSeconds * 1000 }

    /// One name for a nonce of one caller: 128 bits of SHA-256.
    static func name(of identity: UnsafeRawBufferPointer, _ nonce: UnsafeRawBufferPointer) -> RequestID {
        withUnsafeTemporaryAllocation(byteCount: identity.count + 1 + nonce.count, alignment: 8) { text in
            UnsafeMutableRawBufferPointer(rebasing: text[..<identity.count]).copyMemory(from: identity)
            text[identity.count] = 0
            UnsafeMutableRawBufferPointer(rebasing: text[(identity.count + 1)...]).copyMemory(from: nonce)
            let digest = SHA256Digest.words(of: UnsafeRawBufferPointer(text))
            return RequestID(high: digest.0, low: digest.1)
        }
    }

    /// Takes a nonce for good, if nobody has.
    func take(_ nonce: RequestID, of tenant: IDBits, nowMilliseconds now: Int64) -> Verdict {
        guard isRecovered else { return .notReady }
        return add(nonce, tenant, until: expiry(nowMilliseconds: now), now: now, isBounded: true)
    }

    /// Puts back what an earlier process, or this one, had taken.
    func restore(_ nonce: RequestID, of tenant: IDBits, until: Int64, nowMilliseconds now: Int64) {
        if until > now { _ = add(nonce, tenant, until: until, now: now, isBounded: false) }
    }

    private func add(_ nonce: RequestID, _ tenant: IDBits, until: Int64, now: Int64, isBounded: Bool) -> Verdict {
        let (unit, capacity) = (sliceMilliseconds, shardCapacity)
        return shards[Int(nonce.low & 63)].state.withLock { shard in
            while let index = shard.slices.firstIndex(where: { $0.end &* unit <= now }) {
                let slice = shard.slices.remove(at: index)
                for nonce in slice.nonces { shard.nonces.remove(nonce) }
                for (tenant, count) in slice.held {
                    let left = (shard.held[tenant] ?? 0) - count
                    shard.held[tenant] = left > 0 ? left : nil
                }
            }
            if shard.nonces.contains(nonce) { return .used }
            let held = shard.held[tenant] ?? 0
            // Above half, nobody takes more than a fair share of it: who signs most finds no room before the others do.
            let fair = max(1, capacity / 2 / max(1, shard.held.count + (held == 0 ? 1 : 0)))
            let count = shard.nonces.count
            if isBounded, count >= capacity || (count >= capacity / 2 && held >= fair) { return .full }
            // The slice ends after the nonce does.
            let end = until / unit &+ 1
            if shard.slices.last?.end != end {
                // The present one stands last, where it is found at once.
                let index = shard.slices.firstIndex { $0.end == end }
                let present = index.map { shard.slices.remove(at: $0) } ?? Slice(end: end)
                shard.slices.append(present)
            }
            let last = shard.slices.count - 1
            shard.nonces.insert(nonce)
            shard.slices[last].nonces.append(nonce)
            shard.slices[last].held[tenant, default: 0] += 1
            shard.held[tenant] = held + 1
            return .taken
        }
    }

    /// How many are kept.
    package var count: Int { shards.reduce(0) { $0 + $1.state.withLock { $0.nonces.count } } }
}

/// Carries nonces from the journal into SQLite, and back at the next start.
package final class NonceKeeper: FoldParticipant {
    package let kinds: Set<JournalFrame.Kind> = [.nonce]
    private let memory: NonceMemory
    private let clock: any WallClock

    /// Reads what earlier processes folded.
    package init(memory: NonceMemory, store: LocalStore, clock: any WallClock) throws {
        self.memory = memory
        self.clock = clock
        let now = clock.nowMilliseconds()
        try store.read { db in
            let rows = try Row.fetchCursor(db, sql: "SELECT id, tenant, expires_at FROM nonce WHERE expires_at > ?", arguments: [now])
            while let row = try rows.next() {
                let (id, tenant, until): (Data, Data, Int64) = (row["id"], row["tenant"], row["expires_at"])
                guard let tenant = NonceNote.tenant(Array(tenant)) else { continue }
                for nonce in NonceNote.names(Array(id)) { memory.restore(nonce, of: tenant, until: until, nowMilliseconds: now) }
            }
        }
    }

    package func fold(_ records: FoldedRecords, in database: Database) throws {
        guard !records.notes.isEmpty else { return }
        let now = clock.nowMilliseconds()
        var waiting: [IDBits: NonceRow] = [:]
        for note in records.notes {
            guard let (until, tenant) = NonceNote.read(note.payload), until > now else { continue }
            // What the process before left in the journal is new to this one; after that, what is folded was taken here.
            if !memory.isRecovered { memory.restore(note.subject, of: tenant, until: until, nowMilliseconds: now) }
            waiting[tenant, default: NonceRow()].add(note.subject, until: until)
            if let row = waiting[tenant], row.names.count >= Self.rowBytes {
                try write(row, of: tenant, to: database)
                waiting[tenant] = nil
            }
        }
        for (tenant, row) in waiting { try write(row, of: tenant, to: database) }
        try database.execute(sql: "DELETE FROM nonce WHERE expires_at <= ?", arguments: [now])
    }

    /// Several nonces of a tenant: a row for each would cost as much as the request's own record.
    private struct NonceRow {
        /// One behind the other.
        var names: [UInt8] = []
        /// Of the last that is let go.
        var until: Int64 = 0

        mutating func add(_ nonce: RequestID, until: Int64) {
            withUnsafeBytes(of: (nonce.high.bigEndian, nonce.low.bigEndian)) { names.append(contentsOf: $0) }
            self.until = max(self.until, until)
        }
    }

    /// What a page of SQLite's holds without another one behind it.
    private static let rowBytes = 768

    private func write(_ row: NonceRow, of tenant: IDBits, to database: Database) throws {
        try database.cachedStatement(sql: "INSERT OR REPLACE INTO nonce (id, tenant, expires_at) VALUES (?, ?, ?)")
            .execute(arguments: [Data(row.names), Data(NonceNote.bytes(tenant)), row.until])
    }
}

/// The payload of a nonce's journal frame: when it is let go (Unix milliseconds, 8 bytes, little-endian) and whose it is (10 bytes).
enum NonceNote {
    static func write(_ nonce: RequestID, until: Int64, tenant: IDBits, to journal: UsageJournal) throws(JournalRefusal) {
        let result: Result<Void, JournalRefusal> = withUnsafeTemporaryAllocation(byteCount: 18, alignment: 8) { buffer in
            buffer.storeBytes(of: until.littleEndian, as: Int64.self)
            buffer.storeBytes(of: tenant.high.bigEndian, toByteOffset: 8, as: UInt16.self)
            buffer.storeBytes(of: tenant.low.bigEndian, toByteOffset: 10, as: UInt64.self)
            do throws(JournalRefusal) { return .success(try journal.note(.nonce, nonce, UnsafeRawBufferPointer(buffer))) } catch {
                return .failure(error)
            }
        }
        try result.get()
    }

    static func read(_ payload: [UInt8]) -> (until: Int64, tenant: IDBits)? {
        guard payload.count == 18 else { return nil }
        return payload.withUnsafeBytes { bytes in
            (
                Int64(littleEndian: bytes.loadUnaligned(as: Int64.self)),
                tenant(UnsafeRawBufferPointer(rebasing: bytes[8...]))
            )
        }
    }

    /// The nonces that stand one behind the other, 16 bytes each.
    static func names(_ bytes: [UInt8]) -> [RequestID] {
        stride(from: 0, to: bytes.count, by: 16).compactMap { RequestID(bytes: bytes[$0...].prefix(16)) }
    }

    static func bytes(_ tenant: IDBits) -> [UInt8] {
        withUnsafeBytes(of: tenant.high.bigEndian) { Array($0) } + withUnsafeBytes(of: tenant.low.bigEndian) { Array($0) }
    }

    static func tenant(_ bytes: [UInt8]) -> IDBits? { bytes.count == 10 ? bytes.withUnsafeBytes { tenant($0) } : nil }

    /// - Parameter bytes: ten.
    private static func tenant(_ bytes: UnsafeRawBufferPointer) -> IDBits {
        IDBits(
            high: UInt16(bigEndian: bytes.loadUnaligned(as: UInt16.self)),
            low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt64.self)))
    }
}

extension JournalFrame.Kind {
    /// A signed request's nonce was taken.
    package static let nonce = JournalFrame.Kind(rawValue: 16)
}

extension LocalMigration {
    static let nonces = LocalMigration(
        name: "0087 nonces",
        sql: """
            CREATE TABLE nonce (id BLOB PRIMARY KEY, tenant BLOB NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID;
            CREATE INDEX nonce_expiry ON nonce (expires_at);
            """)
}
