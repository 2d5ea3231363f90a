import Nouns
import Primitives

/// Names where ids are taken: what does not look like an id is looked up by its name.
extension AdminClient {
    /// The id of what is called so; an id is taken as it is.
    /// - Throws: `Failure.usage` when nothing is called so, or several are: then each of them is named.
    func id(_ text: String, prefix: String) async throws -> String {
        guard !text.hasPrefix(prefix), let noun = DeclaredNouns.noun(prefix: prefix), noun.isFoundByName else { return text }
        let found = try await send("GET", noun.words.path, query: [("name", text), ("limit", "10")]).json.list("items")
        guard let first = found.first, let id = first.string("id") else {
            throw Failure.usage("no \(noun.words.name) is called \"\(text)\"")
        }
        guard found.count == 1 else {
            let rendering = await rendering(of: found)
            let candidates = found.map { item in
                // The first reference tells two of one name apart: a project's tenant, a credential's provider.
                let belongs = noun.shapes.first { if case .id = $0.kind { $0.isShown } else { false } }
                let owner = belongs.flatMap { shape in item.at(shape.name).map { "\(shape.name) \(rendering.named($0, withIDs: true))" } }
                return "\n  \(item.string("id") ?? "?")  \(owner ?? "created \(item.string("created_at") ?? "?")")"
            }
            throw Failure.usage(
                "several \(noun.words.name)s are called \"\(text)\"; give the id of the one you mean:\(candidates.joined())")
        }
        return id
    }

    /// A list's filters with ids in the place of names.
    func resolved<F: ListFilters>(_ filters: F) async throws -> [(String, String)] {
        var query = try filters.query()
        for (index, (name, text)) in query.enumerated() {
            guard case .id(let prefix)? = F.shapes.first(where: { $0.name == name })?.kind else { continue }
            query[index].1 = try await id(text, prefix: prefix)
        }
        return query
    }

    /// A body with ids in the place of names.
    func resolved(_ body: Body, _ shapes: [FieldShape]) async throws -> Body {
        var body = body
        for shape in shapes {
            if let value = body.object[shape.name] { body.set(shape.name, json: try await resolved(value, shape.kind)) }
        }
        return body
    }

    private func resolved(_ value: JSONValue, _ kind: FieldKind) async throws -> JSONValue {
        switch (kind, value) {
        case (.id(let prefix), .string(let text)): return .string(try await id(text, prefix: prefix))
        case (.list(let element, _), .array(let values)), (.scope(let element), .array(let values)):
            var out: [JSONValue] = []
            for value in values { out.append(try await resolved(value, element)) }
            return .array(out)
        case (.objects(let shapes, _), .array(let values)):
            var out: [JSONValue] = []
            for value in values {
                var object = value.objectValue ?? JSONObject()
                for shape in shapes {
                    if let member = object[shape.name] { object[shape.name] = try await resolved(member, shape.kind) }
                }
                out.append(.object(object))
            }
            return .array(out)
        default: return value
        }
    }
}
