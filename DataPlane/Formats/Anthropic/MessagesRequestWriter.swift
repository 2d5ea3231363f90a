/// Writes a Messages request (anthropic-sdk-python, `MessageCreateParams`) from one in another dialect.
struct MessagesRequestWriter {
    private let conversation: Conversation
    private let options: TranslationOptions
    private let model: ClaudeModel
    /// The dialect in which its caller wrote, whose names refusals use.
    private let source: Dialect

    init(_ conversation: Conversation, _ options: TranslationOptions, from source: Dialect) {
        self.conversation = conversation
        self.options = options
        self.source = source
        model = ClaudeModel(options.model)
    }

    func write(_ names: inout ToolNames) throws(TranslationRefusal) -> [UInt8] {
        let turns = try MessagesTurns.arrange(conversation, from: source)
        // Messages demands one.
        let maxTokens = conversation.maxTokens ?? max(1, options.outputBound)
        let thinking = thinking(maxTokens, turns.turns)
        let tools = try offeredTools
        for tool in tools where tool.isCustom { names.isCustom(tool.name) }
        for stop in conversation.stops where stop.isBlank {
            throw TranslationRefusal("stop", "Anthropic's models take no stop sequences of white space alone ('stop').")
        }
        var output = JSONOutput(reserving: 4096)
        output.object { output in
            output.member("model", EscapedText(options.model))
            output.member("max_tokens", maxTokens)
            writeSystem(turns.system, to: &output)
            if !tools.isEmpty {
                output.array("tools") { output in
                    for tool in tools { write(tool, to: &output) }
                }
            }
            writeToolChoice(hasTools: !tools.isEmpty, to: &output)
            output.array("messages") { output in
                for turn in turns.turns { MessagesContent.write(turn, to: &output) }
            }
            if let json = thinking?.json { output.member("thinking", json: json) }
            writeOutputConfig(thinking, to: &output)
            if !conversation.stops.isEmpty {
                output.array("stop_sequences") { output in
                    for stop in conversation.stops { output.value(stop) }
                }
            }
            writeSampling(isThinking: thinking?.isOn ?? false, to: &output)
            if let user = conversation.user {
                output.object("metadata") { $0.member("user_id", PortableName.user(user, limit: 256)) }
            }
            if conversation.tier?.string == "default" { output.member("service_tier", "standard_only") }
            if conversation.isStreaming { output.member("stream", true) }
        }
        return output.bytes
    }

    // MARK: Instructions

    /// What the answer must look like, where the provider cannot be bound to it.
    private var formInstruction: EscapedText? {
        switch conversation.format {
        case .text: return nil
        case .json:
            return EscapedText("Answer with one valid JSON object and nothing else: no explanation, no Markdown.")
        case .schema(let schema, _, _, _):
            if isBoundToSchema { return nil }
            var text = EscapedText(
                "Answer with one JSON value that is valid against this JSON Schema and nothing else: no explanation, no Markdown.\n")
            text.append(EscapedText(plain: schema.bytes))
            return text
        }
    }

    private var isBoundToSchema: Bool {
        guard case .schema(let schema, _, _, let strict) = conversation.format else { return false }
        return strict && model.takesSchemas && ClaudeModel.takes(schema)
    }

    private func writeSystem(_ texts: [Conversation.SystemText], to output: inout JSONOutput) {
        var texts = texts.filter { !$0.text.isBlank }
        if let instruction = formInstruction { texts.append(.init(text: instruction)) }
        guard !texts.isEmpty else { return }
        output.array("system") { output in
            for text in texts {
                output.object { output in
                    output.member("type", "text")
                    output.member("text", text.text)
                    if let cache = text.cache { output.member("cache_control", cache) }
                }
            }
        }
    }

    private func writeOutputConfig(_ thinking: WrittenThinking?, to output: inout JSONOutput) {
        let effort = model.thinksByBudget ? nil : thinking?.effort
        guard effort != nil || isBoundToSchema else { return }
        output.object("output_config") { output in
            if let effort { output.member("effort", effort) }
            if isBoundToSchema, case .schema(let schema, _, _, _) = conversation.format {
                output.object("format") { output in
                    output.member("type", "json_schema")
                    output.member("schema", schema)
                }
            }
        }
    }

    // MARK: Tools

    private var offeredTools: [Conversation.Tool] {
        get throws(TranslationRefusal) {
            guard case .allowed(let names, _) = conversation.toolChoice else { return conversation.tools }
            let allowed = Set(names.map(\.string))
            let offered = conversation.tools.filter { allowed.contains($0.name.string) }
            guard !offered.isEmpty, allowed.isSubset(of: offered.map(\.name.string)) else {
                throw TranslationRefusal("tool_choice", "'tool_choice' allows tools that are not among 'tools'.")
            }
            return offered
        }
    }

