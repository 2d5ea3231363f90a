/// Reads a Messages request (anthropic-sdk-python, `MessageCreateParams`) for another dialect.
enum MessagesRequestReader {
    static func read(_ body: JSONView, for target: Dialect) throws(TranslationRefusal) -> Conversation {
        let members = try MemberRules.members(body, from: .messages, to: target)
        var conversation = Conversation()
        try readSystem(members["system"], into: &conversation)
        guard let messages = members["messages"] else { throw TranslationRefusal("messages", "'messages' is required.") }
        for (index, message) in try messages.requiredElements(Place("messages")).enumerated() {
            conversation.turns.append(try turn(message, Place("messages")[index], target))
        }
        conversation.maxTokens = try Reading.tokens(members["max_tokens"], Place("max_tokens"))
        guard conversation.maxTokens != nil else { throw TranslationRefusal("max_tokens", "'max_tokens' is required.") }
        conversation.isStreaming = try Reading.flag(members["stream"], Place("stream")) ?? false
        conversation.stops = try Reading.texts(members["stop_sequences"], Place("stop_sequences"))
        conversation.temperature = try Reading.number(members["temperature"], Place("temperature"))
        conversation.topP = try Reading.number(members["top_p"], Place("top_p"))
        if let tools = members["tools"] {
            for (index, tool) in try tools.requiredElements(Place("tools")).enumerated() {
                conversation.tools.append(try self.tool(tool, Place("tools")[index], target))
            }
        }
        try readToolChoice(members["tool_choice"], into: &conversation)
        try readOutput(members, into: &conversation)
        try readThinking(members["thinking"], into: &conversation)
        try checkContextManagement(members["context_management"], target)
        conversation.user = members["metadata"]?["user_id"]?.text
        conversation.tier = members.text("service_tier")
        return conversation
    }

    private static func readSystem(_ view: JSONView?, into conversation: inout Conversation) throws(TranslationRefusal) {
        guard let view else { return }
        if let text = view.text {
            conversation.system = [.init(text: text)]
            return
        }
        let place = Place("system")
        for (index, block) in try view.requiredElements(place).enumerated() {
            guard block["type"]?.text?.string == "text", let text = block["text"]?.text else {
                throw .wrongType(place[index].text, "a text block")
            }
            // Claude Code's note for Anthropic's books: it differs from request to request, and no cache of another provider would hold.
            if text.bytes.starts(with: "x-anthropic-billing-header:".utf8) { continue }
            conversation.system.append(.init(text: text, cache: block["cache_control"]))
        }
    }

    // MARK: Messages

    private static func turn(_ message: JSONView, _ place: Place, _ target: Dialect) throws(TranslationRefusal) -> Conversation.Turn {
        let members = try message.requiredMembers(place)
        let role: Conversation.Role
        switch members.word("role") {
        case "user": role = .user
        case "assistant": role = .assistant
        case "system": role = .system
        default: throw TranslationRefusal(place["role"].text, "'\(place["role"].text)' must be user, assistant or system.")
        }
        guard let content = members["content"] else { throw .wrongType(place["content"].text, "a string or an array") }
        return .init(role: role, parts: try parts(content, place["content"], target))
    }

    private static func parts(_ content: JSONView, _ place: Place, _ target: Dialect) throws(TranslationRefusal) -> [Conversation.Part] {
        if let text = content.text { return [.init(.text(text))] }
        var result: [Conversation.Part] = []
        for (index, block) in try content.requiredElements(place).enumerated() {
            result.append(try part(block, place[index], target))
        }
        return result
    }

    private static func part(_ block: JSONView, _ place: Place, _ target: Dialect) throws(TranslationRefusal) -> Conversation.Part {
        let members = try block.requiredMembers(place)
        func text(_ name: StaticString) throws(TranslationRefusal) -> EscapedText { try self.text(members, name, place) }
        let content: Conversation.Content
        switch members.word("type") {
        case "text": content = .text(try text("text"))
        case "thinking": content = .thinking(try text("thinking"), signature: members.text("signature") ?? EscapedText())
        case "redacted_thinking": content = .redactedThinking(try text("data"))
        case "image": content = .image(try media(members["source"], place["source"], target), detail: nil)
        case "document":
            content = .file(
                try media(members["source"], place["source"], target), name: members.text("title"), context: members.text("context"))
        // All tools are offered from the begin: it is said which one was looked for.
        case "tool_reference":
            var text = EscapedText("This tool can be called: ")
            text.append(try self.text(members, "tool_name", place))
            content = .text(text)
        case "tool_use":
            guard let input = members["input"], input.kind == .object else { throw .wrongType(place["input"].text, "an object") }
            content = .call(.init(id: try text("id"), name: try text("name"), input: .object(input)))
        case "tool_result":
            let inner: [Conversation.Part] =
                if let view = members["content"] { try parts(view, place["content"], target) } else { [] }
            for (index, part) in inner.enumerated() {
                switch part.content {
                case .text, .image, .file: continue
                default: throw .unsupported(place["content"][index]["type"].text, target)
                }
            }
            content = .result(.init(id: try text("tool_use_id"), parts: inner, isError: members["is_error"]?.bool ?? false))
        default: throw .unsupported(place["type"].text, target)
        }
        return .init(content, cache: members["cache_control"])
    }

