import Primitives

/// What a provider says of a limit that is used up, ahead of any refusal. OpenAI's fields are `x-ratelimit-remaining-requests` and
/// `x-ratelimit-reset-requests`, and the same of tokens, a duration as Go writes it (`1s`, `6m0s`, `12ms`) or plain seconds; Anthropic's are
/// `anthropic-ratelimit-requests-remaining` and `…-reset`, and the same of tokens, input-tokens and output-tokens, a time (RFC 3339).
package struct RateLimitFields {
    private var remaining: [Substring: Int64] = [:]
    private var resets: [Substring: String] = [:]

    package init() {}

    /// Whether a field's name may be one of these: a look at its length and first byte.
    @inline(__always)
    package static func mayBe(_ name: UnsafeRawBufferPointer) -> Bool {
        guard name.count >= 23, let first = name.first else { return false }
        return first | 0x20 == UInt8(ascii: "x") || first | 0x20 == UInt8(ascii: "a")
    }

    /// Takes a field of an answer's head.
    package mutating func take(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        guard name.count <= 64, value.count <= 64 else { return }
        let name = String(decoding: name, as: UTF8.self).lowercased()
        let text = String(decoding: value, as: UTF8.self)
        if name.hasPrefix("x-ratelimit-remaining-") {
            remaining[name.dropFirst(22)] = Int64(text)
        } else if name.hasPrefix("x-ratelimit-reset-") {
            resets[name.dropFirst(18)] = text
        } else if name.hasPrefix("anthropic-ratelimit-") {
            if name.hasSuffix("-remaining") {
                remaining[name.dropFirst(20).dropLast(10)] = Int64(text)
            } else if name.hasSuffix("-reset") {
                resets[name.dropFirst(20).dropLast(6)] = text
            }
        }
    }

    /// Milliseconds until something that has run out is there again; nil where nothing has.
    package func wait(nowMilliseconds: Int64) -> Int64? {
        var longest: Int64?
        for (what, left) in remaining where left == 0 {
            guard let text = resets[what], let wait = Self.wait(text, nowMilliseconds), wait > 0 else { continue }
            longest = max(longest ?? 0, wait)
        }
        return longest
    }

    private static func wait(_ text: String, _ now: Int64) -> Int64? {
        if text.utf8.contains(UInt8(ascii: "-")) {
            return RFC3339.milliseconds(text).map { min(max(0, $0.subtractingReportingOverflow(now).partialValue), longestWait) }
        }
        return duration(text)
    }

    private static let longestWait: Int64 = RetryAfter.longestMilliseconds

    /// `1h2m3.5s`, `12ms`, or seconds without a unit. Rounded up; nil for anything else.
    static func duration(_ text: String) -> Int64? {
        var total = 0.0
        var rest = Substring(text)
        if rest.isEmpty { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            guard !digits.isEmpty, let value = Double(digits), value >= 0 else { return nil }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(unit.count)
            switch unit {
            case "ms": total += value
            case "s", "": total += value * 1000
            case "m": total += value * 60_000
            case "h": total += value * 3_600_000
            case "d": total += value * 86_400_000
            case "us", "µs", "ns": total += 0
            default: return nil
            }
        }
        return Int64(min(total.rounded(.up), Double(longestWait)))
    }
}
