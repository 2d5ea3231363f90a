import Contract
import Foundation
import GRDB
import Primitives
import SwiftProtobuf
package import Trust

/// As whom a data plane signs.
package struct UsageSigner: Sendable {
    package let dataPlaneID: String
    package let key: IdentityKey
    /// How long a record may wait for a signature, milliseconds.
    package let interval: Int64

    package init(dataPlaneID: String, key: IdentityKey, interval: Int64 = 10_000) {
        self.dataPlaneID = dataPlaneID
        self.key = key
        self.interval = interval
    }
}

extension LocalMigration {
    /// The chains' ends. An older release adds records to none of them, and says so by not marking their batches.
    package static let usageChains = LocalMigration(
        name: "0200 usage chains",
        sql: """
            -- Of each tenant: records in its chain, and the last one's link. unsigned_since: when the first record came that no signed head
            -- contains; NULL: all are contained. Times are Unix milliseconds.
            CREATE TABLE usage_chains (
                tenant_id TEXT PRIMARY KEY, number INTEGER NOT NULL, link BLOB NOT NULL, unsigned_since INTEGER, signed_at INTEGER NOT NULL
            ) WITHOUT ROWID;
            CREATE INDEX usage_chains_unsigned ON usage_chains (unsigned_since) WHERE unsigned_since IS NOT NULL;
            """)
}

/// Links each record that goes into the outbox to those of its tenant before it, and signs how far each chain goes (docs/invoices.md). Works
/// in the transaction that stores the records, so a chain and the outbox never differ. A new incarnation begins new chains.
struct UsageChains: Sendable {
    let signer: UsageSigner

    /// `UsageBatch.chained`, true: stands in each batch whose records are in their chains.
    static let mark: [UInt8] = [0x98, 0x03, 1]
    private static let (recordField, headField, markField) = (3, 50, 51)
    /// Chains signed in one transaction: some 10 ms.
    private static let signedAtOnce = 200
    private static let incarnationKey = "usage_chain_incarnation"

    // MARK: Linking

    /// Adds records to their tenants' chains, in their order.
    func add(_ records: RecordBuffer, incarnation: String, _ nowMs: Int64, in db: Database) throws {
        try begin(incarnation, in: db)
        try link(incarnation, nowMs, in: db) { take in
            try records.bytes.withUnsafeBytes { bytes in
                for entry in records.entries { try take(UnsafeRawBufferPointer(rebasing: bytes[entry.body..<entry.end])) }
            }
        }
    }

    /// Begins anew where the chains are another incarnation's: what still waits is linked again under this one.
    private func begin(_ incarnation: String, in db: Database) throws {
        guard try LocalStore.meta(db, Self.incarnationKey) != incarnation else { return }
        try db.execute(sql: "DELETE FROM usage_chains")
        let sequences = try Int64.fetchAll(db, sql: "SELECT sequence FROM usage_outbox ORDER BY sequence")
        for sequence in sequences {
            guard let row = try UsageTables.batch(db, sequence), let batch = Batch(row.records), batch.isChained else { continue }
            // Signatures over chains that are no more.
            if batch.hasHeads { try UsageTables.replaceBatch(db, sequence: sequence, records: batch.withoutHeads, count: row.count) }
            try link(incarnation, 0, in: db) { take in
                try row.records.withUnsafeBytes { bytes in
                    for record in batch.records { try take(UnsafeRawBufferPointer(rebasing: bytes[record])) }
                }
            }
        }
        try LocalStore.setMeta(db, Self.incarnationKey, incarnation)
    }

    /// The outbox has a new incarnation.
    func restart(_ incarnation: String, in db: Database) throws { try begin(incarnation, in: db) }

    private struct End {
        let tenant: [UInt8]
        var number: Int64
        var link: Digest256

        func isOf(_ tenant: UnsafeRawBufferPointer) -> Bool {
            self.tenant.withUnsafeBytes { own in
                guard own.count == tenant.count, let one = own.baseAddress, let other = tenant.baseAddress else { return false }
                return memcmp(one, other, own.count) == 0
            }
        }
    }

    private func link(
        _ incarnation: String, _ nowMs: Int64, in db: Database, _ records: ((UnsafeRawBufferPointer) throws -> Void) throws -> Void
    ) throws {
        var splitter = UsageSplitter()
        // By tenant; most records have the tenant of the one before.
        var ends: [End] = []
        var places: [[UInt8]: Int] = [:]
        var latest = 0
        try records { record in
            guard let read = splitter.read(record) else { return }
            let tenant = UnsafeRawBufferPointer(rebasing: record[splitter.tenant])
            if !ends.indices.contains(latest) || !ends[latest].isOf(tenant) {
                guard UsageChain.isTenant(tenant) else { return }
                let id = [UInt8](tenant)
                if let place = places[id] {
                    latest = place
                } else {
                    latest = ends.count
                    places[id] = latest
                    ends.append(try end(id, incarnation, in: db))
                }
            }
            ends[latest].link = UsageChain.link(ends[latest].link, read)
            ends[latest].number += 1
        }
        for end in ends {
            try db.cachedStatement(
                sql: """
                    INSERT INTO usage_chains (tenant_id, number, link, unsigned_since, signed_at) VALUES (?, ?, ?, ?, 0)
                    ON CONFLICT (tenant_id) DO UPDATE SET number = excluded.number, link = excluded.link,
                        unsigned_since = coalesce(unsigned_since, excluded.unsigned_since)
                    """
            ).execute(arguments: [String(decoding: end.tenant, as: UTF8.self), end.number, Data(end.link.bytes), nowMs])
        }
    }

