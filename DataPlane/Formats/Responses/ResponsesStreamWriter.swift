/// Writes a stream of the Responses API (openai-openapi, `ResponseStreamEvent`): each item and part is announced before its pieces and
/// closed behind them, under one id; sequence numbers rise by one; the last event holds the whole response.
struct ResponsesStreamWriter: Sendable {
    fileprivate struct Open {
        let key: Int
        let index: Int
        var item: ResponseItem
        /// The part, or the summary, was announced.
        var hasPart = false
        var logprobs: [ArraySlice<UInt8>] = []
    }

    /// The most bytes of an answer, which its last event repeats.
    private static let maxBytes = 32 * 1024 * 1024

    private let echo: ResponsesEcho?
    private let names: ToolNames
    private let createdSeconds: Int64
    private var response: ResponseObject
    private var isStarted = false
    private(set) var sequence: Int64 = 0
    private var open: [Open] = []
    private var count = 0
    private var bytes = 0
    private var end: Answer.End?

    init(_ echo: ResponsesEcho?, _ names: ToolNames, createdSeconds: Int64) {
        self.echo = echo
        self.names = names
        self.createdSeconds = createdSeconds
        response = ResponseObject(id: EscapedText(), model: EscapedText(), created: createdSeconds, echo: echo)
    }

    mutating func write(_ event: AnswerEvent, to output: inout EventWriter) throws(StreamError) {
        switch event {
        case .start(let id, let model, let created):
            response = ResponseObject(id: id, model: model, created: created ?? createdSeconds, echo: echo)
            start(&output)
        case .blockStart(let key, let kind): try start(key, kind, &output)
        case .text(let key, let text, let logprobs): try piece(key, text, logprobs, &output)
        case .delta(let key, let text): try piece(key, text, nil, &output)
        case .signature(let key, let signature):
            guard let at = open.firstIndex(where: { $0.key == key }), case .thinking(let text, var known) = open[at].item.block else {
                return
            }
            known.append(signature)
            open[at].item.block = .thinking(text, signature: known)
        case .blockStop(let key):
            if let at = open.firstIndex(where: { $0.key == key }) { stop(open.remove(at: at), &output) }
        case .usage(let usage): response.usage = usage
        case .end(let end): self.end = end
        case .tier: break
        case .ping: output.comment()
        case .error(let error):
            if !isStarted { start(&output) }
            terminal("response.failed", .failed(error), &output)
        case .done: try finish(&output)
        }
    }

    // MARK: The response

    private mutating func start(_ output: inout EventWriter) {
        isStarted = true
        let json = response.json(.inProgress)
        event("response.created", &output) { $0.member("response", json: json) }
        event("response.in_progress", &output) { $0.member("response", json: json) }
    }

    private mutating func finish(_ output: inout EventWriter) throws(StreamError) {
        for item in open { stop(item, &output) }
        open = []
        let end = end ?? .stop
        if case .filtered(let words?) = end {
            try start(-1, .refusal, &output)
            try piece(-1, words, nil, &output)
            stop(open.removeLast(), &output)
        }
        let status = ResponsesAnswerWriter.status(of: end)
        if case .incomplete = status {
            terminal("response.incomplete", status, &output)
        } else {
            terminal("response.completed", status, &output)
        }
    }

    private mutating func terminal(_ name: StaticString, _ status: ResponseObject.Status, _ output: inout EventWriter) {
        let json = response.json(status)
        event(name, &output) { $0.member("response", json: json) }
    }

    private mutating func event(_ name: StaticString, _ output: inout EventWriter, _ write: (inout JSONOutput) -> Void) {
        var event = JSONOutput()
        event.object { event in
            event.member("type", name)
            event.member("sequence_number", sequence)
            write(&event)
        }
        sequence += 1
        output.event(name, event.bytes)
    }

    // MARK: Items

    private mutating func start(_ key: Int, _ kind: AnswerEvent.BlockKind, _ output: inout EventWriter) throws(StreamError) {
        let block: Answer.Block =
            switch kind {
            case .text: .text(EscapedText(), logprobs: nil)
            case .refusal: .refusal(EscapedText())
            case .thinking: .thinking(EscapedText(), signature: EscapedText())
            case .redactedThinking(let data): .redactedThinking(data)
            case .reasoning: .reasoning(EscapedText())
            case .call(let id, let name):
                .call(names.restored(.init(id: id, name: name, input: .text(EscapedText()), isCustom: names.wasCustom(name))))
            }
        guard count < 4096 else { throw .oversize }
        let item = ResponseItem(block, in: response, count)
        let opened = Open(key: key, index: count, item: item)
        count += 1
        event("response.output_item.added", &output) { event in
            event.member("output_index", Int64(opened.index))
            event.member("item", json: item.json(.inProgress))
        }
        if case .redactedThinking = block { return stop(opened, &output) }
        open.append(opened)
        switch block {
        case .text, .refusal, .reasoning: announce(open.count - 1, &output)
        default: break
        }
    }

    /// Announces the one part of an item.
    private mutating func announce(_ at: Int, _ output: inout EventWriter) {
        open[at].hasPart = true
        let item = open[at]
        let empty = item.item.emptied.part
        if case .thinking = item.item.block {
            event("response.reasoning_summary_part.added", &output) { event in
                item.write(to: &event, "summary_index")
                event.member("part", json: empty)
            }
        } else {
            event("response.content_part.added", &output) { event in
                item.write(to: &event, "content_index")
                event.member("part", json: empty)
            }
        }
    }

