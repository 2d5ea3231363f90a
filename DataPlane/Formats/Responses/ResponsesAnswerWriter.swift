/// Writes what the Responses API answers (openai-openapi, `Response`).
enum ResponsesAnswerWriter {
    static func write(_ answer: Answer, _ echo: ResponsesEcho?, createdSeconds: Int64) -> [UInt8] {
        var response = ResponseObject(id: answer.id, model: answer.model, created: answer.created ?? createdSeconds, echo: echo)
        for block in answer.blocks { response.append(block) }
        if case .filtered(let words?) = answer.end { response.append(.refusal(words)) }
        response.usage = answer.usage
        return response.json(status(of: answer.end))
    }

    static func status(of end: Answer.End) -> ResponseObject.Status {
        switch end {
        case .stop, .stopSequence, .calls, .paused: .completed
        case .length, .contextWindow: .incomplete("max_output_tokens")
        case .filtered: .incomplete("content_filter")
        }
    }
}

/// A response as it grows: its items as they are so far, and what it repeats of the request.
struct ResponseObject: Sendable {
    enum Status: Sendable {
        case inProgress
        case completed
        case incomplete(StaticString)
        case failed(StreamError)
    }

    /// Names a response's items after it, each by its place.
    private let seed: EscapedText
    private let model: EscapedText
    private let created: Int64
    private let echo: ResponsesEcho?
    private(set) var items: [[UInt8]] = []
    var usage: AnswerUsage?

    init(id: EscapedText, model: EscapedText, created: Int64, echo: ResponsesEcho?) {
        seed = id
        self.model = model
        self.created = created
        self.echo = echo
    }

    func itemID(_ prefix: String, _ index: Int) -> EscapedText {
        EscapedText(prefix + PortableName.digest(Array(seed.bytes) + Array("/\(index)".utf8), count: 24))
    }

    mutating func append(_ block: Answer.Block) { set(ResponseItem(block, in: self, items.count).json(.completed), at: items.count) }

    mutating func set(_ item: [UInt8], at index: Int) {
        // Items of a stream may end in another order than they began.
        while items.count <= index { items.append([]) }
        items[index] = item
    }

    func json(_ status: Status) -> [UInt8] {
        var output = JSONOutput(reserving: 2048)
        output.object { write(status, to: &$0) }
        return output.bytes
    }

