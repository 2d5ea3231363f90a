import NIOCore
import Primitives
import Wire

/// Writes a message's head, piece by piece, into memory that is there: a buffer's own functions look at each piece for room, and for others
/// who hold the same memory.
struct HeadWriter {
    private let memory: UnsafeMutableRawBufferPointer
    private(set) var count = 0
    /// A piece did not fit.
    fileprivate private(set) var isFull = false

    init(_ memory: UnsafeMutableRawBufferPointer) { self.memory = memory }

    @inline(__always)
    private mutating func put(_ start: UnsafeRawPointer?, _ length: Int) {
        guard let start, let base = memory.baseAddress else { return }
        guard !isFull, length <= memory.count &- count else {
            isFull = true
            return
        }
        (base + count).copyMemory(from: start, byteCount: length)
        count &+= length
    }

    @inline(__always)
    mutating func put(_ text: StaticString) { put(text.utf8Start, text.utf8CodeUnitCount) }

    mutating func put(_ bytes: UnsafeRawBufferPointer) { put(bytes.baseAddress, bytes.count) }

    mutating func put(_ bytes: [UInt8]) { bytes.withUnsafeBytes { put($0.baseAddress, $0.count) } }

    /// `req_` and 26 base32 characters, without making a string.
    mutating func put(_ id: RequestID) {
        put("req_")
        var digits: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        withUnsafeMutableBytes(of: &digits) { out in
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
            put(UnsafeRawPointer(out.baseAddress), 26)
        }
    }

    mutating func put(decimal value: Int) {
        if value < 0 { put("-") }
        put(decimal: UInt64(value.magnitude))
    }

    mutating func put(decimal value: UInt64) {
        var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
        withUnsafeMutableBytes(of: &digits) { scratch in
            var rest = value
            var index = 24
            repeat {
                index -= 1
                scratch[index] = UInt8(truncatingIfNeeded: rest % 10) &+ UInt8(ascii: "0")
                rest /= 10
            } while rest > 0
            put(scratch.baseAddress.map { UnsafeRawPointer($0 + index) }, 24 - index)
        }
    }

    /// `HTTP/1.1 200 OK` and its line end.
    mutating func put(statusLine status: Int) {
        if let line = StatusLine.text(status) {
            put(line)
        } else {
            put("HTTP/1.1 ")
            put(decimal: status)
            put(" \r\n")
        }
    }
}

extension ByteBuffer {
    /// - Parameter head: called again, from the beginning, when there was not enough room.
    mutating func writeHead(_ head: (inout HeadWriter) -> Void) {
        var room = 512
        var isWhole = false
        while !isWhole {
            writeWithUnsafeMutableBytes(minimumWritableBytes: room) { memory in
                var writer = HeadWriter(memory)
                head(&writer)
                isWhole = !writer.isFull
                return isWhole ? writer.count : 0
            }
            room *= 2
        }
    }
}
