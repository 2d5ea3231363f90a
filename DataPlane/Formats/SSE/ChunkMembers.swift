import Primitives

/// The top-level members of a stream chunk that matter, read in earnest.
struct ChunkMembers {
    /// The last usage that is not null.
    var usage: Range<Int>?
    var usageCount = 0
    var hasError = false
    /// `choices` is missing or an empty array.
    var hasNoChoices = true
    /// What to take out so that no usage is left: members with one comma each.
    var removals: [Range<Int>] = []

    /// Reads the JSON at [start, limit). Nil when it is not an object, not JSON, or deeper than any chunk.
    init?(_ base: UnsafeRawPointer, _ start: Int, _ limit: Int) {
        var cursor = JSONCursor(base: base, from: start, limit: limit, maxDepth: 128)
        do throws(JSONViolation) {
            cursor.skipWhitespace()
            try cursor.expect(0x7B)
            cursor.skipWhitespace()
            if cursor.current == 0x7D {
                cursor.at &+= 1
            } else {
                try readMembers(&cursor)
            }
            cursor.skipWhitespace()
        } catch {
            return nil
        }
        guard cursor.at == limit else { return nil }
    }

    private mutating func readMembers(_ cursor: inout JSONCursor) throws(JSONViolation) {
        // The comma before the member being read, unless all members before it are taken out.
        var comma: Int?
        var keepsAny = false
        while true {
            let nameStart = cursor.at
            let hasEscapes = try cursor.skipString()
            let name = Self.name(cursor.base, nameStart &+ 1, cursor.at &- 1, hasEscapes)
            cursor.skipWhitespace()
            try cursor.expect(0x3A)
            cursor.skipWhitespace()
            let value = cursor.at
            let first = cursor.current
            try cursor.skipValue()
            let end = cursor.at
            cursor.skipWhitespace()
            let isLast = cursor.current != 0x2C
            switch name {
            case .usage:
                if first != 0x6E {
                    usage = value..<end
                    usageCount &+= 1
                }
                if keepsAny, let comma {
                    removals.append(comma..<end)
                } else {
                    removals.append(nameStart..<(isLast ? end : cursor.at &+ 1))
                }
            case .choices:
                hasNoChoices = first == 0x5B && Self.isEmptyArray(cursor.base, value, end)
            case .error:
                if first != 0x6E { hasError = true }
            case .other:
                break
            }
            if name != .usage { keepsAny = true }
            if isLast {
                try cursor.expect(0x7D)
                return
            }
            comma = cursor.at
            cursor.at &+= 1
            cursor.skipWhitespace()
        }
    }

    enum Name { case usage, choices, error, other }

    static func name(_ base: UnsafeRawPointer, _ start: Int, _ end: Int, _ hasEscapes: Bool) -> Name {
        if hasEscapes {
            guard end &- start <= 48 else { return .other }
            return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 48) { buffer in
                guard let count = JSONText.unescape(base, start, end, into: buffer), let plain = UnsafeRawPointer(buffer.baseAddress) else {
                    return .other
                }
                return name(plain, 0, count, false)
            }
        }
        func equals(_ text: StaticString) -> Bool {
            for index in 0..<text.utf8CodeUnitCount where ByteScan.byte(base, start &+ index) != text.utf8Start[index] { return false }
            return true
        }
        switch end &- start {
        case 5: return equals("usage") ? .usage : equals("error") ? .error : .other
        case 7: return equals("choices") ? .choices : .other
        default: return .other
        }
    }

    private static func isEmptyArray(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Bool {
        for at in (start &+ 1)..<max(start &+ 1, end &- 1) where !isWhitespace(ByteScan.byte(base, at)) { return false }
        return true
    }
}
