import Primitives

/// A calendar month in UTC.
package struct BillingMonth: Hashable, Sendable {
    package let text: String
    /// Days since 1970.
    package let days: Range<Int64>

    /// `2026-11`.
    package init?(_ text: String) {
        let digits = Array(text.utf8)
        guard digits.count == 7, digits[4] == UInt8(ascii: "-"), let year = Int64(text.prefix(4)), let month = Int64(text.suffix(2)),
            digits.enumerated().allSatisfy({ $0 == 4 || (0x30...0x39).contains($1) }), (1...12).contains(month),
            (1970...9998).contains(year)
        else { return nil }
        self.text = text
        let next = month == 12 ? (year + 1, 1 as Int64) : (year, month + 1)
        days = RFC3339.days(year: year, month: month, day: 1)..<RFC3339.days(year: next.0, month: next.1, day: 1)
    }

    /// - Throws: `DomainError.invalid`.
    package init(parameter text: String?) throws(DomainError) {
        guard let month = text.flatMap(BillingMonth.init) else {
            throw .invalid("month", "is no month", remedy: "Pass a month of UTC, like 2026-11.")
        }
        self = month
    }

    /// Unix milliseconds, the end not included.
    package var milliseconds: Range<Int64> { days.lowerBound * 86_400_000..<days.upperBound * 86_400_000 }

    /// `2026-11-21`.
    static func text(ofDay day: Int64) -> String { String(RFC3339.string(milliseconds: day * 86_400_000).prefix(10)) }
}
