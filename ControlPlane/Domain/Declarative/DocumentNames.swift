import Nouns
import Primitives

/// What things are called in a document, and which thing a name means. A reference is the thing's name; where several of its noun have
/// that name, an object of the members that tell it from the others: `{tenant: Acme, name: Search}`.
struct DocumentNames {
    private struct Known {
        let identity: [FieldShape]
        /// The values of the identity, as the API has them, by identifier.
        var values: [String: [JSONValue]] = [:]
        var byIdentity: [[JSONValue]: String] = [:]
        var byName: [JSONValue: [String]] = [:]
    }

    private var nouns: [String: Known] = [:]

    mutating func add(_ noun: any Noun.Type) {
        let shapes = noun.shapes
        nouns[noun.idPrefix] = Known(identity: noun.identity.compactMap { name in shapes.first { $0.name == name } })
    }

    /// Notes a thing, or what it is called from now on.
    mutating func note(_ id: String, _ prefix: String, identity: [JSONValue]) {
        if let old = nouns[prefix]?.values[id] {
            if nouns[prefix]?.byIdentity[old] == id { nouns[prefix]?.byIdentity[old] = nil }
            nouns[prefix]?.byName[old.last ?? .null]?.removeAll { $0 == id }
        }
        nouns[prefix]?.values[id] = identity
        // Of two that cannot be told apart the older is meant; a document tells them by their identifiers.
        if nouns[prefix]?.byIdentity[identity] == nil { nouns[prefix]?.byIdentity[identity] = id }
        nouns[prefix]?.byName[identity.last ?? .null, default: []].append(id)
    }

    func contains(_ id: String, _ prefix: String) -> Bool { nouns[prefix]?.values[id] != nil }
    func id(_ prefix: String, identity: [JSONValue]) -> String? { nouns[prefix]?.byIdentity[identity] }

    /// For people: `Acme/Search/backend`.
    func title(_ id: String, _ prefix: String) -> String {
        guard let known = nouns[prefix], let values = known.values[id] else { return id }
        return zip(known.identity, values).enumerated().compactMap { index, part -> String? in
            let (shape, value) = part
            if case .id(let owner) = shape.kind, let id = value.stringValue {
                return index == 0 ? title(id, owner) : nouns[owner]?.values[id]?.last?.stringValue ?? id
            }
            return value == .null || value == shape.standard ? nil : value.stringValue ?? value.text
        }.joined(separator: "/")
    }

    // MARK: To a document

    /// A value of the API as a document has it.
    /// - Parameter isSparse: Without what is as it would be if it were left out.
    func declared(_ value: JSONValue, _ kind: FieldKind, isSparse: Bool) -> JSONValue {
        switch (kind, value) {
        case (.id(let prefix), .string(let id)): reference(to: id, prefix)
        case (.list(let element, _), .array(let values)), (.scope(let element), .array(let values)):
            .array(values.map { declared($0, element, isSparse: isSparse) })
        case (.object(let shapes), .object(let object)): .object(declared(object, shapes, isSparse: isSparse))
        case (.objects(let shapes, _), .array(let values)):
            .array(values.map { .object(declared($0.objectValue ?? JSONObject(), shapes, isSparse: isSparse)) })
        default: value
        }
    }

    func declared(_ object: JSONObject, _ shapes: [FieldShape], isSparse: Bool) -> JSONObject {
        JSONObject(
            members: shapes.filter(\.isDeclared).compactMap { shape in
                guard let value = object[shape.name], !isSparse || value != .null && value != shape.standard else { return nil }
                return .init(name: shape.declaredName, value: declared(value, shape.kind, isSparse: isSparse))
            })
    }

    private func reference(to id: String, _ prefix: String) -> JSONValue {
        guard let known = nouns[prefix], let values = known.values[id], let name = values.last else { return .string(id) }
        if name.stringValue != nil, known.byName[name]?.count == 1 { return name }
        return .object(
            JSONObject(
                members: zip(known.identity, values).filter { $1 != .null }.map { shape, value in
                    .init(name: shape.declaredName, value: declared(value, shape.kind, isSparse: true))
                }))
    }

    // MARK: From a document

