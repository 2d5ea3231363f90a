/// Reads a request of the Responses API (openai-openapi, `CreateResponse`) for another dialect.
enum ResponsesRequestReader {
    static func read(_ body: JSONView, for target: Dialect) throws(TranslationRefusal) -> Conversation {
        let members = try MemberRules.members(body, from: .responses, to: target)
        var conversation = Conversation()
        if let instructions = members.text("instructions") { conversation.system.append(.init(text: instructions)) }
        guard let input = members["input"] else { throw TranslationRefusal("input", "'input' is required.") }
        if let text = input.text {
            conversation.turns.append(.init(role: .user, parts: [.init(.text(text))]))
        } else {
            for (index, item) in try input.requiredElements(Place("input")).enumerated() {
                try read(item, Place("input")[index], target, into: &conversation)
            }
        }
        conversation.maxTokens = try Reading.tokens(members["max_output_tokens"], Place("max_output_tokens"))
        conversation.isStreaming = try Reading.flag(members["stream"], Place("stream")) ?? false
        conversation.temperature = try Reading.number(members["temperature"], Place("temperature"))
        conversation.topP = try Reading.number(members["top_p"], Place("top_p"))
        if let tools = members["tools"] {
            for (index, tool) in try tools.requiredElements(Place("tools")).enumerated() {
                try readTool(tool, Place("tools")[index], target, into: &conversation)
            }
        }
        conversation.toolChoice = try toolChoice(members["tool_choice"], target)
        conversation.allowsParallelCalls = try Reading.flag(members["parallel_tool_calls"], Place("parallel_tool_calls"))
        try readText(members["text"], into: &conversation)
        conversation.effort = members["reasoning"]?["effort"]?.text
        conversation.showsThinking = (members["reasoning"]?["summary"] ?? members["reasoning"]?["generate_summary"])?.text != nil
        try readInclude(members, target, into: &conversation)
        conversation.user = members.text("safety_identifier") ?? members.text("user")
        conversation.tier = members.text("service_tier")
        if let key = members["prompt_cache_key"] { conversation.shared.append(("prompt_cache_key", key)) }
        conversation.echo = ResponsesEcho(members)
        return conversation
    }

    // MARK: Items

    private static func read(
        _ item: JSONView, _ place: Place, _ target: Dialect, into conversation: inout Conversation
    ) throws(TranslationRefusal) {
        let members = try item.requiredMembers(place)
        func text(_ name: StaticString) throws(TranslationRefusal) -> EscapedText {
            guard let text = members.text(name) else { throw .wrongType(place[name].text, "a string") }
            return text
        }
        switch members.word("type") {
        case "message", "":
            let parts = try parts(members["content"], place["content"], target)
            switch members.word("role") {
            case "user": conversation.turns.append(.init(role: .user, parts: parts))
            case "assistant": conversation.say(parts)
            case "system", "developer":
                if conversation.turns.isEmpty {
                    for part in parts { if case .text(let text) = part.content { conversation.system.append(.init(text: text)) } }
                } else {
                    conversation.turns.append(.init(role: .system, parts: parts))
                }
            default:
                throw TranslationRefusal(place["role"].text, "'\(place["role"].text)' must be user, assistant, system or developer.")
            }
        case "function_call", "custom_tool_call":
            let isCustom = members.word("type") == "custom_tool_call"
            var name = try text("name")
            if let namespace = members.text("namespace") { name = Conversation.NamespacedName(namespace: namespace, name: name).joined }
            let input = try text(isCustom ? "input" : "arguments")
            conversation.say([.init(.call(.init(id: try text("call_id"), name: name, input: .text(input), isCustom: isCustom)))])
        case "function_call_output", "custom_tool_call_output":
            let result = Conversation.Result(id: try text("call_id"), parts: try parts(members["output"], place["output"], target))
            conversation.turns.append(.init(role: .user, parts: [.init(.result(result))]))
        case "reasoning": conversation.say(reasoning(members))
        default: throw .unsupported(place["type"].text, target)
        }
    }