    private func write(_ tool: Conversation.Tool, to output: inout JSONOutput) {
        output.object { output in
            output.member("name", tool.name)
            if let description = CustomTools.description(of: tool) { output.member("description", description) }
            if tool.isCustom {
                output.member("input_schema", json: CustomTools.schema.utf8)
            } else if let schema = tool.schema, schema.kind == .object {
                output.member("input_schema", json: withType(schema))
            } else {
                output.member("input_schema", json: #"{"type":"object","properties":{}}"#.utf8)
            }
            if tool.strict == true, model.takesSchemas, let schema = tool.schema, ClaudeModel.takes(schema) {
                output.member("strict", true)
            }
            if let cache = tool.cache { output.member("cache_control", cache) }
        }
    }

    /// Anthropic demands `"type":"object"`, which OpenAI does not.
    private func withType(_ schema: JSONView) -> [UInt8] {
        if schema["type"] != nil { return Array(schema.bytes) }
        let rest = schema.bytes.dropFirst()
        let isEmpty = schema.members?.isEmpty ?? true
        return Array((isEmpty ? #"{"type":"object""# : #"{"type":"object","#).utf8) + rest
    }

    private func writeToolChoice(hasTools: Bool, to output: inout JSONOutput) {
        guard hasTools else { return }
        let oneOnly = conversation.allowsParallelCalls == false
        let choice = conversation.toolChoice
        if choice == nil, !oneOnly { return }
        output.object("tool_choice") { output in
            switch choice {
            case nil, .auto, .allowed(_, isRequired: false): output.member("type", "auto")
            case .forbidden: output.member("type", "none")
            case .required, .allowed(_, isRequired: true): output.member("type", "any")
            case .named(let name):
                output.member("type", "tool")
                output.member("name", name)
            }
            if oneOnly, !isNone(choice) { output.member("disable_parallel_tool_use", true) }
        }
    }

    private func isNone(_ choice: Conversation.ToolChoice?) -> Bool {
        if case .forbidden? = choice { true } else { false }
    }

    // MARK: Sampling and thinking

    private func writeSampling(isThinking: Bool, to output: inout JSONOutput) {
        // A model that thinks takes its own temperature, and neither a low top_p nor a top_k.
        guard !isThinking, model.sampling != .none else { return }
        if let temperature = conversation.temperature {
            if let value = temperature.double, value > 1 {
                output.member("temperature", 1)
            } else {
                output.member("temperature", temperature)
            }
        }
        let isOneOnly = model.sampling == .oneOfTemperatureAndTopP && conversation.temperature != nil
        if let topP = conversation.topP, topP.double != 1, !isOneOnly { output.member("top_p", topP) }
        if let topK = conversation.topK { output.member("top_k", topK) }
    }

    private struct WrittenThinking {
        /// Nil: nothing is said of it.
        var json: [UInt8]?
        var isOn: Bool
        var effort: EscapedText?
    }

    /// Whether and how to think. A tool that must be called leaves no room for it, and neither does a small bound; a model that thinks by
    /// budget cannot go on from a turn with calls whose thinking is gone.
    private func thinking(_ maxTokens: Int64, _ turns: [Conversation.Turn]) -> WrittenThinking? {
        if case .written(let view) = conversation.thinking {
            let isOn = view["type"]?.text?.string != "disabled"
            if isOn, isForced || (view["budget_tokens"] != nil && !canGoOnThinking(turns)) { return nil }
            return WrittenThinking(json: Array(view.bytes), isOn: isOn, effort: conversation.effort.map(effort))
        }
        if case .off = conversation.thinking { return quiet }
        if conversation.effort?.string == "none" { return quiet }
        let effort = conversation.effort.map(effort)
        guard effort != nil || conversation.thinking != nil, !isForced else { return nil }
        guard model.thinksByBudget else {
            let isShown = conversation.showsThinking && model.hidesThinking
            let json = isShown ? #"{"type":"adaptive","display":"summarized"}"# : #"{"type":"adaptive"}"#
            return WrittenThinking(json: Array(json.utf8), isOn: true, effort: effort)
        }
        guard canGoOnThinking(turns) else { return nil }
        var budget = Self.budget(conversation.effort?.string ?? "medium", of: maxTokens)
        if case .budget(let tokens) = conversation.thinking { budget = tokens }
        budget = min(budget, maxTokens - 1)
        guard budget >= 1024 else { return nil }
        return WrittenThinking(json: Array(#"{"type":"enabled","budget_tokens":\#(budget)}"#.utf8), isOn: true, effort: nil)
    }

    private var isForced: Bool {
        guard !conversation.tools.isEmpty else { return false }
        switch conversation.toolChoice {
        case .required, .named, .allowed(_, isRequired: true): return true
        default: return false
        }
    }

    /// Whether the turn that is being answered, if it has calls, begins with the thinking that led to them.
    private func canGoOnThinking(_ turns: [Conversation.Turn]) -> Bool {
        guard let answered = turns.last(where: { $0.role == .assistant }) else { return true }
        guard case .result? = turns.last?.parts.first?.content else { return true }
        switch answered.parts.first?.content {
        case .thinking, .redactedThinking: return true
        default: return false
        }
    }

    private var quiet: WrittenThinking {
        switch model.quiet {
        case .unasked: WrittenThinking(json: nil, isOn: false, effort: nil)
        case .disabled: WrittenThinking(json: Array(#"{"type":"disabled"}"#.utf8), isOn: false, effort: nil)
        case .leastEffort: WrittenThinking(json: nil, isOn: true, effort: EscapedText("low"))
        }
    }

    private func effort(_ effort: EscapedText) -> EscapedText {
        switch effort.string {
        case "minimal", "low": EscapedText("low")
        case "xhigh": model.takesExtraHighEffort ? effort : EscapedText("max")
        case "medium", "high", "max": effort
        default: EscapedText("high")
        }
    }

    private static func budget(_ effort: String, of maxTokens: Int64) -> Int64 {
        let percent: Int64 =
            switch effort {
            case "minimal": 10
            case "low": 20
            case "high": 80
            case "xhigh", "max": 95
            default: 50
            }
        return min(max(1024, min(maxTokens, 1_000_000) * percent / 100), 32_000)
    }
}
