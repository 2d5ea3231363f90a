import Primitives

/// W3C Trace Context (https://www.w3.org/TR/trace-context/): which trace a request belongs to.
package struct TraceContext: Hashable, Sendable {
    /// 16 bytes, not all zero.
    package let traceID: [UInt8]
    /// 8 bytes, not all zero: the span that calls.
    package let parentID: [UInt8]
    package let sampled: Bool

    /// Reads a `traceparent` header; nil for what the specification says to ignore: another shape, upper-case digits, zero ids,
    /// version ff. A later version is read by its first four fields.
    package init?(traceparent: some StringProtocol) {
        let text = Array(traceparent.utf8)
        guard text.count >= 55, text.count <= 512, text[2] == Self.dash, text[35] == Self.dash, text[52] == Self.dash,
            let version = Self.hex(text[0..<2]), let traceID = Self.hex(text[3..<35]), let parentID = Self.hex(text[36..<52]),
            let flags = Self.hex(text[53..<55]), version != [0xFF], traceID.contains(where: { $0 != 0 }),
            parentID.contains(where: { $0 != 0 })
        else { return nil }
        if text.count > 55 {
            guard version != [0], text[55] == Self.dash else { return nil }
        }
        self.init(traceID: traceID, parentID: parentID, sampled: (flags.first ?? 0) & 1 == 1)
    }

    private init(traceID: [UInt8], parentID: [UInt8], sampled: Bool) {
        self.traceID = traceID
        self.parentID = parentID
        self.sampled = sampled
    }

    /// A new trace.
    package static func random(sampled: Bool, using generator: inout some RandomNumberGenerator) -> TraceContext {
        TraceContext(traceID: bytes(16, &generator), parentID: bytes(8, &generator), sampled: sampled)
    }

    /// The same trace seen from a new span: what is sent on.
    package func child(using generator: inout some RandomNumberGenerator) -> TraceContext {
        TraceContext(traceID: traceID, parentID: Self.bytes(8, &generator), sampled: sampled)
    }

    package var traceparent: String { "00-\(Hex.encode(traceID))-\(Hex.encode(parentID))-\(sampled ? "01" : "00")" }

    private static let dash = UInt8(ascii: "-")

    private static func hex(_ bytes: ArraySlice<UInt8>) -> [UInt8]? {
        guard bytes.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }) else { return nil }
        return Hex.decode(String(decoding: bytes, as: UTF8.self))
    }

    private static func bytes(_ count: Int, _ generator: inout some RandomNumberGenerator) -> [UInt8] {
        var out = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
        if let last = out.indices.last, out.allSatisfy({ $0 == 0 }) { out[last] = 1 }
        return out
    }
}
