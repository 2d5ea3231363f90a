import Primitives

/// Which trace something belongs to, over all services it passes through.
package struct TraceID: Hashable, Sendable {
    /// The first and the last eight of its 16 bytes, as big-endian numbers; not both zero in a valid one.
    package var high: UInt64
    package var low: UInt64

    package static let absent = TraceID(high: 0, low: 0)
}

/// W3C Trace Context (https://www.w3.org/TR/trace-context/): which trace a request belongs to.
package struct TraceContext: Hashable, Sendable {
    package let traceID: TraceID
    /// The span that calls; not zero.
    package let parentID: UInt64
    package let sampled: Bool

    /// Reads a `traceparent` header; nil for what the specification says to ignore: another shape, upper-case digits, zero ids,
    /// version ff. A later version is read by its first four fields. Allocates nothing.
    package init?(traceparent text: UnsafeRawBufferPointer) {
        guard text.count >= 55, text.count <= 512, text[2] == Self.dash, text[35] == Self.dash, text[52] == Self.dash,
            let version = Self.number(text, 0..<2), let high = Self.number(text, 3..<19), let low = Self.number(text, 19..<35),
            let parentID = Self.number(text, 36..<52), let flags = Self.number(text, 53..<55), version != 0xFF, high | low != 0,
            parentID != 0
        else { return nil }
        if text.count > 55 {
            guard version != 0, text[55] == Self.dash else { return nil }
        }
        self.init(traceID: TraceID(high: high, low: low), parentID: parentID, sampled: flags & 1 == 1)
    }

    package init?(traceparent: String) {
        var text = traceparent
        guard let context = text.withUTF8({ TraceContext(traceparent: UnsafeRawBufferPointer($0)) }) else { return nil }
        self = context
    }

    private init(traceID: TraceID, parentID: UInt64, sampled: Bool) {
        self.traceID = traceID
        self.parentID = parentID
        self.sampled = sampled
    }

    /// A new trace.
    package static func random(sampled: Bool, using generator: inout some RandomNumberGenerator) -> TraceContext {
        TraceContext(
            traceID: TraceID(high: .random(in: 0 ... .max, using: &generator), low: .random(in: 1 ... .max, using: &generator)),
            parentID: .random(in: 1 ... .max, using: &generator), sampled: sampled)
    }

    /// The same trace seen from a new span: what is sent on.
    package func child(using generator: inout some RandomNumberGenerator) -> TraceContext {
        TraceContext(traceID: traceID, parentID: .random(in: 1 ... .max, using: &generator), sampled: sampled)
    }

    package var traceparent: String {
        "00-\(Self.hex(traceID.high))\(Self.hex(traceID.low))-\(Self.hex(parentID))-\(sampled ? "01" : "00")"
    }

    private static let dash = UInt8(ascii: "-")

    private static func number(_ text: UnsafeRawBufferPointer, _ range: Range<Int>) -> UInt64? {
        var value: UInt64 = 0
        for byte in text[range] {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt64(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt64(byte - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
        return value
    }

    private static func hex(_ value: UInt64) -> String { withUnsafeBytes(of: value.bigEndian) { Hex.encode($0) } }
}
