import Nouns
package import Primitives
import Storage

/// What things are called that others name by id: for everybody who shows ids to people.
package struct NameService: Sendable {
    /// Of one question.
    package static let maximumIDs = 200

    package struct Item: Sendable, Hashable {
        package let id: String
        package let name: String

        package var json: JSONValue { ["id": .string(id), "name": .string(name)] }
    }

    private let domain: DomainContext

    package init(_ domain: DomainContext) {
        self.domain = domain
    }

    /// Those that there are, in the order of the question.
    /// - Parameter actor: Learns no names of what it may not read.
    /// - Throws: `DomainError.invalid` for too many.
    package func names(of ids: [String], for actor: Actor) async throws -> [Item] {
        guard ids.count <= Self.maximumIDs else {
            throw DomainError.invalid("ids", "holds more than \(Self.maximumIDs) ids", remedy: "Ask for fewer at a time.")
        }
        let readable = Set(
            ids.filter { id in AdministeredNouns.all.contains { id.hasPrefix($0.idPrefix) && actor.may($0.readPermission) } })
        let planes = actor.may(.read) ? Set(ids.filter { $0.hasPrefix(DataPlaneKind.prefix) }).sorted() : []
        let found = try await domain.read(as: actor.scope) { c in
            try EntityNames.of(readable, c).merging(NamesTable.names(c, in: "data_planes", ids: planes)) { first, _ in first }
        }
        var seen = Set<String>()
        return ids.compactMap { id in
            guard seen.insert(id).inserted, let name = found[id], !name.isEmpty else { return nil }
            return Item(id: id, name: name)
        }
    }
}
