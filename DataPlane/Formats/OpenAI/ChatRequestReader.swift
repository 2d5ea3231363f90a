/// Reads a chat completions request (openai-openapi, `CreateChatCompletionRequest`) for another dialect.
enum ChatRequestReader {
    static func read(_ body: JSONView, for target: Dialect) throws(TranslationRefusal) -> Conversation {
        let members = try MemberRules.members(body, from: .openAI, to: target)
        var conversation = Conversation()
        guard let messages = members["messages"] else { throw TranslationRefusal("messages", "'messages' is required.") }
        for (index, message) in try messages.requiredElements(Place("messages")).enumerated() {
            try read(message, Place("messages")[index], into: &conversation)
        }
        let older = try Reading.tokens(members["max_tokens"], Place("max_tokens"))
        conversation.maxTokens = try Reading.tokens(members["max_completion_tokens"], Place("max_completion_tokens")) ?? older
        conversation.isStreaming = try Reading.flag(members["stream"], Place("stream")) ?? false
        conversation.wantsUsage = members["stream_options"]?["include_usage"]?.bool ?? false
        if let stop = members["stop"] {
            conversation.stops = if let text = stop.text { [text] } else { try Reading.texts(stop, Place("stop")) }
        }
        conversation.temperature = try Reading.number(members["temperature"], Place("temperature"))
        conversation.topP = try Reading.number(members["top_p"], Place("top_p"))
        conversation.topK = try Reading.number(members["top_k"], Place("top_k"))
        if let tools = members["tools"] {
            for (index, tool) in try tools.requiredElements(Place("tools")).enumerated() {
                conversation.tools.append(try self.tool(tool, Place("tools")[index], target))
            }
        }
        conversation.toolChoice = try toolChoice(members["tool_choice"])
        conversation.allowsParallelCalls = try Reading.flag(members["parallel_tool_calls"], Place("parallel_tool_calls"))
        conversation.format = try format(members["response_format"])
        try readThinking(members, into: &conversation)
        conversation.user = members.text("safety_identifier") ?? members.text("user")
        conversation.tier = members.text("service_tier")
        conversation.logprobs = try Reading.flag(members["logprobs"], Place("logprobs")) ?? false
        conversation.topLogprobs = try Reading.number(members["top_logprobs"], Place("top_logprobs"))
        for name in SharedMembers.names { if let value = members[name] { conversation.shared.append((name, value)) } }
        return conversation
    }

    // MARK: Messages

    private static func read(_ message: JSONView, _ place: Place, into conversation: inout Conversation) throws(TranslationRefusal) {
        let members = try message.requiredMembers(place)
        let content = members["content"]
        switch members.word("role") {
        case "system", "developer":
            let parts = try self.parts(content, place["content"])
            var texts: [Conversation.SystemText] = []
            for (index, part) in parts.enumerated() {
                guard case .text(let text) = part.content else {
                    throw .wrongType(place["content"][index].text, "a text part")
                }
                texts.append(.init(text: text, cache: part.cache))
            }
            if conversation.turns.isEmpty {
                conversation.system += texts
            } else {
                conversation.turns.append(.init(role: .system, parts: parts))
            }
        case "user":
            conversation.turns.append(.init(role: .user, parts: try parts(content, place["content"])))
        case "assistant":
            conversation.turns.append(.init(role: .assistant, parts: try assistantParts(members, place)))
        case "tool":
            guard let id = members.text("tool_call_id") else { throw .wrongType(place["tool_call_id"].text, "a string") }
            let result = Conversation.Result(id: id, parts: try parts(content, place["content"]))
            conversation.turns.append(.init(role: .user, parts: [.init(.result(result), cache: members["cache_control"])]))
        default:
            throw TranslationRefusal(
                place["role"].text, "'\(place["role"].text)' must be system, developer, user, assistant or tool.")
        }
    }

    /// A string, or parts.
    private static func parts(_ content: JSONView?, _ place: Place) throws(TranslationRefusal) -> [Conversation.Part] {
        guard let content else { return [] }
        if let text = content.text { return [.init(.text(text))] }
        var result: [Conversation.Part] = []
        for (index, part) in try content.requiredElements(place).enumerated() { result.append(try self.part(part, place[index])) }
        return result
    }

