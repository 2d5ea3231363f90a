package import Primitives

/// A slice's name: 63 random bits, never 0.
package struct SliceID: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let rawValue: Int64

    /// Nil for 0 and what has the highest bit: a database's integers are signed.
    package init?(_ bits: UInt64) {
        guard let value = Int64(exactly: bits), value > 0 else { return nil }
        rawValue = value
    }

    package init?(rawValue: Int64) {
        guard rawValue > 0 else { return nil }
        self.rawValue = rawValue
    }

    /// Reads "slc_" and 16 hexadecimal digits.
    package init?(text: String) {
        // A sign would be taken for a digit's place.
        guard text.hasPrefix("slc_"), text.utf8.count == 20, text.utf8.allSatisfy({ $0 != UInt8(ascii: "+") }),
            let bits = UInt64(text.dropFirst(4), radix: 16)
        else { return nil }
        self.init(bits)
    }

    package static func random(using generator: inout some RandomNumberGenerator) -> SliceID {
        while true {
            if let id = SliceID(UInt64(generator.next()) >> 1) { return id }
        }
    }

    package var bits: UInt64 { UInt64(rawValue) }
    package var text: String {
        let digits = String(bits, radix: 16)
        return "slc_" + String(repeating: "0", count: 16 - digits.count) + digits
    }
    package var description: String { text }
    package static func < (a: SliceID, b: SliceID) -> Bool { a.rawValue < b.rawValue }
}

/// What is leased from: a budget in one of its periods. A request belongs to the period in which it was admitted, and slices to one period.
package struct AccountKey: Hashable, Sendable, CustomStringConvertible {
    /// The 80 bits of the budget's id.
    package let high: UInt16
    package let low: UInt64
    /// Unix milliseconds; 0 for a budget that never begins anew.
    package let periodStart: Int64

    package init(high: UInt16, low: UInt64, periodStart: Int64) {
        self.high = high
        self.low = low
        self.periodStart = periodStart
    }

    /// Nil for what is no budget's id.
    package init?(_ budget: BudgetID, periodStart: Int64) {
        guard let bytes = Base32.decode(budget.rawValue.dropFirst(BudgetKind.prefix.count)), bytes.count == 10 else { return nil }
        high = bytes.prefix(2).reduce(0) { $0 << 8 | UInt16($1) }
        low = bytes.dropFirst(2).reduce(0) { $0 << 8 | UInt64($1) }
        self.periodStart = periodStart
    }

    package var budget: BudgetID {
        let bytes = [UInt8(truncatingIfNeeded: high >> 8), UInt8(truncatingIfNeeded: high)]
        let rest = stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: low >> UInt64($0)) }
        return BudgetID(BudgetKind.prefix + Base32.encode(bytes + rest))
    }

    package var description: String { "\(budget)@\(periodStart)" }
}

/// Amounts are in the unit of their budget: nano-dollars, tokens or requests.
package enum LeaseAmount {
    /// More is not granted, nor believed: the sum of a few amounts stays far from the end of Int64.
    package static let maximum: Int64 = 1 << 60

    package static func clamped(_ amount: Int64) -> Int64 { min(max(0, amount), maximum) }
}

extension Int64 {
    /// The sum, or the end of the range.
    func plus(_ other: Int64) -> Int64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other > 0 ? .max : .min) : sum
    }

    func minus(_ other: Int64) -> Int64 {
        let (difference, overflow) = subtractingReportingOverflow(other)
        return overflow ? (other > 0 ? .min : .max) : difference
    }

    func times(_ other: Int64) -> Int64 {
        let (product, overflow) = multipliedReportingOverflow(by: other)
        return overflow ? ((self > 0) == (other > 0) ? .max : .min) : product
    }
}

/// What a data plane's disk says of a slice: sums since it was granted, which never fall (the ceiling: never rises). So a report that comes
/// twice, late or not at all does no harm.
package struct SliceReport: Hashable, Sendable {
    package enum State: Int, Hashable, Sendable {
        case open
        /// Nothing will be spent from it any more.
        case closed
        /// Of a boot that this one is not, or may not be, the continuation of.
        case orphaned
    }

    package var slice: SliceID
    package var account: AccountKey
    /// The boot that it was granted to.
    package var boot: String
    package var granted: Int64
    /// No more than this will be spent.
    package var ceiling: Int64
    package var spent: Int64
    /// The most that requests of which the outcome is not known may cost beside what is in `spent`.
    package var unknown: Int64
    package var state: State
    /// Unix milliseconds.
    package var expires: Int64
    /// Of the control plane that granted it.
    package var epoch: UInt64

    package init(
        slice: SliceID, account: AccountKey, boot: String, granted: Int64, ceiling: Int64, spent: Int64, unknown: Int64, state: State,
        expires: Int64, epoch: UInt64
    ) {
        self.slice = slice
        self.account = account
        self.boot = boot
        self.granted = granted
        self.ceiling = ceiling
        self.spent = spent
        self.unknown = unknown
        self.state = state
        self.expires = expires
        self.epoch = epoch
    }
}

/// What a data plane asks for.
package struct LeaseAsk: Hashable, Sendable {
    /// The same ask gets the same slice.
    package var id: UInt64
    package var account: AccountKey
    /// Less is of no use.
    package var needed: Int64
    package var wanted: Int64

    package init(id: UInt64, account: AccountKey, needed: Int64, wanted: Int64) {
        self.id = id
        self.account = account
        self.needed = needed
        self.wanted = wanted
    }
}

/// Why nothing was granted.
package enum LeaseRefusal: Int, Error, Hashable, Sendable {
    /// It is spent.
    case exhausted = 1
    /// Others hold it, who were told to give back what they do not need.
    case held = 2
    case noSuchAccount = 3
    /// After a restore of the control plane: not every data plane has told what it holds.
    case recovering = 4
    /// The data plane has said hello anew since: the ask came over a stream that does not count any more.
    case superseded = 5
}