    private func end(_ tenant: [UInt8], _ incarnation: String, in db: Database) throws -> End {
        let id = String(decoding: tenant, as: UTF8.self)
        let select = try db.cachedStatement(sql: "SELECT number, link FROM usage_chains WHERE tenant_id = ?")
        if let row = try Row.fetchOne(select, arguments: [id]), let link = Digest256(bytes: row["link"] as Data) {
            return End(tenant: tenant, number: row["number"], link: link)
        }
        let genesis = UsageChain.genesis(dataPlaneID: signer.dataPlaneID, incarnation: incarnation, tenantID: id)
        return End(tenant: tenant, number: 0, link: genesis)
    }

    // MARK: Signing

    /// Which chains are to be signed.
    enum Due {
        /// Those that have waited for the interval, and in a new month (UTC) all: a bill is closed by a head from after its month.
        case now
        /// All that have records without a signature: nobody may come back.
        case everything
    }

    private func condition(_ due: Due, _ nowMs: Int64) -> (sql: String, arguments: StatementArguments) {
        switch due {
        case .now: ("unsigned_since <= ?", [nowMs - signer.interval])
        case .everything: ("unsigned_since IS NOT NULL", [])
        }
    }

    func isDue(_ due: Due, _ nowMs: Int64, in db: Database) throws -> Bool {
        let (sql, arguments) = condition(due, nowMs)
        let select = try db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM usage_chains WHERE \(sql))")
        return try Bool.fetchOne(select, arguments: arguments) ?? false
    }

    /// Chains at rest that were not signed since the month began. Reads the whole table: ask once a month.
    func isMonthOpen(_ nowMs: Int64, in db: Database) throws -> Bool {
        try Bool.fetchOne(
            db, sql: "SELECT EXISTS (SELECT 1 FROM usage_chains WHERE signed_at < ? AND unsigned_since IS NULL)",
            arguments: [Self.monthBegin(nowMs)]) ?? false
    }

    /// Unix milliseconds.
    static func monthBegin(_ nowMs: Int64) -> Int64 {
        let text = RFC3339.string(milliseconds: nowMs)
        guard let year = Int64(text.prefix(4)), let month = Int64(text.dropFirst(5).prefix(2)) else { return 0 }
        return RFC3339.days(year: year, month: month, day: 1) * 86_400_000
    }

    /// Signs some of the chains that are due.
    /// - Parameter incarnation: The outbox's.
    /// - Returns: the heads as they stand in a batch; empty: none is due.
    func sign(_ due: Due, withMonth: Bool, incarnation: String, _ nowMs: Int64, in db: Database) throws -> [UInt8] {
        try begin(incarnation, in: db)
        var (condition, arguments) = condition(due, nowMs)
        if withMonth {
            condition += " OR (signed_at < ? AND unsigned_since IS NULL)"
            arguments += [Self.monthBegin(nowMs)]
        }
        let rows = try Row.fetchAll(
            db.cachedStatement(sql: "SELECT tenant_id, number, link FROM usage_chains WHERE \(condition) LIMIT \(Self.signedAtOnce)"),
            arguments: arguments)
        var out: [UInt8] = []
        for row in rows {
            guard let link = Digest256(bytes: row["link"] as Data) else { continue }
            let head = try UsageHead(
                dataPlaneID: signer.dataPlaneID, incarnation: incarnation, tenantID: row["tenant_id"], number: row["number"], link: link,
                signedAt: nowMs
            ).signed(by: signer.key)
            var message = Weir_V1_UsageHead()
            message.tenantID = head.tenantID
            message.number = UInt64(clamping: head.number)
            message.link = Data(head.link.bytes)
            message.signedAtMs = head.signedAt
            message.signature = Data(head.signature)
            let bytes: [UInt8] = try message.serializedBytes()
            Varint.append(UInt64(Self.headField << 3 | 2), to: &out)
            Varint.append(UInt64(bytes.count), to: &out)
            out += bytes
            try db.cachedStatement(sql: "UPDATE usage_chains SET unsigned_since = NULL, signed_at = ? WHERE tenant_id = ?")
                .execute(arguments: [nowMs, head.tenantID])
        }
        return out
    }

    // MARK: What a batch holds

    /// What lies where in a row of the outbox.
    private struct Batch {
        var records: [Range<Int>] = []
        var isChained = false
        var withoutHeads = Data()
        var hasHeads = false

        /// Nil for what is no batch.
        init?(_ blob: Data) {
            let isWhole = blob.withUnsafeBytes { bytes in
                var reader = Primitives.WireReader(count: bytes.count)
                var start = 0
                while let (number, wire) = reader.tag(bytes) {
                    switch (number, wire) {
                    case (UsageChains.recordField, 2): if let record = reader.block(bytes) { records.append(record) }
                    case (UsageChains.markField, 0): isChained = reader.varint(bytes) == 1
                    default: reader.skip(wire, bytes)
                    }
                    if number == UsageChains.headField {
                        hasHeads = true
                    } else {
                        withoutHeads.append(contentsOf: bytes[start..<reader.offset])
                    }
                    start = reader.offset
                }
                return !reader.hasFailed
            }
            guard isWhole else { return nil }
        }
    }
}
