/// Reads what the Messages API answers (anthropic-sdk-python, `Message`).
enum MessagesAnswerReader {
    static func read(_ document: JSONView) throws(StreamError) -> Answer {
        guard let members = document.members.map({ Members($0) }), let content = members["content"]?.elements else { throw .unreadable }
        var answer = Answer()
        answer.id = members.text("id") ?? EscapedText()
        answer.model = members.text("model") ?? EscapedText()
        for block in content {
            guard let block = block.members.map({ Members($0) }) else { throw .unreadable }
            switch block.word("type") {
            case "text": answer.blocks.append(.text(block.text("text") ?? EscapedText(), logprobs: nil))
            case "thinking":
                answer.blocks.append(
                    .thinking(block.text("thinking") ?? EscapedText(), signature: block.text("signature") ?? EscapedText()))
            case "redacted_thinking": answer.blocks.append(.redactedThinking(block.text("data") ?? EscapedText()))
            case "tool_use":
                guard let id = block.text("id"), let name = block.text("name") else { throw .unreadable }
                answer.blocks.append(.call(.init(id: id, name: name, input: block["input"].map { .object($0) } ?? .text(EscapedText()))))
            // Hosted tools are never asked for; citations of what we sent have no equal.
            default: break
            }
        }
        answer.end = end(members).following(hasCalls: answer.hasCalls)
        answer.usage = members["usage"].map { MessagesUsage.merge($0, into: nil) }
        return answer
    }

    static func end(_ members: Members) -> Answer.End {
        switch members.word("stop_reason") {
        case "max_tokens": .length
        case "stop_sequence": .stopSequence(members.text("stop_sequence"))
        case "tool_use": .calls
        case "refusal": .filtered(members["stop_details"]?["explanation"]?.text)
        case "model_context_window_exceeded": .contextWindow
        case "pause_turn": .paused
        default: .stop
        }
    }
}

/// Anthropic's counts: cached input stands outside `input_tokens`, and those in deltas are totals.
enum MessagesUsage {
    /// Each member that is given takes the place of what was known.
    static func merge(_ view: JSONView, into known: AnswerUsage?) -> AnswerUsage {
        var usage = known ?? AnswerUsage()
        guard let members = view.members.map({ Members($0) }) else { return usage }
        func count(_ value: JSONView?) -> Int64? { value?.integer.map { min(max(0, $0), UsageReading.cap) } }
        var plain = usage.uncachedInput
        if let value = count(members["input_tokens"]) { plain = value }
        if let value = count(members["cache_creation_input_tokens"]) { usage.cacheWrite = value }
        if let value = count(members["cache_read_input_tokens"]) { usage.cachedInput = value }
        if let value = count(members["cache_creation"]?["ephemeral_1h_input_tokens"]) { usage.cacheWriteHour = value }
        if let value = count(members["output_tokens"]) { usage.output = value }
        if let value = count(members["output_tokens_details"]?["thinking_tokens"]) { usage.reasoning = min(value, usage.output) }
        usage.input = plain + usage.cachedInput + usage.cacheWrite
        return usage
    }

    static func write(_ usage: AnswerUsage?, to output: inout JSONOutput) {
        let usage = usage ?? AnswerUsage()
        output.object("usage") { output in
            output.member("input_tokens", usage.uncachedInput)
            output.member("cache_creation_input_tokens", usage.cacheWrite)
            output.member("cache_read_input_tokens", usage.cachedInput)
            output.member("output_tokens", usage.output)
            if usage.reasoning > 0 { output.object("output_tokens_details") { $0.member("thinking_tokens", usage.reasoning) } }
        }
    }
}
