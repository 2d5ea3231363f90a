import Primitives

/// Why Anthropic's API would not take a request, in its words as far as they are known.
struct MessagesRefusal: Error {
    var status = 400
    var message: String

    init(_ message: String, status: Int = 400) {
        self.message = message
        self.status = status
    }
}

/// What a Messages request asks, read as strictly as Anthropic's API reads it: unknown members, roles, the order of tool results, thinking.
/// Shares no code with the gateway on purpose.
struct MessagesRequest {
    var model = ""
    var stream = false
    var maximumTokens: Int64?
    var thinks = false
    private var thinksByBudget = false
    /// The first tool that may be called; nil where none may, or where the last message answers a call.
    var tool: String?
    /// A call is demanded: `tool_choice` is `any` or `tool`.
    var mustCall = false
    /// Words in its texts, for `count_tokens`.
    var words: Int64 = 0

    /// What the simulator signs thinking with.
    static let signature = "EqQBCgIYAhIM-simulator"

    init(_ body: [UInt8], counts: Bool) throws(MessagesRefusal) {
        guard let parsed = try? JSONValue(parsing: body), case .object(let root) = parsed else {
            throw MessagesRefusal("The request body is not valid JSON")
        }
        try checkMembers(root, counts: counts)
        model = root["model"]?.stringValue ?? ""
        stream = root["stream"]?.boolValue ?? false
        maximumTokens = root["max_tokens"]?.intValue
        try checkThinking(root)
        let tools = try Self.tools(root["tools"])
        var history = MessageHistory(thinksByBudget: thinksByBudget)
        try history.read(root["messages"]?.arrayValue ?? [])
        try history.checkSystem(root["system"])
        words = history.words
        if history.cacheMarks + Self.cacheMarks(root["tools"]) > 4 {
            throw MessagesRefusal("A maximum of 4 blocks with cache_control may be provided. Found \(history.cacheMarks).")
        }
        try choose(root["tool_choice"], tools)
        if history.endsWithResults, !mustCall { tool = nil }
    }

    private static let members: Set<String> = [
        "model", "messages", "max_tokens", "system", "stream", "temperature", "top_p", "top_k", "stop_sequences", "tools", "tool_choice",
        "thinking", "metadata", "service_tier", "container", "mcp_servers", "context_management", "output_config", "output_format",
        "inference_geo", "cache_control",
    ]
    private static let countedMembers: Set<String> = [
        "model", "messages", "system", "tools", "tool_choice", "thinking", "mcp_servers", "context_management", "output_config",
        "output_format", "cache_control",
    ]

    private func checkMembers(_ root: JSONObject, counts: Bool) throws(MessagesRefusal) {
        guard case .string? = root["model"] else { throw MessagesRefusal("model: Field required") }
        if !counts {
            guard let maximum = root["max_tokens"] else { throw MessagesRefusal("max_tokens: Field required") }
            guard case .int(let value) = maximum else { throw MessagesRefusal("max_tokens: Input should be a valid integer") }
            guard value >= 1 else { throw MessagesRefusal("max_tokens: must be greater than or equal to 1") }
        }
        guard let messages = root["messages"] else { throw MessagesRefusal("messages: Field required") }
        guard case .array(let list) = messages else { throw MessagesRefusal("messages: Input should be a valid list") }
        guard !list.isEmpty else { throw MessagesRefusal("messages: at least one message is required") }
        let known = counts ? Self.countedMembers : Self.members
        for member in root.members where !known.contains(member.name) {
            throw MessagesRefusal("\(member.name): Extra inputs are not permitted")
        }
        switch root["stream"] {
        case .bool?, nil: break
        default: throw MessagesRefusal("stream: Input should be a valid boolean")
        }
        if let metadata = root["metadata"] {
            guard case .object(let metadata) = metadata else { throw MessagesRefusal("metadata: Input should be a valid dictionary") }
            for member in metadata.members where member.name != "user_id" {
                throw MessagesRefusal("metadata.\(member.name): Extra inputs are not permitted")
            }
            if let user = metadata["user_id"]?.stringValue, user.utf8.count > 256 {
                throw MessagesRefusal("metadata.user_id: String should have at most 256 characters")
            }
        }
        if let tier = root["service_tier"], tier != "auto", tier != "standard_only" {
            throw MessagesRefusal("service_tier: Input should be 'auto' or 'standard_only'")
        }
        for (name, limit) in [("temperature", 1.0), ("top_p", 1.0)] {
            guard let value = root[name], let number = Double(value.text) else {
                if root[name] != nil { throw MessagesRefusal("\(name): Input should be a valid number") }
                continue
            }
            guard (0...limit).contains(number) else { throw MessagesRefusal("\(name): range: 0..1") }
        }
        for sequence in root["stop_sequences"]?.arrayValue ?? [] where sequence.stringValue?.allSatisfy(\.isWhitespace) ?? true {
            throw MessagesRefusal("stop_sequences: each stop sequence must contain non-whitespace")
        }
    }