    /// A value of a document as the API has it. What names nothing is noted, and stands as an identifier of nobody.
    func value(_ value: JSONValue, _ kind: FieldKind, at path: String, _ problems: inout [FieldProblem]) -> JSONValue {
        switch (kind, value) {
        case (.id, .null): return .null
        case (.id(let prefix), _):
            return .string(resolve(value, prefix, at: path, &problems) ?? prefix + Base32.encode(SecureRandom.bytes(10)))
        case (.list(let element, _), .array(let values)), (.scope(let element), .array(let values)):
            return .array(values.enumerated().map { self.value($1, element, at: "\(path)[\($0)]", &problems) })
        case (.object(let shapes), .object(let object)): return .object(self.object(object, shapes, at: path, &problems))
        case (.objects(let shapes, _), .array(let values)):
            return .array(
                values.enumerated().map { index, value in
                    guard case .object(let object) = value else { return value }
                    return .object(self.object(object, shapes, at: "\(path)[\(index)]", &problems))
                })
        default: return value
        }
    }

    func object(_ object: JSONObject, _ shapes: [FieldShape], at path: String, _ problems: inout [FieldProblem]) -> JSONObject {
        let known = shapes.filter(\.isDeclared)
        return JSONObject(
            members: object.members.compactMap { member in
                let place = "\(path).\(member.name.prefix(64))"
                guard let shape = known.first(where: { $0.declaredName == member.name }) else {
                    problems.append(.unknownMember(place, known.map(\.declaredName)))
                    return nil
                }
                return .init(name: shape.name, value: value(member.value, shape.kind, at: place, &problems))
            })
    }

    private func resolve(_ reference: JSONValue, _ prefix: String, at path: String, _ problems: inout [FieldProblem]) -> String? {
        guard let known = nouns[prefix], let noun = DeclaredNouns.noun(prefix: prefix)?.words.name else { return reference.stringValue }
        switch reference {
        case .string(let name):
            let found = known.byName[.string(Text.composed(name))] ?? []
            if found.count == 1 { return found.first }
            if found.isEmpty, known.values[name] != nil { return name }
            problems.append(
                found.isEmpty
                    ? FieldProblem(path, "names no \(noun)", remedy: "Add the \(noun) to the document, or name another.")
                    : FieldProblem(
                        path, "is the name of \(found.count) \(noun)s",
                        remedy: "Say which one, as {\(known.identity.map { "\($0.declaredName): …" }.joined(separator: ", "))}."))
            return nil
        case .object(let object):
            let count = problems.count
            let members = self.object(object, known.identity, at: path, &problems)
            guard problems.count == count else { return nil }
            let values = known.identity.map { shape -> JSONValue in
                let value = members[shape.name] ?? shape.standard ?? .null
                return value.stringValue.map { .string(Text.composed($0)) } ?? value
            }
            if let id = known.byIdentity[values] { return id }
            problems.append(FieldProblem(path, "names no \(noun)", remedy: "Add the \(noun) to the document, or name another."))
            return nil
        default:
            problems.append(FieldProblem(path, "is \(reference.typeName)", remedy: "Give the name of a \(noun)."))
            return nil
        }
    }
}

extension FieldProblem {
    static func unknownMember(_ path: String, _ known: [String]) -> FieldProblem {
        FieldProblem(path, "is not known here", remedy: "Leave it out; the members are: \(known.joined(separator: ", ")).")
    }

    /// The same problem of something inside of a document, whose members have the names that they have there.
    func inside(_ path: String, _ shapes: [FieldShape]) -> FieldProblem {
        let name = field == "id" ? "" : "." + Self.declared(field, shapes)
        return FieldProblem(path + name, message, remedy: remedy)
    }

    private static func declared(_ path: String, _ shapes: [FieldShape]) -> String {
        let parts = path.split(separator: ".", maxSplits: 1)
        guard let head = parts.first else { return path }
        let name = head.prefix { $0 != "[" }
        guard let shape = shapes.first(where: { $0.name == name }) else { return path }
        let inner: [FieldShape] =
            switch shape.kind {
            case .object(let shapes), .objects(let shapes, _): shapes
            default: []
            }
        let rest = parts.count > 1 ? ".\(declared(String(parts[1]), inner))" : ""
        return "\(shape.declaredName)\(head.dropFirst(name.count))\(rest)"
    }
}
