/// One virtual key, 64 bytes: a cache line, so that a lookup costs one miss however many keys there are.
struct KeyRecord: CompactRecord {
    var low: UInt64
    var digest: DigestWords
    var expiresMilliseconds: Int64
    /// Index into the directory's projects.
    var project: UInt32
    /// Index into the directory's scope sets plus one; 0 is unrestricted.
    var scopes: UInt32
    /// Index into the shard's extras plus one; 0 is none.
    var extra: UInt32
    var high: UInt16
    var flags: Flags

    struct Flags: OptionSet {
        let rawValue: UInt16
        static let occupied = Flags(rawValue: 1)
        static let disabled = Flags(rawValue: 2)
        /// The rollout in force gives this key the candidate version.
        static let candidate = Flags(rawValue: 4)
    }

    static let empty = KeyRecord(
        low: 0, digest: DigestWords(0, 0, 0, 0), expiresMilliseconds: 0, project: 0, scopes: 0, extra: 0, high: 0, flags: [])

    var isOccupied: Bool { flags.contains(.occupied) }
}

/// A secret that a rotation replaced, valid until it expires.
struct RotatedSecret: Sendable, Hashable {
    var digest: DigestWords
    var expiresMilliseconds: Int64
}

/// What few keys have, and what is therefore not in their record: it costs them a second miss, and the others nothing.
struct KeyExtra: Sendable {
    var rotated: RotatedSecret?
    /// Whose key it is.
    var user: IDBits?

    var isEmpty: Bool { rotated == nil && user == nil }
}

/// A 256th of the keys.
struct KeyShard: Sendable {
    private var table = CompactTable<KeyRecord>()
    private(set) var extras: [KeyExtra] = []

    var slots: [KeyRecord] { table.slots }
    var count: Int { table.count }

    @inline(__always)
    static func shard(of id: IDBits) -> Int { Int(id.high & 0xFF) }

    @inline(__always)
    func find(_ id: IDBits) -> KeyRecord? { table.find(id) }

    func extra(_ record: KeyRecord) -> KeyExtra? {
        let index = Int(record.extra) - 1
        return extras.indices.contains(index) ? extras[index] : nil
    }

    mutating func reserve(_ expected: Int) { table.reserve(expected) }

    /// Inserts or replaces. `extra` in the record is ignored in favour of the second parameter.
    mutating func upsert(_ record: KeyRecord, _ extra: KeyExtra) {
        var record = record
        record.flags.insert(.occupied)
        record.extra = 0
        if !extra.isEmpty {
            extras.append(extra)
            record.extra = UInt32(truncatingIfNeeded: extras.count)
        }
        table.upsert(record)
    }

    mutating func remove(_ id: IDBits) { table.remove(id) }

    /// Drops extras that no record refers to any more.
    mutating func compactExtras() {
        guard !extras.isEmpty else { return }
        let old = extras
        var kept: [KeyExtra] = []
        table.update { record in
            guard record.extra != 0, old.indices.contains(Int(record.extra) - 1) else { return nil }
            kept.append(old[Int(record.extra) - 1])
            var record = record
            record.extra = UInt32(truncatingIfNeeded: kept.count)
            return record
        }
        extras = kept
    }

    /// Sets the candidate flag of each key by `isCandidate`.
    mutating func setCandidates(_ isCandidate: (KeyRecord) -> Bool) {
        table.update { record in
            guard isCandidate(record) != record.flags.contains(.candidate) else { return nil }
            var record = record
            record.flags.formSymmetricDifference(.candidate)
            return record
        }
    }
}
