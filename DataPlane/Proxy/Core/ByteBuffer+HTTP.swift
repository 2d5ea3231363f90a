import NIOCore
import Primitives
import Wire

extension ByteBuffer {
    /// `req_` and 26 base32 characters, without making a string.
    mutating func writeRequestID(_ id: RequestID) {
        writeStaticString("req_")
        writeWithUnsafeMutableBytes(minimumWritableBytes: 26) { out in
            // 128 bits are 25 groups of five and a last one of three, padded on the right with two zero bits (RFC 4648 §6): the
            // 130-bit value `id ‖ 00` is shifted right five bits at a time, from its last character to its first.
            var low = id.low << 2
            var high = id.high << 2 | id.low >> 62
            var rest = id.high >> 62
            // Not `stride`: its iterator is called, not inlined.
            var index = 26
            while index > 0 {
                index &-= 1
                out[index] = Base32.digit(UInt8(truncatingIfNeeded: low & 31))
                low = low >> 5 | high << 59
                high = high >> 5 | rest << 59
                rest >>= 5
            }
            return 26
        }
    }

    mutating func writeDecimal(_ value: Int) {
        var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
        withUnsafeMutableBytes(of: &digits) { scratch in
            var rest = UInt64(value.magnitude)
            var index = 24
            repeat {
                index -= 1
                scratch[index] = UInt8(truncatingIfNeeded: rest % 10) &+ UInt8(ascii: "0")
                rest /= 10
            } while rest > 0
            if value < 0 {
                index -= 1
                scratch[index] = UInt8(ascii: "-")
            }
            writeBytes(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(scratch)[index...]))
        }
    }

    /// `HTTP/1.1 200 OK` and its line end.
    mutating func writeStatusLine(_ status: Int) {
        if let line = StatusLine.text(status) {
            writeStaticString(line)
        } else {
            writeStaticString("HTTP/1.1 ")
            writeDecimal(status)
            writeStaticString(" \r\n")
        }
    }
}
