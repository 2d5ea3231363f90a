/// What a model of Anthropic's takes, by its name: its API does not say, and a wrong guess is refused there.
struct ClaudeModel {
    /// Which of `temperature`, `top_p` and `top_k` it takes.
    enum Sampling { case all, oneOfTemperatureAndTopP, none }

    /// How it is told not to think.
    enum Quiet {
        /// It thinks only when asked to.
        case unasked
        case disabled
        /// It always thinks: as little as it can.
        case leastEffort
    }

    /// Thinks by a budget of tokens, and not as it likes: Claude 3.7 to 4.5.
    let thinksByBudget: Bool
    /// Takes a schema for its answer: from Claude 4.1 on.
    let takesSchemas: Bool
    /// Knows the effort between `high` and `max`: from Claude 4.7 on.
    let takesExtraHighEffort: Bool
    /// Shows its thinking only when asked to: from Claude 4.7 on.
    let hidesThinking: Bool
    let sampling: Sampling
    let quiet: Quiet

    /// A name that does not say is that of a new model, which takes what all of the same API do.
    init(_ name: String) {
        let words = name.lowercased().split { "-./@:_".contains($0) }.map(String.init)
        guard let version = Self.version(words) else {
            (thinksByBudget, takesSchemas, takesExtraHighEffort, hidesThinking) = (false, true, true, false)
            (sampling, quiet) = (.all, .disabled)
            return
        }
        thinksByBudget = version < (4, 6)
        takesSchemas = version >= (4, 1)
        takesExtraHighEffort = version >= (4, 7)
        hidesThinking = version >= (4, 7)
        sampling = version < (4, 1) ? .all : version < (4, 7) ? .oneOfTemperatureAndTopP : .none
        let alwaysThinks =
            words.contains("fable") || words.contains("mythos")
            || (version >= (5, 5) && (words.contains("opus") || words.contains("sonnet")))
        quiet = alwaysThinks ? .leastEffort : version < (5, 0) ? .unasked : .disabled
    }

    /// `claude-opus-4-6`, `claude-3-7-sonnet-20250219`, `anthropic/claude-sonnet-4.5`, `claude-opus-4-20250514`.
    private static func version(_ words: [String]) -> (Int, Int)? {
        let families: Set<String> = ["claude", "opus", "sonnet", "haiku", "fable", "mythos"]
        guard let start = words.firstIndex(where: families.contains) else { return nil }
        func number(_ index: Int) -> Int? { index < words.count && words[index].count <= 2 ? Int(words[index]) : nil }
        guard let major = words.indices.dropFirst(start + 1).first(where: { number($0) != nil }) else {
            // The names without a number are of the newest.
            return words.contains("mythos") || words.contains("fable") ? (5, 0) : words.contains("instant") ? (1, 0) : nil
        }
        return number(major).map { ($0, number(major + 1) ?? 0) }
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
