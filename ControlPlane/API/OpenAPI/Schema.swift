import Nouns
import Primitives

/// JSON Schema (2020-12, as OpenAPI 3.1 has it) of what is declared.
enum Schema {
    /// What is sent. Of a change each member may be left out.
    static func input(_ shapes: [FieldShape], isChange: Bool) -> JSONValue {
        let given = shapes.filter(\.isInput).filter { !isChange || $0.use != .secret }
        return object(given, required: isChange ? [] : given.filter(\.isRequired), isInput: true)
    }

    /// What is answered: every member is always there, but for those that are there sometimes.
    static func output(_ shapes: [FieldShape]) -> JSONValue {
        let shown = shapes.filter(\.isShown)
        return object(shown, required: shown.filter { !$0.isSometimes }, isInput: false)
    }

    private static func object(_ shapes: [FieldShape], required: [FieldShape], isInput: Bool) -> JSONValue {
        var schema: JSONObject = [
            "type": "object",
            "properties": .object(JSONObject(members: shapes.map { .init(name: $0.name, value: property($0, isInput: isInput)) })),
            "additionalProperties": false,
        ]
        if !required.isEmpty { schema["required"] = .strings(required.map(\.name)) }
        return .object(schema)
    }

    private static func property(_ shape: FieldShape, isInput: Bool) -> JSONValue {
        var schema = kind(shape.kind, isInput: isInput)
        if shape.isNullable || isInput && isObject(shape.kind) { schema = ["anyOf": [.object(schema), ["type": "null"]]] }
        schema["description"] = .string(shape.about + (shape.unit.map { " In \($0)." } ?? "") + fixedWords(shape, isInput))
        if isInput, let standard = shape.standard { schema["default"] = standard }
        if shape.kind == .secret { schema["writeOnly"] = true }
        return .object(schema)
    }

    private static func isObject(_ kind: FieldKind) -> Bool {
        if case .object = kind { true } else { false }
    }

    private static func fixedWords(_ shape: FieldShape, _ isInput: Bool) -> String {
        var words = ""
        if isInput, shape.use == .fixed { words += " Fixed when the object is made." }
        if isInput, let standard = shape.standardWords { words += " Left out: \(standard)." }
        return words
    }

    static func kind(_ kind: FieldKind, isInput: Bool) -> JSONObject {
        switch kind {
        case .name: return ["type": "string", "minLength": isInput ? 1 : 0, "maxLength": 128]
        case .token: return ["type": "string", "maxLength": 256]
        case .label: return ["type": "string", "pattern": "^[a-z0-9-]{1,63}$"]
        case .text(let maximum): return ["type": "string", "maxLength": .int(Int64(maximum))]
        case .checked(let format?) where format == "uri": return ["type": "string", "format": "uri"]
        case .checked, .secret: return ["type": "string"]
        case .word(let words): return ["type": "string", "enum": .strings(words)]
        case .flag: return ["type": "boolean"]
        case .integer(let range):
            var schema: JSONObject = ["type": "integer", "format": "int64", "minimum": .int(range.lowerBound)]
            if range.upperBound < .max { schema["maximum"] = .int(range.upperBound) }
            return schema
        case .dollars:
            return isInput ? ["type": ["string", "number"]] : ["type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?$"]
        case .percentage: return ["type": "number", "minimum": 0, "maximum": 100]
        case .time: return ["type": "string", "format": "date-time"]
        case .id(let prefix): return ["type": "string", "pattern": .string("^\(prefix)[a-z2-7]{16}$")]
        case .list(let element, let bounds):
            return [
                "type": "array", "items": .object(self.kind(element, isInput: isInput)), "uniqueItems": true,
                "minItems": .int(isInput ? Int64(bounds.lowerBound) : 0), "maxItems": .int(Int64(bounds.upperBound)),
            ]
        case .scope(let element):
            return [
                "oneOf": [
                    ["type": "string", "const": "all"],
                    [
                        "type": "array", "items": .object(self.kind(element, isInput: isInput)), "uniqueItems": true, "minItems": 1,
                        "maxItems": 1000,
                    ],
                ]
            ]
        case .labels: return ["type": "object", "additionalProperties": ["type": "string", "maxLength": 256], "maxProperties": 32]
        case .object(let shapes):
            let schema = isInput ? input(shapes, isChange: true) : output(shapes)
            return schema.objectValue ?? JSONObject()
        case .objects(let shapes, let maximum):
            let items = isInput ? input(shapes, isChange: false) : output(shapes)
            return ["type": "array", "items": items, "maxItems": .int(Int64(maximum))]
        case .anything: return [:]
        }
    }
}
