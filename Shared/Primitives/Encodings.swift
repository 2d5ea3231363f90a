/// RFC 4648 §6 base32 in lower case without padding: what identifiers and keys are written in (double-click selects the whole).
@usableFromInline
package enum Base32 {
    /// The character of a value below 32.
    @inlinable @inline(__always)
    package static func digit(_ value: UInt8) -> UInt8 { value < 26 ? value &+ UInt8(ascii: "a") : value &- 26 &+ UInt8(ascii: "2") }

    /// The value of a character; nil outside the alphabet.
    @inlinable @inline(__always)
    package static func value(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "a")...UInt8(ascii: "z"): character &- UInt8(ascii: "a")
        case UInt8(ascii: "2")...UInt8(ascii: "7"): character &- UInt8(ascii: "2") &+ 26
        default: nil
        }
    }

    package static func encode(_ bytes: some Sequence<UInt8>) -> String {
        var out = [UInt8]()
        var buffer: UInt32 = 0
        var bits: UInt32 = 0
        for byte in bytes {
            buffer = buffer << 8 | UInt32(byte)
            bits += 8
            while bits >= 5 {
                bits -= 5
                out.append(digit(UInt8(truncatingIfNeeded: buffer >> bits & 31)))
            }
            buffer &= (1 << bits) - 1
        }
        if bits > 0 { out.append(digit(UInt8(truncatingIfNeeded: buffer << (5 - bits) & 31))) }
        return String(decoding: out, as: UTF8.self)
    }

    /// Nil for a character outside the alphabet, an impossible length, or padding bits that are not zero: one text for one value.
    package static func decode(_ text: some StringProtocol) -> [UInt8]? { decode(utf8: text.utf8) }

    package static func decode(utf8 text: some Sequence<UInt8>) -> [UInt8]? {
        var out = [UInt8]()
        var buffer: UInt32 = 0
        var bits: UInt32 = 0
        var count = 0
        for character in text {
            guard let value = value(character) else { return nil }
            count += 1
            buffer = buffer << 5 | UInt32(value)
            bits += 5
            if bits >= 8 {
                bits -= 8
                out.append(UInt8(truncatingIfNeeded: buffer >> bits))
                buffer &= (1 << bits) - 1
            }
        }
        guard buffer == 0, bits < 5, [0, 2, 4, 5, 7].contains(count % 8) else { return nil }
        return out
    }
}

package enum Hex {
    package static func encode(_ bytes: some Sequence<UInt8>) -> String {
        var out = [UInt8]()
        for byte in bytes {
            out.append(digit(byte >> 4))
            out.append(digit(byte & 15))
        }
        return String(decoding: out, as: UTF8.self)
    }

    package static func append(_ bytes: UnsafeRawBufferPointer, to out: inout [UInt8]) {
        for byte in bytes {
            out.append(digit(byte >> 4))
            out.append(digit(byte & 15))
        }
    }

    @inline(__always)
    private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? value &+ 48 : value &+ 87 }

    package static func decode(_ text: some StringProtocol) -> [UInt8]? {
        var copy = String(text)
        return copy.withUTF8 { decode(utf8: UnsafeRawBufferPointer($0)) }
    }

    package static func decode(utf8 text: UnsafeRawBufferPointer) -> [UInt8]? {
        guard text.count % 2 == 0 else { return nil }
        var isValid = true
        let out = [UInt8](unsafeUninitializedCapacity: text.count / 2) { buffer, count in
            for index in 0..<text.count / 2 {
                guard let high = value(text[2 * index]), let low = value(text[2 * index + 1]) else {
                    isValid = false
                    break
                }
                buffer[index] = high << 4 | low
                count = index + 1
            }
        }
        return isValid ? out : nil
    }

    @inline(__always)
    private static func value(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character &- 48
        case UInt8(ascii: "a")...UInt8(ascii: "f"): character &- 87
        case UInt8(ascii: "A")...UInt8(ascii: "F"): character &- 55
        default: nil
        }
    }
}

