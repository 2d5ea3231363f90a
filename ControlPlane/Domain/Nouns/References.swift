import Nouns
import Primitives
import Storage

/// Every administered noun: who may be referred to, and who refers.
package enum AdministeredNouns {
    package static let all = DeclaredNouns.all.compactMap { $0 as? any Administered.Type }

    static func noun(prefix: String) -> (any Administered.Type)? { all.first { $0.idPrefix == prefix } }
}

extension Administered {
    /// Each field that names what is not there.
    static func danglingReferences(_ content: Self, _ c: any SQLConnection) throws -> [FieldProblem] {
        var problems: [FieldProblem] = []
        for field in fields where field.shape.isInput {
            try field.shape.kind.visitReferences(in: field.json(content), at: field.shape.name) { prefix, id, name in
                guard let noun = AdministeredNouns.noun(prefix: prefix), try noun.exists(c, id) == false else { return }
                let kind = noun.words.name
                problems.append(
                    FieldProblem(name, "names no \(kind)", remedy: "Create the \(kind) first, or name another."))
            }
        }
        return problems
    }

    private static func exists(_ c: any SQLConnection, _ id: String) throws -> Bool { try table.find(c, id) != nil }

    /// Those of this noun that refer to `id`, up to a hundred.
    private static func referring(to id: String, prefix: String, _ c: any SQLConnection) throws -> [Referrer] {
        try fields.filter(\.shape.isInput).flatMap { field -> [NounRow] in
            guard field.shape.kind.references.contains(prefix), let column = field.columns.first else { return [] }
            if case .id = field.shape.kind {
                return try table.list(c, matching: [(column, .text(id))], condition: holding, limit: 100)
            }
            return try table.mentioning(c, id, in: column, condition: holding, limit: 100)
        }.map { row in Referrer(kind: words.name, id: row.id, name: try Entity<Self>(row).content.title) }
    }

    static func referrers(to id: ID<Kind>, _ c: any SQLConnection) throws -> [Referrer] {
        let along = goingAlong.map { ObjectIdentifier($0) }
        return try AdministeredNouns.all.filter { !along.contains(ObjectIdentifier($0)) && !$0.endsWithItsReferences }.flatMap {
            try $0.referring(to: id.rawValue, prefix: Kind.prefix, c)
        }
    }

    /// Deletes what ends with the one of this identifier.
    static func endReferring(to id: ID<Kind>, _ change: NounChange) throws {
        for noun in AdministeredNouns.all where noun.endsWithItsReferences {
            try noun.removeReferring(to: id.rawValue, prefix: Kind.prefix, change)
        }
    }

    private static func removeReferring(to id: String, prefix: String, _ change: NounChange) throws {
        for field in fields {
            guard case .id(prefix) = field.shape.kind, let column = field.columns.first else { continue }
            for entity in try listed(change.connection, where: column, is: id) { try NounService<Self>.remove(entity, change) }
        }
    }
}

extension FieldKind {
    /// Calls `body` with the prefix, the identifier and the place of everything that is named.
    fileprivate func visitReferences(in value: JSONValue, at name: String, _ body: (String, String, String) throws -> Void) rethrows {
        switch self {
        case .id(let prefix):
            if let id = value.stringValue { try body(prefix, id, name) }
        case .list(let element, _), .scope(let element):
            for (index, entry) in (value.arrayValue ?? []).enumerated() {
                try element.visitReferences(in: entry, at: "\(name)[\(index)]", body)
            }
        case .objects(let shapes, _):
            for (index, entry) in (value.arrayValue ?? []).enumerated() {
                for shape in shapes {
                    try shape.kind.visitReferences(in: entry[shape.name] ?? .null, at: "\(name)[\(index)].\(shape.name)", body)
                }
            }
        default: break
        }
    }
}
