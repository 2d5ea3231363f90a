import Foundation
import Primitives

/// The part of Structured Fields (RFC 8941) that message signatures and digests use: dictionaries of items and of lists of items.
struct StructuredDictionary {
    /// The last of equal keys counts, at the first one's place (§3.2).
    private(set) var members: [(key: String, value: StructuredMember)] = []

    subscript(key: String) -> StructuredMember? { members.first { $0.key == key }?.value }

    /// - Parameter text: all lines of the field, joined with commas. Nil for what is malformed or has more than 32 members.
    init?(_ text: String) {
        var parser = StructuredFieldParser(text)
        parser.skipSpaces()
        if parser.isAtEnd { return }
        while true {
            guard members.count < 32, let key = parser.key() else { return nil }
            var value = StructuredMember(content: .item(.boolean(true)), parameters: [])
            if parser.take("=") {
                guard let content = parser.itemOrList() else { return nil }
                value = content
            } else {
                guard let parameters = parser.parameters() else { return nil }
                value.parameters = parameters
            }
            if let index = members.firstIndex(where: { $0.key == key }) {
                members[index].value = value
            } else {
                members.append((key, value))
            }
            parser.skipWhitespace()
            if parser.isAtEnd { return }
            guard parser.take(",") else { return nil }
            parser.skipWhitespace()
            if parser.isAtEnd { return nil }
        }
    }
}

struct StructuredItem: Hashable {
    var value: StructuredValue
    var parameters: [StructuredParameter]

    /// §4.1.3
    var serialized: String { value.serialized + parameters.map(\.serialized).joined() }
}

struct StructuredParameter: Hashable {
    let name: String
    var value: StructuredValue

    /// §4.1.1.2
    var serialized: String { value == .boolean(true) ? ";\(name)" : ";\(name)=\(value.serialized)" }
}

struct StructuredMember {
    enum Content {
        case item(StructuredValue)
        case list([StructuredItem])
    }

    let content: Content
    var parameters: [StructuredParameter]

    func parameter(_ name: String) -> StructuredValue? { parameters.first { $0.name == name }?.value }
}

enum StructuredValue: Hashable {
    case integer(Int64)
    case string(String)
    case token(String)
    case bytes([UInt8])
    case boolean(Bool)

    var serialized: String {
        switch self {
        case .integer(let value): String(value)
        case .string(let value):
            value.utf8.contains { $0 == UInt8(ascii: "\\") || $0 == UInt8(ascii: "\"") } ? Self.quoted(value) : "\"" + value + "\""
        case .token(let value): value
        case .bytes(let value): ":" + Base64.encode(value) + ":"
        case .boolean(let value): value ? "?1" : "?0"
        }
    }

    private static func quoted(_ value: String) -> String {
        "\"" + value.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "\"", with: "\\\"") + "\""
    }
}

private struct StructuredFieldParser {
    private let bytes: [UInt8]
    private var index = 0

    init(_ text: String) { bytes = Array(text.utf8) }

    var isAtEnd: Bool { index >= bytes.count }
    private var next: UInt8? { index < bytes.count ? bytes[index] : nil }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: character) else { return false }
        index += 1
        return true
    }

    mutating func skipSpaces() { while next == 32 { index += 1 } }
    mutating func skipWhitespace() { while next == 32 || next == 9 { index += 1 } }

    mutating func key() -> String? {
        guard let first = next, (97...122).contains(first) || first == UInt8(ascii: "*") else { return nil }
        let start = index
        while let byte = next, (97...122).contains(byte) || (48...57).contains(byte) || "_-.*".utf8.contains(byte) { index += 1 }
        return String(decoding: bytes[start..<index], as: UTF8.self)
    }

    mutating func itemOrList() -> StructuredMember? {
        guard take("(") else {
            guard let value = value(), let parameters = parameters() else { return nil }
            return StructuredMember(content: .item(value), parameters: parameters)
        }
        var items: [StructuredItem] = []
        while true {
            skipSpaces()
            if take(")") {
                guard let parameters = parameters() else { return nil }
                return StructuredMember(content: .list(items), parameters: parameters)
            }
            guard items.count < 64, let value = value(), let parameters = parameters() else { return nil }
            items.append(StructuredItem(value: value, parameters: parameters))
            guard next == 32 || next == UInt8(ascii: ")") else { return nil }
        }
    }

    mutating func parameters() -> [StructuredParameter]? {
        var out: [StructuredParameter] = []
        while take(";") {
            skipSpaces()
            guard out.count < 32, let name = key() else { return nil }
            var parameter = StructuredParameter(name: name, value: .boolean(true))
            if take("=") {
                guard let value = value() else { return nil }
                parameter.value = value
            }
            if let index = out.firstIndex(where: { $0.name == name }) { out[index] = parameter } else { out.append(parameter) }
        }
        return out
    }

    private mutating func value() -> StructuredValue? {
        guard let first = next else { return nil }
        switch first {
        case UInt8(ascii: "\""): return string()
        case UInt8(ascii: ":"): return byteSequence()
        case UInt8(ascii: "?"):
            index += 1
            if take("1") { return .boolean(true) }
            return take("0") ? .boolean(false) : nil
        case UInt8(ascii: "-"), 48...57: return integer()
        case UInt8(ascii: "*"), 65...90, 97...122:
            let start = index
            while let byte = next, isTokenCharacter(byte) { index += 1 }
            return .token(String(decoding: bytes[start..<index], as: UTF8.self))
        default: return nil
        }
    }

    private func isTokenCharacter(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || "!#$%&'*+-.^_`|~:/".utf8.contains(byte)
    }

    /// No decimals: nothing here has any.
    private mutating func integer() -> StructuredValue? {
        let start = index
        _ = take("-")
        let digits = index
        while let byte = next, (48...57).contains(byte) { index += 1 }
        guard index > digits, index - digits <= 15, next != UInt8(ascii: "."),
            let value = Int64(String(decoding: bytes[start..<index], as: UTF8.self))
        else { return nil }
        return .integer(value)
    }

    private mutating func string() -> StructuredValue? {
        index += 1
        var out: [UInt8] = []
        while let byte = next {
            index += 1
            switch byte {
            case UInt8(ascii: "\""): return .string(String(decoding: out, as: UTF8.self))
            case UInt8(ascii: "\\"):
                guard let escaped = next, escaped == UInt8(ascii: "\"") || escaped == UInt8(ascii: "\\") else { return nil }
                out.append(escaped)
                index += 1
            case 32...126: out.append(byte)
            default: return nil
            }
        }
        return nil
    }

    private mutating func byteSequence() -> StructuredValue? {
        index += 1
        let start = index
        while let byte = next, byte != UInt8(ascii: ":") { index += 1 }
        guard next != nil, let value = Base64.decode(String(decoding: bytes[start..<index], as: UTF8.self)) else { return nil }
        index += 1
        return .bytes(value)
    }
}
