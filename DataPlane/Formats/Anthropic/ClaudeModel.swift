/// What a model of Anthropic's takes, by its name: its API does not say, and a wrong guess is refused there.
struct ClaudeModel {
    /// Thinks by a budget of tokens, and not as it likes: Claude 3.7 to 4.5.
    let thinksByBudget: Bool
    /// Takes a schema for its answer: from Claude 4.1 on.
    let takesSchemas: Bool

    init(_ name: String) {
        let name = name.lowercased()
        func names(_ parts: String...) -> Bool { parts.contains { name.contains($0) } }
        let isFirst = names("claude-3", "claude-2", "claude-instant")
        // `claude-sonnet-4-20250514` and `claude-opus-4-0`; not `claude-opus-4-6`.
        let isFour = names("-4-0", "-4-2025", "-4@", "-4-1", "-4.1") || name.hasSuffix("-4")
        let isFourFive = names("-4-5", "-4.5")
        thinksByBudget = isFirst || isFour || isFourFive
        takesSchemas = !isFirst && (!isFour || names("-4-1", "-4.1"))
    }

    /// Keywords of JSON Schema that Anthropic's structured outputs refuse: numbers' and strings' bounds, arrays' sizes, recursion.
    private static let refusedKeywords: Set<String> = [
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "maxItems", "uniqueItems",
        "minProperties", "maxProperties", "patternProperties", "propertyNames", "not", "if", "then", "else", "dependentSchemas",
        "dependentRequired", "unevaluatedProperties", "contains", "prefixItems", "oneOf",
    ]

    /// Whether the schema can be left to Anthropic as it is.
    static func takes(_ schema: JSONView) -> Bool { StrictSchema.holds(schema, refusing: refusedKeywords, everyPropertyRequired: false) }
}

/// Which schemas a provider that binds its model to them takes as they are.
enum StrictSchema {
    /// Whether each object of the schema closes itself with `additionalProperties: false`, and no schema in it uses one of the keywords.
    static func holds(_ schema: JSONView, refusing keywords: Set<String>, everyPropertyRequired: Bool) -> Bool {
        var open = [schema]
        var looked = 0
        while let schema = open.popLast() {
            looked += 1
            guard looked <= 10_000, let members = schema.members else { return false }
            if schema.kind != .object { continue }
            var isClosed = false
            var properties: [String] = []
            var required: Set<String> = []
            var isObject = false
            for member in members {
                let name = member.name.string
                if keywords.contains(name) { return false }
                switch name {
                case "type": isObject = isObject || member.value.text?.string == "object"
                case "additionalProperties": isClosed = member.value.bool == false
                case "required": required.formUnion((member.value.elements ?? []).compactMap { $0.text?.string })
                case "properties":
                    isObject = true
                    guard let inner = member.value.members else { return false }
                    properties += inner.map(\.name.string)
                    open += inner.map(\.value)
                case "$defs", "definitions":
                    guard let inner = member.value.members else { return false }
                    open += inner.map(\.value)
                case "items": open.append(member.value)
                case "anyOf", "allOf": open += member.value.elements ?? []
                default: break
                }
            }
            if isObject, !isClosed { return false }
            if everyPropertyRequired, !required.isSuperset(of: properties) { return false }
        }
        return true
    }
}
