import Primitives

/// A quick look at the JSON of one stream chunk, which is valid or not: which member names of interest occur anywhere in it, and how much
/// text it carries. Decides whether the chunk has to be read in earnest.
///
/// Names are found by the quote and colon behind them. Within a string a quote is escaped, so what looks like a name is one; the depth
/// is not known here.
struct ChunkGlance {
    /// Raw bytes of the values of `content`, `text`, `arguments` and the like.
    var contentBytes = 0
    var usageCount = 0
    /// Offset of the quote that ends the name of the last `usage`.
    var usageNameEnd = 0
    /// A `usage` whose value is something else than null.
    var hasUsageValue = false
    /// An `error` whose value is something else than null.
    var hasErrorValue = false
    var hasFinishReason = false

    @inline(__always)
    init(_ base: UnsafeRawPointer, _ start: Int, _ limit: Int) {
        var at = start
        let quote = ByteScan.Lane(repeating: 0x22)
        let colon = ByteScan.Lane(repeating: 0x3A)
        let space = ByteScan.Lane(repeating: 0x20)
        blocks: while at &+ 17 <= limit {
            let following = ByteScan.lane(base, at &+ 1)
            let nameEnds = (ByteScan.lane(base, at) .== quote) .& ((following .== colon) .| (following .<= space))
            var hits = ByteScan.bits(nameEnds)
            while hits != 0 {
                let end = at &+ hits.trailingZeroBitCount
                hits &= hits &- 1
                if let next = look(base, start, end, limit), next > end &+ 1 {
                    // A text was passed over; what the block held before its end is done with.
                    at = next
                    continue blocks
                }
            }
            at &+= 16
        }
        while at &+ 1 < limit {
            if ByteScan.byte(base, at) == 0x22, let next = look(base, start, at, limit) {
                at = next
            } else {
                at &+= 1
            }
        }
    }

