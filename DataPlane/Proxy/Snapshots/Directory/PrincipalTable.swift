import Contract
import Primitives
import Trust

/// A caller that is no key (an app, a user; a DID is one more kind), 48 bytes. Found by its identifier's bits, and by what a request calls
/// it through a `NameRecord`.
struct PrincipalRecord: CompactRecord {
    var low: UInt64
    var tenantLow: UInt64
    /// Whom it stands for or who pays for it: of an app its owner, of a DID its user. All zero: nobody.
    var linkLow: UInt64
    /// Unix milliseconds from which on it is not served, by this data plane's own clock: of a user the end of what was paid. 0: never.
    var untilMilliseconds: Int64
    /// Index into the shard's secrets plus one; 0 is none.
    var secret: UInt32
    var high: UInt16
    var tenantHigh: UInt16
    var linkHigh: UInt16
    var kind: UInt8
    var flags: Flags

    struct Flags: OptionSet {
        let rawValue: UInt8
        static let occupied = Flags(rawValue: 1)
        static let disabled = Flags(rawValue: 2)
        /// The rollout in force gives it the candidate version.
        static let candidate = Flags(rawValue: 4)
    }

    static let empty = PrincipalRecord(
        low: 0, tenantLow: 0, linkLow: 0, untilMilliseconds: 0, secret: 0, high: 0, tenantHigh: 0, linkHigh: 0, kind: 0, flags: [])

    var isOccupied: Bool { flags.contains(.occupied) }
    var tenant: IDBits { IDBits(high: tenantHigh, low: tenantLow) }
    /// An app as keys are, by its identifier. A user asks through a key or an app, which is what is chosen; a DID gets the baseline.
    func isChosen(by selector: RolloutSelector?) -> Bool {
        guard let selector, selector.concernsThisDataPlane, let kind = Principal.Kind(rawValue: kind), kind == .app else { return false }
        func text(_ id: IDBits, _ prefix: StaticString) -> String { String(decoding: id.bytes(prefix: prefix), as: UTF8.self) }
        return selector.isCandidate(keyID: text(id, kind.idPrefix), tenantID: text(tenant, TenantEntry.idPrefix))
    }

    var link: IDBits? { linkLow == 0 && linkHigh == 0 ? nil : IDBits(high: linkHigh, low: linkLow) }
}

/// From what a request calls a principal to its identifier, 24 bytes.
struct NameRecord: CompactRecord {
    var low: UInt64
    var idLow: UInt64
    var high: UInt16
    var idHigh: UInt16
    /// Of the principal's kind; 0: nothing is here.
    var kind: UInt8

    static let empty = NameRecord(low: 0, idLow: 0, high: 0, idHigh: 0, kind: 0)
    var isOccupied: Bool { kind != 0 }
    var named: IDBits { IDBits(high: idHigh, low: idLow) }
}

/// A secret of its own that a principal proves itself with, and the one that a rotation replaced.
struct PrincipalSecret: Sendable, Hashable {
    var digest: DigestWords
    var rotated: RotatedSecret?
}

/// What a request calls a principal, as the first 80 bits of a SHA-256: names of any length take the same room.
enum PrincipalName {
    /// - Parameter tenant: where the name is unique in a tenant only; nil: in the deployment.
    static func bits(_ kind: Principal.Kind, _ name: UnsafeRawBufferPointer, tenant: IDBits?) -> IDBits {
        withUnsafeTemporaryAllocation(byteCount: 11 + name.count, alignment: 8) { buffer in
            buffer[0] = kind.rawValue
            let high = tenant?.high ?? 0
            let low = tenant?.low ?? 0
            buffer.storeBytes(of: high.bigEndian, toByteOffset: 1, as: UInt16.self)
            buffer.storeBytes(of: low.bigEndian, toByteOffset: 3, as: UInt64.self)
            if !name.isEmpty { UnsafeMutableRawBufferPointer(rebasing: buffer[11...]).copyMemory(from: name) }
            let words = SHA256Digest.words(of: UnsafeRawBufferPointer(buffer))
            return IDBits(high: UInt16(truncatingIfNeeded: words.1), low: words.0)
        }
    }
}

