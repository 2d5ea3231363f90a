/// Writes a chat completions request from one in another dialect.
struct ChatRequestWriter {
    private let conversation: Conversation
    private let options: TranslationOptions
    private let source: Dialect

    /// OpenAI's bound on the name of a function.
    private static let nameLimit = 64

    init(_ conversation: Conversation, _ options: TranslationOptions, from source: Dialect) {
        self.conversation = conversation
        self.options = options
        self.source = source
    }

    func write(_ names: inout ToolNames) throws(TranslationRefusal) -> [UInt8] {
        let messages = try ChatMessages(conversation, options, source).write(&names)
        var tools = JSONOutput()
        for tool in conversation.tools { write(tool, &names, to: &tools) }
        var output = JSONOutput(reserving: 4096)
        output.object { output in
            output.member("model", EscapedText(options.model))
            output.member("messages", json: messages)
            if !conversation.tools.isEmpty {
                output.member("tools", json: [UInt8(ascii: "[")] + tools.bytes + [UInt8(ascii: "]")])
                writeToolChoice(&names, to: &output)
                if let parallel = conversation.allowsParallelCalls { output.member("parallel_tool_calls", parallel) }
            }
            if let name = options.boundName, let tokens = conversation.maxTokens ?? (options.writesBound ? options.outputBound : nil) {
                output.member(name, tokens)
            }
            if let temperature = conversation.temperature { output.member("temperature", temperature) }
            if let topP = conversation.topP { output.member("top_p", topP) }
            if !conversation.stops.isEmpty {
                output.array("stop") { output in
                    for stop in conversation.stops { output.value(stop) }
                }
            }
            writeFormat(to: &output)
            if let effort = Self.effort(conversation, options.model) { output.member("reasoning_effort", effort) }
            if conversation.logprobs {
                output.member("logprobs", true)
                if let top = conversation.topLogprobs { output.member("top_logprobs", top) }
            }
            if let user = conversation.user { output.member("user", PortableName.user(user, limit: 64)) }
            writeTier(to: &output)
            for (name, value) in conversation.shared { output.member(name, value) }
            if conversation.isStreaming {
                output.member("stream", true)
                if options.asksForUsage { output.object("stream_options") { $0.member("include_usage", true) } }
            }
        }
        return output.bytes
    }

    private func write(_ tool: Conversation.Tool, _ names: inout ToolNames, to output: inout JSONOutput) {
        let name = names.name(tool.name, limit: Self.nameLimit)
        if tool.isCustom { names.isCustom(name) }
        output.object { output in
            output.member("type", "function")
            output.object("function") { output in
                output.member("name", name)
                if let description = CustomTools.description(of: tool) { output.member("description", description) }
                if tool.isCustom {
                    output.member("parameters", json: CustomTools.schema.utf8)
                } else if let schema = tool.schema {
                    output.member("parameters", schema)
                }
                if tool.strict == true { output.member("strict", true) }
            }
        }
    }

    private func writeToolChoice(_ names: inout ToolNames, to output: inout JSONOutput) {
        switch conversation.toolChoice {
        case nil: break
        case .auto: output.member("tool_choice", "auto")
        case .forbidden: output.member("tool_choice", "none")
        case .required: output.member("tool_choice", "required")
        case .named(let name):
            let portable = names.name(name, limit: Self.nameLimit)
            output.object("tool_choice") { output in
                output.member("type", "function")
                output.object("function") { $0.member("name", portable) }
            }
        case .allowed(let allowed, let isRequired):
            let portable = allowed.map { names.name($0, limit: Self.nameLimit) }
            output.object("tool_choice") { output in
                output.member("type", "allowed_tools")
                output.object("allowed_tools") { output in
                    if isRequired { output.member("mode", "required") } else { output.member("mode", "auto") }
                    output.array("tools") { output in
                        for name in portable {
                            output.object { output in
                                output.member("type", "function")
                                output.object("function") { $0.member("name", name) }
                            }
                        }
                    }
                }
            }
        }
    }

    private func writeFormat(to output: inout JSONOutput) {
        switch conversation.format {
        case .text: break
        case .json: output.object("response_format") { $0.member("type", "json_object") }
        case .schema(let schema, let name, let description, let strict):
            output.object("response_format") { output in
                output.member("type", "json_schema")
                output.object("json_schema") { output in
                    output.member("name", name ?? EscapedText("answer"))
                    if let description { output.member("description", description) }
                    output.member("schema", schema)
                    if Self.isStrict(schema, strict, from: source) { output.member("strict", true) }
                }
            }
        }
    }

    /// Whether the model is to be bound to the schema. Anthropic binds its models to all that it takes, OpenAI only to those where each
    /// object is closed and each property required.
    static func isStrict(_ schema: JSONView, _ asked: Bool, from source: Dialect) -> Bool {
        asked && (source != .messages || StrictSchema.holds(schema, refusing: [], everyPropertyRequired: true))
    }

    /// How much to reason. OpenAI's models that do not reason refuse to be told.
    static func effort(_ conversation: Conversation, _ model: String) -> EscapedText? {
        if isNoReasoner(model) { return nil }
        // Who wants no thinking means by effort the rest of the answer.
        if case .off = conversation.thinking { return nil }
        if let effort = conversation.effort { return effort }
        switch conversation.thinking {
        case .budget(let tokens): return EscapedText(tokens < 4096 ? "low" : tokens < 16_384 ? "medium" : "high")
        case .off, .adaptive, .written, nil: return nil
        }
    }

    private static func isNoReasoner(_ model: String) -> Bool {
        let name = model.lowercased().split(separator: "/").last.map(String.init) ?? ""
        return name.hasPrefix("gpt-4") || name.hasPrefix("gpt-3") || name.hasPrefix("chatgpt-")
    }

    private func writeTier(to output: inout JSONOutput) {
        guard let tier = conversation.tier else { return }
        if source == .responses {
            output.member("service_tier", tier)
        } else if tier == "standard_only" {
            output.member("service_tier", "default")
        }
    }
}
