import Foundation
import Primitives

enum Fixtures {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures")

    /// Names of the cases in a folder: what comes before ".in.".
    static func cases(_ name: String) -> [String] {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.appendingPathComponent(name).path)) ?? []
        return files.compactMap { file in file.range(of: ".in.").map { String(file[..<$0.lowerBound]) } }.sorted()
    }

    static func bytes(_ path: String) throws -> [UInt8] {
        try [UInt8](Data(contentsOf: folder.appendingPathComponent(path)))
    }
}

func split(_ bytes: [UInt8], at ends: [Int]) -> [[UInt8]] {
    var pieces: [[UInt8]] = []
    var start = 0
    for end in ends + [bytes.count] where end > start {
        pieces.append(Array(bytes[start..<end]))
        start = end
    }
    return pieces
}

/// Ends of a few pieces at random.
func randomEnds(_ count: Int, using random: inout SeededGenerator) -> [Int] {
    guard count > 1 else { return [] }
    var ends = Set<Int>()
    for _ in 0..<Int.random(in: 0...8, using: &random) { ends.insert(Int.random(in: 1..<count, using: &random)) }
    return ends.sorted()
}

func string(_ bytes: some Sequence<UInt8>) -> String { String(decoding: Array(bytes), as: UTF8.self) }

/// Writes random JSON, and damages it on request.
struct RandomJSON {
    var random: SeededGenerator

    mutating func value(depth: Int) -> String {
        switch Int.random(in: 0..<(depth > 0 ? 9 : 6), using: &random) {
        case 0: return ["true", "false", "null"].randomElement(using: &random) ?? "null"
        case 1, 2: return number()
        case 3, 4, 5: return string()
        case 6:
            return "["
                + (0..<Int.random(in: 0...4, using: &random)).map { _ in space() + value(depth: depth - 1) + space() }.joined(
                    separator: ",") + "]"
        default: return object(depth: depth)
        }
    }

    mutating func object(depth: Int, names: [String] = []) -> String {
        var members: [String] = []
        for _ in 0..<Int.random(in: 0...4, using: &random) {
            members.append(space() + string() + space() + ":" + space() + value(depth: depth - 1))
        }
        for name in names { members.append("\"\(name)\":" + space() + value(depth: depth - 1)) }
        members.shuffle(using: &random)
        return "{" + members.joined(separator: ",") + space() + "}"
    }

    mutating func number() -> String {
        [
            "0", "-0", "1", "-1", "12345", "1.5", "-0.001", "1e5", "1E-5", "2.5e+10", "9223372036854775807", "9223372036854775808",
            "123456789012345678901234567890",
        ].randomElement(using: &random) ?? "0"
    }

    mutating func string() -> String {
        let parts = [
            "a", "content", "usage", "hello world, this is more than sixteen bytes", "\\n", "\\\"", "\\\\", "\\/", "\\u00e9",
            "\\ud83d\\ude00", "é", "漢字", "😀",
            "{", "}", "[", ":", ",", "0123456789abcdef", "\u{7F}",
        ]
        return "\"" + (0..<Int.random(in: 0...4, using: &random)).map { _ in parts.randomElement(using: &random) ?? "" }.joined() + "\""
    }

    mutating func space() -> String { ["", "", "", " ", "\n", "\t\r "].randomElement(using: &random) ?? "" }

    /// Changes, removes or adds a few bytes.
    mutating func damage(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        let telling = Array("\"\\{}[]:,0eE.-+tfn\u{0} \n".utf8) + [0x80, 0xC0, 0xE2, 0xED, 0xF5, 0xFF]
        for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
            let at = Int.random(in: 0..<bytes.count, using: &random)
            let byte = telling.randomElement(using: &random) ?? 0
            switch Int.random(in: 0..<3, using: &random) {
            case 0: bytes[at] = byte
            case 1: bytes.remove(at: at)
            default: bytes.insert(byte, at: at)
            }
        }
        return bytes
    }
}

/// RFC 8259 as plainly as it can be written: whether the bytes are one JSON text. Recursive; for tests only.
struct PlainJSON {
    private let bytes: [UInt8]
    private var at = 0
    private let maxDepth: Int

    static func accepts(_ bytes: [UInt8], maxDepth: Int = 128) -> Bool {
        var reader = PlainJSON(bytes: bytes, maxDepth: maxDepth)
        reader.space()
        guard reader.value(0) else { return false }
        reader.space()
        return reader.at == bytes.count
    }

    private init(bytes: [UInt8], maxDepth: Int) {
        self.bytes = bytes
        self.maxDepth = maxDepth
    }

    private var peek: UInt8? { at < bytes.count ? bytes[at] : nil }

    private mutating func take(_ character: Character) -> Bool {
        guard peek == character.asciiValue else { return false }
        at += 1
        return true
    }

    private mutating func space() {
        while let byte = peek, [0x20, 0x09, 0x0A, 0x0D].contains(byte) { at += 1 }
    }

    private mutating func word(_ text: String) -> Bool {
        guard bytes[at...].starts(with: text.utf8) else { return false }
        at += text.utf8.count
        return true
    }

    private mutating func value(_ depth: Int) -> Bool {
        switch peek {
        case UInt8(ascii: "{"):
            guard depth < maxDepth, take("{") else { return false }
            space()
            if take("}") { return true }
            repeat {
                space()
                guard text() else { return false }
                space()
                guard take(":") else { return false }
                space()
                guard value(depth + 1) else { return false }
                space()
            } while take(",")
            return take("}")
        case UInt8(ascii: "["):
            guard depth < maxDepth, take("[") else { return false }
            space()
            if take("]") { return true }
            repeat {
                space()
                guard value(depth + 1) else { return false }
                space()
            } while take(",")
            return take("]")
        case UInt8(ascii: "\""): return text()
        case UInt8(ascii: "t"): return word("true")
        case UInt8(ascii: "f"): return word("false")
        case UInt8(ascii: "n"): return word("null")
        default: return number()
        }
    }

    private mutating func digits() -> Bool {
        let start = at
        while let byte = peek, (0x30...0x39).contains(byte) { at += 1 }
        return at > start
    }

    private mutating func number() -> Bool {
        _ = take("-")
        if !take("0") {
            guard digits() else { return false }
        }
        if take(".") {
            guard digits() else { return false }
        }
        if take("e") || take("E") {
            _ = take("+") || take("-")
            guard digits() else { return false }
        }
        return true
    }

    private mutating func text() -> Bool {
        guard take("\"") else { return false }
        let start = at
        while let byte = peek {
            if byte == UInt8(ascii: "\"") {
                guard String(validating: bytes[start..<at], as: UTF8.self) != nil else { return false }
                at += 1
                return true
            }
            guard byte >= 0x20 else { return false }
            at += 1
            if byte == UInt8(ascii: "\\") {
                guard let escape = peek else { return false }
                at += 1
                if escape == UInt8(ascii: "u") {
                    for _ in 0..<4 {
                        guard let digit = peek, Character(UnicodeScalar(digit)).isHexDigit, digit < 0x80 else { return false }
                        at += 1
                    }
                } else if !Array("\"\\/bfnrt".utf8).contains(escape) {
                    return false
                }
            }
        }
        return false
    }
}
