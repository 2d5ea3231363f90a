import Primitives

/// Reads JSON (RFC 8259) strictly, in one pass and without allocating, over bytes the caller keeps alive. Never recurses: nesting is a bit
/// a level.
struct JSONCursor {
    let base: UnsafeRawPointer
    let limit: Int
    var at: Int
    /// Containers that may be open at once within one call of `skipValue`, at most 128.
    let maxDepth: Int

    @inline(__always)
    init(base: UnsafeRawPointer, from start: Int, limit: Int, maxDepth: Int) {
        self.base = base
        self.limit = limit
        self.at = start
        self.maxDepth = min(max(maxDepth, 0), 128)
    }

    /// The byte at the cursor, or zero (never valid in JSON outside a string) at the end.
    @inline(__always)
    var current: UInt8 { at < limit ? ByteScan.byte(base, at) : 0 }

    @inline(__always)
    mutating func skipWhitespace() {
        while at < limit {
            switch ByteScan.byte(base, at) {
            case 0x20, 0x0A, 0x0D, 0x09: at &+= 1
            default: return
            }
        }
    }

    @inline(__always)
    func malformed() -> JSONViolation { .malformed(offset: min(at, limit)) }

    /// Moves over that byte or throws.
    @inline(__always)
    mutating func expect(_ byte: UInt8) throws(JSONViolation) {
        guard current == byte else { throw malformed() }
        at &+= 1
    }

    /// Reads a string whose opening quote is at the cursor. Returns whether it holds escapes; the cursor is behind the closing quote.
    @inline(__always)
    mutating func skipString() throws(JSONViolation) -> Bool {
        guard current == 0x22 else { throw malformed() }
        at &+= 1
        var hasEscapes = false
        while true {
            // Quote, backslash, control and non-ASCII all stop the scan; as signed bytes the last two are those below 0x20.
            if at &+ 16 <= limit {
                let lane = ByteScan.lane(base, at)
                let special =
                    (lane .== ByteScan.Lane(repeating: 0x22)) .| (lane .== ByteScan.Lane(repeating: 0x5C))
                    .| (unsafeBitCast(lane, to: SIMD16<Int8>.self) .< SIMD16<Int8>(repeating: 0x20))
                let hit = ByteScan.first(special)
                at &+= hit
                if hit == 16 { continue }
            } else {
                guard at < limit else { throw malformed() }
            }
            let byte = ByteScan.byte(base, at)
            if byte == 0x22 {
                at &+= 1
                return hasEscapes
            }
            if byte == 0x5C {
                hasEscapes = true
                try skipEscape()
            } else if byte >= 0x80 {
                try skipNonASCII()
            } else if byte < 0x20 {
                throw malformed()
            } else {
                at &+= 1
            }
        }
    }

    private mutating func skipEscape() throws(JSONViolation) {
        guard at &+ 1 < limit else { throw .malformed(offset: limit) }
        switch ByteScan.byte(base, at &+ 1) {
        case 0x22, 0x5C, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74: at &+= 2
        case 0x75:
            guard at &+ 6 <= limit else { throw .malformed(offset: limit) }
            for index in 2..<6 where hexValue(ByteScan.byte(base, at &+ index)) > 15 { throw malformed() }
            at &+= 6
        default: throw malformed()
        }
    }

    /// Moves over a run of non-ASCII characters, checking each sequence (Unicode 15, table 3-7).
    private mutating func skipNonASCII() throws(JSONViolation) {
        while at < limit {
            let lead = ByteScan.byte(base, at)
            if lead < 0x80 { return }
            let length = utf8Length(lead)
            guard length > 0, at &+ length <= limit else { throw .invalidUTF8(offset: at) }
            let second = ByteScan.byte(base, at &+ 1)
            var valid = second & 0xC0 == 0x80
            switch lead {
            case 0xE0: valid = valid && second >= 0xA0
            case 0xED: valid = valid && second < 0xA0
            case 0xF0: valid = valid && second >= 0x90
            case 0xF4: valid = valid && second < 0x90
            default: break
            }
            if length >= 3 { valid = valid && ByteScan.byte(base, at &+ 2) & 0xC0 == 0x80 }
            if length == 4 { valid = valid && ByteScan.byte(base, at &+ 3) & 0xC0 == 0x80 }
            guard valid else { throw .invalidUTF8(offset: at) }
            at &+= length
        }
    }

    /// Reads a number at the cursor. Returns whether it is written as an integer: no fraction, no exponent.
    @inline(__always)
    mutating func skipNumber() throws(JSONViolation) -> Bool {
        if current == 0x2D { at &+= 1 }
        if current == 0x30 {
            at &+= 1
        } else {
            guard current &- 0x31 < 9 else { throw malformed() }
            skipDigits()
        }
        var isInteger = true
        if current == 0x2E {
            isInteger = false
            at &+= 1
            guard current &- 0x30 < 10 else { throw malformed() }
            skipDigits()
        }
        if current | 0x20 == 0x65 {
            isInteger = false
            at &+= 1
            if current == 0x2B || current == 0x2D { at &+= 1 }
            guard current &- 0x30 < 10 else { throw malformed() }
            skipDigits()
        }
        return isInteger
    }

