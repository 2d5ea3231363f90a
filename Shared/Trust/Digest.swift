import CDigest
import Crypto
import Foundation
import Primitives

/// The SHA-256 of what lies together.
package enum SHA256Digest {
    package static let byteCount = 32

    /// As it lies in memory.
    typealias Words = (UInt64, UInt64, UInt64, UInt64)

    @inline(__always)
    static func digest(_ bytes: UnsafeRawBufferPointer) -> Words {
        var words: Words = (0, 0, 0, 0)
        withUnsafeMutableBytes(of: &words) { words in
            words.withMemoryRebound(to: UInt8.self) { weir_sha256(bytes.baseAddress, bytes.count, $0.baseAddress) }
        }
        return words
    }

    package static func of(_ bytes: some Collection<UInt8>) -> [UInt8] {
        func of(_ bytes: UnsafeBufferPointer<UInt8>) -> [UInt8] { withUnsafeBytes(of: digest(UnsafeRawBufferPointer(bytes))) { Array($0) } }
        return bytes.withContiguousStorageIfAvailable(of) ?? Array(bytes).withUnsafeBufferPointer(of)
    }

    /// The digest, where no array of it is wanted.
    package static func of<Result>(_ bytes: UnsafeRawBufferPointer, _ use: (UnsafeRawBufferPointer) -> Result) -> Result {
        withUnsafeBytes(of: digest(bytes), use)
    }

    /// The digest as four big-endian words, without an allocation: what a directory keeps of a key.
    package static func words(of bytes: UnsafeRawBufferPointer) -> (UInt64, UInt64, UInt64, UInt64) {
        let words = digest(bytes)
        return (UInt64(bigEndian: words.0), UInt64(bigEndian: words.1), UInt64(bigEndian: words.2), UInt64(bigEndian: words.3))
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
