/// Writes the messages of a conversation as chat completions have them: results of calls one by one, instructions as messages.
struct ChatMessages {
    private let conversation: Conversation
    private let options: TranslationOptions
    private let source: Dialect

    init(_ conversation: Conversation, _ options: TranslationOptions, _ source: Dialect) {
        self.conversation = conversation
        self.options = options
        self.source = source
    }

    func write(_ names: inout ToolNames) throws(TranslationRefusal) -> [UInt8] {
        var output = JSONOutput(reserving: 4096)
        let system = conversation.system.filter { !$0.text.isEmpty }
        if !system.isEmpty { writeSystem(system, to: &output) }
        var turns = conversation.turns[...]
        while let turn = turns.first {
            if turn.role == .assistant {
                writeAssistant(turn, &names, to: &output)
                turns.removeFirst()
            } else {
                let end = turns.firstIndex { $0.role == .assistant } ?? turns.endIndex
                try writeReplies(turns[..<end], to: &output)
                turns = turns[end...]
            }
        }
        guard !output.bytes.isEmpty else {
            let name = source == .responses ? "input" : "messages"
            throw TranslationRefusal(name, "'\(name)' must hold at least one message with content.")
        }
        return [UInt8(ascii: "[")] + output.bytes + [UInt8(ascii: "]")]
    }

    private func writeSystem(_ texts: [Conversation.SystemText], to output: inout JSONOutput) {
        output.object { output in
            output.member("role", "system")
            if options.isOpenRouter, texts.contains(where: { $0.cache != nil }) {
                output.array("content") { output in
                    for text in texts { write(text: text.text, cache: text.cache, to: &output) }
                }
            } else {
                output.member("content", Reading.joined(texts.map(\.text), by: "\n\n"))
            }
        }
    }

    // MARK: Users and results

    /// What is said between two turns of the model. Results answer the calls of the message before: nothing may come between these, however
    /// their items are spread. What they hold beside text follows as the user's.
    private func writeReplies(_ turns: ArraySlice<Conversation.Turn>, to output: inout JSONOutput) throws(TranslationRefusal) {
        let beside = turns.map { writeResults($0, to: &output) }
        for (turn, media) in zip(turns, beside) {
            switch turn.role {
            case .system:
                let texts = turn.parts.compactMap { part -> Conversation.SystemText? in
                    if case .text(let text) = part.content, !text.isEmpty { .init(text: text, cache: part.cache) } else { nil }
                }
                if !texts.isEmpty { writeSystem(texts, to: &output) }
            case .user, .assistant: try writeUser(turn, media, to: &output)
            }
        }
    }

    /// - Returns: what the results hold beside text.
    private func writeResults(_ turn: Conversation.Turn, to output: inout JSONOutput) -> [Conversation.Part] {
        var parts: [Conversation.Part] = []
        for part in turn.parts {
            guard case .result(let result) = part.content else { continue }
            var texts: [EscapedText] = []
            for inner in result.parts {
                if case .text(let text) = inner.content { texts.append(text) } else { parts.append(inner) }
            }
            if result.isError { texts.insert(EscapedText("Error:"), at: 0) }
            output.object { output in
                output.member("role", "tool")
                output.member("tool_call_id", PortableName.callID(forChat: result.id))
                let text = Reading.joined(texts.isEmpty ? [EscapedText()] : texts, by: "\n")
                // An agent's mark stands on its last results: without it each turn would be read anew.
                if options.isOpenRouter, let cache = part.cache ?? result.parts.last?.cache {
                    output.array("content") { write(text: text, cache: cache, to: &$0) }
                } else {
                    output.member("content", text)
                }
            }
        }
        return parts
    }

    private func writeUser(
        _ turn: Conversation.Turn, _ media: [Conversation.Part], to output: inout JSONOutput
    ) throws(TranslationRefusal) {
        let parts =
            media
            + turn.parts.filter {
                switch $0.content {
                case .result: false
                case .text(let text): !text.isEmpty
                default: true
                }
            }
        guard !parts.isEmpty else { return }
        if parts.count == 1, case .text(let text) = parts[0].content, parts[0].cache == nil || !options.isOpenRouter {
            output.object { output in
                output.member("role", "user")
                output.member("content", text)
            }
            return
        }
        var content = JSONOutput()
        for part in parts { try write(part, to: &content) }
        output.object { output in
            output.member("role", "user")
            output.member("content", json: [UInt8(ascii: "[")] + content.bytes + [UInt8(ascii: "]")])
        }
    }

