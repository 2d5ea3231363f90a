/// What stands in a `CompactTable`: a value of few bytes, found by 80 random bits.
protocol CompactRecord: Sendable {
    static var empty: Self { get }
    var low: UInt64 { get }
    var high: UInt16 { get }
    var isOccupied: Bool { get }
}

extension CompactRecord {
    var id: IDBits { IDBits(high: high, low: low) }
}

/// An open-addressing table with linear probing, filled to seven tenths at most: a lookup costs one cache miss however much there is. A
/// value, so that a delta copies the tables it touches and shares the others.
struct CompactTable<Record: CompactRecord>: Sendable {
    private(set) var slots: [Record] = []
    private(set) var count = 0

    /// Where the probing for `low` begins: the multiply-shift range reduction, for any number of slots. Ids are random bits.
    @inline(__always)
    private static func home(_ low: UInt64, _ capacity: Int) -> Int {
        Int(truncatingIfNeeded: low.multipliedFullWidth(by: UInt64(truncatingIfNeeded: capacity)).high)
    }

    @inline(__always)
    func find(_ id: IDBits) -> Record? {
        guard let index = index(of: id) else { return nil }
        return slots[index]
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

    /// Inserts or replaces. The record says that it is occupied.
    mutating func upsert(_ record: Record) {
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

    /// Changes records where they are, the bits that they are found by excepted; the slots are copied only if one changes.
    /// - Parameter change: nil leaves the record as it is.
    mutating func update(_ change: (Record) -> Record?) {
        for index in slots.indices {
            let record = slots[index]
            guard record.isOccupied, let changed = change(record) else { continue }
            slots[index] = changed
        }
    }

    private static func capacity(for count: Int) -> Int { count == 0 ? 0 : count * 10 / 7 + 4 }

    private mutating func resize(_ capacity: Int) {
        let old = slots
        slots = [Record](repeating: .empty, count: capacity)
        for record in old where record.isOccupied { place(record) }
    }

    private mutating func place(_ record: Record) {
        var index = Self.home(record.low, slots.count)
        while slots[index].isOccupied {
            index += 1
            if index == slots.count { index = 0 }
        }
        slots[index] = record
    }
}
