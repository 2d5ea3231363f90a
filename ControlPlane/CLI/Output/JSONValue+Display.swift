import Primitives

extension JSONValue {
    /// A member by its dotted path: "timeouts.connect_ms". The command line shows what the API sends and mirrors none of its types.
    func at(_ path: String) -> JSONValue? {
        path.split(separator: ".").reduce(JSONValue?.some(self)) { current, name in current?[String(name)] }
    }

    func string(_ path: String) -> String? { at(path)?.stringValue }

    /// The elements of the array at `path`; none where there is no array.
    func list(_ path: String) -> [JSONValue] { at(path)?.arrayValue ?? [] }

    /// The value on one line for a person; arrays and objects are joined, what is absent or empty is "-".
    var plain: String {
        switch self {
        case .null: "-"
        case .bool(let value): value ? "yes" : "no"
        case .int(let value): String(value)
        case .number(let text): text
        case .string(let value): value.isEmpty ? "-" : value
        case .array(let values): values.isEmpty ? "-" : values.map(\.plain).joined(separator: ", ")
        case .object(let object):
            object.members.isEmpty ? "-" : object.members.map { "\($0.name)=\($0.value.enclosed)" }.joined(separator: " ")
        }
    }

    private var enclosed: String {
        if case .object(let object) = self, !object.members.isEmpty { "(\(plain))" } else { plain }
    }

    /// The value without decoration, for scripts: text as it is, everything else as JSON.
    var raw: String { stringValue ?? text }
}

/// A request's body: only what was given on the command line is set.
struct Body {
    private(set) var object = JSONObject()

    var isEmpty: Bool { object.members.isEmpty }
    var json: JSONValue { .object(object) }

    mutating func set(_ name: String, json value: JSONValue?) { if let value { object[name] = value } }
    mutating func set(_ name: String, _ value: String?) { set(name, json: value.map(JSONValue.string)) }
    mutating func set(_ name: String, _ value: Int64?) { set(name, json: value.map(JSONValue.int)) }
    mutating func set(_ name: String, _ value: Bool?) { set(name, json: value.map(JSONValue.bool)) }
    mutating func set(_ name: String, _ value: (some RawRepresentable<String>)?) { set(name, value?.rawValue) }
    mutating func set(_ name: String, _ values: [String]) { if !values.isEmpty { set(name, json: .strings(values)) } }
    mutating func set(_ name: String, _ members: Body) { if !members.isEmpty { set(name, json: members.json) } }
}

extension String {
    /// The text with control and formatting characters replaced, so that a name from the API cannot steer the terminal.
    var visible: String {
        func steers(_ scalar: Unicode.Scalar) -> Bool {
            [.control, .format, .lineSeparator, .paragraphSeparator].contains(scalar.properties.generalCategory)
        }
        guard unicodeScalars.contains(where: steers) else { return self }
        var out = String.UnicodeScalarView()
        for scalar in unicodeScalars {
            if scalar == "\n" || scalar == "\t" { out.append(" ") } else { out.append(steers(scalar) ? "\u{FFFD}" : scalar) }
        }
        return String(out)
    }

    func trimmingSuffix(_ suffix: Character) -> String {
        var text = Substring(self)
        while text.last == suffix { text = text.dropLast() }
        return String(text)
    }
}
