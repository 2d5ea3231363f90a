import API
import Domain
import HTTPTypes
import Nouns
import Primitives

/// What a list can be narrowed by, as people write it: things by their names, times without their zone.
struct Narrowing {
    /// So many are offered in a choice; of more, the name or the id is asked for.
    private static let mostChoices: Int64 = 200
    static let timeExample = "2026-11-26 12:00"
    /// What people call things, by the fields that have it.
    private static let names = ["name", "did", "email", "oid", "app_id"]

    let api: InternalAPI

    // MARK: What is offered

    /// - Parameters:
    ///   - asked: What they are narrowed by now, as the API takes it.
    ///   - prefixes: Of which identifiers all are offered where they are few; nil: of any.
    func fields(
        _ shapes: [FieldShape], _ asked: [(String, String)], choosing prefixes: Set<String>? = nil, _ visit: Visit
    ) async throws -> [FilterField] {
        let choices = try await choices(
            shapes.filter { shape in
                if case .id(let prefix) = shape.kind { prefixes?.contains(prefix) ?? true } else { false }
            }, visit)
        return shapes.map { shape in
            var field = FilterField(
                name: shape.name, label: Rendering.label(shape.name), value: asked.first { $0.0 == shape.name }?.1 ?? "")
            var options: [Choice] = []
            switch shape.kind {
            case .word(let words): options = words.map { Choice(value: $0, text: $0.replacing("_", with: " ")) }
            case .flag: options = [Choice(value: "true", text: "yes"), Choice(value: "false", text: "no")]
            case .id(let prefix):
                options = choices[prefix] ?? []
                if options.isEmpty { field.placeholder = "name or id" }
            case .time: field.placeholder = Self.timeExample
            default: break
            }
            if !options.isEmpty {
                field.options =
                    [Choice(value: "", text: "any")]
                    + options.map { Choice(value: $0.value, text: $0.text, isSelected: $0.value == field.value) }
            }
            return field
        }
    }

    /// What can be chosen for the identifiers among `shapes`; nothing of what there are many of.
    func choices(_ shapes: [FieldShape], _ visit: Visit) async throws -> [String: [Choice]] {
        var found: [String: [Choice]] = [:]
        for prefix in Self.prefixes(shapes) {
            guard let subject = NounPages.subjects.first(where: { $0.prefix == prefix }), api.allows(visit.actor, .get, subject.api) else {
                continue
            }
            let answer = try await api.get(subject.api, ["limit": String(Self.mostChoices)], for: visit)
            guard answer["next_cursor"]?.stringValue == nil else { continue }
            found[prefix] = (answer["items"]?.arrayValue ?? []).compactMap { item in
                item["id"]?.stringValue.map { Choice(value: $0, text: subject.title(of: item)) }
            }.sorted { $0.text < $1.text }
        }
        return found
    }

    private static func prefixes(_ shapes: [FieldShape]) -> Set<String> {
        shapes.reduce(into: []) { found, shape in
            switch shape.kind {
            case .id(let prefix): found.insert(prefix)
            case .object(let inner), .objects(let inner, _): found.formUnion(prefixes(inner))
            default: break
            }
        }
    }

    // MARK: What is asked for

    /// As the API takes it; what is empty is left out.
    /// - Throws: `DomainError.invalid` for a name that nothing has, or several have.
    func asked(_ shapes: [FieldShape], _ query: QueryParameters, _ visit: Visit) async throws -> [(String, String)] {
        var asked: [(String, String)] = []
        for shape in shapes {
            let text = (query[shape.name] ?? "").trimmed
            guard !text.isEmpty else { continue }
            switch shape.kind {
            case .id(let prefix) where !text.hasPrefix(prefix):
                asked.append((shape.name, try await identifier(shape.name, prefix, text, visit)))
            case .time: asked.append((shape.name, Self.time(text)))
            default: asked.append((shape.name, text))
            }
        }
        return asked
    }

    private func identifier(_ name: String, _ prefix: String, _ text: String, _ visit: Visit) async throws -> String {
        guard let subject = NounPages.subjects.first(where: { $0.prefix == prefix }), api.allows(visit.actor, .get, subject.api),
            let field = Self.names.first(where: { name in subject.shapes.contains { $0.name == name && $0.isFilter } })
        else { return text }
        let found = try await api.get(subject.api, [field: text, "limit": "2"], for: visit)["items"]?.arrayValue ?? []
        guard let id = found.first?["id"]?.stringValue, found.count == 1 else {
            throw DomainError.invalid(
                name, found.isEmpty ? "names nothing that there is" : "is the name of several",
                remedy: "Write the name as its list has it, or the id, which begins with \(prefix).")
        }
        return id
    }

    /// A day, or a moment without its zone, is UTC's; anything else stays as it was written.
    static func time(_ text: String) -> String {
        let parts = text.replacing(" UTC", with: "").split(whereSeparator: { $0 == " " || $0 == "T" }).map(String.init)
        guard let day = parts.first, day.utf8.count == 10, parts.count <= 2 else { return text }
        let clock = parts.count == 2 ? parts[1] : "00:00:00"
        let whole = "\(day)T\(clock.utf8.count == 5 ? clock + ":00" : clock)Z"
        return RFC3339.milliseconds(whole) == nil ? text : whole
    }
}
