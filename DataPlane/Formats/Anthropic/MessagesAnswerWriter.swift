/// Writes what the Messages API answers (anthropic-sdk-python, `Message`).
enum MessagesAnswerWriter {
    static func write(_ answer: Answer) -> [UInt8] {
        var output = JSONOutput(reserving: 1024)
        output.object { output in
            output.member("id", answer.id)
            output.member("type", "message")
            output.member("role", "assistant")
            output.member("model", answer.model)
            output.array("content") { output in
                for block in answer.blocks { write(block, to: &output) }
            }
            writeEnd(end(of: answer), to: &output)
            MessagesUsage.write(answer.usage, to: &output)
        }
        return output.bytes
    }

    /// A refusal is text here, and the end says what it is.
    private static func end(of answer: Answer) -> Answer.End {
        let refuses = answer.blocks.contains { if case .refusal = $0 { true } else { false } }
        if refuses, answer.end == .stop { return .filtered(nil) }
        return answer.end
    }

    private static func write(_ block: Answer.Block, to output: inout JSONOutput) {
        switch block {
        case .text(let text, _), .refusal(let text):
            guard !text.isEmpty else { return }
            output.object { output in
                output.member("type", "text")
                output.member("text", text)
            }
        case .thinking(let text, let signature):
            output.object { output in
                output.member("type", "thinking")
                output.member("thinking", text)
                output.member("signature", signature)
            }
        case .redactedThinking(let data):
            output.object { output in
                output.member("type", "redacted_thinking")
                output.member("data", data)
            }
        // Nobody signed it: Anthropic would refuse it when it comes back.
        case .reasoning: return
        case .call(let call):
            output.object { output in
                output.member("type", "tool_use")
                output.member("id", PortableName.callID(forMessages: call.id))
                output.member("name", call.name)
                output.member("input", json: call.input.object)
            }
        }
    }

    static func writeEnd(_ end: Answer.End, to output: inout JSONOutput) {
        switch end {
        case .stop: output.member("stop_reason", "end_turn")
        case .stopSequence: output.member("stop_reason", "stop_sequence")
        case .length: output.member("stop_reason", "max_tokens")
        case .contextWindow: output.member("stop_reason", "model_context_window_exceeded")
        case .calls: output.member("stop_reason", "tool_use")
        case .filtered: output.member("stop_reason", "refusal")
        case .paused: output.member("stop_reason", "pause_turn")
        }
        if case .stopSequence(let text?) = end { output.member("stop_sequence", text) } else { output.null("stop_sequence") }
    }
}
