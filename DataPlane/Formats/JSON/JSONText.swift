import Primitives

/// The text of JSON strings: out of their escapes and into them.
package enum JSONText {
    /// The bytes a string's content stands for; `content` lies between the quotes of a string that was checked. Nil when it holds half of
    /// a surrogate pair, which no UTF-8 can say.
    package static func unescape(_ body: UnsafeRawBufferPointer, _ content: Range<Int>) -> [UInt8]? {
        guard let base = body.baseAddress, content.lowerBound >= 0, content.upperBound <= body.count else {
            return content.isEmpty ? [] : nil
        }
        let bytes = [UInt8](unsafeUninitializedCapacity: content.count) { buffer, count in
            count = unescape(base, content.lowerBound, content.upperBound, into: buffer) ?? -1
            if count < 0 { count = 0 }
        }
        return bytes.isEmpty && !content.isEmpty ? nil : bytes
    }

    /// Writes what the escapes of [from, to) stand for. Returns how many bytes, or nil when it does not fit or is half a surrogate pair.
    static func unescape(_ base: UnsafeRawPointer, _ from: Int, _ to: Int, into buffer: UnsafeMutableBufferPointer<UInt8>) -> Int? {
        var at = from
        var count = 0
        func put(_ byte: UInt8) -> Bool {
            guard count < buffer.count else { return false }
            buffer[count] = byte
            count &+= 1
            return true
        }
        while at < to {
            let byte = ByteScan.byte(base, at)
            guard byte == 0x5C else {
                guard put(byte) else { return nil }
                at &+= 1
                continue
            }
            guard at &+ 1 < to else { return nil }
            let letter = ByteScan.byte(base, at &+ 1)
            at &+= 2
            let plain: UInt8
            switch letter {
            case 0x62: plain = 0x08
            case 0x66: plain = 0x0C
            case 0x6E: plain = 0x0A
            case 0x72: plain = 0x0D
            case 0x74: plain = 0x09
            case 0x75:
                guard var scalar = codeUnit(base, at, to) else { return nil }
                at &+= 4
                if scalar & 0xF800 == 0xD800 {
                    guard scalar < 0xDC00, at &+ 6 <= to, ByteScan.byte(base, at) == 0x5C, ByteScan.byte(base, at &+ 1) == 0x75,
                        let low = codeUnit(base, at &+ 2, to), low & 0xFC00 == 0xDC00
                    else { return nil }
                    scalar = 0x10000 &+ (scalar & 0x3FF) &<< 10 &+ (low & 0x3FF)
                    at &+= 6
                }
                guard let text = Unicode.Scalar(scalar) else { return nil }
                for unit in UTF8.encode(text) ?? UTF8.EncodedScalar() where !put(unit) { return nil }
                continue
            default: plain = letter
            }
            guard put(plain) else { return nil }
        }
        return count
    }

    private static func codeUnit(_ base: UnsafeRawPointer, _ at: Int, _ to: Int) -> UInt32? {
        guard at &+ 4 <= to else { return nil }
        var value: UInt32 = 0
        for index in 0..<4 {
            let digit = hexValue(ByteScan.byte(base, at &+ index))
            guard digit < 16 else { return nil }
            value = value &<< 4 | UInt32(digit)
        }
        return value
    }

    /// Appends the bytes as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD.
    package static func appendQuoted(_ bytes: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        output.append(0x22)
        appendEscaped(bytes, to: &output)
        output.append(0x22)
    }

    package static func appendQuoted(_ text: String, to output: inout [UInt8]) {
        var text = text
        text.withUTF8 { appendQuoted(UnsafeRawBufferPointer($0), to: &output) }
    }

    /// A JSON string (RFC 8259 §7) with its quotes.
    package static func quoted(_ text: String) -> [UInt8] {
        var output: [UInt8] = []
        appendQuoted(text, to: &output)
        return output
    }

    static func appendEscaped(_ bytes: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        guard let base = bytes.baseAddress else { return }
        let limit = bytes.count
        var at = 0
        var plainFrom = 0
        while at < limit {
            let byte = ByteScan.byte(base, at)
            var length = 1
            if byte >= 0x20 && byte != 0x22 && byte != 0x5C && byte < 0x7F {
                at &+= 1
                continue
            }
            if byte >= 0x80 {
                length = validSequence(base, at, limit)
                if length > 0 {
                    at &+= length
                    continue
                }
                length = 1
            }
            output.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[plainFrom..<at]))
            switch byte {
            case 0x22: output.append(contentsOf: [0x5C, 0x22])
            case 0x5C: output.append(contentsOf: [0x5C, 0x5C])
            case 0x0A: output.append(contentsOf: [0x5C, 0x6E])
            case 0x0D: output.append(contentsOf: [0x5C, 0x72])
            case 0x09: output.append(contentsOf: [0x5C, 0x74])
            case 0x80...: output.append(contentsOf: [0xEF, 0xBF, 0xBD])
            default:
                output.append(contentsOf: [0x5C, 0x75, 0x30, 0x30])
                output.append(0x30 &+ byte &>> 4)
                let low = byte & 15
                output.append(low < 10 ? 0x30 &+ low : 0x57 &+ low)
            }
            at &+= length
            plainFrom = at
        }
        output.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[plainFrom..<limit]))
    }

    /// Length of the well-formed UTF-8 sequence at the offset, 0 when there is none.
    static func validSequence(_ base: UnsafeRawPointer, _ at: Int, _ limit: Int) -> Int {
        let lead = ByteScan.byte(base, at)
        let length = utf8Length(lead)
        guard length > 0, at &+ length <= limit else { return 0 }
        let second = ByteScan.byte(base, at &+ 1)
        guard second & 0xC0 == 0x80 else { return 0 }
        switch lead {
        case 0xE0 where second < 0xA0, 0xED where second >= 0xA0, 0xF0 where second < 0x90, 0xF4 where second >= 0x90: return 0
        default: break
        }
        for index in 2..<max(length, 2) where ByteScan.byte(base, at &+ index) & 0xC0 != 0x80 { return 0 }
        return length
    }
}
