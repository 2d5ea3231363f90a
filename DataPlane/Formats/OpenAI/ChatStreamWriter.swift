/// Writes a stream of chat completions (openai-openapi, `CreateChatCompletionStreamResponse`). OpenAI's helpers join what comes twice, so
/// ids, names, roles and formats come once.
struct ChatStreamWriter: Sendable {
    private let createdSeconds: Int64
    private let wantsUsage: Bool

    private enum Open {
        case text, refusal
        case thinking(detail: Int, isSigned: Bool)
        case call(index: Int64, hasArguments: Bool)
    }

    private var open: [Int: Open] = [:]
    /// What stands before and behind each delta.
    private var prefix: [UInt8] = []
    private var suffix: [UInt8] = []
    private var head: [UInt8] = []
    private var calls: Int64 = 0
    private var details = 0
    private var usage: AnswerUsage?

    init(createdSeconds: Int64, wantsUsage: Bool) {
        self.createdSeconds = createdSeconds
        self.wantsUsage = wantsUsage
    }

    mutating func write(_ event: AnswerEvent, to output: inout EventWriter) {
        switch event {
        case .start(let id, let model, let created): start(id, model, created ?? createdSeconds, to: &output)
        case .blockStart(let key, let kind): start(key, kind, to: &output)
        case .text(_, let text, let logprobs): write(text, logprobs, to: &output)
        case .delta(let key, let piece): delta(key, piece, to: &output)
        case .signature(let key, let signature): sign(key, signature, to: &output)
        case .blockStop(let key): stop(key, to: &output)
        case .usage(let usage): self.usage = usage
        case .end(let end): finish(end, to: &output)
        case .tier: break
        case .ping: output.comment()
        case .error(let error): output.data(ChatErrors.body(error))
        case .done: output.bytes.append(contentsOf: "data: [DONE]\n\n".utf8)
        }
    }

