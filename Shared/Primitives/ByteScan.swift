#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Looking through bytes sixteen at a time, for the codecs of the hot path. All functions take a base pointer and offsets that the caller
/// has checked against the end of its memory; none reads at or beyond the limit it is given.
///
/// `@inlinable` on a `package` member reaches other modules only when its type and all it touches are `@usableFromInline` too: without
/// that the compiler says nothing and each byte costs a call.
@usableFromInline
package enum ByteScan {
    /// Sixteen lanes: SSE2 on x86-64 and NEON on arm64, present on every machine of these kinds.
    @usableFromInline package typealias Lane = SIMD16<UInt8>

    /// The sixteen bytes at `offset`.
    @inlinable @inline(__always)
    package static func lane(_ base: UnsafeRawPointer, _ offset: Int) -> Lane {
        base.loadUnaligned(fromByteOffset: offset, as: Lane.self)
    }

    /// The byte at `offset`.
    @inlinable @inline(__always)
    package static func byte(_ base: UnsafeRawPointer, _ offset: Int) -> UInt8 {
        base.load(fromByteOffset: offset, as: UInt8.self)
    }

    /// Index of the first set lane, 16 when none is.
    @inlinable @inline(__always)
    package static func first(_ mask: SIMDMask<SIMD16<Int8>>) -> Int {
        let halves = unsafeBitCast(mask, to: SIMD2<UInt64>.self)
        let low = halves[0]
        if low != 0 { return low.trailingZeroBitCount &>> 3 }
        return 8 &+ halves[1].trailingZeroBitCount &>> 3
    }

    /// One bit a lane, the first lane lowest.
    @inlinable @inline(__always)
    package static func bits(_ mask: SIMDMask<SIMD16<Int8>>) -> UInt32 {
        let halves = unsafeBitCast(mask, to: SIMD2<UInt64>.self)
        // Multiplying gathers the lowest bit of each byte into the top byte.
        let ones: UInt64 = 0x0101_0101_0101_0101
        let gather: UInt64 = 0x0102_0408_1020_4080
        let low = ((halves[0] & ones) &* gather) &>> 56
        let high = ((halves[1] & ones) &* gather) &>> 56
        return UInt32(truncatingIfNeeded: low | high &<< 8)
    }

    /// Whether the `count` bytes at `offset` are this text.
    @inlinable @inline(__always)
    package static func equals(_ base: UnsafeRawPointer, _ offset: Int, _ count: Int, _ text: StaticString) -> Bool {
        guard count == text.utf8CodeUnitCount else { return false }
        let expected = text.utf8Start
        for index in 0..<count where byte(base, offset &+ index) != expected[index] { return false }
        return true
    }

    /// Whether the bytes are this text, which is in lower case; their letters may be in either.
    @inlinable @inline(__always)
    package static func equalsIgnoringCase(_ base: UnsafeRawPointer, _ offset: Int, _ count: Int, _ text: StaticString) -> Bool {
        guard count == text.utf8CodeUnitCount else { return false }
        let expected = text.utf8Start
        for index in 0..<count {
            var byte = byte(base, offset &+ index)
            if byte &- 0x41 < 26 { byte |= 0x20 }
            if byte != expected[index] { return false }
        }
        return true
    }

    /// Whether the bytes from `offset` on begin with this text.
    @inlinable @inline(__always)
    package static func begins(_ bytes: UnsafeRawBufferPointer, at offset: Int = 0, with text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard let base = bytes.baseAddress, offset >= 0, offset <= bytes.count &- count else { return false }
        return equals(base, offset, count, text)
    }

    /// The same for a text in lower case, whatever the case of their letters.
    @inlinable @inline(__always)
    package static func beginsIgnoringCase(_ bytes: UnsafeRawBufferPointer, with text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard let base = bytes.baseAddress, bytes.count >= count else { return false }
        return equalsIgnoringCase(base, 0, count, text)
    }

    /// Offset of `byte` in [from, limit), or nil: libc's scan, for stretches of unknown length.
    package static func find(_ byte: UInt8, _ base: UnsafeRawPointer, from: Int, limit: Int) -> Int? {
        guard from < limit, let hit = memchr(base + from, Int32(byte), limit &- from) else { return nil }
        return UnsafeRawPointer(hit) - base
    }
}
