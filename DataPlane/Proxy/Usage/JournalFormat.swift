import Primitives

/// What lies in a journal's files. All integers are little-endian; request ids are big-endian as everywhere.
///
/// A segment is a 64-byte header and frames, one directly after the other, up to the end of what was written; what may follow is zeros.
///
///     frame:  checksum(4)  length | kind << 24 (4)  id of a request or other subject(16)  payload(length)
///
/// The checksum covers everything in the frame after itself and starts from the journal's salt, a random number in the header: bytes that
/// a caller chose (a model's name) cannot be taken for a frame when a damaged place is skipped.
package enum JournalFrame {
    /// What a frame says. The numbers are for ever; a kind that comes later changes neither the format nor its version.
    ///
    ///     0         none: space that was reserved and not written
    ///     1–15      requests' records
    ///     16        nonces of signed requests
    ///     17        counters of limits
    ///     18–127    free
    ///     128–255   free, and may be lost
    ///
    /// A reader that does not know the kind of a whole frame, since a later version of this program wrote it, takes it for no damage: it
    /// keeps the frame in SQLite (`UsageTables.keep`) for the version that does, or passes over it if the kind may be lost.
    package struct Kind: RawRepresentable, Hashable, Sendable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }

        package static let intent = Kind(rawValue: 1)
        package static let progress = Kind(rawValue: 2)
        package static let completion = Kind(rawValue: 3)
        /// An intent that was taken back before it was flushed.
        package static let void = Kind(rawValue: 4)

        package var isRecord: Bool { (1...15).contains(rawValue) }
        package var mayBeLost: Bool { rawValue >= 128 }
    }

    package static let headerBytes = 24
    /// The length has 24 bits; less is allowed, so that a damaged one is noticed soon.
    package static let maximumPayload = 256 << 10

    /// Appends one frame to `out`, which must have room for it.
    @inline(__always)
    static func write(
        _ kind: Kind, _ id: RequestID, _ payload: UnsafeRawBufferPointer, salt: UInt32, to out: UnsafeMutableRawPointer
    ) {
        let lengthAndKind = UInt32(truncatingIfNeeded: payload.count) | UInt32(kind.rawValue) << 24
        out.storeBytes(of: lengthAndKind.littleEndian, toByteOffset: 4, as: UInt32.self)
        out.storeBytes(of: id.high.bigEndian, toByteOffset: 8, as: UInt64.self)
        out.storeBytes(of: id.low.bigEndian, toByteOffset: 16, as: UInt64.self)
        if let source = payload.baseAddress { (out + headerBytes).copyMemory(from: source, byteCount: payload.count) }
        seal(out, size: headerBytes + payload.count, salt: salt)
    }

    /// Turns the frame at `frame` into one that says nothing.
    static func void(_ frame: UnsafeMutableRawPointer, salt: UInt32) {
        let size = headerBytes + length(frame)
        frame.storeBytes(of: Kind.void.rawValue, toByteOffset: 7, as: UInt8.self)
        seal(frame, size: size, salt: salt)
    }

    private static func seal(_ frame: UnsafeMutableRawPointer, size: Int, salt: UInt32) {
        let sum = CRC32.checksum(UnsafeRawBufferPointer(start: frame + 4, count: size - 4), seed: salt)
        frame.storeBytes(of: sum.littleEndian, as: UInt32.self)
    }

    static func length(_ frame: UnsafeRawPointer) -> Int {
        Int(UInt32(littleEndian: frame.loadUnaligned(fromByteOffset: 4, as: UInt32.self)) & 0xFF_FFFF)
    }

    static func kind(_ frame: UnsafeRawPointer) -> Kind { Kind(rawValue: frame.load(fromByteOffset: 7, as: UInt8.self)) }

    static func id(_ frame: UnsafeRawPointer) -> RequestID {
        RequestID(
            high: UInt64(bigEndian: frame.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
            low: UInt64(bigEndian: frame.loadUnaligned(fromByteOffset: 16, as: UInt64.self)))
    }

    /// What stands at an offset of some bytes read from a segment.
    enum Found {
        /// A whole and correct frame of this size, its header included.
        case frame(kind: Kind, size: Int)
        /// The bytes end before the frame does; with more of them it may be one.
        case incomplete
        case damaged
    }

    static func look(at offset: Int, of bytes: UnsafeRawBufferPointer, salt: UInt32) -> Found {
        guard let base = bytes.baseAddress, offset >= 0, bytes.count - offset >= headerBytes else { return .incomplete }
        let frame = base + offset
        let kind = kind(frame)
        guard kind.rawValue != 0 else { return .damaged }
        let length = length(frame)
        guard length <= maximumPayload else { return .damaged }
        let size = headerBytes + length
        guard bytes.count - offset >= size else { return .incomplete }
        let stored = UInt32(littleEndian: frame.loadUnaligned(as: UInt32.self))
        let sum = CRC32.checksum(UnsafeRawBufferPointer(start: frame + 4, count: size - 4), seed: salt)
        return sum == stored ? .frame(kind: kind, size: size) : .damaged
    }

    /// Nothing was written here.
    static func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var offset = 0
        while offset &+ 8 <= bytes.count {
            if bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self) != 0 { return false }
            offset &+= 8
        }
        while offset < bytes.count {
            if bytes[offset] != 0 { return false }
            offset &+= 1
        }
        return true
    }

    /// Where the next whole frame begins after a damaged place, or nil. Byte by byte: a damaged length says nothing about what follows.
    static func nextFrame(from offset: Int, of bytes: UnsafeRawBufferPointer, salt: UInt32) -> Int? {
        var offset = offset
        while bytes.count - offset >= headerBytes {
            if case .frame = look(at: offset, of: bytes, salt: salt) { return offset }
            offset += 1
        }
        return nil
    }
}

