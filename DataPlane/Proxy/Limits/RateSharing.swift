package import Contract
import Foundation
import GRDB
package import Logging
import Primitives
import Synchronization

/// What this data plane says and hears of the limits that it shares with others. It goes by what it heard last while the control plane is
/// away, also after a restart.
package final class RateSharing: Sendable {
    /// Between two reports.
    static let periodMilliseconds: Int64 = 1000

    private let ledger: RateLedger
    private let store: LocalStore
    private let logger: Logger
    private let number: Mutex<UInt64>
    /// With the other data planes of its region, in Redis.
    private let countsByRegion: Bool

    /// Reads what an earlier process heard.
    package init(ledger: RateLedger, store: LocalStore, countsByRegion: Bool = false, logger: Logger) throws {
        self.ledger = ledger
        self.countsByRegion = countsByRegion
        self.store = store
        self.logger = logger
        let (planes, inRegion, shares) = try store.read { db -> (Int, Int, [RateLedger.Share]) in
            let told = try Row.fetchOne(db, sql: "SELECT data_planes, region_planes FROM rate_sharing")
            let shares = try Row.fetchAll(db, sql: "SELECT counter, amount, region_amount FROM rate_share").compactMap { row in
                let (counter, amount, region): (Data, Int64, Int64) = (row["counter"], row["amount"], row["region_amount"])
                return RateLedger.Key(wire: counter).map { RateLedger.Share($0, amount, region: region) }
            }
            return (told?["data_planes"] ?? 1, told?["region_planes"] ?? 0, shares)
        }
        number = Mutex(0)
        ledger.take(dataPlanes: planes, inRegion: inRegion, shares: shares)
    }

    package func report(now: Int64) -> Weir_V1_RateReport {
        var report = Weir_V1_RateReport()
        // Before the uses: what they say of shares is of that message or of a later one.
        report.taken = number.withLock { $0 }
        report.countsByRegion = countsByRegion
        report.uses = ledger.uses(now: now).map { use in
            var message = Weir_V1_RateUse()
            message.counter = use.key.wire
            message.wanted = use.wanted
            message.held = use.held
            message.had = use.had
            return message
        }
        return report
    }

    /// In force, and then on the disk.
    package func take(_ shares: Weir_V1_RateShares) {
        let changes = shares.shares.compactMap { share in
            RateLedger.Key(wire: share.counter).map { RateLedger.Share($0, share.amount, region: share.regionAmount) }
        }
        let planes = (Int(shares.dataPlanes), Int(shares.regionDataPlanes))
        let isNew = !changes.isEmpty || ledger.told != planes
        ledger.take(dataPlanes: planes.0, inRegion: planes.1, shares: changes)
        if isNew { keep(planes.0, planes.1, changes) }
        number.withLock { $0 = shares.number }
    }

    private func keep(_ dataPlanes: Int, _ inRegion: Int, _ changes: [RateLedger.Share]) {
        do {
            try store.write { db in
                try db.execute(
                    sql: "INSERT OR REPLACE INTO rate_sharing (id, data_planes, region_planes) VALUES (1, ?, ?)",
                    arguments: [dataPlanes, inRegion])
                for share in changes {
                    if share.amount < 0 {
                        try db.execute(sql: "DELETE FROM rate_share WHERE counter = ?", arguments: [share.key.wire])
                    } else {
                        try db.execute(
                            sql: "INSERT OR REPLACE INTO rate_share (counter, amount, region_amount) VALUES (?, ?, ?)",
                            arguments: [share.key.wire, share.amount, share.region])
                    }
                }
            }
        } catch {
            logger.error("shares of limits could not be stored", metadata: ["error": "\(error)"])
        }
    }
}

extension RateLedger.Key {
    /// As it crosses the link, and as the journal and the disk hold it: big-endian, the limit's identifier and who is limited.
    var wire: Data {
        var bytes = [UInt8](repeating: 0, count: Self.wireBytes)
        bytes.withUnsafeMutableBytes { write(to: $0) }
        return Data(bytes)
    }

    static let wireBytes = 26

    /// - Parameter bytes: 26 at least.
    func write(to bytes: UnsafeMutableRawBufferPointer) {
        bytes.storeBytes(of: rule.high.bigEndian, as: UInt16.self)
        bytes.storeBytes(of: rule.low.bigEndian, toByteOffset: 2, as: UInt64.self)
        bytes.storeBytes(of: subject.high.bigEndian, toByteOffset: 10, as: UInt64.self)
        bytes.storeBytes(of: subject.low.bigEndian, toByteOffset: 18, as: UInt64.self)
    }

    init?(wire: Data) {
        guard let key = wire.withUnsafeBytes({ RateLedger.Key(wire: $0) }) else { return nil }
        self = key
    }

    init?(wire bytes: UnsafeRawBufferPointer) {
        guard bytes.count == Self.wireBytes else { return nil }
        func word(_ offset: Int) -> UInt64 { UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
        self.init(
            rule: IDBits(high: UInt16(bigEndian: bytes.loadUnaligned(as: UInt16.self)), low: word(2)),
            subject: LimitSubject(high: word(10), low: word(18)))
    }
}

extension LocalMigration {
    static let rateRegions = LocalMigration(
        name: "0190 rates of a region",
        sql: """
            -- How many data planes count together in Redis (0: not said), and what those may have of each limit together.
            ALTER TABLE rate_sharing ADD COLUMN region_planes INTEGER NOT NULL DEFAULT 0;
            ALTER TABLE rate_share ADD COLUMN region_amount INTEGER NOT NULL DEFAULT 0;
            """)
    static let rateShares = LocalMigration(
        name: "0089 rate shares",
        sql: """
            -- Parts of limits' amounts that the control plane told last, and among how many data planes the others are divided.
            CREATE TABLE rate_share (counter BLOB PRIMARY KEY, amount INTEGER NOT NULL) WITHOUT ROWID;
            CREATE TABLE rate_sharing (id INTEGER PRIMARY KEY CHECK (id = 1), data_planes INTEGER NOT NULL);
            """)
}