    private static func parts(_ content: JSONView?, _ place: Place, _ target: Dialect) throws(TranslationRefusal) -> [Conversation.Part] {
        guard let content else { return [] }
        if let text = content.text { return [.init(.text(text))] }
        var result: [Conversation.Part] = []
        for (index, part) in try content.requiredElements(place).enumerated() {
            result.append(try self.part(part, place[index], target))
        }
        return result
    }

    private static func part(_ part: JSONView, _ place: Place, _ target: Dialect) throws(TranslationRefusal) -> Conversation.Part {
        let members = try part.requiredMembers(place)
        let cache = members["prompt_cache_breakpoint"] == nil ? nil : CacheMark.ephemeral
        switch members.word("type") {
        case "input_text", "output_text", "text":
            guard let text = members.text("text") else { throw .wrongType(place["text"].text, "a string") }
            return .init(.text(text), cache: cache)
        case "refusal":
            guard let text = members.text("refusal") else { throw .wrongType(place["refusal"].text, "a string") }
            return .init(.refusal(text))
        case "input_image":
            if let id = members.text("file_id") { return .init(.image(.stored(id: id), detail: members.text("detail")), cache: cache) }
            guard let url = members.text("image_url") else { throw .wrongType(place["image_url"].text, "a string") }
            return .init(.image(try Reading.media(url: url, place["image_url"]), detail: members.text("detail")), cache: cache)
        case "input_file":
            let name = members.text("filename")
            if let id = members.text("file_id") { return .init(.file(.stored(id: id), name: name, context: nil), cache: cache) }
            if let url = members.text("file_url") {
                return .init(.file(try Reading.media(url: url, place["file_url"]), name: name, context: nil), cache: cache)
            }
            guard let data = members.text("file_data") else { throw .wrongType(place["file_data"].text, "a string") }
            return .init(.file(try Reading.media(url: data, place["file_data"]), name: name, context: nil), cache: cache)
        default: throw .unsupported(place["type"].text, target)
        }
    }

    /// Signed reasoning of Anthropic's that came through us; another provider's unsigned reasoning; nothing of what OpenAI encrypted.
    private static func reasoning(_ members: Members) -> [Conversation.Part] {
        func joined(_ list: JSONView?) -> EscapedText { Reading.joined((list?.elements ?? []).compactMap { $0["text"]?.text }) }
        if let encrypted = members.text("encrypted_content") {
            switch SignedReasoning.read(encrypted) {
            case .signature(let signature): return [.init(.thinking(joined(members["summary"]), signature: signature))]
            case .redacted(let data): return [.init(.redactedThinking(data))]
            case nil: return []
            }
        }
        let text = joined(members["content"])
        return text.isEmpty ? [] : [.init(.reasoning(text))]
    }

    // MARK: Tools and forms

    private static func readTool(
        _ tool: JSONView, _ place: Place, _ target: Dialect, into conversation: inout Conversation
    ) throws(TranslationRefusal) {
        guard tool["type"]?.text?.string == "namespace" else {
            conversation.tools.append(try self.tool(tool, place, target))
            return
        }
        guard let namespace = tool["name"]?.text else { throw .wrongType(place["name"].text, "a string") }
        for (index, inner) in (try tool["tools"]?.requiredElements(place["tools"]) ?? []).enumerated() {
            var tool = try self.tool(inner, place["tools"][index], target)
            let both = Conversation.NamespacedName(namespace: namespace, name: tool.name)
            tool.name = both.joined
            conversation.namespaced[tool.name] = both
            conversation.tools.append(tool)
        }
    }

    private static func tool(_ tool: JSONView, _ place: Place, _ target: Dialect) throws(TranslationRefusal) -> Conversation.Tool {
        let members = try tool.requiredMembers(place)
        let type = members.word("type")
        guard type == "function" || type == "custom" else { throw .unsupported(place["type"].text, target) }
        guard let name = members.text("name") else { throw .wrongType(place["name"].text, "a string") }
        return .init(
            name: name, description: members.text("description"), schema: members[type == "custom" ? "format" : "parameters"],
            strict: members["strict"]?.bool, isCustom: type == "custom")
    }

