/// An amount in nano-dollars (1e-9 USD). Prices are nano-dollars per million tokens.
package struct NanoDollars: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    package var rawValue: Int64

    package init(_ rawValue: Int64) { self.rawValue = rawValue }

    package init(from decoder: any Decoder) throws { rawValue = try decoder.singleValueContainer().decode(Int64.self) }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }

    /// Reads a plain decimal in dollars: "2.50", "0.000000075", "-1". Nil for anything else, for more than nine decimals that
    /// are not zero, or beyond ±9.2 billion dollars.
    package init?(decimal text: String) {
        var digits = Substring(text)
        let negative = digits.hasPrefix("-")
        if negative { digits = digits.dropFirst() }
        let parts = digits.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first, !whole.isEmpty, parts.count == 1 || !parts[1].isEmpty else { return nil }
        var value: Int64 = 0
        var decimals = 0
        for (index, part) in parts.enumerated() {
            for character in part.utf8 {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(character) else { return nil }
                let digit = Int64(character - UInt8(ascii: "0"))
                if index == 1 {
                    if decimals == 9 {
                        guard digit == 0 else { return nil }
                        continue
                    }
                    decimals += 1
                }
                let (product, overflow) = value.multipliedReportingOverflow(by: 10)
                let (sum, overflowed) = product.addingReportingOverflow(digit)
                guard !overflow, !overflowed else { return nil }
                value = sum
            }
        }
        for _ in decimals..<9 {
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            guard !overflow else { return nil }
            value = product
        }
        self.init(negative ? -value : value)
    }

    /// Dollars with at least two decimals and no needless zeros: "2.50", "0.000000075".
    package var decimalString: String {
        let magnitude = rawValue.magnitude
        var fraction = String(magnitude % 1_000_000_000)
        fraction = String(repeating: "0", count: 9 - fraction.count) + fraction
        while fraction.count > 2, fraction.hasSuffix("0") { fraction.removeLast() }
        return "\(rawValue < 0 ? "-" : "")\(magnitude / 1_000_000_000).\(fraction)"
    }

    package var description: String { "$" + decimalString }
    package static func < (a: NanoDollars, b: NanoDollars) -> Bool { a.rawValue < b.rawValue }
}
