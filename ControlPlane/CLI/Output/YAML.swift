import Primitives

extension JSONValue {
    /// Block YAML (1.2). Text that another reader could take for something else stands in quotes, as in JSON.
    var yaml: String {
        var lines: [String] = []
        write(to: &lines, first: "", rest: "")
        return lines.joined(separator: "\n")
    }

    private var isNested: Bool {
        switch self {
        case .array(let elements): !elements.isEmpty
        case .object(let object): !object.members.isEmpty
        default: false
        }
    }

    /// - Parameters:
    ///   - first: What stands before the first line.
    ///   - rest: What stands before the others.
    private func write(to lines: inout [String], first: String, rest: String) {
        switch self {
        case .object(let object) where isNested:
            for (index, member) in object.members.enumerated() {
                let before = index == 0 ? first : rest
                if member.value.isNested {
                    lines.append("\(before)\(Self.word(member.name)):")
                    member.value.write(to: &lines, first: rest + "  ", rest: rest + "  ")
                } else if let block = member.value.block {
                    lines.append("\(before)\(Self.word(member.name)): \(block.indicator)")
                    lines += block.lines.map { $0.isEmpty ? "" : "\(rest)  \($0)" }
                } else {
                    lines.append("\(before)\(Self.word(member.name)): \(member.value.scalar)")
                }
            }
        case .array(let elements) where isNested:
            for (index, element) in elements.enumerated() {
                let before = index == 0 ? first : rest
                if element.isNested {
                    element.write(to: &lines, first: before + "- ", rest: rest + "  ")
                } else {
                    lines.append("\(before)- \(element.scalar)")
                }
            }
        default: lines.append(first + scalar)
        }
    }

    private var scalar: String {
        if case .string(let text) = self { Self.word(text) } else { text }
    }

    /// A text of several lines, as it is; nil for every other value, and where it would not be read as it is.
    private var block: (indicator: String, lines: [Substring])? {
        guard case .string(let text) = self, text.contains("\n"), let first = text.utf8.first, (0x21...0x7E).contains(first),
            text.utf8.allSatisfy({ (0x20...0x7E).contains($0) && $0 != UInt8(ascii: "*") || $0 == 0x0A }), !text.hasSuffix("\n\n")
        else { return nil }
        let isEnded = text.hasSuffix("\n")
        let lines = (isEnded ? text.dropLast() : text[...]).split(separator: "\n", omittingEmptySubsequences: false)
        return (isEnded ? "|" : "|-", lines)
    }

    /// Plain where nobody can take it for anything but this text.
    private static func word(_ text: String) -> String {
        let plain = text.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || "_-./".utf8.contains(byte)
        }
        let reserved: Set = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"]
        let startsAsWord = text.utf8.first.map { (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) } ?? false
        return plain && startsAsWord && !reserved.contains(text.lowercased())
            ? text : JSONValue.string(text).text.replacing("*", with: "\\u002a")
    }
}
