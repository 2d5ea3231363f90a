import Primitives

/// The coding of compressed bodies without their compression: DEFLATE's stored blocks (RFC 1951 §3.2.4) in gzip's (RFC 1952) or zlib's
/// (RFC 1950) frame. Every decoder must read it, and the simulator needs no library for it.
enum StoredBlocks {
    static func encode(_ bytes: [UInt8], as compression: Script.Compression) -> [UInt8] {
        var result: [UInt8]
        switch compression {
        case .gzip: result = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255]
        case .deflate: result = [0x78, 0x01]
        }
        var at = 0
        repeat {
            let count = min(65_535, bytes.count - at)
            let isLast = at + count == bytes.count
            let length = UInt16(count)
            result.append(isLast ? 1 : 0)
            result += littleEndian(UInt32(length) | UInt32(~length) << 16)
            result += bytes[at..<(at + count)]
            at += count
        } while at < bytes.count
        switch compression {
        case .gzip:
            result += littleEndian(CRC32.checksum(bytes)) + littleEndian(UInt32(truncatingIfNeeded: bytes.count))
        case .deflate: result += littleEndian(adler32(bytes).byteSwapped)
        }
        return result
    }

    private static func littleEndian(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) }
    }

    /// RFC 1950 §8.2.
    private static func adler32(_ bytes: [UInt8]) -> UInt32 {
        var low: UInt32 = 1
        var high: UInt32 = 0
        for byte in bytes {
            low = (low + UInt32(byte)) % 65_521
            high = (high + low) % 65_521
        }
        return high << 16 | low
    }
}