    private func write(text: EscapedText, cache: JSONView?, to output: inout JSONOutput) {
        output.object { output in
            output.member("type", "text")
            output.member("text", text)
            if options.isOpenRouter, let cache { output.member("cache_control", cache) }
        }
    }

    private func write(_ part: Conversation.Part, to output: inout JSONOutput) throws(TranslationRefusal) {
        switch part.content {
        case .text(let text), .refusal(let text): write(text: text, cache: part.cache, to: &output)
        case .image(let media, let detail):
            guard let url = Self.url(media) else {
                throw .unsupported(source == .responses ? "input_image.file_id" : "image.source", .openAI)
            }
            output.object { output in
                output.member("type", "image_url")
                output.object("image_url") { output in
                    output.member("url", url)
                    if let detail { output.member("detail", detail) }
                }
                if options.isOpenRouter, let cache = part.cache { output.member("cache_control", cache) }
            }
        case .file(let media, let name, let context):
            for text in media.heading(name, context) { write(text: text, cache: nil, to: &output) }
            if case .text(let text) = media { return write(text: text, cache: part.cache, to: &output) }
            if case .url = media { throw .unsupported(source == .responses ? "input_file.file_url" : "document.source", .openAI) }
            output.object { output in
                output.member("type", "file")
                output.object("file") { output in
                    if case .stored(let id) = media { output.member("file_id", id) }
                    if case .base64(let type, let data) = media {
                        output.member("filename", name ?? EscapedText("document.pdf"))
                        output.member("file_data", Reading.dataURL(type: type, data: data))
                    }
                }
            }
        case .call, .result, .thinking, .redactedThinking, .reasoning: break
        }
    }

    private static func url(_ media: Conversation.Media) -> EscapedText? {
        switch media {
        case .url(let url): url
        case .base64(let type, let data): Reading.dataURL(type: type, data: data)
        case .text, .stored: nil
        }
    }

    // MARK: The model

    private func writeAssistant(_ turn: Conversation.Turn, _ names: inout ToolNames, to output: inout JSONOutput) {
        var texts: [EscapedText] = []
        var refusals: [EscapedText] = []
        var reasoning: [EscapedText] = []
        var calls: [Conversation.Call] = []
        for part in turn.parts {
            switch part.content {
            case .text(let text): if !text.isEmpty { texts.append(text) }
            case .refusal(let text): refusals.append(text)
            case .reasoning(let text): reasoning.append(text)
            case .call(var call):
                call.name = names.name(call.name, limit: 64)
                calls.append(call)
            default: break
            }
        }
        let signed = options.isOpenRouter ? turn.parts.filter(\.isSigned) : []
        guard !(texts.isEmpty && refusals.isEmpty && calls.isEmpty && signed.isEmpty) else { return }
        output.object { output in
            output.member("role", "assistant")
            if texts.isEmpty { output.null("content") } else { output.member("content", Reading.joined(texts)) }
            if !refusals.isEmpty { output.member("refusal", Reading.joined(refusals)) }
            // Goes back only where it came from: providers that gave it want it again with their calls.
            if !reasoning.isEmpty { output.member("reasoning_content", Reading.joined(reasoning, by: "\n")) }
            if !signed.isEmpty {
                output.array("reasoning_details") { output in
                    for (index, part) in signed.enumerated() {
                        if case .thinking(let text, let signature) = part.content {
                            ReasoningDetails.write(text, signature: signature, index: index, to: &output)
                        }
                        if case .redactedThinking(let data) = part.content {
                            ReasoningDetails.write(redacted: data, index: index, to: &output)
                        }
                    }
                }
            }
            if !calls.isEmpty { write(calls, to: &output) }
        }
    }

    private func write(_ calls: [Conversation.Call], to output: inout JSONOutput) {
        output.array("tool_calls") { output in
            for call in calls {
                output.object { output in
                    output.member("id", PortableName.callID(forChat: call.id))
                    output.member("type", "function")
                    output.object("function") { output in
                        output.member("name", call.name)
                        output.member("arguments", call.isCustom ? CustomTools.arguments(call.input.custom) : call.input.text)
                    }
                }
            }
        }
    }
}

extension Conversation.Part {
    fileprivate var isSigned: Bool {
        switch content {
        case .thinking, .redactedThinking: true
        default: false
        }
    }
}
