import Contract
package import Primitives

/// What differs between two configurations, resource by resource. The same two always give the same answer: resources in the
/// payload's order, then by id, fields in the order the admin API shows them.
package struct ConfigDiff: Sendable, Hashable {
    package enum Change: String, Sendable {
        case added, removed, changed
    }

    /// One field of a resource. A list of objects is compared place by place: `targets[0].weight`.
    package struct Field: Sendable, Hashable {
        package let path: String
        /// Nil when the field was not there before.
        package let from: JSONValue?
        package let to: JSONValue?
    }

    package struct Entry: Sendable, Hashable {
        package let change: Change
        package let id: String
        /// As it is called now, or was when it was removed; for a price its model's id.
        package let name: String
        package let fields: [Field]
    }

    package struct Section: Sendable, Hashable {
        /// As in the configuration: `providers`, `endpoints`, …
        package let resource: String
        package let entries: [Entry]
    }

    /// The five resources, those without a difference too.
    package let sections: [Section]

    package var isEmpty: Bool { sections.allSatisfy(\.entries.isEmpty) }

    init(from: ConfigResources, to: ConfigResources) {
        sections = zip(from.sections, to.sections).map { Section(resource: $1.name, entries: Self.entries($0.resources, $1.resources)) }
    }

    private static func entries(_ from: [ConfigResource], _ to: [ConfigResource]) -> [Entry] {
        let before = Dictionary(from.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        let after = Dictionary(to.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        return Set(before.keys).union(after.keys).sorted().compactMap { id in
            let (old, new) = (before[id], after[id])
            guard old != new, let shown = new ?? old else { return nil }
            let change: Change = old == nil ? .added : new == nil ? .removed : .changed
            return Entry(change: change, id: id, name: shown.name, fields: fields(old?.object, new?.object))
        }
    }

    private static func fields(_ old: JSONObject?, _ new: JSONObject?) -> [Field] {
        let (old, new) = (old.map(flattened) ?? [], new.map(flattened) ?? [])
        let before = Dictionary(old, uniquingKeysWith: { first, _ in first })
        let after = Dictionary(new, uniquingKeysWith: { first, _ in first })
        let paths = new.map(\.path) + old.map(\.path).filter { after[$0] == nil }
        return paths.filter { before[$0] != after[$0] }.map { Field(path: $0, from: before[$0], to: after[$0]) }
    }

    /// Every value by its path, but the id and nulls: what is unset shows as added or removed.
    private static func flattened(_ object: JSONObject) -> [(path: String, value: JSONValue)] {
        var out: [(path: String, value: JSONValue)] = []
        func visit(_ path: String, _ value: JSONValue) {
            switch value {
            case .null: break
            case .object(let object): for member in object.members { visit("\(path).\(member.name)", member.value) }
            case .array(let elements) where elements.contains(where: { $0.objectValue != nil }):
                for (index, element) in elements.enumerated() { visit("\(path)[\(index)]", element) }
            default: out.append((path, value))
            }
        }
        for member in object.members where member.name != "id" { visit(member.name, member.value) }
        return out
    }

    /// `{"identical": …, "providers": {"added": […], "removed": […], "changed": […]}, …}`
    package var json: JSONValue {
        var object: JSONObject = ["identical": .bool(isEmpty)]
        for section in sections {
            func list(_ change: Change) -> JSONValue { .array(section.entries.filter { $0.change == change }.map(\.json)) }
            object[section.resource] = ["added": list(.added), "removed": list(.removed), "changed": list(.changed)]
        }
        return .object(object)
    }
}

extension ConfigDiff.Entry {
    var json: JSONValue {
        let fields = fields.map { field -> JSONValue in
            ["path": .string(field.path), "from": field.from ?? .null, "to": field.to ?? .null]
        }
        return ["id": .string(id), "name": .string(name), "fields": .array(fields)]
    }
}
