/// An answer that came whole, for a caller that asked for a stream: some providers do not stream, or not each of their models.
extension AnswerTranslation {
    /// Of answers that stay in their dialect.
    package init(in dialect: Dialect, wantsUsage: Bool, createdSeconds: Int64) {
        self.init(
            caller: dialect, provider: dialect, wantsUsage: wantsUsage, createdSeconds: createdSeconds, names: ToolNames(), echo: nil)
    }

    /// All events of a stream, in the caller's dialect, that comes to this answer.
    /// - Throws: when it cannot be read, or has several choices: the provider did not answer.
    package func streamed(_ document: [UInt8]) throws(StreamError) -> [UInt8] {
        guard let view = try? JSONView(checking: document), view["choices"]?.elements?.count ?? 1 == 1 else { throw .unreadable }
        var stream = StreamTranslation(self)
        let bytes = stream.whole(try read(view).events)
        guard stream.hasEnded, !stream.sawError else { throw .unreadable }
        return bytes
    }
}

extension Answer {
    /// What happens in a stream of it.
    var events: [AnswerEvent] {
        var events: [AnswerEvent] = [.start(id: id, model: model, created: created)] + told(from: 0)
        if let tier { events.append(.tier(tier)) }
        if let usage { events.append(.usage(usage)) }
        return events + [.end(end), .done]
    }

    /// Its blocks, one behind the other, under keys from this one on.
    func told(from first: Int) -> [AnswerEvent] {
        var events: [AnswerEvent] = []
        for (offset, block) in blocks.enumerated() {
            let key = first + offset
            switch block {
            case .text(let text, let logprobs): events += [.blockStart(key, .text), .text(key, text, logprobs: logprobs)]
            case .refusal(let text): events += [.blockStart(key, .refusal), .delta(key, text)]
            case .thinking(let text, let signature):
                events += [.blockStart(key, .thinking), .delta(key, text), .signature(key, signature)]
            case .redactedThinking(let data): events.append(.blockStart(key, .redactedThinking(data)))
            case .reasoning(let text): events += [.blockStart(key, .reasoning), .delta(key, text)]
            case .call(let call):
                events.append(.blockStart(key, .call(id: call.id, name: call.name)))
                if !call.input.text.isEmpty { events.append(.delta(key, call.input.text)) }
            }
            events.append(.blockStop(key))
        }
        return events
    }
}