    private mutating func start(_ id: EscapedText, _ model: EscapedText, _ created: Int64, to output: inout EventWriter) {
        var head = JSONOutput()
        head.object { head in
            head.member("id", id)
            head.member("object", "chat.completion.chunk")
            head.member("created", created)
            head.member("model", model)
        }
        self.head = head.bytes.dropLast()
        prefix = self.head + Array(#","choices":[{"index":0,"delta":"#.utf8)
        suffix = Array(
            (wantsUsage ? #","logprobs":null,"finish_reason":null}],"usage":null}"# : #","logprobs":null,"finish_reason":null}]}"#).utf8)
        chunk(to: &output) { delta in
            delta.member("role", "assistant")
            delta.member("content", EscapedText())
        }
    }

    private func chunk(to output: inout EventWriter, _ write: (inout JSONOutput) -> Void) {
        var delta = JSONOutput()
        delta.object(write)
        output.data(prefix + delta.bytes + suffix)
    }

    private func write(_ text: EscapedText, _ logprobs: JSONView?, to output: inout EventWriter) {
        guard let logprobs else { return chunk(to: &output) { $0.member("content", text) } }
        var choice = JSONOutput()
        choice.object { choice in
            choice.member("index", 0)
            choice.object("delta") { $0.member("content", text) }
            choice.object("logprobs") { output in
                output.member("content", logprobs)
                output.null("refusal")
            }
            choice.null("finish_reason")
        }
        finishChunk(choice, to: &output)
    }

    private func finishChunk(_ choice: JSONOutput, to output: inout EventWriter) {
        output.data(head + Array(#","choices":["#.utf8) + choice.bytes + Array((wantsUsage ? #"],"usage":null}"# : "]}").utf8))
    }

    private mutating func start(_ key: Int, _ kind: AnswerEvent.BlockKind, to output: inout EventWriter) {
        switch kind {
        case .text: open[key] = .text
        case .refusal: open[key] = .refusal
        case .thinking:
            open[key] = .thinking(detail: details, isSigned: true)
            let index = details
            details += 1
            chunk(to: &output) { delta in
                delta.array("reasoning_details") { ReasoningDetails.write(EscapedText(), signature: nil, index: index, to: &$0) }
            }
        case .reasoning: open[key] = .thinking(detail: 0, isSigned: false)
        case .redactedThinking(let data):
            let index = details
            details += 1
            chunk(to: &output) { delta in
                delta.array("reasoning_details") { ReasoningDetails.write(redacted: data, index: index, to: &$0) }
            }
        case .call(let id, let name):
            let index = calls
            calls += 1
            open[key] = .call(index: index, hasArguments: false)
            chunk(to: &output) { delta in
                delta.array("tool_calls") { output in
                    output.object { output in
                        output.member("index", index)
                        output.member("id", id)
                        output.member("type", "function")
                        output.object("function") { output in
                            output.member("name", name)
                            output.member("arguments", EscapedText())
                        }
                    }
                }
            }
        }
    }

    private mutating func delta(_ key: Int, _ piece: EscapedText, to output: inout EventWriter) {
        switch open[key] {
        case .refusal: chunk(to: &output) { $0.member("refusal", piece) }
        case .thinking(let detail, let isSigned):
            chunk(to: &output) { delta in
                delta.member("reasoning_content", piece)
                if isSigned { self.detail(detail, "text", piece, to: &delta) }
            }
        case .call(let index, _):
            open[key] = .call(index: index, hasArguments: true)
            arguments(index, piece, to: &output)
        case .text, nil: break
        }
    }

    private func arguments(_ index: Int64, _ piece: EscapedText, to output: inout EventWriter) {
        chunk(to: &output) { delta in
            delta.array("tool_calls") { output in
                output.object { output in
                    output.member("index", index)
                    output.object("function") { $0.member("arguments", piece) }
                }
            }
        }
    }

    private func detail(_ index: Int, _ name: StaticString, _ piece: EscapedText, to delta: inout JSONOutput) {
        delta.array("reasoning_details") { output in
            output.object { output in
                output.member("type", "reasoning.text")
                output.member(name, piece)
                output.member("index", Int64(index))
            }
        }
    }

    private func sign(_ key: Int, _ signature: EscapedText, to output: inout EventWriter) {
        guard case .thinking(let index, _)? = open[key], !signature.isEmpty else { return }
        chunk(to: &output) { detail(index, "signature", signature, to: &$0) }
    }

    private mutating func stop(_ key: Int, to output: inout EventWriter) {
        // Arguments that never came are an object without members, not an empty text.
        if case .call(let index, false)? = open[key] { arguments(index, EscapedText("{}"), to: &output) }
        open[key] = nil
    }

    private func finish(_ end: Answer.End, to output: inout EventWriter) {
        var choice = JSONOutput()
        choice.object { choice in
            choice.member("index", 0)
            choice.object("delta") { delta in
                if case .filtered(let words?) = end { delta.member("refusal", words) }
            }
            choice.null("logprobs")
            ChatAnswerWriter.writeEnd(end, to: &choice)
        }
        finishChunk(choice, to: &output)
        guard wantsUsage, let usage else { return }
        var object = JSONOutput()
        object.object { ChatUsage.write(usage, to: &$0) }
        output.data(head + Array(#","choices":[],"usage":"#.utf8) + object.bytes + [UInt8(ascii: "}")])
    }
}

enum ChatErrors {
    /// An error in OpenAI's form: SDKs raise on any data that has one.
    static func body(_ error: StreamError) -> [UInt8] {
        var output = JSONOutput()
        output.object { output in
            output.object("error") { output in
                output.member("message", error.message)
                output.member("type", error.kind.openAIType)
                output.null("param")
                if error.kind == .rateLimit { output.member("code", "rate_limit_exceeded") } else { output.null("code") }
            }
        }
        return output.bytes
    }
}