    private mutating func checkThinking(_ root: JSONObject) throws(MessagesRefusal) {
        guard let thinking = root["thinking"] else { return }
        guard case .object(let thinking) = thinking else { throw MessagesRefusal("thinking: Input should be a valid dictionary") }
        switch thinking["type"]?.stringValue {
        case "disabled": return
        case "adaptive": break
        case "enabled":
            guard let budget = thinking["budget_tokens"]?.intValue else {
                throw MessagesRefusal("thinking.enabled.budget_tokens: Field required")
            }
            guard budget >= 1024 else {
                throw MessagesRefusal("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
            }
            if let maximum = root["max_tokens"]?.intValue, budget >= maximum {
                throw MessagesRefusal("`max_tokens` must be greater than `thinking.budget_tokens`.")
            }
            thinksByBudget = true
        default: throw MessagesRefusal("thinking.type: Input should be 'enabled', 'disabled' or 'adaptive'")
        }
        thinks = true
        if let temperature = root["temperature"], Double(temperature.text) != 1 {
            throw MessagesRefusal("`temperature` may only be set to 1 when thinking is enabled.")
        }
        if let top = root["top_p"], (Double(top.text) ?? 1) < 0.95 {
            throw MessagesRefusal("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.")
        }
        if root["top_k"] != nil { throw MessagesRefusal("`top_k` must be unset when thinking is enabled.") }
        if let choice = root["tool_choice"]?["type"]?.stringValue, choice == "any" || choice == "tool" {
            throw MessagesRefusal("Thinking may not be enabled when tool_choice forces tool use.")
        }
    }

    private mutating func choose(_ choice: JSONValue?, _ tools: [String]) throws(MessagesRefusal) {
        guard let choice else {
            tool = tools.first
            return
        }
        guard !tools.isEmpty else { throw MessagesRefusal("tool_choice: may only be specified while providing tools.") }
        switch choice["type"]?.stringValue {
        case "auto": tool = tools.first
        case "any":
            tool = tools.first
            mustCall = true
        case "tool":
            guard let name = choice["name"]?.stringValue, tools.contains(name) else {
                throw MessagesRefusal("Tool '\(choice["name"]?.stringValue ?? "")' not found in provided tools")
            }
            tool = name
            mustCall = true
        case "none": tool = nil
        default: throw MessagesRefusal("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")
        }
    }

    private static func tools(_ value: JSONValue?) throws(MessagesRefusal) -> [String] {
        guard let value else { return [] }
        guard case .array(let tools) = value else { throw MessagesRefusal("tools: Input should be a valid list") }
        var names: [String] = []
        for (index, tool) in tools.enumerated() {
            guard let name = tool["name"]?.stringValue else { throw MessagesRefusal("tools.\(index).name: Field required") }
            // Tools of the provider's own have a dated type and no schema.
            if let type = tool["type"]?.stringValue, type != "custom" {
                guard type.hasSuffix(String(type.suffix(8))), type.contains("_20") else {
                    throw MessagesRefusal("tools.\(index): Input tag '\(type)' found using 'type' does not match any of the expected tags")
                }
                continue
            }
            let isName =
                (1...128).contains(name.utf8.count)
                && name.utf8.allSatisfy { byte in
                    (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || byte == 0x5F
                        || byte == 0x2D
                }
            guard isName else { throw MessagesRefusal("tools.\(index).custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'") }
            guard let schema = tool["input_schema"] else { throw MessagesRefusal("tools.\(index).custom.input_schema: Field required") }
            guard schema["type"]?.stringValue == "object" else {
                throw MessagesRefusal("tools.\(index).custom.input_schema.type: Input should be 'object'")
            }
            let known: Set = [
                "name", "type", "description", "input_schema", "cache_control", "strict", "eager_input_streaming", "defer_loading",
                "allowed_callers", "input_examples",
            ]
            for member in tool.objectValue?.members ?? [] where !known.contains(member.name) {
                throw MessagesRefusal("tools.\(index).custom.\(member.name): Extra inputs are not permitted")
            }
            guard !names.contains(name) else { throw MessagesRefusal("tools: Tool names must be unique.") }
            names.append(name)
        }
        return names
    }

    private static func cacheMarks(_ list: JSONValue?) -> Int { (list?.arrayValue ?? []).count { $0["cache_control"] != nil } }
}