    private static func part(_ part: JSONView, _ place: Place) throws(TranslationRefusal) -> Conversation.Part {
        let members = try part.requiredMembers(place)
        // OpenAI's mark, and the one that OpenRouter's clients write.
        let cache = members["cache_control"] ?? (members["prompt_cache_breakpoint"] == nil ? nil : CacheMark.ephemeral)
        switch members.word("type") {
        case "text":
            guard let text = members.text("text") else { throw .wrongType(place["text"].text, "a string") }
            return .init(.text(text), cache: cache)
        case "refusal":
            guard let text = members.text("refusal") else { throw .wrongType(place["refusal"].text, "a string") }
            return .init(.refusal(text), cache: cache)
        case "image_url":
            let image = members["image_url"]
            let place = place["image_url"]["url"]
            guard let url = image?["url"]?.text else { throw .wrongType(place.text, "a string") }
            return .init(.image(try Reading.media(url: url, place), detail: image?["detail"]?.text), cache: cache)
        case "file":
            return .init(try file(members["file"], place["file"]), cache: cache)
        default:
            throw TranslationRefusal(place["type"].text, "Parts of this type cannot be carried over: '\(place["type"].text)'.")
        }
    }

    private static func file(_ view: JSONView?, _ place: Place) throws(TranslationRefusal) -> Conversation.Content {
        guard let members = try view?.requiredMembers(place) else { throw .wrongType(place.text, "an object") }
        if let id = members.text("file_id") { return .file(.stored(id: id), name: members.text("filename"), context: nil) }
        guard let data = members.text("file_data") else { throw .wrongType(place["file_data"].text, "a string") }
        return .file(try Reading.media(url: data, place["file_data"]), name: members.text("filename"), context: nil)
    }

    private static func assistantParts(_ members: Members, _ place: Place) throws(TranslationRefusal) -> [Conversation.Part] {
        var parts = try signedReasoning(members["reasoning_details"])
        parts += try self.parts(members["content"], place["content"])
        if let refusal = members.text("refusal"), !refusal.isEmpty { parts.append(.init(.refusal(refusal))) }
        guard let calls = members["tool_calls"] else {
            if members["function_call"] != nil {
                throw TranslationRefusal(place["function_call"].text, "Use 'tool_calls' in place of '\(place["function_call"].text)'.")
            }
            return parts
        }
        for (index, call) in try calls.requiredElements(place["tool_calls"]).enumerated() {
            parts.append(.init(.call(try self.call(call, place["tool_calls"][index]))))
        }
        return parts
    }

    private static func call(_ call: JSONView, _ place: Place) throws(TranslationRefusal) -> Conversation.Call {
        let members = try call.requiredMembers(place)
        guard let id = members.text("id") else { throw .wrongType(place["id"].text, "a string") }
        guard let function = members["function"], let name = function["name"]?.text else {
            throw .wrongType(place["function"]["name"].text, "a string")
        }
        return .init(id: id, name: name, input: .text(function["arguments"]?.text ?? EscapedText()))
    }

    /// Reasoning that Anthropic signed, as answers of ours and OpenRouter's carry it. What else is there is another vendor's, and stays out.
    private static func signedReasoning(_ details: JSONView?) throws(TranslationRefusal) -> [Conversation.Part] {
        guard let details, let elements = details.elements else { return [] }
        var parts: [Conversation.Part] = []
        // A stream's pieces may come back as they were, unmerged: those of one block have one index, and its signature is in the last.
        // What the block is of stands in its first piece only.
        var text = EscapedText()
        var index: Int64?
        for element in elements {
            guard let members = element.members.map({ Members($0) }) else { continue }
            let isMore = index != nil && members["index"]?.integer == index && members["format"] == nil
            guard isMore || ReasoningDetails.isAnthropic(members) else { continue }
            if members.word("type") == "reasoning.text" {
                if members["index"]?.integer != index { text = EscapedText() }
                index = members["index"]?.integer
                if let piece = members.text("text") { text.append(piece) }
                guard let signature = members.text("signature"), !signature.isEmpty else { continue }
                parts.append(.init(.thinking(text, signature: signature)))
                text = EscapedText()
            } else if members.word("type") == "reasoning.encrypted", let data = members.text("data") {
                parts.append(.init(.redactedThinking(data)))
            }
        }
        return parts
    }

    // MARK: Tools and forms

