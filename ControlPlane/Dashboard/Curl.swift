import API
import HTTPTypes
import Nouns
import Primitives

/// A route as commands of a shell that can be pasted: at this control plane, with a body that is taken, about things that there are.
struct Curl {
    let origin: String
    let table: RouteTable

    func text(_ route: APIRoute, _ docs: RouteDocs) -> String {
        var lines: [String] = []
        var known: Set<String> = []
        /// A line that finds an id.
        func find(_ variable: String, in path: String, _ member: String) {
            guard known.insert(variable).inserted else { return }
            lines.append("\(variable)=$(curl -fsS\(authorisation(route)) \"\(origin)\(path)?limit=1\" | jq -r '.items[0].\(member)')")
        }
        var path = ""
        for part in route.pattern.split(separator: "/") {
            guard part.hasPrefix("{"), part.hasSuffix("}") else {
                path += "/" + part
                continue
            }
            let name = String(part.dropFirst().dropLast())
            if route.method == .get, let member = Self.identifier(of: table.find(.get, path).route) {
                find(name, in: path, member)
            } else if known.insert(name).inserted {
                lines.append("\(name)=…  # which one: see \(path)")
            }
            path += "/$" + name
        }
        func value(_ shape: FieldShape) -> String {
            if case .id(let prefix) = shape.kind, let noun = DeclaredNouns.noun(prefix: prefix) {
                find(shape.name, in: "/admin/api/\(noun.words.path)", "id")
                return "\"'\"$\(shape.name)\"'\""
            }
            return Self.example(shape, value)
        }
        // Whose ledger it is need only be said by who sees them all: most who read this.
        let isLedger = route.pattern.hasPrefix("/admin/api/billing/")
        let needed = docs.query.filter { $0.isRequired || isLedger && $0.name == "tenant_id" }.map { shape -> String in
            if case .id = shape.kind {
                _ = value(shape)
                return "\(shape.name)=$\(shape.name)"
            }
            return "\(shape.name)=" + (Self.examples[shape.name] ?? Self.example(shape, value).filter { $0 != "\"" })
        }
        if !needed.isEmpty { path += "?" + needed.joined(separator: "&") }
        var curl = "curl -fsS"
        if route.method != .get { curl += " -X \(route.method.rawValue)" }
        curl += authorisation(route)
        if docs.ifMatch == .required { curl += " -H 'If-Match: *'" }
        let body = Self.body(docs)
        if !body.isEmpty {
            let members = body.map { "\"\($0.name)\": \(value($0))" }.joined(separator: ", ")
            curl += " \\\n    -H 'Content-Type: application/json' -d '{\(members)}'"
        }
        return (lines + [curl + " \\\n    \"\(origin)\(path)\""]).joined(separator: "\n")
    }

    /// Of parameters that their kind does not tell enough of.
    private static let examples = ["month": "$(date -u +%Y-%m)", "from": "draft", "to": "draft"]

    private func authorisation(_ route: APIRoute) -> String {
        switch route.access {
        case .admin: " -H \"Authorization: Bearer $WEIR_TOKEN\""
        case .virtualKey: " -H \"Authorization: Bearer $WEIR_KEY\""
        case .open, .signOn: ""
        }
    }

    /// What a list's items are told apart by.
    private static func identifier(of list: APIRoute?) -> String? {
        guard case .list(let shapes)? = list?.docs?.answer else { return nil }
        return ["id", "request_id", "version"].first { name in shapes.contains { $0.name == name } }
    }

    /// What has to be given; of a change one member.
    private static func body(_ docs: RouteDocs) -> [FieldShape] {
        switch docs.body {
        case .none, .optionalForm: []
        case .form(let shapes): shapes.filter { $0.isInput && $0.isRequired }
        case .change(let shapes): Array(shapes.filter { $0.use == .given }.prefix(1))
        }
    }

    private static func example(_ shape: FieldShape, _ value: (FieldShape) -> String) -> String {
        if let standard = shape.standard, standard != .null { return standard.text }
        return example(shape.kind, shape.name, value)
    }

    private static func example(_ kind: FieldKind, _ name: String, _ value: (FieldShape) -> String) -> String {
        switch kind {
        case .checked(let format?) where format == "uri": "\"https://api.example.com/v1\""
        case .name, .token, .label, .text, .checked, .secret: "\"example\""
        case .word(let words): "\"\(words.first ?? "")\""
        case .flag: "true"
        case .integer(let range): String(max(range.lowerBound, min(1, range.upperBound)))
        case .dollars: "\"1.00\""
        case .percentage: "100"
        case .time: "\"2035-01-01T00:00:00Z\""
        case .id: value(FieldShape(name, kind, ""))
        case .list(let element, _): "[\(example(element, name.hasSuffix("s") ? String(name.dropLast()) : name, value))]"
        case .scope: "\"all\""
        case .labels, .anything: "{}"
        case .object(let shapes): members(shapes, value)
        case .objects(let shapes, _): "[\(members(shapes, value))]"
        }
    }

    private static func members(_ shapes: [FieldShape], _ value: (FieldShape) -> String) -> String {
        "{" + shapes.filter { $0.isInput && $0.isRequired }.map { "\"\($0.name)\": \(value($0))" }.joined(separator: ", ") + "}"
    }
}
