package import Nouns
import Primitives
import Storage

/// What lists of nouns can be sorted by; a minus turns it round.
package enum NounOrder: String, CaseIterable, Sendable {
    case oldestFirst = "created_at"
    case newestFirst = "-created_at"
    case byName = "name"
    case byNameReversed = "-name"

    /// Those that a noun with these fields has.
    package static func all(_ shapes: [FieldShape]) -> [NounOrder] {
        allCases.filter { !$0.isByName || shapes.contains { $0.name == "name" } }
    }

    private var isByName: Bool { self == .byName || self == .byNameReversed }

    var columns: NounTable.Order {
        NounTable.Order(isByName ? "name" : "created_at", isDescending: self == .newestFirst || self == .byNameReversed)
    }

    func cursor<Content: Noun>(after item: Entity<Content>, list: String) -> Cursor {
        guard isByName else { return Cursor(list: list, time: item.createdAt, id: item.id.rawValue) }
        // The parts of a cursor stand apart by spaces, which a name may hold.
        return Cursor(list: list, time: 0, id: "\(Base64URL.encode(Array(item.content.title.utf8))).\(item.id.rawValue)")
    }

    func place(_ cursor: Cursor) -> (value: SQLValue, id: String)? {
        guard isByName else { return (.int(cursor.time), cursor.id) }
        let parts = cursor.id.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let bytes = Base64URL.decode(parts[0]), let name = String(validating: bytes, as: UTF8.self) else {
            return nil
        }
        return (.text(name), String(parts[1]))
    }
}