    private static func toolChoice(_ view: JSONView?, _ target: Dialect) throws(TranslationRefusal) -> Conversation.ToolChoice? {
        guard let view else { return nil }
        switch (view.text?.string, view["type"]?.text?.string) {
        case ("auto", _): return .auto
        case ("none", _): return .forbidden
        case ("required", _): return .required
        case (nil, "function"), (nil, "custom"):
            guard let name = view["name"]?.text else { throw .wrongType("tool_choice.name", "a string") }
            return .named(name)
        case (nil, "allowed_tools"):
            let place = Place("tool_choice")["tools"]
            var names: [EscapedText] = []
            for (index, tool) in (try view["tools"]?.requiredElements(place) ?? []).enumerated() {
                guard let name = tool["name"]?.text else { throw .unsupported(place[index].text, target) }
                names.append(name)
            }
            return .allowed(names, isRequired: view["mode"]?.text?.string == "required")
        default: throw .unsupported("tool_choice", target)
        }
    }

    private static func readText(_ view: JSONView?, into conversation: inout Conversation) throws(TranslationRefusal) {
        if let verbosity = view?["verbosity"] { conversation.shared.append(("verbosity", verbosity)) }
        guard let format = view?["format"] else { return }
        switch format["type"]?.text?.string {
        case "text": break
        case "json_object": conversation.format = .json
        case "json_schema":
            guard let schema = format["schema"], schema.kind == .object else { throw .wrongType("text.format.schema", "an object") }
            conversation.format = .schema(
                schema, name: format["name"]?.text, description: format["description"]?.text, strict: format["strict"]?.bool ?? false)
        default: throw TranslationRefusal("text.format.type", "'text.format.type' must be text, json_object or json_schema.")
        }
    }

    private static func readInclude(
        _ members: Members, _ target: Dialect, into conversation: inout Conversation
    ) throws(TranslationRefusal) {
        for include in try Reading.texts(members["include"], Place("include")) {
            switch include.string {
            case "reasoning.encrypted_content": continue
            case "message.output_text.logprobs" where target != .messages: conversation.logprobs = true
            default: throw .unsupported("include", target)
            }
        }
        conversation.topLogprobs = try Reading.number(members["top_logprobs"], Place("top_logprobs"))
        if let top = conversation.topLogprobs?.integer, top > 0 { conversation.logprobs = true }
    }
}

extension Conversation {
    /// Items that the model said one behind the other are one turn.
    fileprivate mutating func say(_ parts: [Part]) {
        if let last = turns.indices.last, turns[last].role == .assistant {
            turns[last].parts += parts
        } else {
            turns.append(.init(role: .assistant, parts: parts))
        }
    }
}

/// How the Responses dialect carries what Anthropic signed: in the item's encrypted content, which clients send back as it came.
enum SignedReasoning {
    case signature(EscapedText)
    case redacted(EscapedText)

    private static let prefix = "anthropic-claude-v1:"
    private static let redactedPrefix = "anthropic-claude-v1-redacted:"

    static func read(_ content: EscapedText) -> SignedReasoning? {
        func behind(_ prefix: String) -> EscapedText? {
            content.bytes.starts(with: prefix.utf8) ? EscapedText(escaped: content.bytes.dropFirst(prefix.utf8.count)) : nil
        }
        if let data = behind(redactedPrefix) { return .redacted(data) }
        return behind(prefix).map { .signature($0) }
    }

    var content: EscapedText {
        var text: EscapedText
        switch self {
        case .signature(let signature):
            text = EscapedText(Self.prefix)
            text.append(signature)
        case .redacted(let data):
            text = EscapedText(Self.redactedPrefix)
            text.append(data)
        }
        return text
    }
}

/// What an answer repeats of its request.
struct ResponsesEcho: Sendable {
    private let members: Members

    init(_ members: Members) {
        let names: Set<String> = [
            "instructions", "max_output_tokens", "parallel_tool_calls", "reasoning", "temperature", "text", "tool_choice", "tools", "top_p",
            "user", "safety_identifier", "prompt_cache_key", "metadata", "truncation", "top_logprobs",
        ]
        self.members = Members(members.all.filter { names.contains($0.name.string) && !$0.value.isNull })
    }

    subscript(_ name: StaticString) -> JSONView? { members[name] }
}