/// RFC 4648 §4 and §5.
package enum Base64 {
    private static let standard: [UInt8] = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let urlSafe: [UInt8] = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    package static func encode(_ bytes: some Sequence<UInt8>) -> String {
        var text = encode(bytes, standard)
        while text.count % 4 != 0 { text.append(UInt8(ascii: "=")) }
        return String(decoding: text, as: UTF8.self)
    }

    package static func decode(_ text: some StringProtocol) -> [UInt8]? { decode(text, plus: "+", slash: "/") }

    /// Without padding.
    package static func encodeURL(_ bytes: some Sequence<UInt8>) -> String { String(decoding: encode(bytes, urlSafe), as: UTF8.self) }

    package static func decodeURL(_ text: some StringProtocol) -> [UInt8]? { decode(text, plus: "-", slash: "_") }

    private static func encode(_ bytes: some Sequence<UInt8>, _ alphabet: [UInt8]) -> [UInt8] {
        var out = [UInt8]()
        var buffer: UInt32 = 0
        var bits: UInt32 = 0
        for byte in bytes {
            buffer = buffer << 8 | UInt32(byte)
            bits += 8
            while bits >= 6 {
                bits -= 6
                out.append(alphabet[Int(buffer >> bits & 63)])
            }
            buffer &= (1 << bits) - 1
        }
        if bits > 0 { out.append(alphabet[Int(buffer << (6 - bits) & 63)]) }
        return out
    }

    private static func decode(_ text: some StringProtocol, plus: Unicode.Scalar, slash: Unicode.Scalar) -> [UInt8]? {
        var out = [UInt8]()
        var buffer: UInt32 = 0
        var bits: UInt32 = 0
        var count = 0
        var padding = 0
        for character in text.utf8 {
            let value: UInt8
            switch character {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = character - UInt8(ascii: "A")
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = character - UInt8(ascii: "a") + 26
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = character - UInt8(ascii: "0") + 52
            case UInt8(ascii: plus): value = 62
            case UInt8(ascii: slash): value = 63
            case UInt8(ascii: "="):
                padding += 1
                continue
            default: return nil
            }
            guard padding == 0 else { return nil }
            count += 1
            buffer = buffer << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
                bits -= 8
                out.append(UInt8(truncatingIfNeeded: buffer >> bits))
                buffer &= (1 << bits) - 1
            }
        }
        guard count % 4 != 1, padding <= 2, buffer == 0 else { return nil }
        return out
    }
}

/// Base64 with the URL-safe alphabet, unpadded (RFC 4648 §5).
package enum Base64URL {
    package static func encode(_ bytes: some Sequence<UInt8>) -> String { Base64.encodeURL(bytes) }
    package static func decode(_ text: some StringProtocol) -> [UInt8]? { Base64.decodeURL(text) }
}

/// Base58 with Bitcoin's alphabet (draft-msporny-base58-03). Its time grows with the square of the length, hence the bound.
package enum Base58 {
    private static let alphabet: [UInt8] = Array("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz".utf8)
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 255, count: 256)
        for (value, character) in alphabet.enumerated() { values[Int(character)] = UInt8(value) }
        return values
    }()

    package static func encode(_ bytes: [UInt8]) -> String {
        var digits: [UInt8] = []
        for byte in bytes {
            var carry = Int(byte)
            for index in digits.indices {
                carry += Int(digits[index]) << 8
                digits[index] = UInt8(carry % 58)
                carry /= 58
            }
            while carry > 0 {
                digits.append(UInt8(carry % 58))
                carry /= 58
            }
        }
        let zeros = bytes.prefix { $0 == 0 }.count
        return String(decoding: [UInt8](repeating: alphabet[0], count: zeros) + digits.reversed().map { alphabet[Int($0)] }, as: UTF8.self)
    }

    /// Nil for a character outside the alphabet, and for more than `maximumCount` bytes.
    package static func decode(_ text: some StringProtocol, maximumCount: Int) -> [UInt8]? {
        guard text.utf8.count <= maximumCount * 138 / 100 + 1 else { return nil }
        // Little-endian, base 2³².
        var limbs: [UInt32] = []
        limbs.reserveCapacity(maximumCount / 4 + 1)
        for character in text.utf8 {
            let value = values[Int(character)]
            guard value < 58 else { return nil }
            var carry = UInt64(value)
            for index in limbs.indices {
                carry &+= UInt64(limbs[index]) &* 58
                limbs[index] = UInt32(truncatingIfNeeded: carry)
                carry >>= 32
            }
            if carry > 0 { limbs.append(UInt32(truncatingIfNeeded: carry)) }
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(limbs.count * 4)
        for limb in limbs.reversed() {
            for shift in [24, 16, 8, 0] as [UInt32] where !bytes.isEmpty || limb >> shift & 255 != 0 {
                bytes.append(UInt8(truncatingIfNeeded: limb >> shift))
            }
        }
        let zeros = text.utf8.prefix { $0 == alphabet[0] }.count
        guard zeros + bytes.count <= maximumCount else { return nil }
        return [UInt8](repeating: 0, count: zeros) + bytes
    }
}
