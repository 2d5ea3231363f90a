/// Text that must not be printed. Its value leaves only through `reveal`.
package struct Secret: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private let value: String

    package init(_ value: String) { self.value = value }

    package func reveal() -> String { value }
    package var description: String { "<redacted>" }
    package var debugDescription: String { "<redacted>" }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}

package enum ConstantTime {
    /// Whether two byte strings are equal, in a time that depends on their lengths only.
    package static func equal(_ a: some Collection<UInt8>, _ b: some Collection<UInt8>) -> Bool {
        guard a.count == b.count else { return false }
        var difference: UInt8 = 0
        for (x, y) in zip(a, b) { difference |= x ^ y }
        return difference == 0
    }
}

/// The plaintext of a virtual key or an administrator's token: `<prefix>_<id: 16>_<secret: 52><checksum: 7>`, base32 throughout.
/// The checksum is the CRC-32 of everything before it, so that a typing error is refused without a lookup.
package struct VirtualKeyText: Sendable, CustomStringConvertible {
    package static let virtualKeyPrefix = "weir"
    package static let adminTokenPrefix = "wadm"
    /// Of administrators of one tenant, and of people: a release that knows no such token takes none for one of its own.
    package static let scopedTokenPrefix = "wads"
    package static let appSecretPrefix = "wapp"

    package let text: String
    /// The 16 characters that follow the prefix of the row's id.
    package let idSuffix: String

    private init(text: String, idSuffix: String) {
        self.text = text
        self.idSuffix = idSuffix
    }

    /// A new secret (256 random bits) for the row with this id suffix.
    package static func generate(prefix: String, idSuffix: String) -> VirtualKeyText {
        let body = "\(prefix)_\(idSuffix)_" + Base32.encode(SecureRandom.bytes(32))
        return VirtualKeyText(text: body + checksum(of: Array(body.utf8)), idSuffix: idSuffix)
    }

    /// Nil unless the shape, the alphabet and the checksum are right.
    package init?(parsing text: String, prefix: String) {
        let bytes = Array(text.utf8)
        let start = prefix.utf8.count + 1
        guard bytes.count == start + 16 + 1 + 52 + 7, text.hasPrefix(prefix + "_"), bytes[start + 16] == UInt8(ascii: "_"),
            Base32.decode(utf8: bytes[start..<start + 16]) != nil, Base32.decode(utf8: bytes[(start + 17)..<(start + 69)]) != nil,
            Array(Self.checksum(of: Array(bytes.dropLast(7))).utf8) == Array(bytes.suffix(7))
        else { return nil }
        self.init(text: text, idSuffix: String(decoding: bytes[start..<start + 16], as: UTF8.self))
    }

    private static func checksum(of body: [UInt8]) -> String {
        let crc = CRC32.checksum(body)
        return Base32.encode((0..<4).map { UInt8(truncatingIfNeeded: crc >> (24 - 8 * UInt32($0))) })
    }

    package var description: String { "<redacted>" }
}
