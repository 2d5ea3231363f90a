import Crypto
import Foundation
import Primitives

package enum SHA256Digest {
    package static let byteCount = 32

    package static func of(_ bytes: some Collection<UInt8>) -> [UInt8] {
        var hash = SHA256()
        let direct: Void? = bytes.withContiguousStorageIfAvailable { hash.update(bufferPointer: UnsafeRawBufferPointer($0)) }
        if direct == nil { hash.update(data: Array(bytes)) }
        return Array(hash.finalize())
    }

    /// The digest, where no array of it is wanted.
    package static func of<Result>(_ bytes: UnsafeRawBufferPointer, _ use: (UnsafeRawBufferPointer) -> Result) -> Result {
        var hash = SHA256()
        hash.update(bufferPointer: bytes)
        return hash.finalize().withUnsafeBytes(use)
    }

    /// The digest as four big-endian words, without an allocation: what a directory keeps of a key.
    @inline(__always)
    package static func words(of bytes: UnsafeRawBufferPointer) -> (UInt64, UInt64, UInt64, UInt64) {
        var hash = SHA256()
        hash.update(bufferPointer: bytes)
        return hash.finalize().withUnsafeBytes { digest in
            (
                UInt64(bigEndian: digest.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
                UInt64(bigEndian: digest.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
                UInt64(bigEndian: digest.loadUnaligned(fromByteOffset: 16, as: UInt64.self)),
                UInt64(bigEndian: digest.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
            )
        }
    }
}

/// A SHA-256 of what comes in pieces.
package struct SHA256Stream: Sendable {
    private var hash = SHA256()

    package init() {}

    package mutating func add(_ bytes: some Collection<UInt8>) {
        let direct: Void? = bytes.withContiguousStorageIfAvailable { hash.update(bufferPointer: UnsafeRawBufferPointer($0)) }
        if direct == nil { hash.update(data: Array(bytes)) }
    }

    /// Of all that has come so far, lower-case hexadecimal.
    package var hex: String { Hex.encode(Array(hash.finalize())) }
}
