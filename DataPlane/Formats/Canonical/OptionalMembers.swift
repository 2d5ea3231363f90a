/// What a translation writes of its caller's wishes that an answer can do without: how much to think, how to sample, who asks. Not every
/// model takes each of them, and its provider's API does not say which: what is refused is left out.
package struct OptionalMembers: OptionSet, Sendable, Hashable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static let effort = OptionalMembers(rawValue: 1)
    package static let temperature = OptionalMembers(rawValue: 2)
    package static let topP = OptionalMembers(rawValue: 4)
    package static let topK = OptionalMembers(rawValue: 8)
    package static let user = OptionalMembers(rawValue: 16)
    package static let tier = OptionalMembers(rawValue: 32)
    /// That calls may be parallel, which is what providers do unasked.
    package static let parallelCalls = OptionalMembers(rawValue: 64)
    package static let verbosity = OptionalMembers(rawValue: 128)
    package static let cacheKey = OptionalMembers(rawValue: 256)
    package static let metadata = OptionalMembers(rawValue: 512)
    /// Reasoning of earlier turns that nobody signed.
    package static let reasoning = OptionalMembers(rawValue: 1024)
    /// That the model is bound to schemas: without, it is told them.
    package static let strict = OptionalMembers(rawValue: 2048)

    /// What they are called in the dialects.
    private static let names: [(member: OptionalMembers, names: [String])] = [
        (.effort, ["reasoning_effort", "reasoningeffort", "reasoning", "reasoning.effort", "thinking", "output_config", "effort"]),
        (.temperature, ["temperature"]), (.topP, ["top_p"]), (.topK, ["top_k"]),
        (.user, ["user", "safety_identifier", "metadata.user_id"]),
        (.tier, ["service_tier"]), (.parallelCalls, ["parallel_tool_calls"]), (.verbosity, ["verbosity", "text.verbosity"]),
        (.cacheKey, ["prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"]), (.metadata, ["metadata"]),
        (.reasoning, ["reasoning_content"]), (.strict, ["strict"]),
    ]

    /// Those of that name.
    /// - Parameter path: in the request, as `thinking.budget_tokens` or `messages.1.reasoning_content`.
    init(named path: String) {
        let words = path.split { $0 == "." || $0 == "[" || $0 == "]" }.map(String.init)
        self = []
        guard let first = words.first, let last = words.last else { return }
        let isWithin = first == "messages" || first == "tools"
        for (member, names) in Self.names
        where names.contains(path) || names.contains(first) || isWithin && names.contains(last) { formUnion(member) }
    }

    /// Those that a text names as members: in quotes, as its first word, or by a name that is no word of English.
    init(in text: String) {
        self = []
        for (member, names) in Self.names {
            let isNamed = names.contains { name in
                if name.contains("_") || name == "reasoningeffort" { return text.contains(name) }
                return text.hasPrefix(name + " ")
                    || ["'", "\"", "`"].contains { text.contains($0 + name + $0) || text.contains($0 + name + ".") }
            }
            if isNamed { formUnion(member) }
        }
    }
}

extension Conversation {
    /// Those that are in it.
    var optionalMembers: OptionalMembers {
        var members: OptionalMembers = []
        if effort != nil || thinking != nil { members.insert(.effort) }
        if temperature != nil { members.insert(.temperature) }
        if topP != nil { members.insert(.topP) }
        if topK != nil { members.insert(.topK) }
        if user != nil { members.insert(.user) }
        if tier != nil { members.insert(.tier) }
        if allowsParallelCalls == true { members.insert(.parallelCalls) }
        for (name, _) in shared { members.formUnion(OptionalMembers(named: "\(name)")) }
        if turns.contains(where: { $0.parts.contains(where: \.isUnsigned) }) { members.insert(.reasoning) }
        if tools.contains(where: { $0.strict == true }) { members.insert(.strict) }
        if case .schema(_, _, _, strict: true) = format { members.insert(.strict) }
        return members
    }

    mutating func leaveOut(_ members: OptionalMembers) {
        if members.contains(.effort) { (effort, thinking) = (nil, nil) }
        if members.contains(.temperature) { temperature = nil }
        if members.contains(.topP) { topP = nil }
        if members.contains(.topK) { topK = nil }
        if members.contains(.user) { user = nil }
        if members.contains(.tier) { tier = nil }
        if members.contains(.parallelCalls), allowsParallelCalls == true { allowsParallelCalls = nil }
        shared.removeAll { !members.isDisjoint(with: OptionalMembers(named: "\($0.name)")) }
        if members.contains(.strict) {
            for index in tools.indices { tools[index].strict = nil }
            if case .schema(let schema, let name, let description, strict: true) = format {
                format = .schema(schema, name: name, description: description, strict: false)
            }
        }
        if members.contains(.reasoning) { for index in turns.indices { turns[index].parts.removeAll(where: \.isUnsigned) } }
    }
}

extension Conversation.Part {
    fileprivate var isUnsigned: Bool { if case .reasoning = content { true } else { false } }
}