    private func write(_ status: Status, to output: inout JSONOutput) {
        // An answer that was a response before keeps its id.
        var id = EscapedText(seed.bytes.starts(with: "resp_".utf8) ? "" : "resp_")
        id.append(seed)
        output.member("id", id)
        output.member("object", "response")
        output.member("created_at", created)
        switch status {
        case .inProgress: output.member("status", "in_progress")
        case .completed: output.member("status", "completed")
        case .incomplete: output.member("status", "incomplete")
        case .failed: output.member("status", "failed")
        }
        output.member("background", false)
        if case .failed(let error) = status {
            output.object("error") { output in
                output.member("code", error.kind.responseCode)
                output.member("message", error.message)
            }
        } else {
            output.null("error")
        }
        if case .incomplete(let reason) = status {
            output.object("incomplete_details") { $0.member("reason", reason) }
        } else {
            output.null("incomplete_details")
        }
        repeated("instructions", "null", to: &output)
        repeated("max_output_tokens", "null", to: &output)
        output.member("model", model)
        output.array("output") { output in
            for item in items where !item.isEmpty { output.raw(item) }
        }
        repeated("parallel_tool_calls", "true", to: &output)
        output.null("previous_response_id")
        repeated("reasoning", #"{"effort":null,"summary":null}"#, to: &output)
        output.member("store", false)
        repeated("temperature", "1", to: &output)
        repeated("text", #"{"format":{"type":"text"}}"#, to: &output)
        repeated("tool_choice", #""auto""#, to: &output)
        repeated("tools", "[]", to: &output)
        repeated("top_p", "1", to: &output)
        repeated("truncation", #""disabled""#, to: &output)
        if let usage { Self.write(usage, to: &output) } else { output.null("usage") }
        repeated("user", "null", to: &output)
        repeated("metadata", "{}", to: &output)
    }

    private func repeated(_ name: StaticString, _ otherwise: String, to output: inout JSONOutput) {
        if let value = echo?[name] { output.member(name, value) } else { output.member(name, json: otherwise.utf8) }
    }

    private static func write(_ usage: AnswerUsage, to output: inout JSONOutput) {
        output.object("usage") { output in
            output.member("input_tokens", usage.input)
            output.object("input_tokens_details") { output in
                output.member("cached_tokens", usage.cachedInput)
                output.member("cache_write_tokens", usage.cacheWrite)
            }
            output.member("output_tokens", usage.output)
            output.object("output_tokens_details") { $0.member("reasoning_tokens", usage.reasoning) }
            output.member("total_tokens", usage.total)
        }
    }
}

/// An item of a response's output.
struct ResponseItem: Sendable {
    enum Progress { case inProgress, completed }

    var id: EscapedText
    var block: Answer.Block

    init(_ block: Answer.Block, in response: ResponseObject, _ index: Int) {
        self.block = block
        let prefix =
            switch block {
            case .text, .refusal: "msg_"
            case .thinking, .redactedThinking, .reasoning: "rs_"
            case .call(let call): call.isCustom ? "ctc_" : "fc_"
            }
        id = response.itemID(prefix, index)
    }

    func json(_ progress: Progress) -> [UInt8] {
        var output = JSONOutput()
        output.object { write(progress, to: &$0) }
        return output.bytes
    }

    private func write(_ progress: Progress, to output: inout JSONOutput) {
        output.member("id", id)
        switch block {
        case .text, .refusal:
            output.member("type", "message")
            writeStatus(progress, to: &output)
            output.member("role", "assistant")
            output.array("content") { output in
                if progress == .completed { output.raw(part) }
            }
        case .thinking(let text, let signature):
            output.member("type", "reasoning")
            writeSummary(progress == .completed ? text : EscapedText(), to: &output)
            if progress == .completed, !signature.isEmpty {
                output.member("encrypted_content", SignedReasoning.signature(signature).content)
            }
        case .redactedThinking(let data):
            output.member("type", "reasoning")
            writeSummary(EscapedText(), to: &output)
            output.member("encrypted_content", SignedReasoning.redacted(data).content)
        case .reasoning:
            output.member("type", "reasoning")
            writeSummary(EscapedText(), to: &output)
            output.array("content") { output in
                if progress == .completed { output.raw(part) }
            }
        case .call(let call):
            output.member("type", call.isCustom ? "custom_tool_call" : "function_call")
            writeStatus(progress, to: &output)
            output.member("call_id", call.id)
            output.member("name", call.name)
            if let namespace = call.namespace { output.member("namespace", namespace) }
            let input = progress == .inProgress ? EscapedText() : call.isCustom ? call.input.custom : call.input.text
            output.member(call.isCustom ? "input" : "arguments", input)
        }
    }

    /// The one part of a message's or of reasoning's content.
    var part: [UInt8] {
        var output = JSONOutput()
        output.object { output in
            switch block {
            case .text(let text, let logprobs):
                output.member("type", "output_text")
                output.member("text", text)
                output.array("annotations") { _ in }
                output.member("logprobs", json: logprobs?.bytes ?? Array("[]".utf8)[...])
            case .refusal(let text):
                output.member("type", "refusal")
                output.member("refusal", text)
            case .reasoning(let text):
                output.member("type", "reasoning_text")
                output.member("text", text)
            case .thinking(let text, _):
                output.member("type", "summary_text")
                output.member("text", text)
            case .redactedThinking, .call: break
            }
        }
        return output.bytes
    }

    private func writeSummary(_ text: EscapedText, to output: inout JSONOutput) {
        output.array("summary") { output in
            if !text.isEmpty { output.raw(part) }
        }
    }

    private func writeStatus(_ progress: Progress, to output: inout JSONOutput) {
        if progress == .completed { output.member("status", "completed") } else { output.member("status", "in_progress") }
    }
}
