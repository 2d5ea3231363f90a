/// Writes a request of the Responses API (openai-openapi, `CreateResponse`) from one in another dialect. Nothing is stored there.
struct ResponsesRequestWriter {
    private let conversation: Conversation
    private let options: TranslationOptions
    private let source: Dialect

    /// The least bound of an answer that Responses take. Agents ask for one token to see whether a model answers.
    private static let leastBound: Int64 = 16

    init(_ conversation: Conversation, _ options: TranslationOptions, from source: Dialect) {
        self.conversation = conversation
        self.options = options
        self.source = source
    }

    func write(_ names: inout ToolNames) throws(TranslationRefusal) -> [UInt8] {
        var items = JSONOutput(reserving: 4096)
        for turn in conversation.turns { try write(turn, &names, to: &items) }
        guard !items.bytes.isEmpty || !conversation.system.isEmpty else {
            throw TranslationRefusal("messages", "'messages' must hold at least one message with content.")
        }
        var tools = JSONOutput()
        for tool in conversation.tools { write(tool, &names, to: &tools) }
        var output = JSONOutput(reserving: 4096)
        output.object { output in
            output.member("model", EscapedText(options.model))
            let system = conversation.system.map(\.text).filter { !$0.isEmpty }
            if !system.isEmpty { output.member("instructions", Reading.joined(system, by: "\n\n")) }
            output.member("input", json: [UInt8(ascii: "[")] + items.bytes + [UInt8(ascii: "]")])
            if !conversation.tools.isEmpty {
                output.member("tools", json: [UInt8(ascii: "[")] + tools.bytes + [UInt8(ascii: "]")])
                writeToolChoice(&names, to: &output)
                if let parallel = conversation.allowsParallelCalls { output.member("parallel_tool_calls", parallel) }
            }
            if let name = options.boundName, let tokens = conversation.maxTokens ?? (options.writesBound ? options.outputBound : nil) {
                output.member(name, max(tokens, Self.leastBound))
            }
            if let temperature = conversation.temperature { output.member("temperature", temperature) }
            if let topP = conversation.topP { output.member("top_p", topP) }
            writeText(to: &output)
            if let effort = ChatRequestWriter.effort(conversation, options.model) {
                output.object("reasoning") { $0.member("effort", effort) }
            }
            if conversation.logprobs { output.array("include") { $0.value(EscapedText("message.output_text.logprobs")) } }
            if conversation.logprobs, let top = conversation.topLogprobs { output.member("top_logprobs", top) }
            if let user = conversation.user { output.member("safety_identifier", PortableName.user(user, limit: 64)) }
            if let tier = conversation.tier {
                if source == .openAI { output.member("service_tier", tier) }
                if tier == "standard_only" { output.member("service_tier", "default") }
            }
            for (name, value) in conversation.shared where "\(name)" != "verbosity" { output.member(name, value) }
            output.member("store", false)
            if conversation.isStreaming { output.member("stream", true) }
        }
        return output.bytes
    }

    // MARK: Items

    private func write(
        _ turn: Conversation.Turn, _ names: inout ToolNames, to items: inout JSONOutput
    ) throws(TranslationRefusal) {
        var message: [Conversation.Part] = []
        // Results come before what else the user says; what the model says comes before its calls.
        for part in turn.parts {
            switch part.content {
            case .result(let result): try write(result, to: &items)
            case .text(let text): if !text.isEmpty { message.append(part) }
            case .image, .file, .refusal: message.append(part)
            case .call, .thinking, .redactedThinking, .reasoning: break
            }
        }
        if !message.isEmpty {
            var content = JSONOutput()
            for part in message { try write(part, turn.role, to: &content) }
            items.object { output in
                output.member("type", "message")
                switch turn.role {
                case .user: output.member("role", "user")
                case .assistant: output.member("role", "assistant")
                case .system: output.member("role", "developer")
                }
                output.member("content", json: [UInt8(ascii: "[")] + content.bytes + [UInt8(ascii: "]")])
            }
        }
        for part in turn.parts {
            guard case .call(let call) = part.content else { continue }
            let name = names.name(call.name, limit: 64)
            items.object { output in
                output.member("type", "function_call")
                output.member("call_id", PortableName.callID(forMessages: call.id))
                output.member("name", name)
                output.member("arguments", call.input.text)
            }
        }
    }

