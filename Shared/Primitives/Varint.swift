/// Protobuf's variable-length integers (protobuf.dev/programming-guides/encoding): seven bits a byte, the lowest first.
@usableFromInline
package enum Varint {
    /// The most bytes that a number takes.
    package static let longest = 10

    package static func append(_ value: UInt64, to out: inout [UInt8]) {
        withUnsafeTemporaryAllocation(byteCount: longest, alignment: 1) { digits in
            guard let start = digits.baseAddress else { return }
            out.append(contentsOf: digits.prefix(put(value, at: start)))
        }
    }

    /// How many bytes a number takes.
    package static func size(_ value: UInt64) -> Int { max(1, (70 - value.leadingZeroBitCount) / 7) }

    /// Writes to memory with room for `longest` bytes.
    /// - Returns: how many were written.
    @inlinable @inline(__always)
    package static func put(_ value: UInt64, at out: UnsafeMutableRawPointer) -> Int {
        var value = value
        var count = 0
        while value >= 0x80 {
            out.storeBytes(of: UInt8(truncatingIfNeeded: value) | 0x80, toByteOffset: count, as: UInt8.self)
            value >>= 7
            count &+= 1
        }
        out.storeBytes(of: UInt8(truncatingIfNeeded: value), toByteOffset: count, as: UInt8.self)
        return count &+ 1
    }
}
