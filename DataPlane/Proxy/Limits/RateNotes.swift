import Primitives

/// What limits have counted on a loop since its journal was written last: what came for one counter in one millisecond is one entry.
struct RateNotes {
    private var entries: [RateNote.Entry] = []
    /// Of some request that counted.
    private var subject = RequestID(high: 0, low: 0)

    /// One record of the journal holds some three hundred.
    private static let maximum = 256
    /// How far back it is looked for an entry that another can be added to: requests of one turn lie close together.
    private static let reach = 48

    var isEmpty: Bool { entries.isEmpty }
    var isFull: Bool { entries.count >= Self.maximum }

    /// - Parameter at: Unix milliseconds.
    mutating func add(_ amount: Int64, to counter: RateLedger.Key, of rule: LimitRule, at: Int64, by request: RequestID) {
        subject = request
        var index = entries.count
        let end = max(0, index - Self.reach)
        while index > end {
            index -= 1
            guard entries[index].at == at, entries[index].key == counter, entries[index].window == rule.memory else { continue }
            let (sum, overflow) = entries[index].amount.addingReportingOverflow(amount)
            if overflow { break }
            entries[index].amount = sum
            return
        }
        entries.append(RateNote.Entry(key: counter, at: at, window: rule.memory, amount: amount))
    }

    /// The payload of a note of all of it.
    mutating func take(boot: UInt64) -> [UInt8] {
        defer { entries.removeAll(keepingCapacity: true) }
        return RateNote.write(boot: boot, entries)
    }

    /// Into the journal's buffer, for the next process. What it does not take is lost to that one only.
    mutating func write(boot: UInt64, to journal: UsageJournal) {
        try? take(boot: boot).withUnsafeBytes { bytes in try journal.note(.rates, subject, bytes) }
    }
}
