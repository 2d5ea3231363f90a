import Primitives

/// What the body of an answer is, by its first bytes: labels are wrong often enough (`application/json`, `text/plain` or none on streams).
package enum BodyKind: UInt8, Sendable, Hashable {
    /// Server-sent events.
    case eventStream
    /// One JSON object or array.
    case json
    case other
    /// Too little has come to tell.
    case needMore

    /// - Parameter isEnd: Nothing follows.
    package static func sniff(_ bytes: UnsafeRawBufferPointer, isEnd: Bool = false) -> BodyKind {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return isEnd ? .other : .needMore }
        let limit = bytes.count
        var at = ByteOrderMark.length(base, 0, limit)
        if at == 0, ByteScan.byte(base, 0) == 0xEF, limit < 3 { return isEnd ? .other : .needMore }
        while at < limit, isWhitespace(ByteScan.byte(base, at)) { at &+= 1 }
        guard at < limit else { return isEnd ? .other : .needMore }
        switch ByteScan.byte(base, at) {
        case 0x7B, 0x5B: return .json
        case 0x3A: return .eventStream
        default: break
        }
        for field in Self.fields {
            // What has come may be the beginning of one.
            let count = min(field.utf8CodeUnitCount, limit &- at)
            var matches = true
            for index in 0..<count where ByteScan.byte(base, at &+ index) != field.utf8Start[index] { matches = false }
            guard matches else { continue }
            return count == field.utf8CodeUnitCount ? .eventStream : isEnd ? .other : .needMore
        }
        return .other
    }

    /// The fields of WHATWG HTML §9.2.6 with their colons.
    private static var fields: [StaticString] { ["data:", "event:", "id:", "retry:"] }
}