    private mutating func piece(
        _ key: Int, _ text: EscapedText, _ logprobs: JSONView?, _ output: inout EventWriter
    ) throws(StreamError) {
        guard !text.isEmpty || logprobs != nil, let at = open.firstIndex(where: { $0.key == key }) else { return }
        bytes += text.bytes.count + (logprobs?.bytes.count ?? 0)
        guard bytes <= Self.maxBytes else { throw .oversize }
        open[at].item.append(text)
        if let logprobs { open[at].logprobs += logprobs.elements?.map(\.bytes) ?? [] }
        if case .thinking = open[at].item.block, !open[at].hasPart { announce(at, &output) }
        let item = open[at]
        switch item.item.block {
        case .text:
            event("response.output_text.delta", &output) { event in
                item.write(to: &event, "content_index")
                event.member("delta", text)
                event.member("logprobs", json: logprobs?.bytes ?? Array("[]".utf8)[...])
            }
        case .refusal:
            event("response.refusal.delta", &output) { event in
                item.write(to: &event, "content_index")
                event.member("delta", text)
            }
        case .thinking:
            event("response.reasoning_summary_text.delta", &output) { event in
                item.write(to: &event, "summary_index")
                event.member("delta", text)
            }
        case .reasoning:
            event("response.reasoning_text.delta", &output) { event in
                item.write(to: &event, "content_index")
                event.member("delta", text)
            }
        case .call(let call):
            // The text of a custom call lies within arguments, which can be read only when they are whole.
            guard !call.isCustom else { return }
            event("response.function_call_arguments.delta", &output) { event in
                item.write(to: &event, nil)
                event.member("delta", text)
            }
        case .redactedThinking: break
        }
    }

    private mutating func stop(_ closed: Open, _ output: inout EventWriter) {
        var item = closed
        item.close()
        switch item.item.block {
        case .text(let text, let logprobs):
            event("response.output_text.done", &output) { event in
                item.write(to: &event, "content_index")
                event.member("text", text)
                event.member("logprobs", json: logprobs?.bytes ?? Array("[]".utf8)[...])
            }
        case .refusal(let text):
            event("response.refusal.done", &output) { event in
                item.write(to: &event, "content_index")
                event.member("refusal", text)
            }
        case .reasoning(let text):
            event("response.reasoning_text.done", &output) { event in
                item.write(to: &event, "content_index")
                event.member("text", text)
            }
        case .thinking(let text, _):
            guard item.hasPart else { break }
            event("response.reasoning_summary_text.done", &output) { event in
                item.write(to: &event, "summary_index")
                event.member("text", text)
            }
            event("response.reasoning_summary_part.done", &output) { event in
                item.write(to: &event, "summary_index")
                event.member("part", json: item.item.part)
            }
        case .call(let call): stop(call, item, &output)
        case .redactedThinking: break
        }
        switch item.item.block {
        case .text, .refusal, .reasoning:
            event("response.content_part.done", &output) { event in
                item.write(to: &event, "content_index")
                event.member("part", json: item.item.part)
            }
        default: break
        }
        let json = item.item.json(.completed)
        response.set(json, at: item.index)
        event("response.output_item.done", &output) { event in
            event.member("output_index", Int64(item.index))
            event.member("item", json: json)
        }
    }

    private mutating func stop(_ call: Conversation.Call, _ item: Open, _ output: inout EventWriter) {
        if call.isCustom {
            event("response.custom_tool_call_input.delta", &output) { event in
                item.write(to: &event, nil)
                event.member("delta", call.input.custom)
            }
            event("response.custom_tool_call_input.done", &output) { event in
                item.write(to: &event, nil)
                event.member("input", call.input.custom)
            }
        } else {
            event("response.function_call_arguments.done", &output) { event in
                item.write(to: &event, nil)
                event.member("name", call.name)
                event.member("arguments", call.input.text)
            }
        }
    }
}

extension ResponsesStreamWriter.Open {
    fileprivate func write(to event: inout JSONOutput, _ part: StaticString?) {
        event.member("item_id", item.id)
        event.member("output_index", Int64(index))
        if let part { event.member(part, 0) }
    }

    /// What is known when nothing more comes.
    fileprivate mutating func close() {
        switch item.block {
        case .text(let text, _) where !logprobs.isEmpty:
            var list = JSONOutput()
            list.array { output in
                for element in logprobs { output.raw(element) }
            }
            item.block = .text(text, logprobs: try? JSONView(checking: list.bytes))
        case .call(var call) where call.isCustom:
            call.input = .text(CustomTools.input(call.input.text))
            item.block = .call(call)
        default: break
        }
    }
}

extension ResponseItem {
    fileprivate mutating func append(_ piece: EscapedText) {
        switch block {
        case .text(var text, let logprobs):
            block = .text(EscapedText(), logprobs: nil)
            text.append(piece)
            block = .text(text, logprobs: logprobs)
        case .refusal(var text):
            block = .refusal(EscapedText())
            text.append(piece)
            block = .refusal(text)
        case .thinking(var text, let signature):
            block = .refusal(EscapedText())
            text.append(piece)
            block = .thinking(text, signature: signature)
        case .reasoning(var text):
            block = .refusal(EscapedText())
            text.append(piece)
            block = .reasoning(text)
        case .call(var call):
            guard case .text(var text) = call.input else { return }
            block = .refusal(EscapedText())
            call.input = .text(EscapedText())
            text.append(piece)
            call.input = .text(text)
            block = .call(call)
        case .redactedThinking: return
        }
    }

    fileprivate var emptied: ResponseItem {
        var item = self
        switch block {
        case .text: item.block = .text(EscapedText(), logprobs: nil)
        case .refusal: item.block = .refusal(EscapedText())
        case .reasoning: item.block = .reasoning(EscapedText())
        case .thinking: item.block = .thinking(EscapedText(), signature: EscapedText())
        case .call, .redactedThinking: break
        }
        return item
    }
}
