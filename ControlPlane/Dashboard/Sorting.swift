import Nouns
import Primitives

/// Lists that are sorted by a click on the heading of a column: `sort=cost`, or `-cost` for the largest first.
struct Sorting {
    /// How a column is sorted at the first click, and what its orders are called.
    enum Kind {
        case name, number, time
    }

    /// The columns that can be clicked, by the members that they show.
    let columns: [(name: String, kind: Kind)]
    /// What the list is sorted by where nothing says so.
    let standard: String

    /// Turns the headings of these columns into links.
    /// - Parameters:
    ///   - shapes: What the table's columns show, in their order.
    ///   - others: What the address says beside.
    func link(_ table: inout Table, _ shapes: [FieldShape], sort: String?, others: [(String, String)]) {
        let sort = sort ?? standard
        for (index, shape) in shapes.enumerated() {
            guard let kind = kind(of: shape.name), table.columns.indices.contains(index) else { continue }
            let (up, down) = (shape.name, "-" + shape.name)
            let next = sort == up ? down : sort == down ? up : kind == .name ? up : down
            table.columns[index].href = "?" + FormBody.query(others + [("sort", next)])
            table.columns[index].mark = sort == up ? " ↑" : sort == down ? " ↓" : ""
        }
    }

    private func kind(of name: String) -> Kind? { columns.first { $0.name == name }?.kind }

    /// The same as a choice: on a phone there are no headings.
    func field(_ shapes: [FieldShape], sort: String?) -> FilterField {
        let sort = sort ?? standard
        var field = FilterField(name: "sort", label: "Sorted by", value: sort)
        if standard.isEmpty { field.options = [Choice(value: "", text: "nothing")] }
        for (name, kind) in columns where shapes.contains(where: { $0.name == name }) {
            let words =
                switch kind {
                case .name: [("", "A to Z"), ("-", "Z to A")]
                case .number: [("-", "highest first"), ("", "lowest first")]
                case .time: [("-", "latest first"), ("", "earliest first")]
                }
            field.options += words.map { sign, text in
                Choice(value: sign + name, text: "\(Rendering.label(name)), \(text)", isSelected: sort == sign + name)
            }
        }
        return field
    }

    /// Of a list that a page shows whole: in the order that is asked for. What has nothing there comes last.
    func sorted(_ items: [JSONValue], by word: String?) -> [JSONValue] {
        guard let word, kind(of: String(word.drop { $0 == "-" })) != nil else { return items }
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
            // Numbers before words, so that it is one order.
            switch (a.number, b.number) {
            case (let a?, let b?): a < b
            case (_?, nil): true
            case (nil, _?): false
            case (nil, nil): a.text.lowercased() < b.text.lowercased()
            }
        }
    }
}