    @inline(__always)
    private mutating func skipDigits() {
        while at < limit, ByteScan.byte(base, at) &- 0x30 < 10 { at &+= 1 }
    }

    @inline(__always)
    private mutating func skipWord(_ text: StaticString) throws(JSONViolation) {
        let count = text.utf8CodeUnitCount
        guard at &+ count <= limit else { throw malformed() }
        for index in 0..<count where ByteScan.byte(base, at &+ index) != text.utf8Start[index] { throw malformed() }
        at &+= count
    }

    /// Reads any value at the cursor (whitespace before it skipped), checking all of it.
    mutating func skipValue() throws(JSONViolation) {
        var depth = 0
        // One bit an open container, the innermost lowest: set for objects.
        var objects: UInt128 = 0
        var inObject = false
        nextValue: while true {
            skipWhitespace()
            switch current {
            case 0x22: _ = try skipString()
            case 0x7B:
                guard depth < maxDepth else { throw .tooDeep(offset: at) }
                at &+= 1
                skipWhitespace()
                if current == 0x7D {
                    at &+= 1
                } else {
                    depth &+= 1
                    objects = objects &<< 1 | 1
                    inObject = true
                    try skipName()
                    continue nextValue
                }
            case 0x5B:
                guard depth < maxDepth else { throw .tooDeep(offset: at) }
                at &+= 1
                skipWhitespace()
                if current == 0x5D {
                    at &+= 1
                } else {
                    depth &+= 1
                    objects = objects &<< 1
                    inObject = false
                    continue nextValue
                }
            case 0x74: try skipWord("true")
            case 0x66: try skipWord("false")
            case 0x6E: try skipWord("null")
            default: _ = try skipNumber()
            }
            // Behind a value: close what ends here, or go on to the next value.
            while depth > 0 {
                skipWhitespace()
                let byte = current
                if byte == 0x2C {
                    at &+= 1
                    if inObject {
                        skipWhitespace()
                        try skipName()
                    }
                    continue nextValue
                }
                guard byte == (inObject ? 0x7D : 0x5D) else { throw malformed() }
                at &+= 1
                depth &-= 1
                objects = objects &>> 1
                inObject = objects & 1 != 0
            }
            return
        }
    }

    /// Reads a member's name and its colon.
    @inline(__always)
    mutating func skipName() throws(JSONViolation) {
        _ = try skipString()
        skipWhitespace()
        try expect(0x3A)
    }

    /// A member's name as it is written, between its quotes.
    struct WrittenName {
        let range: Range<Int>
        let hasEscapes: Bool
    }

    /// Reads the object at the cursor. For each member, `read` is called with the cursor at the member's value, and moves it behind that.
    @inline(__always)
    mutating func members(
        _ read: (_ name: WrittenName, _ value: Int, _ nameStart: Int, inout JSONCursor) throws(JSONViolation) -> Void
    ) throws(JSONViolation) {
        try expect(0x7B)
        skipWhitespace()
        if current == 0x7D {
            at &+= 1
            return
        }
        while true {
            let start = at
            let hasEscapes = try skipString()
            let name = WrittenName(range: (start &+ 1)..<(at &- 1), hasEscapes: hasEscapes)
            skipWhitespace()
            try expect(0x3A)
            skipWhitespace()
            try read(name, at, start, &self)
            skipWhitespace()
            if current == 0x2C {
                at &+= 1
                skipWhitespace()
                continue
            }
            try expect(0x7D)
            return
        }
    }

    /// The integer written at [start, end), nil when it does not fit.
    func integer(_ start: Int, _ end: Int) -> Int64? {
        var at = start
        let isNegative = at < end && ByteScan.byte(base, at) == 0x2D
        if isNegative { at &+= 1 }
        var value: Int64 = 0
        while at < end {
            let digit = Int64(ByteScan.byte(base, at) &- 0x30)
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, overflows) = isNegative ? product.subtractingReportingOverflow(digit) : product.addingReportingOverflow(digit)
            if overflow || overflows { return nil }
            value = sum
            at &+= 1
        }
        return value
    }
}

/// Bytes of the sequence that begins with this byte, 0 when none does.
@inline(__always)
func utf8Length(_ lead: UInt8) -> Int {
    switch lead {
    case 0xC2...0xDF: 2
    case 0xE0...0xEF: 3
    case 0xF0...0xF4: 4
    default: 0
    }
}

/// The value of a hexadecimal digit, above 15 for anything else.
@inline(__always)
func hexValue(_ byte: UInt8) -> UInt8 {
    let digit = byte &- 0x30
    if digit < 10 { return digit }
    let letter = (byte | 0x20) &- 0x61
    return letter < 6 ? letter &+ 10 : 0xFF
}
