/// Reads what chat completions answer, as OpenAI, Azure, OpenRouter and the many servers after their pattern write it.
enum ChatAnswerReader {
    static func read(_ document: JSONView) throws(StreamError) -> Answer {
        guard let members = document.members.map({ Members($0) }), let choice = members["choices"]?.elements?.first,
            let message = choice["message"]?.members.map({ Members($0) })
        else { throw .unreadable }
        var answer = Answer()
        answer.id = members.text("id") ?? EscapedText()
        answer.model = members.text("model") ?? EscapedText()
        answer.created = members["created"]?.integer
        answer.tier = members.text("service_tier")
        var signed = false
        for block in self.signed(message["reasoning_details"]) {
            answer.blocks.append(block)
            signed = true
        }
        if !signed, let text = message.text("reasoning_content") ?? message.text("reasoning"), !text.isEmpty {
            answer.blocks.append(.reasoning(text))
        }
        if let text = text(message["content"]), !text.isEmpty {
            answer.blocks.append(.text(text, logprobs: choice["logprobs"]?["content"]))
        }
        if let refusal = message.text("refusal"), !refusal.isEmpty { answer.blocks.append(.refusal(refusal)) }
        for (index, call) in (message["tool_calls"]?.elements ?? []).enumerated() {
            answer.blocks.append(.call(try self.call(call, ChatCalls.id(call["id"]?.text, answer.id, index))))
        }
        if let call = message["function_call"], let name = call["name"]?.text {
            answer.blocks.append(
                .call(.init(id: ChatCalls.id(nil, answer.id, 0), name: name, input: .text(ChatCalls.arguments(call) ?? EscapedText()))))
        }
        var end = try end(choice)
        // It is whole: an empty reason is none that is told.
        if end == nil, choice["finish_reason"]?.text?.isEmpty == true { end = .stop }
        guard let end = end?.following(hasCalls: answer.hasCalls) else { throw .unreadable }
        answer.end = end
        answer.usage = Reading.usage(members["usage"] ?? choice["usage"])
        return answer
    }

    private static func call(_ call: JSONView, _ id: EscapedText) throws(StreamError) -> Conversation.Call {
        guard let function = call["function"], let name = function["name"]?.text else { throw .unreadable }
        return .init(id: id, name: name, input: .text(ChatCalls.arguments(function) ?? EscapedText()))
    }

    /// A string, or the texts of parts, as some servers have it.
    static func text(_ content: JSONView?) -> EscapedText? {
        guard let content else { return nil }
        if let text = content.text { return text }
        return Reading.joined(content.elements?.compactMap { $0["text"]?.text } ?? [])
    }

    /// Reasoning that Anthropic signed, which came through another gateway.
    private static func signed(_ details: JSONView?) -> [Answer.Block] {
        (details?.elements ?? []).compactMap { element in
            guard let members = element.members.map({ Members($0) }), ReasoningDetails.isAnthropic(members) else { return nil }
            if let data = members.text("data"), members.word("type") == "reasoning.encrypted" { return .redactedThinking(data) }
            guard let signature = members.text("signature"), !signature.isEmpty else { return nil }
            return .thinking(members.text("text") ?? EscapedText(), signature: signature)
        }
    }

    /// Why a choice ended; nil while it has not.
    static func end(_ choice: JSONView) throws(StreamError) -> Answer.End? {
        switch choice["finish_reason"]?.text?.string {
        // Some servers write an empty text where others write null.
        case nil, "": return nil
        case "stop":
            // vLLM's name for the sequence that was met.
            if let text = choice["stop_reason"]?.text { return .stopSequence(text) }
            return .stop
        case "length": return choice["native_finish_reason"]?.text?.string == "model_context_window_exceeded" ? .contextWindow : .length
        case "tool_calls", "function_call": return .calls
        case "content_filter", "safety": return .filtered(nil)
        // Mistral's name for a full window, DeepSeek's for an answer that was broken off, and Anthropic's words from layers above it.
        case "model_length", "model_context_window_exceeded": return .contextWindow
        case "insufficient_system_resource", "max_tokens": return .length
        case "tool_use": return .calls
        case "refusal": return .filtered(nil)
        case "error": throw StreamError(.server, "The provider reported an error.")
        default: return .stop
        }
    }
}

enum ChatCalls {
    /// The id of a call; one of our own where the provider gave none.
    static func id(_ given: EscapedText?, _ answer: EscapedText, _ index: Int) -> EscapedText {
        if let given, !given.isEmpty { return given }
        return EscapedText("call_" + PortableName.digest(answer.bytes + Array("/\(index)".utf8), count: 24))
    }

    /// Arguments are a text; some servers write the object itself.
    static func arguments(_ function: JSONView) -> EscapedText? {
        guard let arguments = function["arguments"] else { return nil }
        return arguments.text ?? (arguments.kind == .object ? EscapedText(plain: arguments.bytes) : nil)
    }
}