    private func write(_ result: Conversation.Result, to items: inout JSONOutput) throws(TranslationRefusal) {
        var parts = result.parts
        if result.isError { parts.insert(.init(.text(EscapedText("Error:"))), at: 0) }
        let isText = parts.allSatisfy { if case .text = $0.content { true } else { false } }
        var content = JSONOutput()
        if !isText { for part in parts { try write(part, .user, to: &content) } }
        items.object { output in
            output.member("type", "function_call_output")
            output.member("call_id", PortableName.callID(forMessages: result.id))
            if isText {
                let texts = parts.compactMap { part -> EscapedText? in if case .text(let text) = part.content { text } else { nil } }
                output.member("output", Reading.joined(texts, by: "\n"))
            } else {
                output.member("output", json: [UInt8(ascii: "[")] + content.bytes + [UInt8(ascii: "]")])
            }
        }
    }

    private func write(
        _ part: Conversation.Part, _ role: Conversation.Role, to output: inout JSONOutput
    ) throws(TranslationRefusal) {
        if case .image(.text, _) = part.content { throw .unsupported("image.source", .responses) }
        if case .file(let media, let name, let context) = part.content {
            for text in media.heading(name, context) { try write(.init(.text(text)), role, to: &output) }
        }
        output.object { output in
            switch part.content {
            case .text(let text):
                output.member("type", role == .assistant ? "output_text" : "input_text")
                output.member("text", text)
            case .refusal(let text):
                output.member("type", "refusal")
                output.member("refusal", text)
            case .image(let media, let detail):
                output.member("type", "input_image")
                switch media {
                case .url(let url): output.member("image_url", url)
                case .base64(let type, let data): output.member("image_url", Reading.dataURL(type: type, data: data))
                case .stored(let id): output.member("file_id", id)
                case .text: break
                }
                output.member("detail", detail ?? EscapedText("auto"))
            case .file(let media, let name, _):
                if case .text(let text) = media {
                    output.member("type", "input_text")
                    output.member("text", text)
                    return
                }
                output.member("type", "input_file")
                switch media {
                case .url(let url): output.member("file_url", url)
                case .base64(let type, let data):
                    output.member("filename", name ?? EscapedText("document.pdf"))
                    output.member("file_data", Reading.dataURL(type: type, data: data))
                case .stored(let id): output.member("file_id", id)
                case .text: break
                }
            case .call, .result, .thinking, .redactedThinking, .reasoning: break
            }
        }
    }

    // MARK: Tools and forms

    private func write(_ tool: Conversation.Tool, _ names: inout ToolNames, to output: inout JSONOutput) {
        let name = names.name(tool.name, limit: 64)
        output.object { output in
            output.member("type", "function")
            output.member("name", name)
            if let description = tool.description { output.member("description", description) }
            if let schema = tool.schema { output.member("parameters", schema) } else { output.null("parameters") }
            // Responses bind their models to the schema where nothing is said.
            output.member("strict", tool.strict ?? false)
        }
    }

    private func writeToolChoice(_ names: inout ToolNames, to output: inout JSONOutput) {
        switch conversation.toolChoice {
        case nil: break
        case .auto: output.member("tool_choice", "auto")
        case .forbidden: output.member("tool_choice", "none")
        case .required: output.member("tool_choice", "required")
        case .named(let name):
            let portable = names.name(name, limit: 64)
            output.object("tool_choice") { output in
                output.member("type", "function")
                output.member("name", portable)
            }
        case .allowed(let allowed, let isRequired):
            let portable = allowed.map { names.name($0, limit: 64) }
            output.object("tool_choice") { output in
                output.member("type", "allowed_tools")
                output.member("mode", isRequired ? "required" : "auto")
                output.array("tools") { output in
                    for name in portable {
                        output.object { output in
                            output.member("type", "function")
                            output.member("name", name)
                        }
                    }
                }
            }
        }
    }

    private func writeText(to output: inout JSONOutput) {
        let verbosity = conversation.shared.first { "\($0.name)" == "verbosity" }?.value
        if case .text = conversation.format, verbosity == nil { return }
        output.object("text") { output in
            switch conversation.format {
            case .text: break
            case .json: output.object("format") { $0.member("type", "json_object") }
            case .schema(let schema, let name, let description, let strict):
                output.object("format") { output in
                    output.member("type", "json_schema")
                    output.member("name", name ?? EscapedText("answer"))
                    if let description { output.member("description", description) }
                    output.member("schema", schema)
                    output.member("strict", ChatRequestWriter.isStrict(schema, strict, from: source))
                }
            }
            if let verbosity { output.member("verbosity", verbosity) }
        }
    }
}
