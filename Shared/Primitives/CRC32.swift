import CChecksum

/// CRC-32 (IEEE 802.3, reflected, polynomial 0xEDB88320): with the machine's instructions as far as they go, and the rest eight bytes a step
/// ("slicing by eight").
package enum CRC32 {
    /// Eight tables of 256, one after the other.
    private static let table: [UInt32] = {
        var table = [UInt32](repeating: 0, count: 8 * 256)
        for index in 0..<256 {
            var value = UInt32(index)
            for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1 }
            table[index] = value
        }
        for index in 256..<2048 {
            let previous = table[index - 256]
            table[index] = previous >> 8 ^ table[Int(previous & 0xFF)]
        }
        return table
    }()

    /// - Parameter seed: the checksum of what stands before `bytes`, so that pieces can be chained.
    package static func checksum(_ bytes: UnsafeRawBufferPointer, seed: UInt32 = 0) -> UInt32 {
        table.withUnsafeBufferPointer { table in
            var crc = ~seed
            var index = weir_crc32_blocks(&crc, bytes.baseAddress, bytes.count)
            let count = bytes.count
            while index &+ 8 <= count {
                let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)) ^ UInt64(crc)
                crc = table[Int(word >> 56)] ^ table[256 &+ Int(word >> 48 & 0xFF)]
                crc ^= table[512 &+ Int(word >> 40 & 0xFF)] ^ table[768 &+ Int(word >> 32 & 0xFF)]
                crc ^= table[1024 &+ Int(word >> 24 & 0xFF)] ^ table[1280 &+ Int(word >> 16 & 0xFF)]
                crc ^= table[1536 &+ Int(word >> 8 & 0xFF)] ^ table[1792 &+ Int(word & 0xFF)]
                index &+= 8
            }
            while index < count {
                crc = crc >> 8 ^ table[Int((crc ^ UInt32(bytes[index])) & 0xFF)]
                index &+= 1
            }
            return ~crc
        }
    }

    package static func checksum(_ bytes: [UInt8], seed: UInt32 = 0) -> UInt32 {
        bytes.withUnsafeBytes { checksum($0, seed: seed) }
    }
}
