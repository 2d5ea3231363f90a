package import Primitives

/// Where a list goes on: the sort key of the last row that was shown. Keyset, not offset, so that rows inserted or removed
/// meanwhile neither repeat nor hide others. Opaque to callers.
package struct Cursor: Hashable, Sendable {
    /// Which list it belongs to; a cursor of another list is refused.
    package let list: String
    /// The creation (or event) time of the last row, Unix milliseconds.
    package let time: Int64
    /// The id of the last row, which decides among rows of the same millisecond.
    package let id: String

    package init(list: String, time: Int64, id: String) {
        self.list = list
        self.time = time
        self.id = id
    }

    package var text: String {
        Base64URL.encode(Array("\(list) \(time) \(id)".utf8))
    }

    /// - Throws: `DomainError.invalid` naming `cursor` when `text` is not a cursor that `list` gave out.
    package init(text: String, list: String) throws(DomainError) {
        guard text.utf8.count <= 512, let bytes = Base64URL.decode(text), let plain = String(validating: bytes, as: UTF8.self) else {
            throw Self.foreign
        }
        let parts = plain.split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == list, let time = Int64(parts[1]), !parts[2].isEmpty else { throw Self.foreign }
        self.init(list: list, time: time, id: String(parts[2]))
    }

    /// Of one that the list, as it is sorted, did not give out.
    static let foreign = DomainError.invalid(
        "cursor", "is not a cursor of this list",
        remedy: "Pass next_cursor of the previous page unchanged, or leave it out to start at the beginning.")
}

/// What part of a list is wanted.
package struct PageRequest: Hashable, Sendable {
    package static let defaultLimit = 50
    package static let maximumLimit = 200

    package let limit: Int
    package let after: Cursor?

    package init(limit: Int = PageRequest.defaultLimit, after: Cursor? = nil) {
        self.limit = min(max(limit, 1), PageRequest.maximumLimit)
        self.after = after
    }

    /// One row more than is shown, which says whether there is a next page.
    package var fetchLimit: Int { limit + 1 }
}

package struct Page<Item: Sendable>: Sendable {
    package let items: [Item]
    package let next: Cursor?

    package init(items: [Item], next: Cursor?) {
        self.items = items
        self.next = next
    }

    /// A page from up to `request.fetchLimit` rows; `cursor` says where a row stands.
    package init(fetched rows: [Item], _ request: PageRequest, cursor: (Item) -> Cursor) {
        let shown = Array(rows.prefix(request.limit))
        items = shown
        next = rows.count > request.limit ? shown.last.map(cursor) : nil
    }

    /// As APIs tell it.
    package func json(_ render: (Item) throws -> JSONValue) rethrows -> JSONObject {
        ["items": .array(try items.map(render)), "next_cursor": next.map { .string($0.text) } ?? .null]
    }

    package func map<Other: Sendable>(_ transform: (Item) throws -> Other) rethrows -> Page<Other> {
        Page<Other>(items: try items.map(transform), next: next)
    }
}
