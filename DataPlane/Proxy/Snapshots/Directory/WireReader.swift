/// Walks the fields of a protobuf message without decoding it into objects (protobuf.dev, "Encoding"). A directory of a million
/// keys is read this way: as generated structures it would take half a gigabyte for a moment.
struct WireReader {
    struct Malformed: Error {}

    struct Field {
        let number: UInt64
        let type: UInt8
    }

    private let bytes: UnsafeRawBufferPointer
    private var offset = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// The next field's number and wire type, or nil at the end. Its value must be taken or skipped before the next call.
    mutating func next() throws(Malformed) -> Field? {
        guard offset < bytes.count else { return nil }
        let tag = try varint()
        let number = tag >> 3
        guard number > 0, number < 1 << 29 else { throw Malformed() }
        return Field(number: number, type: UInt8(truncatingIfNeeded: tag & 7))
    }

    /// A varint of at most ten bytes; bits beyond the 64th are refused.
    mutating func varint() throws(Malformed) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while offset < bytes.count {
            let byte = bytes[offset]
            offset &+= 1
            guard shift < 63 || byte <= 1 else { throw Malformed() }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift &+= 7
        }
        throw Malformed()
    }

    mutating func varint(_ field: Field) throws(Malformed) -> UInt64 {
        guard field.type == 0 else { throw Malformed() }
        return try varint()
    }

    mutating func fixed64(_ field: Field) throws(Malformed) -> UInt64 {
        guard field.type == 1, bytes.count - offset >= 8 else { throw Malformed() }
        defer { offset += 8 }
        return UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    mutating func int64(_ field: Field) throws(Malformed) -> Int64 { Int64(bitPattern: try varint(field)) }

    /// A length-delimited value, valid as long as the buffer that is read.
    mutating func bytes(_ field: Field) throws(Malformed) -> UnsafeRawBufferPointer {
        guard field.type == 2 else { throw Malformed() }
        let length = try varint()
        guard length <= UInt64(bytes.count &- offset) else { throw Malformed() }
        let start = offset
        offset &+= Int(length)
        return UnsafeRawBufferPointer(rebasing: bytes[start..<offset])
    }

    mutating func string(_ field: Field) throws(Malformed) -> String {
        guard let text = String(validating: try bytes(field), as: UTF8.self) else { throw Malformed() }
        return text
    }

    /// Passes over a field that this release does not know.
    mutating func skip(_ field: Field) throws(Malformed) {
        switch field.type {
        case 0: _ = try varint()
        case 1: try advance(8)
        case 2: _ = try bytes(field)
        case 5: try advance(4)
        default: throw Malformed()
        }
    }

    private mutating func advance(_ count: Int) throws(Malformed) {
        guard bytes.count &- offset >= count else { throw Malformed() }
        offset &+= count
    }
}
