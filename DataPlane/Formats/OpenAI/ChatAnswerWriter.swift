/// Writes what chat completions answer (openai-openapi, `CreateChatCompletionResponse`).
enum ChatAnswerWriter {
    static func write(_ answer: Answer, createdSeconds: Int64) -> [UInt8] {
        var output = JSONOutput(reserving: 1024)
        output.object { output in
            output.member("id", answer.id)
            output.member("object", "chat.completion")
            output.member("created", answer.created ?? createdSeconds)
            output.member("model", answer.model)
            output.array("choices") { output in
                output.object { output in
                    output.member("index", 0)
                    output.object("message") { write(message: answer, to: &$0) }
                    writeLogprobs(answer, to: &output)
                    writeEnd(answer.end, to: &output)
                }
            }
            if let usage = answer.usage { output.object("usage") { ChatUsage.write(usage, to: &$0) } }
            if let tier = answer.tier { output.member("service_tier", tier) }
        }
        return output.bytes
    }

    private static func write(message answer: Answer, to output: inout JSONOutput) {
        var texts: [EscapedText] = []
        var refusals: [EscapedText] = []
        var reasoning: [EscapedText] = []
        for block in answer.blocks {
            switch block {
            case .text(let text, _): texts.append(text)
            case .refusal(let text): refusals.append(text)
            case .thinking(let text, _), .reasoning(let text): reasoning.append(text)
            case .redactedThinking, .call: break
            }
        }
        if case .filtered(let words?) = answer.end, refusals.isEmpty { refusals.append(words) }
        output.member("role", "assistant")
        output.member("content", orNull: texts.isEmpty ? nil : Reading.joined(texts))
        output.member("refusal", orNull: refusals.isEmpty ? nil : Reading.joined(refusals))
        if reasoning.contains(where: { !$0.isEmpty }) { output.member("reasoning_content", Reading.joined(reasoning, by: "\n")) }
        writeDetails(answer, to: &output)
        guard answer.hasCalls else { return }
        output.array("tool_calls") { output in
            for case .call(let call) in answer.blocks {
                output.object { output in
                    output.member("id", call.id)
                    output.member("type", "function")
                    output.object("function") { output in
                        output.member("name", call.name)
                        output.member("arguments", call.input.text)
                    }
                }
            }
        }
    }

    private static func writeDetails(_ answer: Answer, to output: inout JSONOutput) {
        let isSigned = answer.blocks.contains {
            switch $0 {
            case .thinking, .redactedThinking: true
            default: false
            }
        }
        guard isSigned else { return }
        output.array("reasoning_details") { output in
            var index = 0
            for block in answer.blocks {
                switch block {
                case .thinking(let text, let signature): ReasoningDetails.write(text, signature: signature, index: index, to: &output)
                case .redactedThinking(let data): ReasoningDetails.write(redacted: data, index: index, to: &output)
                default: continue
                }
                index += 1
            }
        }
    }

    private static func writeLogprobs(_ answer: Answer, to output: inout JSONOutput) {
        var lists: [JSONView] = []
        for case .text(_, let list?) in answer.blocks { lists.append(list) }
        guard !lists.isEmpty else { return output.null("logprobs") }
        output.object("logprobs") { output in
            output.array("content") { output in
                for list in lists { for element in list.elements ?? [] { output.value(element) } }
            }
            output.null("refusal")
        }
    }

    static func writeEnd(_ end: Answer.End, to output: inout JSONOutput) {
        switch end {
        case .stop, .stopSequence: output.member("finish_reason", "stop")
        case .length: output.member("finish_reason", "length")
        case .calls: output.member("finish_reason", "tool_calls")
        case .filtered: output.member("finish_reason", "content_filter")
        // As OpenRouter tells what the common words hide.
        case .contextWindow:
            output.member("finish_reason", "length")
            output.member("native_finish_reason", "model_context_window_exceeded")
        case .paused:
            output.member("finish_reason", "stop")
            output.member("native_finish_reason", "pause_turn")
        }
    }
}

enum ChatUsage {
    /// The members of `usage`: cached input stands inside the prompt's count.
    static func write(_ usage: AnswerUsage, to output: inout JSONOutput) {
        output.member("prompt_tokens", usage.input)
        output.member("completion_tokens", usage.output)
        output.member("total_tokens", usage.total)
        output.object("prompt_tokens_details") { output in
            output.member("cached_tokens", usage.cachedInput)
            output.member("cache_write_tokens", usage.cacheWrite)
        }
        output.object("completion_tokens_details") { $0.member("reasoning_tokens", usage.reasoning) }
    }
}
