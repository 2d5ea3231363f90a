package import Primitives
import Trust

/// The 80 random bits of an identifier as integers: what the indexes are keyed by.
package struct IDBits: Hashable, Sendable {
    package let high: UInt16
    package let low: UInt64

    package init(high: UInt16, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The 16 base32 characters that follow an identifier's prefix. Nil for any other length or character.
    package init?(suffix: UnsafeRawBufferPointer) {
        guard suffix.count == 16 else { return nil }
        var high: UInt32 = 0
        var low: UInt64 = 0
        for index in 0..<16 {
            guard let value = Base32.value(suffix[index]) else { return nil }
            high = high << 5 | UInt32(truncatingIfNeeded: low >> 59)
            low = low << 5 | UInt64(value)
        }
        self.init(high: UInt16(truncatingIfNeeded: high), low: low)
    }

    /// A whole identifier, `prefix` and suffix.
    package init?(identifier: UnsafeRawBufferPointer, prefix: StaticString) {
        let length = prefix.utf8CodeUnitCount
        guard identifier.count == length + 16, ByteScan.begins(identifier, with: prefix) else { return nil }
        self.init(suffix: UnsafeRawBufferPointer(rebasing: identifier[length...]))
    }

    package init?<Kind: IdentifierKind>(_ id: ID<Kind>) {
        var text = id.suffix
        guard let bits = text.withUTF8({ IDBits(suffix: UnsafeRawBufferPointer($0)) }) else { return nil }
        self = bits
    }

    /// The identifier's text as UTF-8, `prefix` first.
    package func bytes(prefix: StaticString) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: prefix.utf8CodeUnitCount + 16) { out, count in count = write(prefix, to: out) }
    }

    /// The same, for as long as `body` runs and without an allocation.
    func withText(prefix: StaticString, _ body: (UnsafeRawBufferPointer) -> Void) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: prefix.utf8CodeUnitCount + 16) { out in
            let count = write(prefix, to: out)
            body(UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: out[..<count])))
        }
    }

    private func write(_ prefix: StaticString, to out: UnsafeMutableBufferPointer<UInt8>) -> Int {
        let length = prefix.utf8CodeUnitCount
        for index in 0..<length { out.initializeElement(at: index, to: prefix.utf8Start[index]) }
        var high = UInt64(self.high)
        var low = self.low
        for index in stride(from: length + 15, through: length, by: -1) {
            out.initializeElement(at: index, to: Base32.digit(UInt8(truncatingIfNeeded: low & 31)))
            low = low >> 5 | high << 59
            high >>= 5
        }
        return length + 16
    }
}

/// A SHA-256 as four big-endian words.
package struct DigestWords: Hashable, Sendable {
    package let a: UInt64
    package let b: UInt64
    package let c: UInt64
    package let d: UInt64

    package init(_ a: UInt64, _ b: UInt64, _ c: UInt64, _ d: UInt64) {
        self.a = a
        self.b = b
        self.c = c
        self.d = d
    }

    @inline(__always)
    init(digestOf bytes: UnsafeRawBufferPointer) {
        let words = SHA256Digest.words(of: bytes)
        self.init(words.0, words.1, words.2, words.3)
    }

    /// Nil unless there are 32 bytes.
    package init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count == 32 else { return nil }
        a = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
        b = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        c = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
        d = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
    }

    /// Compared in a time that does not depend on where they differ.
    @inline(__always)
    package func equalInConstantTime(_ other: DigestWords) -> Bool {
        (a ^ other.a) | (b ^ other.b) | (c ^ other.c) | (d ^ other.d) == 0
    }
}
