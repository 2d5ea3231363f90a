/// Reads protobuf's wire format (protobuf.dev/programming-guides/encoding) from bytes that somebody else holds.
package struct WireReader {
    package private(set) var offset: Int
    private let end: Int
    package private(set) var hasFailed = false

    package init(count: Int) { self.init(0..<count) }

    package init(_ range: Range<Int>) {
        offset = range.lowerBound
        end = range.upperBound
    }

    /// The next field's number and wire type; nil at the end, and once something could not be read.
    @inline(__always)
    package mutating func tag(_ bytes: UnsafeRawBufferPointer) -> (number: Int, wire: Int)? {
        guard offset < end, !hasFailed, let tag = varint(bytes) else { return nil }
        let number = Int(truncatingIfNeeded: tag >> 3)
        guard tag <= UInt64(UInt32.max), number > 0 else {
            hasFailed = true
            return nil
        }
        return (number, Int(truncatingIfNeeded: tag & 7))
    }

    @inline(__always)
    package mutating func varint(_ bytes: UnsafeRawBufferPointer) -> UInt64? {
        var (value, shift) = (UInt64(0), UInt64(0))
        while offset < end, shift < 70 {
            let byte = bytes[offset]
            offset += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        hasFailed = true
        return nil
    }

    @inline(__always)
    package mutating func block(_ bytes: UnsafeRawBufferPointer) -> Range<Int>? {
        guard let length = varint(bytes) else { return nil }
        guard length <= UInt64(end - offset) else {
            hasFailed = true
            return nil
        }
        defer { offset += Int(length) }
        return offset..<offset + Int(length)
    }

    package mutating func skip(_ wire: Int, _ bytes: UnsafeRawBufferPointer) {
        switch wire {
        case 0: _ = varint(bytes)
        case 1 where end - offset >= 8: offset += 8
        case 2: _ = block(bytes)
        case 5 where end - offset >= 4: offset += 4
        // Groups belong to an older protobuf, and nobody sends them.
        default: hasFailed = true
        }
    }
}
