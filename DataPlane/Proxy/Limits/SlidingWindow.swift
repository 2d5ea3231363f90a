/// What was had in the last so many microseconds, by when. What came close together (a 256th of the window) is one slot, which counts until
/// the last of it is out of the window: in no window of that length is there ever more than was let in, and what comes seldom is known to
/// the microsecond. Times are monotonic and never step back: the ledger sees to that.
package struct SlidingWindow: Sendable {
    private struct Slot {
        var first: Int64
        var last: Int64
        var amount: Int64
    }

    /// By time, from `head` on.
    private var slots: [Slot] = []
    private var head = 0
    package private(set) var used: Int64 = 0

    package init() {}

    package var isEmpty: Bool { head == slots.count }
    /// When the last of it was had; nil: nothing is in it.
    package var last: Int64? { isEmpty ? nil : slots.last?.last }

    /// Forgets what is out of the window.
    package mutating func advance(to now: Int64, window: Int64) {
        while head < slots.count, now &- slots[head].last >= window {
            used &-= slots[head].amount
            head &+= 1
        }
        if head == slots.count {
            slots.removeAll(keepingCapacity: slots.count <= 16)
            head = 0
        } else if head >= 64, head &* 2 >= slots.count {
            slots.removeFirst(head)
            head = 0
        }
    }

    package mutating func add(_ amount: Int64, at now: Int64, window: Int64) {
        used = used.addingClamped(amount)
        if let last = slots.indices.last, last >= head, now &- slots[last].first <= max(1, window / 256) {
            slots[last].last = max(slots[last].last, now)
            slots[last].amount = slots[last].amount.addingClamped(amount)
        } else {
            slots.append(Slot(first: now, last: now, amount: amount))
        }
    }

    /// Puts in what was had before, wherever it belongs.
    package mutating func insert(_ amount: Int64, at time: Int64) {
        let place = slots[head...].firstIndex { $0.first > time } ?? slots.count
        used = used.addingClamped(amount)
        if place > head, time <= slots[place &- 1].last {
            slots[place &- 1].amount = slots[place &- 1].amount.addingClamped(amount)
        } else {
            slots.insert(Slot(first: time, last: time, amount: amount), at: place)
        }
    }

    /// What was had at `time` was too much by `amount`. Nothing of it is left where it is out of the window.
    package mutating func giveBack(_ amount: Int64, from time: Int64) {
        var (low, high) = (head, slots.count)
        while low < high {
            let middle = (low + high) / 2
            if slots[middle].last < time { low = middle + 1 } else { high = middle }
        }
        guard low < slots.count, slots[low].first <= time else { return }
        let back = min(amount, slots[low].amount)
        slots[low].amount &-= back
        used &-= back
    }

    /// In how many microseconds there is room for so much; 0: now. Nil: never.
    package func wait(for amount: Int64, limit: Int64, now: Int64, window: Int64) -> Int64? {
        if amount > limit { return nil }
        var excess = used.addingClamped(amount) &- limit
        if excess <= 0 { return 0 }
        for slot in slots[head...] {
            excess &-= slot.amount
            if excess <= 0 { return max(1, slot.last.addingClamped(window) &- now) }
        }
        return 0
    }
}

/// A bucket that holds so many and fills evenly. Kept as what is missing in it, in units times microseconds of the window, which is exact:
/// nothing is rounded away however slowly it fills.
package struct TokenBucket: Sendable {
    private var debt: Int128 = 0
    private var at: Int64 = 0

    package init() {}

    package var isFull: Bool { debt == 0 }

    package mutating func advance(to now: Int64, amount: Int64) {
        if debt > 0, now > at { debt = max(0, debt - Int128(now &- at) * Int128(amount)) }
        at = max(at, now)
    }

    package mutating func add(_ amount: Int64, window: Int64) { debt += Int128(amount) * Int128(window) }
    package mutating func giveBack(_ amount: Int64, window: Int64) { debt = max(0, debt - Int128(amount) * Int128(window)) }

    /// What is missing, rounded up.
    package func used(window: Int64) -> Int64 { Self.clamped((debt + Int128(window) - 1) / Int128(max(1, window))) }

    /// Microseconds until it is full.
    package func reset(amount: Int64) -> Int64 { Self.clamped((debt + Int128(amount) - 1) / Int128(max(1, amount))) }

    /// In how many microseconds so much is in it; 0: now. Nil: never.
    package func wait(for wanted: Int64, burst: Int64, amount: Int64, window: Int64) -> Int64? {
        if wanted > burst { return nil }
        let excess = debt + Int128(wanted) * Int128(window) - Int128(burst) * Int128(window)
        if excess <= 0 { return 0 }
        return Self.clamped((excess + Int128(amount) - 1) / Int128(max(1, amount)))
    }

    private static func clamped(_ value: Int128) -> Int64 { Int64(clamping: value) }
}

extension Int64 {
    fileprivate func addingClamped(_ other: Int64) -> Int64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other > 0 ? .max : .min) : sum
    }
}
