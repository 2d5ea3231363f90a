import Primitives
import Yams

/// A file that cannot be taken, and where.
struct FileFault: Error {
    let line: Int?
    let message: String

    init(_ message: String, line: Int? = nil) {
        self.message = message
        self.line = line
    }

    var text: String { (line.map { "line \($0): " } ?? "") + message }
}

/// YAML 1.2 (JSON is some of it), as plain data. What could make a small file large is refused before anything is built of it.
enum YAMLFile {
    /// As many as the API takes of a document.
    static let maximumBytes = 4 << 20
    static let inParts = "Apply it in parts, list by list: first what others refer to"
    /// Values and members: each takes some hundred bytes while it is read.
    private static let maximumParts = 500_000
    private static let maximumDepth = 32

    static func parse(_ bytes: [UInt8]) throws(FileFault) -> JSONValue {
        guard bytes.count <= maximumBytes else {
            throw FileFault("has more than \(maximumBytes) bytes. \(inParts)")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw FileFault("is not text in UTF-8") }
        guard partCount(bytes) <= maximumParts else {
            throw FileFault("has more than \(maximumParts) values. \(inParts)")
        }
        if let line = aliasLine(bytes) {
            throw FileFault("aliases (*name) are not taken. Write it out; in a quoted text write \\x2A for the star", line: line)
        }
        let root: Node?
        do {
            root = try Parser(yaml: text, encoding: .utf8).singleRoot()
        } catch {
            throw fault(error)
        }
        guard let root else { throw FileFault("is empty") }
        return try value(root, depth: 0)
    }

    /// The line of the first star that may begin an alias. Aliases are how a few lines become gigabytes, and what is built of them is
    /// built before it can be looked at: so whatever looks like one counts, also inside of a text.
    static func aliasLine(_ bytes: [UInt8]) -> Int? {
        var line = 1
        var before: UInt8 = 0x0A
        for (index, byte) in bytes.enumerated() {
            if byte == UInt8(ascii: "*"), before >= 0x80 || "\n\r\t [{,:".utf8.contains(before), index + 1 < bytes.count,
                isNameByte(bytes[index + 1])
            {
                return line
            }
            if byte == 0x0A { line += 1 }
            before = byte
        }
        return nil
    }

    /// At least as many as there are values: each but the first stands after one of these.
    private static func partCount(_ bytes: [UInt8]) -> Int {
        var count = 0
        var before: UInt8 = 0
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: ","), UInt8(ascii: ":"), UInt8(ascii: "["), UInt8(ascii: "{"):
                count += 1
            case UInt8(ascii: " "), UInt8(ascii: "\t"): if before == UInt8(ascii: "-") || before == UInt8(ascii: "?") { count += 1 }
            default: break
            }
            before = byte
        }
        return count
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: "-_".utf8.contains(byte) || byte >= 0x80
        }
    }

    private static func value(_ node: Node, depth: Int) throws(FileFault) -> JSONValue {
        guard depth < maximumDepth else { throw FileFault("is nested more than \(maximumDepth) deep", line: node.mark?.line) }
        switch node {
        case .scalar(let scalar): return try self.scalar(scalar)
        case .sequence(let nodes):
            var elements: [JSONValue] = []
            for node in nodes { elements.append(try value(node, depth: depth + 1)) }
            return .array(elements)
        case .mapping(let pairs):
            var members: [JSONObject.Member] = []
            var names: Set<String> = []
            for (key, node) in pairs {
                guard case .scalar(let name) = key else { throw FileFault("a member's name is no text", line: key.mark?.line) }
                guard names.insert(name.string).inserted else {
                    throw FileFault("\"\(shown(name.string))\" is there twice", line: key.mark?.line)
                }
                members.append(.init(name: name.string, value: try value(node, depth: depth + 1)))
            }
            return .object(JSONObject(members: members))
        case .alias: throw FileFault("aliases are not taken", line: node.mark?.line)
        }
    }

    /// Plain words are what JSON takes them for, and text otherwise: `no` and `0x10` are texts, a number keeps its digits.
    private static func scalar(_ scalar: Node.Scalar) throws(FileFault) -> JSONValue {
        let tag = scalar.tag.description
        guard ["", "!", "tag:yaml.org,2002:str"].contains(tag) else {
            throw FileFault("tags (\(shown(tag))) are not taken", line: scalar.mark?.line)
        }
        guard tag.isEmpty, scalar.style == .plain else { return .string(scalar.string) }
        let text = scalar.string
        if ["", "~", "Null", "NULL"].contains(text) { return .null }
        if ["True", "TRUE"].contains(text) { return true }
        if ["False", "FALSE"].contains(text) { return false }
        let first = text.utf8.first ?? 0
        let isJSON = "-ntf".utf8.contains(first) || (0x30...0x39).contains(first)
        if isJSON, let value = try? JSONValue(parsing: text) { return value }
        return .string(text)
    }

    private static func shown(_ text: String) -> String { String(text.prefix(64)).visible }

    /// Where and what, never the text around it: it may hold a secret.
    private static func fault(_ error: any Error) -> FileFault {
        switch error as? YamlError {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            FileFault("is not YAML: \([context?.text, problem].compactMap { $0 }.joined(separator: ", ").visible)", line: mark.line)
        case .reader(let problem, let offset, _, _): FileFault("is not YAML: \(problem)\(offset.map { " at byte \($0)" } ?? "")")
        case .duplicatedKeysInMapping(let names, let context):
            FileFault(
                "\(names.prefix(3).map { "\"\(shown($0))\"" }.joined(separator: ", ")) is there twice", line: context.mark.line)
        default: FileFault("is not YAML")
        }
    }
}