/// The first 64 bytes of a segment, written together with its first frames.
package struct SegmentHeader: Hashable, Sendable {
    package static let bytes = 64
    private static let magic: UInt64 = 0x4C4E_524A_5249_4557  // "WEIRJRNL"
    private static let version: UInt32 = 1

    package var loop: UInt32
    package var boot: UInt64
    package var number: UInt64
    package var salt: UInt32
    /// The loop's segment before this one and how many of its bytes were accepted: what a failed write left beyond them does not count.
    /// Zero and zero: there is none.
    package var previousNumber: UInt64
    package var previousLength: UInt64

    package func write(to out: UnsafeMutableRawPointer) {
        out.initializeMemory(as: UInt8.self, repeating: 0, count: Self.bytes)
        out.storeBytes(of: Self.magic.littleEndian, as: UInt64.self)
        out.storeBytes(of: Self.version.littleEndian, toByteOffset: 8, as: UInt32.self)
        out.storeBytes(of: loop.littleEndian, toByteOffset: 12, as: UInt32.self)
        out.storeBytes(of: boot.littleEndian, toByteOffset: 16, as: UInt64.self)
        out.storeBytes(of: number.littleEndian, toByteOffset: 24, as: UInt64.self)
        out.storeBytes(of: previousNumber.littleEndian, toByteOffset: 32, as: UInt64.self)
        out.storeBytes(of: previousLength.littleEndian, toByteOffset: 40, as: UInt64.self)
        out.storeBytes(of: salt.littleEndian, toByteOffset: 48, as: UInt32.self)
        let sum = CRC32.checksum(UnsafeRawBufferPointer(start: out, count: Self.bytes - 4))
        out.storeBytes(of: sum.littleEndian, toByteOffset: Self.bytes - 4, as: UInt32.self)
    }

    package init(loop: UInt32, boot: UInt64, number: UInt64, salt: UInt32, previousNumber: UInt64, previousLength: UInt64) {
        self.loop = loop
        self.boot = boot
        self.number = number
        self.salt = salt
        self.previousNumber = previousNumber
        self.previousLength = previousLength
    }

    /// Nil when these bytes are not a header of this format, whole and undamaged.
    package init?(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress, bytes.count >= Self.bytes else { return nil }
        func word(_ offset: Int) -> UInt64 { UInt64(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
        func half(_ offset: Int) -> UInt32 { UInt32(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt32.self)) }
        let sum = CRC32.checksum(UnsafeRawBufferPointer(rebasing: bytes[bytes.startIndex..<bytes.startIndex + Self.bytes - 4]))
        guard word(0) == Self.magic, half(8) == Self.version, half(Self.bytes - 4) == sum else { return nil }
        loop = half(12)
        boot = word(16)
        number = word(24)
        previousNumber = word(32)
        previousLength = word(40)
        salt = half(48)
    }
}

/// A segment's file name: which boot of the process wrote it, for which loop, as its how manyeth.
package struct SegmentName: Hashable, Sendable, CustomStringConvertible {
    package var boot: UInt64
    package var loop: UInt32
    package var number: UInt64

    package init(boot: UInt64, loop: UInt32, number: UInt64) {
        self.boot = boot
        self.loop = loop
        self.number = number
    }

    package init?(parsing text: String) {
        guard text.hasSuffix(Self.suffix) else { return nil }
        let parts = text.dropLast(Self.suffix.count).split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, let boot = UInt64(parts[0], radix: 16), let loop = UInt32(parts[1]), let number = UInt64(parts[2]) else {
            return nil
        }
        self.init(boot: boot, loop: loop, number: number)
        guard text == description else { return nil }
    }

    private static let suffix = ".journal"

    package var description: String {
        let hex = String(boot, radix: 16)
        return String(repeating: "0", count: 16 - hex.count) + hex + "-\(loop)-\(number)" + Self.suffix
    }
}
