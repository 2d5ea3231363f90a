import Foundation
import Primitives

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// How one member of an object is shown.
struct Column: Sendable {
    enum Format: Sendable {
        case text
        /// Never shortened: ids have to be copied.
        case id
        /// Another thing's id, or several: its name stands beside it.
        case reference
        /// How long ago, or in how long.
        case time
        case number
        /// A number that always grows: it is no news that it did.
        case count
        /// Nano-dollars, shown in dollars.
        case dollars
        /// Something derived from the whole object.
        case derived(@Sendable (JSONValue) -> String)
    }

    let title: String
    let path: String
    let format: Format
    /// What is shown for null or nothing, and for 0.
    var nullWord = "-"
    var zeroWord: String?

    init(_ title: String, _ path: String, _ format: Format = .text, null nullWord: String = "-", zero zeroWord: String? = nil) {
        self.title = title
        self.path = path
        self.format = format
        self.nullWord = nullWord
        self.zeroWord = zeroWord
    }

    static let id = Column("ID", "id", .id)
    static let name = Column("NAME", "name")
    static let created = Column("CREATED", "created_at", .time)

    func text(of object: JSONValue, _ rendering: Rendering, withIDs: Bool = true) -> String {
        if case .derived(let derive) = format { return derive(object).visible }
        guard let value = object.at(path), value != .null else { return nullWord }
        if let zeroWord, value.isZero { return zeroWord }
        switch format {
        case .text, .number, .count, .derived: return value.plain.visible
        case .id: return value.plain.visible
        case .reference: return rendering.named(value, withIDs: withIDs)
        case .time: return value.stringValue.map(rendering.relative) ?? value.plain.visible
        case .dollars: return value.intValue.map { "$" + NanoDollars($0).decimalString } ?? "-"
        }
    }

    var isNumeric: Bool {
        switch format {
        case .number, .count, .dollars: true
        case .text, .id, .reference, .time, .derived: false
        }
    }

    var mayShrink: Bool {
        switch format {
        case .text, .derived, .reference: true
        case .id, .number, .count, .dollars, .time: false
        }
    }

    /// Whether it is news when it shows another text.
    var tellsNews: Bool {
        switch format {
        case .time, .count: false
        default: true
        }
    }
}

enum Table {
    /// Rows under their titles. Where the terminal is too narrow, names stand without their ids, and then the widest columns that may be
    /// are shortened.
    static func render(
        _ columns: [Column], _ items: [JSONValue], _ rendering: Rendering = Rendering(), width: Int? = Terminal.width
    ) -> String {
        func cells(withIDs: Bool) -> [[String]] {
            [columns.map(\.title)] + items.map { item in columns.map { $0.text(of: item, rendering, withIDs: withIDs) } }
        }
        func widths(_ lines: [[String]]) -> [Int] { columns.indices.map { index in lines.map { $0[index].count }.max() ?? 0 } }
        let gaps = 2 * max(0, columns.count - 1)
        var lines = cells(withIDs: true)
        var space = widths(lines)
        if let width, space.reduce(gaps, +) > width {
            lines = cells(withIDs: false)
            space = widths(lines)
            while space.reduce(gaps, +) > width {
                let shrinkable = columns.indices.filter { columns[$0].mayShrink && space[$0] > max(8, columns[$0].title.count) }
                guard let widest = shrinkable.max(by: { space[$0] < space[$1] }) else { break }
                space[widest] -= 1
            }
        }
        return lines.map { line in
            columns.indices.map { pad(line[$0], space[$0], right: columns[$0].isNumeric) }.joined(separator: "  ")
                .trimmingSuffix(" ")
        }.joined(separator: "\n")
    }

    /// One object, a member a line, nested objects by dotted name.
    static func details(_ object: JSONValue, words: [String: Column] = [:], _ rendering: Rendering = Rendering()) -> String {
        var lines: [(String, String)] = []
        func add(_ name: String, _ value: JSONValue) {
            switch value {
            case .object(let object) where !object.members.isEmpty:
                for member in object.members { add("\(name).\(member.name)", member.value) }
            case .array(let values) where values.contains(where: { $0.objectValue != nil }):
                for (index, element) in values.enumerated() {
                    lines.append(("\(name)[\(index)]", rendering.named(element, withIDs: true)))
                }
            default:
                lines.append((name.visible, words[name]?.word(for: value) ?? rendering.detail(value, named: name != "id")))
            }
        }
        for member in object.objectValue?.members ?? [] { add(member.name, member.value) }
        return facts(lines)
    }

    /// A name and what is said of it a line.
    static func facts(_ facts: [(String, String)]) -> String {
        let width = facts.map(\.0.count).max() ?? 0
        return facts.map { name, value in "\(pad(name + ":", width + 1, right: false))  \(value)" }.joined(separator: "\n")
    }

    private static func pad(_ text: String, _ width: Int, right: Bool) -> String {
        if text.count > width { return text.prefix(max(0, width - 1)) + "…" }
        let space = String(repeating: " ", count: width - text.count)
        return right ? space + text : text + space
    }
}

extension Column {
    /// The word for a null or a zero, if this value is one that has a word.
    fileprivate func word(for value: JSONValue) -> String? {
        if value == .null { return nullWord }
        return value.isZero ? zeroWord : nil
    }
}

extension JSONValue {
    /// 0, or the moment with that number.
    fileprivate var isZero: Bool { self == 0 || self == "1970-01-01T00:00:00Z" }
}

enum Terminal {
    /// Columns of the terminal on standard output; nil when it is a file or a pipe, which nothing has to fit.
    static var width: Int? { size.map { Int($0.ws_col) } }

    /// Lines of the same.
    static var height: Int? { size.map { Int($0.ws_row) } }

    private static var size: winsize? {
        guard isatty(STDOUT_FILENO) == 1 else { return nil }
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 20 else { return nil }
        return size
    }

    static func printError(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }

    /// One line from standard input, without echo where a person types it.
    static func readSecret(prompt: String) throws -> String {
        let interactive = isatty(STDIN_FILENO) == 1
        var saved = termios()
        if interactive {
            FileHandle.standardError.write(Data("\(prompt): ".utf8))
            tcgetattr(STDIN_FILENO, &saved)
            var quiet = saved
            quiet.c_lflag &= ~tcflag_t(ECHO)
            tcsetattr(STDIN_FILENO, TCSANOW, &quiet)
        }
        defer {
            if interactive {
                tcsetattr(STDIN_FILENO, TCSANOW, &saved)
                FileHandle.standardError.write(Data("\n".utf8))
            }
        }
        guard let line = readLine(strippingNewline: true), !line.isEmpty else {
            throw Failure.usage("nothing on standard input where \(prompt.lowercased()) was expected")
        }
        return line
    }
}