    private static func text(_ members: Members, _ name: StaticString, _ place: Place) throws(TranslationRefusal) -> EscapedText {
        guard let text = members.text(name) else { throw .wrongType(place[name].text, "a string") }
        return text
    }

    private static func media(_ source: JSONView?, _ place: Place, _ target: Dialect) throws(TranslationRefusal) -> Conversation.Media {
        guard let members = try source?.requiredMembers(place) else { throw .wrongType(place.text, "an object") }
        func text(_ name: StaticString) throws(TranslationRefusal) -> EscapedText { try self.text(members, name, place) }
        switch members.word("type") {
        case "base64": return .base64(type: try text("media_type"), data: try text("data"))
        case "url": return .url(try text("url"))
        case "text": return .text(try text("data"))
        case "file": return .stored(id: try text("file_id"))
        default: throw .unsupported(place["type"].text, target)
        }
    }

    // MARK: Tools and forms

    private static func tool(_ tool: JSONView, _ place: Place, _ target: Dialect) throws(TranslationRefusal) -> Conversation.Tool {
        let members = try tool.requiredMembers(place)
        // Tools with a type of Anthropic's have no schema here: nobody else's models know them.
        guard members["type"] == nil || members.word("type") == "custom" else { throw .unsupported(place["type"].text, target) }
        guard let name = members.text("name") else { throw .wrongType(place["name"].text, "a string") }
        return .init(
            name: name, description: members.text("description"), schema: members["input_schema"], strict: members["strict"]?.bool,
            cache: members["cache_control"])
    }

    private static func readToolChoice(_ view: JSONView?, into conversation: inout Conversation) throws(TranslationRefusal) {
        guard let view else { return }
        switch view["type"]?.text?.string {
        case "auto": conversation.toolChoice = .auto
        case "any": conversation.toolChoice = .required
        case "none": conversation.toolChoice = .forbidden
        case "tool":
            guard let name = view["name"]?.text else { throw .wrongType("tool_choice.name", "a string") }
            conversation.toolChoice = .named(name)
        default: throw TranslationRefusal("tool_choice.type", "'tool_choice.type' must be auto, any, tool or none.")
        }
        if view["disable_parallel_tool_use"]?.bool == true { conversation.allowsParallelCalls = false }
    }

    private static func readOutput(_ members: Members, into conversation: inout Conversation) throws(TranslationRefusal) {
        let config = members["output_config"]
        conversation.effort = config?["effort"]?.text
        guard let format = config?["format"] ?? members["output_format"] else { return }
        guard format["type"]?.text?.string == "json_schema", let schema = format["schema"], schema.kind == .object else {
            throw TranslationRefusal("output_config.format", "'output_config.format' must be a json_schema with a schema.")
        }
        conversation.format = .schema(schema, name: nil, description: nil, strict: true)
    }

    private static func readThinking(_ view: JSONView?, into conversation: inout Conversation) throws(TranslationRefusal) {
        guard let view else { return }
        switch view["type"]?.text?.string {
        case "enabled":
            guard let budget = try Reading.tokens(view["budget_tokens"], Place("thinking")["budget_tokens"]) else {
                throw .wrongType("thinking.budget_tokens", "a positive integer")
            }
            conversation.thinking = .budget(budget)
        case "disabled": conversation.thinking = .off
        case "adaptive", "between_tools": conversation.thinking = .adaptive
        default: throw TranslationRefusal("thinking.type", "'thinking.type' must be enabled, disabled, adaptive or between_tools.")
        }
    }

    /// Thinking is never carried over, so clearing it is done; what else would be cleared or compacted stays in the prompt.
    private static func checkContextManagement(_ view: JSONView?, _ target: Dialect) throws(TranslationRefusal) {
        for edit in view?["edits"]?.elements ?? [] {
            guard let type = edit["type"]?.text?.string, type.hasPrefix("clear_thinking") else {
                throw .unsupported("context_management.edits", target)
            }
        }
    }
}
