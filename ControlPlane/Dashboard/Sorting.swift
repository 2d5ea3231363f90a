import Nouns
import Primitives

/// Lists that are sorted by a click on the heading of a column: `sort=cost`, or `-cost` for the largest first.
struct Sorting {
    /// The columns that can be clicked, by the members that they show, and whether the first click has the largest or latest first.
    let columns: [String: Bool]
    /// What the list is sorted by where nothing says so.
    let standard: String

    /// Turns the headings of these columns into links.
    /// - Parameters:
    ///   - shapes: What the table's columns show, in their order.
    ///   - others: What the address says beside.
    func link(_ table: inout Table, _ shapes: [FieldShape], sort: String?, others: [(String, String)]) {
        let sort = sort ?? standard
        for (index, shape) in shapes.enumerated() {
            guard let isDescending = columns[shape.name], table.columns.indices.contains(index) else { continue }
            let (up, down) = (shape.name, "-" + shape.name)
            let next = sort == up ? down : sort == down ? up : isDescending ? down : up
            table.columns[index].href = "?" + FormBody.query(others + [("sort", next)])
            table.columns[index].mark = sort == up ? " ↑" : sort == down ? " ↓" : ""
        }
    }

    /// Of a list that a page shows whole: in the order that is asked for. What has nothing there comes last.
    func sorted(_ items: [JSONValue], by word: String?) -> [JSONValue] {
        guard let word, columns[String(word.drop { $0 == "-" })] != nil else { return items }
        let (name, isDescending) = (String(word.drop { $0 == "-" }), word.hasPrefix("-"))
        return items.enumerated().sorted { a, b in
            let (first, last) = (Key(a.element[name]), Key(b.element[name]))
            if first.isNothing != last.isNothing { return last.isNothing }
            if first == last { return a.offset < b.offset }
            return isDescending ? last < first : first < last
        }.map(\.element)
    }

    private struct Key: Comparable {
        let number: Int64?
        let text: String
        let isNothing: Bool

        init(_ value: JSONValue?) {
            text = value?.stringValue ?? ""
            number = value?.intValue ?? NanoDollars(decimal: text)?.rawValue
            isNothing = value == nil || value == .null
        }

        static func < (a: Key, b: Key) -> Bool {
            if let a = a.number, let b = b.number { return a < b }
            return a.text.lowercased() < b.text.lowercased()
        }
    }
}
