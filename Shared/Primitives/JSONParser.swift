/// Why a text is not JSON, and where.
package struct JSONError: Error, Hashable, Sendable {
    /// The byte at which it went wrong, from 0.
    package let offset: Int
    package let reason: String
}

extension JSONValue {
    /// Reads one document. Stricter than most: a member twice in an object is refused, since which one counts would be a guess.
    /// - Parameter maximumDepth: How many arrays and objects may lie in each other; the reader is recursive.
    package init(parsing bytes: some Sequence<UInt8>, maximumDepth: Int = 64) throws(JSONError) {
        var parser = JSONParser(bytes: Array(bytes), maximumDepth: maximumDepth)
        self = try parser.document()
    }

    package init(parsing text: String, maximumDepth: Int = 64) throws(JSONError) {
        try self.init(parsing: text.utf8, maximumDepth: maximumDepth)
    }
}

/// A recursive-descent reader over bytes; every access to `bytes` is checked.
private struct JSONParser {
    let bytes: [UInt8]
    let maximumDepth: Int
    var index = 0

    init(bytes: [UInt8], maximumDepth: Int) {
        self.bytes = bytes
        self.maximumDepth = maximumDepth
    }

    mutating func document() throws(JSONError) -> JSONValue {
        let value = try self.value(depth: 0)
        skipSpace()
        guard index == bytes.count else { throw failure("something follows the document") }
        return value
    }

    private func failure(_ reason: String) -> JSONError { JSONError(offset: index, reason: reason) }

    private var current: UInt8? { index < bytes.count ? bytes[index] : nil }

    private mutating func skipSpace() {
        while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { index += 1 }
    }

    private mutating func take(_ byte: Unicode.Scalar) -> Bool {
        guard current == UInt8(ascii: byte) else { return false }
        index += 1
        return true
    }

    private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
        guard depth <= maximumDepth else { throw failure("nested too deeply") }
        skipSpace()
        switch current {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case let byte? where byte == UInt8(ascii: "-") || (0x30...0x39).contains(byte): return try number()
        case nil: throw failure("the document ends too early")
        default: throw failure("a value was expected")
        }
    }

    private mutating func word(_ word: String, _ value: JSONValue) throws(JSONError) -> JSONValue {
        guard bytes[index...].starts(with: word.utf8) else { throw failure("a value was expected") }
        index += word.utf8.count
        return value
    }

    private mutating func object(depth: Int) throws(JSONError) -> JSONValue {
        index += 1
        var members = [JSONObject.Member]()
        var names = Set<String>()
        skipSpace()
        if take("}") { return .object(JSONObject()) }
        while true {
            skipSpace()
            guard current == UInt8(ascii: "\"") else { throw failure("a member name in quotes was expected") }
            let name = try string()
            guard names.insert(name).inserted else { throw failure("a member appears twice") }
            skipSpace()
            guard take(":") else { throw failure("a colon was expected") }
            members.append(.init(name: name, value: try value(depth: depth + 1)))
            skipSpace()
            if take("}") { return .object(JSONObject(members: members)) }
            guard take(",") else { throw failure("a comma or the end of the object was expected") }
        }
    }

    private mutating func array(depth: Int) throws(JSONError) -> JSONValue {
        index += 1
        var elements = [JSONValue]()
        skipSpace()
        if take("]") { return .array([]) }
        while true {
            elements.append(try value(depth: depth + 1))
            skipSpace()
            if take("]") { return .array(elements) }
            guard take(",") else { throw failure("a comma or the end of the array was expected") }
        }
    }

    private mutating func digits() -> Int {
        let start = index
        while let byte = current, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") { index += 1 }
        return index - start
    }

    private mutating func number() throws(JSONError) -> JSONValue {
        let start = index
        _ = take("-")
        if take("0") {
            if let byte = current, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") {
                throw failure("a number starts with a needless zero")
            }
        } else if digits() == 0 {
            throw failure("a digit was expected")
        }
        var integral = true
        if take(".") {
            integral = false
            guard digits() > 0 else { throw failure("a digit was expected") }
        }
        if take("e") || take("E") {
            integral = false
            if !take("+") { _ = take("-") }
            guard digits() > 0 else { throw failure("a digit was expected") }
        }
        let text = String(decoding: bytes[start..<index], as: UTF8.self)
        if integral, let value = Int64(text) { return .int(value) }
        return .number(text)
    }

    private mutating func string() throws(JSONError) -> String {
        index += 1
        var out = [UInt8]()
        while true {
            guard let byte = current else { throw failure("a string does not end") }
            index += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: out, as: UTF8.self) else { throw failure("a string is not UTF-8") }
                return text
            case UInt8(ascii: "\\"): try escape(into: &out)
            case 0..<0x20: throw failure("a control character in a string must be escaped")
            default: out.append(byte)
            }
        }
    }

    private mutating func escape(into out: inout [UInt8]) throws(JSONError) {
        guard let byte = current else { throw failure("a string does not end") }
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(byte)
        case UInt8(ascii: "b"): out.append(0x08)
        case UInt8(ascii: "f"): out.append(0x0C)
        case UInt8(ascii: "n"): out.append(0x0A)
        case UInt8(ascii: "r"): out.append(0x0D)
        case UInt8(ascii: "t"): out.append(0x09)
        case UInt8(ascii: "u"):
            let first = try hexQuad()
            var code = first
            if (0xD800..<0xDC00).contains(first) {
                guard take("\\"), take("u") else { throw failure("half of a surrogate pair") }
                let second = try hexQuad()
                guard (0xDC00..<0xE000).contains(second) else { throw failure("half of a surrogate pair") }
                code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw failure("half of a surrogate pair") }
            out += String(Character(scalar)).utf8
        default: throw failure("an unknown escape")
        }
    }

    private mutating func hexQuad() throws(JSONError) -> UInt32 {
        guard index + 4 <= bytes.count, let pair = Hex.decode(String(decoding: bytes[index..<index + 4], as: UTF8.self)), pair.count == 2
        else {
            throw failure("four hexadecimal digits were expected")
        }
        index += 4
        return UInt32(pair[0]) << 8 | UInt32(pair[1])
    }
}