    /// Where the member `,"usage":null` of a chunk lies that ends at `limit`, when it is plain to see that it is one of the chunk's own:
    /// nothing behind it opens or closes anything but the chunk. Nil says only that the chunk has to be read.
    @inline(__always)
    func nullUsage(_ base: UnsafeRawPointer, _ start: Int, _ limit: Int) -> Range<Int>? {
        let comma = usageNameEnd &- 7
        let end = usageNameEnd &+ 6
        guard usageCount == 1, !hasUsageValue, comma >= start, end < limit, ByteScan.byte(base, comma) == 0x2C else { return nil }
        guard ByteScan.byte(base, usageNameEnd &+ 1) == 0x3A else { return nil }
        let word = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: usageNameEnd &+ 2, as: UInt32.self))
        guard word == 0x6C6C_756E, ByteScan.byte(base, limit &- 1) == 0x7D else { return nil }
        var at = end
        while at < limit &- 1 {
            // All brackets become 0x7F when these bits are set, and a few letters do: those chunks are read.
            if ByteScan.byte(base, at) | 0x26 == 0x7F { return nil }
            at &+= 1
        }
        return comma..<end
    }

    /// Looks at the name that ends with the quote at `end`. Returns where to go on when the name's text value was passed over.
    @inline(__always)
    private mutating func look(_ base: UnsafeRawPointer, _ start: Int, _ end: Int, _ limit: Int) -> Int? {
        guard end &- start >= 8 else { return end &- start >= 6 ? lookShort(base, start, end, limit) : nil }
        let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: end &- 8, as: UInt64.self))
        switch word &>> 56 {
        case 0x74:  // t: "content, _content, "text
            guard word == Self.content || word == Self.underscoreContent || word &>> 24 == Self.text else { return nil }
            return passText(base, end, limit)
        case 0x73:  // s: "arguments
            return word == Self.arguments ? passText(base, end, limit) : nil
        case 0x6C:  // l: "refusal
            return word == Self.refusal ? passText(base, end, limit) : nil
        case 0x67:  // g: "reasoning
            return word == Self.reasoning ? passText(base, end, limit) : nil
        case 0x65:  // e: "usage
            if word &>> 16 == Self.usage { noteUsage(base, end, limit) }
            return nil
        case 0x72:  // r: "error
            if word &>> 16 == Self.error, isGiven(base, end, limit) { hasErrorValue = true }
            return nil
        case 0x6E:  // n: "finish_reason
            if word == Self.finishReason, isGiven(base, end, limit), !isEmptyText(base, end, limit) { hasFinishReason = true }
            return nil
        default:
            return nil
        }
    }

    /// The first member of a chunk lies closer to its start than eight bytes.
    @inline(never)
    private mutating func lookShort(_ base: UnsafeRawPointer, _ start: Int, _ end: Int, _ limit: Int) -> Int? {
        var word: UInt64 = 0
        for index in 1...6 { word = word &<< 8 | UInt64(ByteScan.byte(base, end &- index)) }
        if word == Self.usage { noteUsage(base, end, limit) }
        if word == Self.error, isGiven(base, end, limit) { hasErrorValue = true }
        return word &>> 8 == Self.text ? passText(base, end, limit) : nil
    }

    @inline(__always)
    private mutating func noteUsage(_ base: UnsafeRawPointer, _ end: Int, _ limit: Int) {
        guard let value = valueStart(base, end, limit) else { return }
        usageCount &+= 1
        usageNameEnd = end
        if value < limit, ByteScan.byte(base, value) != 0x6E { hasUsageValue = true }
    }

    /// Whether the member that ends at the quote has a value that is not null.
    @inline(__always)
    private func isGiven(_ base: UnsafeRawPointer, _ end: Int, _ limit: Int) -> Bool {
        guard let value = valueStart(base, end, limit), value < limit else { return false }
        return ByteScan.byte(base, value) != 0x6E
    }

    /// Some servers write an empty text where others write null.
    private func isEmptyText(_ base: UnsafeRawPointer, _ end: Int, _ limit: Int) -> Bool {
        guard let value = valueStart(base, end, limit), value &+ 1 < limit else { return false }
        return ByteScan.byte(base, value) == 0x22 && ByteScan.byte(base, value &+ 1) == 0x22
    }

    /// Where the value behind the name's closing quote begins; nil when there is no colon.
    @inline(__always)
    private func valueStart(_ base: UnsafeRawPointer, _ end: Int, _ limit: Int) -> Int? {
        var at = end &+ 1
        while at < limit, isWhitespace(ByteScan.byte(base, at)) { at &+= 1 }
        guard at < limit, ByteScan.byte(base, at) == 0x3A else { return nil }
        at &+= 1
        while at < limit, isWhitespace(ByteScan.byte(base, at)) { at &+= 1 }
        return at
    }

    /// Counts the string that is the value behind the name, and returns the offset behind it.
    @inline(__always)
    private mutating func passText(_ base: UnsafeRawPointer, _ end: Int, _ limit: Int) -> Int? {
        guard let value = valueStart(base, end, limit), value < limit, ByteScan.byte(base, value) == 0x22 else { return nil }
        let close = endOfString(base, from: value &+ 1, limit: limit) ?? limit
        contentBytes &+= close &- value &- 1
        return close &+ 1
    }

    // The last bytes of a name with its opening quote where it fits, as a little-endian load gives them.
    private static var content: UInt64 { 0x746E_6574_6E6F_6322 }  // "content
    private static var underscoreContent: UInt64 { 0x746E_6574_6E6F_635F }  // _content
    private static var text: UInt64 { 0x74_7865_7422 }  // "text
    private static var arguments: UInt64 { 0x7374_6E65_6D75_6772 }  // rguments
    private static var refusal: UInt64 { 0x6C61_7375_6665_7222 }  // "refusal
    private static var reasoning: UInt64 { 0x676E_696E_6F73_6165 }  // easoning
    private static var usage: UInt64 { 0x6567_6173_7522 }  // "usage
    private static var error: UInt64 { 0x726F_7272_6522 }  // "error
    private static var finishReason: UInt64 { 0x6E6F_7361_6572_5F68 }  // h_reason
}

@inline(__always)
func isWhitespace(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
}

/// Offset of the quote that ends a string whose content begins at `from`; nil when the bytes end first.
@inline(__always)
func endOfString(_ base: UnsafeRawPointer, from start: Int, limit: Int) -> Int? {
    var at = start
    while at < limit {
        if at &+ 16 <= limit {
            let lane = ByteScan.lane(base, at)
            let hit = ByteScan.first((lane .== ByteScan.Lane(repeating: 0x22)) .| (lane .== ByteScan.Lane(repeating: 0x5C)))
            at &+= hit
            if hit == 16 { continue }
        }
        let byte = ByteScan.byte(base, at)
        if byte == 0x22 { return at }
        at &+= byte == 0x5C ? 2 : 1
    }
    return nil
}
