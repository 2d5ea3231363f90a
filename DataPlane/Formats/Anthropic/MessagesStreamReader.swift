/// Reads a stream of the Messages API, event by event. Holds what it must know of open blocks.
struct MessagesStreamReader: Sendable {
    private struct Open {
        let index: Int64
        let key: Int
        let isCall: Bool
        /// A call's arguments as its start gave them, for a provider that sends no deltas.
        var input: JSONView?
    }

    private var open: Open?
    private var nextKey = 0
    private var isStarted = false
    private var hasCalls = false
    private var usage: AnswerUsage?
    private var end: Answer.End?
    private(set) var isDone = false

    mutating func read(_ event: EventReader.Event, into events: inout [AnswerEvent]) throws(StreamError) {
        guard !isDone, let data = event.data else { return }
        guard let view = try? JSONView(checking: data), let members = view.members.map({ Members($0) }) else { throw .unreadable }
        switch members.word("type") {
        case "message_start":
            guard !isStarted else { return }
            isStarted = true
            let message = members["message"]
            events.append(
                .start(id: message?["id"]?.text ?? EscapedText(), model: message?["model"]?.text ?? EscapedText(), created: nil))
            if let usage = message?["usage"] { self.usage = MessagesUsage.merge(usage, into: nil) }
        case "content_block_start": try start(members, into: &events)
        case "content_block_delta": try delta(members, into: &events)
        case "content_block_stop":
            if members["index"]?.integer == open?.index { stop(into: &events) }
        case "message_delta":
            if let delta = members["delta"]?.members { end = MessagesAnswerReader.end(Members(delta)) }
            if let usage = members["usage"] { self.usage = MessagesUsage.merge(usage, into: self.usage) }
        case "message_stop":
            stop(into: &events)
            if let usage { events.append(.usage(usage)) }
            events.append(.end((end ?? .stop).following(hasCalls: hasCalls)))
            events.append(.done)
            isDone = true
        case "error":
            isDone = true
            events.append(.error(StreamError.read(members["error"])))
        case "ping": events.append(.ping)
        default: break
        }
    }

    /// The stream ended. One without its last event broke off.
    mutating func finish(into events: inout [AnswerEvent]) throws(StreamError) {
        guard !isDone else { return }
        throw .truncated
    }

    private mutating func start(_ members: Members, into events: inout [AnswerEvent]) throws(StreamError) {
        guard let index = members["index"]?.integer, let block = members["content_block"]?.members.map({ Members($0) }) else {
            throw .unreadable
        }
        // A start that comes twice would run a tool twice.
        guard open?.index != index else { return }
        stop(into: &events)
        let key = nextKey
        nextKey &+= 1
        func begin(_ kind: AnswerEvent.BlockKind) { events.append(.blockStart(key, kind)) }
        switch block.word("type") {
        case "text":
            begin(.text)
            if let text = block.text("text"), !text.isEmpty { events.append(.text(key, text, logprobs: nil)) }
        case "thinking":
            begin(.thinking)
            if let text = block.text("thinking"), !text.isEmpty { events.append(.delta(key, text)) }
            if let signature = block.text("signature"), !signature.isEmpty { events.append(.signature(key, signature)) }
        case "redacted_thinking": begin(.redactedThinking(block.text("data") ?? EscapedText()))
        case "tool_use":
            guard let id = block.text("id"), let name = block.text("name") else { throw .unreadable }
            hasCalls = true
            begin(.call(id: id, name: name))
            let input = block["input"].flatMap { $0.members?.isEmpty == false ? $0 : nil }
            open = Open(index: index, key: key, isCall: true, input: input)
            return
        default: return
        }
        open = Open(index: index, key: key, isCall: false)
    }

    private mutating func delta(_ members: Members, into events: inout [AnswerEvent]) throws(StreamError) {
        guard let delta = members["delta"]?.members.map({ Members($0) }) else { throw .unreadable }
        // Of a block that was not announced, or of a kind that has no equal.
        guard let open, members["index"]?.integer == open.index else { return }
        switch delta.word("type") {
        case "text_delta": events.append(.text(open.key, delta.text("text") ?? EscapedText(), logprobs: nil))
        case "thinking_delta": events.append(.delta(open.key, delta.text("thinking") ?? EscapedText()))
        case "signature_delta": events.append(.signature(open.key, delta.text("signature") ?? EscapedText()))
        case "input_json_delta":
            guard open.isCall, let piece = delta.text("partial_json"), !piece.isEmpty else { return }
            self.open?.input = nil
            events.append(.delta(open.key, piece))
        default: break
        }
    }

    private mutating func stop(into events: inout [AnswerEvent]) {
        guard let open else { return }
        if let input = open.input { events.append(.delta(open.key, EscapedText(plain: input.bytes))) }
        events.append(.blockStop(open.key))
        self.open = nil
    }
}
