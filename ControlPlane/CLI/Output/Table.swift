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
        case number
        /// Nano-dollars, shown in dollars.
        case dollars
        /// Something derived from the whole object.
        case derived(@Sendable (JSONValue) -> String)
    }

    let title: String
    let path: String
    let format: Format

    init(_ title: String, _ path: String, _ format: Format = .text) {
        self.title = title
        self.path = path
        self.format = format
    }

    static let id = Column("ID", "id", .id)
    static let name = Column("NAME", "name")
    static let created = Column("CREATED", "created_at", .id)

    func text(of object: JSONValue) -> String {
        switch format {
        case .text, .id: (object.at(path)?.plain ?? "-").visible
        case .number: object.at(path)?.plain ?? "-"
        case .dollars: object.at(path)?.intValue.map { "$" + NanoDollars($0).decimalString } ?? "-"
        case .derived(let derive): derive(object).visible
        }
    }

    var isNumeric: Bool {
        switch format {
        case .number, .dollars: true
        case .text, .id, .derived: false
        }
    }

    var mayShrink: Bool {
        switch format {
        case .text, .derived: true
        case .id, .number, .dollars: false
        }
    }
}

enum Table {
    /// Rows under their titles. Where the terminal is too narrow, the widest shrinkable columns are shortened.
    static func render(_ columns: [Column], _ items: [JSONValue], width: Int? = Terminal.width) -> String {
        let rows = items.map { item in columns.map { $0.text(of: item) } }
        var widths = columns.indices.map { index in
            max(columns[index].title.count, rows.map { $0[index].count }.max() ?? 0)
        }
        let gaps = 2 * max(0, columns.count - 1)
        if let width {
            while widths.reduce(gaps, +) > width {
                let shrinkable = columns.indices.filter { columns[$0].mayShrink && widths[$0] > max(8, columns[$0].title.count) }
                guard let widest = shrinkable.max(by: { widths[$0] < widths[$1] }) else { break }
                widths[widest] -= 1
            }
        }
        let lines = [columns.map(\.title)] + rows
        return lines.map { line in
            columns.indices.map { pad(line[$0], widths[$0], right: columns[$0].isNumeric) }.joined(separator: "  ")
                .trimmingSuffix(" ")
        }.joined(separator: "\n")
    }

    /// One object, a member a line, nested objects by dotted name.
    static func details(_ object: JSONValue) -> String {
        var lines: [(String, String)] = []
        func add(_ name: String, _ value: JSONValue) {
            switch value {
            case .object(let object) where !object.members.isEmpty:
                for member in object.members { add("\(name).\(member.name)", member.value) }
            case .array(let values) where values.contains(where: { $0.objectValue != nil }):
                for (index, element) in values.enumerated() { lines.append(("\(name)[\(index)]", element.plain.visible)) }
            default:
                lines.append((name.visible, value.plain.visible))
            }
        }
        for member in object.objectValue?.members ?? [] { add(member.name, member.value) }
        let width = lines.map(\.0.count).max() ?? 0
        return lines.map { "\(pad($0.0 + ":", width + 1, right: false))  \($0.1)" }.joined(separator: "\n")
    }

    private static func pad(_ text: String, _ width: Int, right: Bool) -> String {
        if text.count > width { return text.prefix(max(0, width - 1)) + "…" }
        let space = String(repeating: " ", count: width - text.count)
        return right ? space + text : text + space
    }
}

enum Terminal {
    /// Columns of the terminal on standard output; nil when it is a file or a pipe, which nothing has to fit.
    static var width: Int? {
        guard isatty(STDOUT_FILENO) == 1 else { return nil }
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 20 else { return nil }
        return Int(size.ws_col)
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
