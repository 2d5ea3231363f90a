import Primitives

/// RFC 4180, and nothing in a cell that a spreadsheet would take for a formula.
enum CSV {
    static func line(_ cells: [String]) -> String { cells.map(cell).joined(separator: ",") + "\r\n" }

    private static func cell(_ text: String) -> String {
        var text = text
        if let first = text.first, "=+-@\t\r".contains(first), Double(text) == nil { text = "'" + text }
        guard text.contains(where: { $0 == "," || $0 == "\"" || $0.isNewline }) else { return text }
        return "\"" + text.replacing("\"", with: "\"\"") + "\""
    }

    static func text(_ value: JSONValue?) -> String {
        switch value ?? .null {
        case .null: ""
        case .string(let text): text
        case .array(let elements) where elements.allSatisfy { $0.stringValue != nil }:
            elements.compactMap(\.stringValue).joined(separator: " ")
        case let other: other.text
        }
    }
}
