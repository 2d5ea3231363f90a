import Primitives

/// How long a server asks its callers to wait before they try again.
package enum RetryAfter {
    /// Longer waits than this are taken for it. Providers state waits of hours and of a day (daily quotas); what goes beyond a month is no
    /// statement about one request any more.
    package static let longestMilliseconds: Int64 = 31 * 86_400_000

    /// Milliseconds; nil when neither field says anything that can be read.
    ///
    /// Reads what OpenAI's SDKs read, in their order: `retry-after-ms`, then `retry-after` as seconds (RFC 9110 §10.2.3; decimals, too) or
    /// as a date. Fractions are rounded up, so that nobody is told to come back too early; a date that has passed is zero.
    package static func milliseconds(
        retryAfter: UnsafeRawBufferPointer?, retryAfterMilliseconds: UnsafeRawBufferPointer?, nowMilliseconds: Int64
    ) -> Int64? {
        if let value = retryAfterMilliseconds, let given = thousandths(value) { return bounded(given / 1000 + (given % 1000 > 0 ? 1 : 0)) }
        guard let value = retryAfter else { return nil }
        if let given = thousandths(value) { return bounded(given) }
        guard let date = HTTPDate.seconds(value, nowSeconds: nowMilliseconds / 1000) else { return nil }
        return bounded(max(0, date * 1000 - nowMilliseconds))
    }

    /// The seconds of a `retry-after` field that does not shorten this wait.
    package static func seconds(fromMilliseconds milliseconds: Int64) -> Int {
        Int(bounded(milliseconds) / 1000 + (bounded(milliseconds) % 1000 > 0 ? 1 : 0))
    }

    private static func bounded(_ milliseconds: Int64) -> Int64 { min(max(0, milliseconds), longestMilliseconds) }

    /// A decimal number times a thousand, rounded up. Nil for anything else, negative numbers included; numbers beyond any sense are cut.
    private static func thousandths(_ value: UnsafeRawBufferPointer) -> Int64? {
        guard !value.isEmpty, value.count <= 32 else { return nil }
        var whole: Int64 = 0
        var digits = 0
        var decimals: Int?
        var result: Int64 = 0
        var isCut = false
        for byte in value {
            if byte == 0x2E, decimals == nil, digits > 0 {
                decimals = 0
                continue
            }
            let digit = Int64(byte &- 0x30)
            guard byte &- 0x30 < 10 else { return nil }
            digits += 1
            guard let place = decimals else {
                // Fourteen digits of seconds are three million years.
                whole = whole > 99_999_999_999_999 ? whole : whole * 10 + digit
                continue
            }
            decimals = place + 1
            switch place {
            case 0: result += digit * 100
            case 1: result += digit * 10
            case 2: result += digit
            default: isCut = isCut || digit > 0
            }
        }
        guard digits > 0 else { return nil }
        return min(whole, 99_999_999_999_999) * 1000 + result + (isCut ? 1 : 0)
    }
}
