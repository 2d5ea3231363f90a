/// Protobuf's variable-length integers (protobuf.dev/programming-guides/encoding): seven bits a byte, the lowest first.
@usableFromInline
package enum Varint {
    @inlinable @inline(__always)
    package static func append(_ value: UInt64, to out: inout [UInt8]) {
        var value = value
        while value >= 0x80 {
            out.append(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        out.append(UInt8(truncatingIfNeeded: value))
    }
}
