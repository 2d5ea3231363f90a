import Primitives

// Loops over bytes that the parsers share.

/// First offset in [from, limit) of a byte that a field value may not hold, HTAB included (the caller lets it pass); `limit` when none.
@inline(__always)
func findControl(_ base: UnsafeRawPointer, from: Int, limit: Int) -> Int {
    var at = from
    let space = ByteScan.Lane(repeating: 0x20), del = ByteScan.Lane(repeating: 0x7F)
    while at &+ 16 <= limit {
        let lane = ByteScan.lane(base, at)
        let hit = ByteScan.first((lane .< space) .| (lane .== del))
        if hit < 16 { return at &+ hit }
        at &+= 16
    }
    while at < limit {
        let byte = ByteScan.byte(base, at)
        if byte < 0x20 || byte == 0x7F { return at }
        at &+= 1
    }
    return limit
}

/// A set of ASCII characters as two words; membership is a shift and a mask.
struct ASCIISet {
    let low: UInt64
    let high: UInt64

    init(_ characters: StaticString, alphanumeric: Bool) {
        var low: UInt64 = 0
        var high: UInt64 = 0
        characters.withUTF8Buffer { buffer in
            for byte in buffer where byte < 0x80 {
                if byte < 64 { low |= 1 &<< UInt64(byte) } else { high |= 1 &<< UInt64(byte &- 64) }
            }
        }
        if alphanumeric {
            low |= 0x03FF_0000_0000_0000  // 0-9
            high |= 0x07FF_FFFE_07FF_FFFE  // A-Z a-z
        }
        self.low = low
        self.high = high
    }

    init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }

    @inline(__always)
    func contains(_ byte: UInt8) -> Bool {
        let word = byte < 64 ? low : high
        return byte < 0x80 && (word &>> UInt64(byte & 63)) & 1 != 0
    }

    // Written out so that they are immediate operands and not globals behind a once-flag; a test compares them with their text.

    /// RFC 9110 `tchar`: alphanumerics and fifteen marks.
    @inline(__always) static var token: ASCIISet { ASCIISet(low: 0x03FF_6CFA_0000_0000, high: 0x57FF_FFFF_C7FF_FFFE) }
    /// What a request target may hold: RFC 3986 characters without `#`, and the brackets that queries use in practice.
    @inline(__always) static var target: ASCIISet { ASCIISet(low: 0xAFFF_FFF2_0000_0000, high: 0x47FF_FFFE_AFFF_FFFF) }
    /// What a Host may hold: names, IPv4 and bracketed IPv6 addresses, a port.
    @inline(__always) static var host: ASCIISet { ASCIISet(low: 0x07FF_6000_0000_0000, high: 0x47FF_FFFE_AFFF_FFFE) }
}

/// The letters of eight bytes in lower case. Only for bytes known to be token characters: others may collide.
@inline(__always)
func lowercasedWord(_ base: UnsafeRawPointer, _ offset: Int) -> UInt64 {
    UInt64(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) | 0x2020_2020_2020_2020
}

@inline(__always)
func isHexDigit(_ byte: UInt8) -> Bool {
    byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 6
}
