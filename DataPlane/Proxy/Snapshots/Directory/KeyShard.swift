/// One virtual key, 64 bytes: a cache line, so that a lookup costs one miss however many keys there are.
struct KeyRecord: Sendable {
    var low: UInt64
    var digest: DigestWords
    var expiresMilliseconds: Int64
    /// Index into the directory's projects.
    var project: UInt32
    /// Index into the directory's scope sets plus one; 0 is unrestricted.
    var scopes: UInt32
    /// Index into the shard's rotations plus one; 0 is none.
    var rotation: UInt32
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
        low: 0, digest: DigestWords(0, 0, 0, 0), expiresMilliseconds: 0, project: 0, scopes: 0, rotation: 0, high: 0, flags: [])

    var id: IDBits { IDBits(high: high, low: low) }
    var isOccupied: Bool { flags.contains(.occupied) }
}

/// The secret that a rotation replaced, valid until it expires. Few keys have one, so it is not in the record.
struct RotatedSecret: Sendable {
    var digest: DigestWords
    var expiresMilliseconds: Int64
}

/// A 256th of the keys: an open-addressing table with linear probing, filled to seven tenths at most. A value: a delta copies
/// the shards it touches and shares the others.
struct KeyShard: Sendable {
    private(set) var slots: [KeyRecord] = []
    private(set) var rotations: [RotatedSecret] = []
    private(set) var count = 0

    static func shard(of id: IDBits) -> Int { Int(id.high & 0xFF) }

    /// Where the probing for `low` begins: the multiply-shift range reduction, for any number of slots. Ids are random bits.
    @inline(__always)
    private static func home(_ low: UInt64, _ capacity: Int) -> Int {
        Int(truncatingIfNeeded: low.multipliedFullWidth(by: UInt64(truncatingIfNeeded: capacity)).high)
    }

    @inline(__always)
    func find(_ id: IDBits) -> KeyRecord? {
        guard let index = index(of: id) else { return nil }
        return slots[index]
    }

    func rotation(_ record: KeyRecord) -> RotatedSecret? {
        let index = Int(record.rotation) - 1
        return rotations.indices.contains(index) ? rotations[index] : nil
    }

    @inline(__always)
    private func index(of id: IDBits) -> Int? {
        let capacity = slots.count
        guard capacity > 0 else { return nil }
        var index = Self.home(id.low, capacity)
        // An empty slot ends it: there is always one, the table is never full.
        while true {
            let record = slots[index]
            if !record.isOccupied { return nil }
            if record.low == id.low && record.high == id.high { return index }
            index &+= 1
            if index == capacity { index = 0 }
        }
    }

    mutating func reserve(_ expected: Int) {
        let capacity = Self.capacity(for: expected)
        if capacity > slots.count { resize(capacity) }
    }

    /// Inserts or replaces. `rotation` in the record is ignored in favour of `rotated`.
    mutating func upsert(_ record: KeyRecord, rotated: RotatedSecret?) {
        var record = record
        record.flags.insert(.occupied)
        record.rotation = 0
        if let rotated {
            rotations.append(rotated)
            record.rotation = UInt32(truncatingIfNeeded: rotations.count)
        }
        if let existing = index(of: record.id) {
            slots[existing] = record
            return
        }
        if Self.capacity(for: count + 1) > slots.count { resize(Self.capacity(for: count + 1 + count / 4)) }
        place(record)
        count += 1
    }

    /// Closes the gap by moving back what probed past it, so that no tombstones gather.
    mutating func remove(_ id: IDBits) {
        guard var gap = index(of: id) else { return }
        let capacity = slots.count
        count -= 1
        var next = gap
        while true {
            next += 1
            if next == capacity { next = 0 }
            let record = slots[next]
            guard record.isOccupied else { break }
            let home = Self.home(record.low, capacity)
            // The record may move into the gap when its home is not between the gap (exclusive) and where it is (inclusive).
            let stays = gap < next ? (home > gap && home <= next) : (home > gap || home <= next)
            if !stays {
                slots[gap] = record
                gap = next
            }
        }
        slots[gap] = .empty
    }

    /// Drops rotations that no record refers to any more.
    mutating func compactRotations() {
        guard !rotations.isEmpty else { return }
        var kept: [RotatedSecret] = []
        for index in slots.indices where slots[index].rotation != 0 {
            guard let rotated = rotation(slots[index]) else { continue }
            kept.append(rotated)
            slots[index].rotation = UInt32(truncatingIfNeeded: kept.count)
        }
        rotations = kept
    }

    /// Sets the candidate flag of each key by `isCandidate`; the slots are copied only if one changes.
    mutating func setCandidates(_ isCandidate: (KeyRecord) -> Bool) {
        for index in slots.indices {
            let record = slots[index]
            guard record.isOccupied else { continue }
            let wanted = isCandidate(record)
            if wanted != record.flags.contains(.candidate) { slots[index].flags.formSymmetricDifference(.candidate) }
        }
    }

    private static func capacity(for count: Int) -> Int { count == 0 ? 0 : count * 10 / 7 + 4 }

    private mutating func resize(_ capacity: Int) {
        let old = slots
        slots = [KeyRecord](repeating: .empty, count: capacity)
        for record in old where record.isOccupied { place(record) }
    }

    private mutating func place(_ record: KeyRecord) {
        var index = Self.home(record.low, slots.count)
        while slots[index].isOccupied {
            index += 1
            if index == slots.count { index = 0 }
        }
        slots[index] = record
    }
}