/// All principals that are no keys. A value that shares with the one before it what a delta left as it was.
struct PrincipalTable: Sendable {
    struct Shard: Sendable {
        var records = CompactTable<PrincipalRecord>()
        var names = CompactTable<NameRecord>()
        var secrets: [PrincipalSecret] = []
    }

    /// Fewer than of keys: there are fewer principals, and a shard of a few records is copied as fast as one of none.
    static let shardCount = 64
    private(set) var shards = [Shard](repeating: Shard(), count: shardCount)

    var count: Int { shards.reduce(0) { $0 + $1.records.count } }

    @inline(__always)
    private static func shard(of id: IDBits) -> Int { Int(id.high & 63) }

    func find(_ kind: Principal.Kind, _ id: IDBits) -> PrincipalRecord? {
        guard let record = shards[Self.shard(of: id)].records.find(id), record.kind == kind.rawValue else { return nil }
        return record
    }

    /// - Parameter name: of `PrincipalName`.
    func find(_ kind: Principal.Kind, named name: IDBits) -> PrincipalRecord? {
        guard let entry = shards[Self.shard(of: name)].names.find(name), entry.kind == kind.rawValue else { return nil }
        return find(kind, entry.named)
    }

    func secret(_ record: PrincipalRecord) -> PrincipalSecret? {
        let secrets = shards[Self.shard(of: record.id)].secrets
        let index = Int(record.secret) - 1
        return secrets.indices.contains(index) ? secrets[index] : nil
    }

    mutating func reserve(_ expected: Int) {
        guard expected > Self.shardCount else { return }
        for index in shards.indices {
            shards[index].records.reserve(expected / Self.shardCount)
            shards[index].names.reserve(expected / Self.shardCount)
        }
    }

    /// Inserts or replaces. `secret` in the record is ignored in favour of the last parameter. A name never changes its principal's id.
    mutating func upsert(_ record: PrincipalRecord, named name: IDBits, _ secret: PrincipalSecret?) {
        var record = record
        record.flags.insert(.occupied)
        record.secret = 0
        let shard = Self.shard(of: record.id)
        if let secret {
            shards[shard].secrets.append(secret)
            record.secret = UInt32(truncatingIfNeeded: shards[shard].secrets.count)
        }
        shards[shard].records.upsert(record)
        shards[Self.shard(of: name)].names.upsert(
            NameRecord(low: name.low, idLow: record.low, high: name.high, idHigh: record.high, kind: record.kind))
    }

    /// Its name stays and leads nowhere until it is given to another: `compact` takes such names out.
    mutating func remove(_ kind: Principal.Kind, _ id: IDBits) {
        guard find(kind, id) != nil else { return }
        shards[Self.shard(of: id)].records.remove(id)
    }

    mutating func setCandidates(_ selector: RolloutSelector?) {
        for index in shards.indices {
            shards[index].records.update { record in
                guard record.isChosen(by: selector) != record.flags.contains(.candidate) else { return nil }
                var record = record
                record.flags.formSymmetricDifference(.candidate)
                return record
            }
        }
    }

    mutating func removeAll(of tenant: IDBits) {
        for index in shards.indices {
            for record in shards[index].records.slots where record.isOccupied && record.tenant == tenant {
                shards[index].records.remove(record.id)
            }
        }
    }

    /// Drops secrets and names of those that are gone, where there are as many of them as of those that are there.
    mutating func compact() {
        for index in shards.indices {
            if shards[index].secrets.count > 2 * shards[index].records.count + 8 { compactSecrets(index) }
        }
        let names = shards.reduce(0) { $0 + $1.names.count }
        guard names > 2 * count + 64 else { return }
        for index in shards.indices {
            for name in shards[index].names.slots where name.isOccupied {
                if shards[Self.shard(of: name.named)].records.find(name.named) == nil { shards[index].names.remove(name.id) }
            }
        }
    }

    private mutating func compactSecrets(_ index: Int) {
        let old = shards[index].secrets
        var kept: [PrincipalSecret] = []
        shards[index].records.update { record in
            guard record.secret != 0, old.indices.contains(Int(record.secret) - 1) else { return nil }
            kept.append(old[Int(record.secret) - 1])
            var record = record
            record.secret = UInt32(truncatingIfNeeded: kept.count)
            return record
        }
        shards[index].secrets = kept
    }
}
