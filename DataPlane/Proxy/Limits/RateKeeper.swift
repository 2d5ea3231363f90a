import Foundation
package import GRDB
package import Primitives

/// Carries what limits have counted from the journal into SQLite, and back at the next start: a restart, or kill -9, gives nobody a new window.
package final class RateKeeper: FoldParticipant {
    package let kinds: Set<JournalFrame.Kind> = [.rates]
    private let ledger: RateLedger
    private let clock: any WallClock

    /// Reads what earlier processes folded.
    package init(ledger: RateLedger, store: LocalStore, clock: any WallClock) throws {
        self.ledger = ledger
        self.clock = clock
        let (now, unix) = (MonotonicClock.nowMicroseconds(), clock.nowMilliseconds())
        try store.read { db in
            let rows = try Row.fetchCursor(db, sql: "SELECT counter, at, amount FROM rate_use WHERE until > ?", arguments: [unix])
            while let row = try rows.next() {
                let (counter, at, amount): (Data, Int64, Int64) = (row["counter"], row["at"], row["amount"])
                if let key = RateLedger.Key(wire: counter) { Self.restore(ledger, key, amount, at: at, unix: unix, now: now) }
            }
        }
    }

    package func fold(_ records: FoldedRecords, in database: Database) throws {
        if records.notes.isEmpty { return }
        let (now, unix) = (MonotonicClock.nowMicroseconds(), clock.nowMilliseconds())
        // What came close together is one row.
        var uses: [RateNote.Slot: (amount: Int64, until: Int64)] = [:]
        for note in records.notes {
            guard let (boot, entries) = RateNote.read(note.payload) else { continue }
            for entry in entries where entry.until > unix {
                // What the process before left in the journal is new to this one.
                if boot != ledger.boot { Self.restore(ledger, entry.key, entry.amount, at: entry.at, unix: unix, now: now) }
                let slot = RateNote.Slot(key: entry.key, at: entry.at - entry.at % max(1, entry.window / 64))
                let use = uses[slot] ?? (0, 0)
                let (sum, overflow) = use.amount.addingReportingOverflow(entry.amount)
                uses[slot] = (overflow ? .max : sum, max(use.until, entry.until))
            }
        }
        for (slot, use) in uses {
            try database.cachedStatement(
                sql: """
                    INSERT INTO rate_use (counter, at, amount, until) VALUES (?, ?, ?, ?)
                    ON CONFLICT (counter, at) DO UPDATE SET amount = amount + excluded.amount, until = max(until, excluded.until)
                    """
            ).execute(arguments: [slot.key.wire, slot.at, use.amount, use.until])
        }
        try database.execute(sql: "DELETE FROM rate_use WHERE until <= ?", arguments: [unix])
    }

    /// A clock that stepped back since makes it as if it had been now: nothing is forgotten sooner by it.
    private static func restore(_ ledger: RateLedger, _ key: RateLedger.Key, _ amount: Int64, at: Int64, unix: Int64, now: Int64) {
        let age = min(max(0, unix &- at), 86_400_000)
        ledger.restore(key, amount, at: now &- age &* 1000, now: now)
    }
}

/// The payload of a journal frame of counts: the process's number (8 bytes), then for each the counter (26 bytes, as it crosses the link), when
/// (Unix milliseconds, 8), the window (milliseconds, 8) and how much (8; negative: so much less). Numbers are little-endian.
enum RateNote {
    struct Slot: Hashable {
        let key: RateLedger.Key
        let at: Int64
    }

    struct Entry {
        let key: RateLedger.Key
        /// Unix milliseconds.
        let at: Int64
        /// Milliseconds: for how long it counts.
        let window: Int64
        var amount: Int64

        var until: Int64 { at.addingReportingOverflow(window).overflow ? .max : at + window }
    }

    /// Windows that are shorter are over before a process is back.
    static let shortest: Int64 = 2_000_000
    private static let entryBytes = 50

    static func write(boot: UInt64, _ entries: [Entry]) -> [UInt8] {
        let size = 8 + entries.count * entryBytes
        return [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            let bytes = UnsafeMutableRawBufferPointer(buffer)
            bytes.storeBytes(of: boot.littleEndian, as: UInt64.self)
            for (index, entry) in entries.enumerated() {
                let start = 8 + index * entryBytes
                entry.key.write(to: UnsafeMutableRawBufferPointer(rebasing: bytes[start...]))
                let numbers = start + RateLedger.Key.wireBytes
                bytes.storeBytes(of: entry.at.littleEndian, toByteOffset: numbers, as: Int64.self)
                bytes.storeBytes(of: entry.window.littleEndian, toByteOffset: numbers + 8, as: Int64.self)
                bytes.storeBytes(of: entry.amount.littleEndian, toByteOffset: numbers + 16, as: Int64.self)
            }
            count = size
        }
    }

    static func read(_ payload: [UInt8]) -> (boot: UInt64, entries: [Entry])? {
        guard payload.count >= 8, (payload.count - 8) % entryBytes == 0 else { return nil }
        return payload.withUnsafeBytes { bytes in
            func word(_ offset: Int) -> Int64 { Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Int64.self)) }
            let entries = stride(from: 8, to: bytes.count, by: entryBytes).compactMap { start -> Entry? in
                guard let key = RateLedger.Key(wire: UnsafeRawBufferPointer(rebasing: bytes[start..<start + 26])) else { return nil }
                return Entry(key: key, at: word(start + 26), window: max(0, word(start + 34)), amount: word(start + 42))
            }
            return (UInt64(bitPattern: word(0)), entries)
        }
    }
}

extension JournalFrame.Kind {
    /// Limits have counted something.
    package static let rates = JournalFrame.Kind(rawValue: 17)
}

extension LocalMigration {
    static let rates = LocalMigration(
        name: "0088 rates",
        sql: """
            -- What limits have counted: by counter and time (Unix milliseconds), for as long as it matters.
            CREATE TABLE rate_use (
                counter BLOB NOT NULL, at INTEGER NOT NULL, amount INTEGER NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (counter, at)
            ) WITHOUT ROWID;
            CREATE INDEX rate_use_until ON rate_use (until);
            """)
}