    private static func tool(_ tool: JSONView, _ place: Place, _ target: Dialect) throws(TranslationRefusal) -> Conversation.Tool {
        let members = try tool.requiredMembers(place)
        switch members.word("type") {
        case "function":
            guard let function = members["function"], let name = function["name"]?.text else {
                throw .wrongType(place["function"]["name"].text, "a string")
            }
            return .init(
                name: name, description: function["description"]?.text, schema: function["parameters"], strict: function["strict"]?.bool,
                cache: members["cache_control"])
        default:
            throw .unsupported(place["type"].text, target)
        }
    }

    private static func toolChoice(_ view: JSONView?) throws(TranslationRefusal) -> Conversation.ToolChoice? {
        guard let view else { return nil }
        let place = Place("tool_choice")
        switch (view.text?.string, view["type"]?.text?.string) {
        case ("auto", _): return .auto
        case ("none", _): return .forbidden
        case ("required", _): return .required
        case (nil, "function"):
            guard let name = view["function"]?["name"]?.text else { throw .wrongType(place["function"]["name"].text, "a string") }
            return .named(name)
        case (nil, "allowed_tools"):
            let allowed = view["allowed_tools"]
            var names: [EscapedText] = []
            let tools = place["allowed_tools"]["tools"]
            for (index, tool) in (try allowed?["tools"]?.requiredElements(tools) ?? []).enumerated() {
                guard let name = tool["function"]?["name"]?.text else { throw .wrongType(tools[index].text, "a tool's name") }
                names.append(name)
            }
            return .allowed(names, isRequired: allowed?["mode"]?.text?.string == "required")
        default: throw TranslationRefusal(place.text, "'tool_choice' must be auto, none, required or name a tool.")
        }
    }

    private static func format(_ view: JSONView?) throws(TranslationRefusal) -> Conversation.OutputFormat {
        guard let view else { return .text }
        let place = Place("response_format")
        switch view["type"]?.text?.string {
        case "text": return .text
        case "json_object": return .json
        case "json_schema":
            guard let format = view["json_schema"], let schema = format["schema"], schema.kind == .object else {
                throw .wrongType(place["json_schema"]["schema"].text, "an object")
            }
            return .schema(
                schema, name: format["name"]?.text, description: format["description"]?.text, strict: format["strict"]?.bool ?? false)
        default: throw TranslationRefusal(place["type"].text, "'response_format.type' must be text, json_object or json_schema.")
        }
    }

    private static func readThinking(_ members: Members, into conversation: inout Conversation) throws(TranslationRefusal) {
        if let reasoning = members["reasoning"] { conversation.showsThinking = reasoning["exclude"]?.bool != true }
        conversation.effort = members.text("reasoning_effort") ?? members["reasoning"]?["effort"]?.text
        if let thinking = members["thinking"] {
            conversation.thinking = .written(thinking)
        } else if let budget = try Reading.tokens(members["reasoning"]?["max_tokens"], Place("reasoning")["max_tokens"]) {
            conversation.thinking = .budget(budget)
        } else if let isEnabled = try Reading.flag(members["reasoning"]?["enabled"], Place("reasoning")["enabled"]) {
            conversation.thinking = isEnabled ? .adaptive : .off
        }
    }
}

/// Members of chat completions and Responses that are spelt and meant alike.
enum SharedMembers {
    static let names: [StaticString] = [
        "metadata", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "verbosity",
    ]
}

enum CacheMark {
    /// Anthropic's mark of five minutes.
    static let ephemeral = try? JSONView(checking: Array(#"{"type":"ephemeral"}"#.utf8))
}

/// How chat completions carry reasoning with its signature: OpenRouter's `reasoning_details`, which agents send back as they came.
enum ReasoningDetails {
    static func isAnthropic(_ members: Members) -> Bool { members.word("format") == "anthropic-claude-v1" }

    static func write(_ text: EscapedText?, signature: EscapedText?, index: Int, to output: inout JSONOutput) {
        output.object { output in
            output.member("type", "reasoning.text")
            if let text { output.member("text", text) }
            if let signature { output.member("signature", signature) }
            output.member("format", "anthropic-claude-v1")
            output.member("index", Int64(index))
        }
    }

    static func write(redacted data: EscapedText, index: Int, to output: inout JSONOutput) {
        output.object { output in
            output.member("type", "reasoning.encrypted")
            output.member("data", data)
            output.member("format", "anthropic-claude-v1")
            output.member("index", Int64(index))
        }
    }
}
