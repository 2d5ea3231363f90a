/// Reads a stream of the Responses API, event by event.
struct ResponsesStreamReader: Sendable {
    private struct Item {
        let index: Int64
        /// Of its content or summary; -1 for a call.
        let part: Int64
        let key: Int
    }

    private var isStarted = false
    private var open: [Item] = []
    private var nextKey = 0
    private var hasCalls = false
    /// Calls whose arguments came piece by piece.
    private var told: Set<Int> = []
    /// Items of which something was told, by their place: others come whole at their end, or with the last event.
    private var begun: Set<Int64> = []
    /// Of the reasoning that is told, which part of its summary.
    private var summary: (key: Int, index: Int64)?
    private(set) var isDone = false

    mutating func read(_ event: EventReader.Event, into events: inout [AnswerEvent]) throws(StreamError) {
        guard !isDone, let data = event.data else { return }
        let isEnd = data.withUnsafeBytes { buffer in buffer.baseAddress.map { EventLines.isDone($0, 0, buffer.count) } ?? false }
        guard !isEnd else { return }
        guard let view = try? JSONView(checking: data), let members = view.members.map({ Members($0) }) else { throw .unreadable }
        let index = members["output_index"]?.integer ?? 0
        let content = members["content_index"]?.integer ?? 0
        switch members.word("type") {
        case "response.created", "response.in_progress": start(members["response"], into: &events)
        case "response.output_item.added": try announce(members["item"], index, into: &events)
        case "response.output_text.delta":
            let logprobs = members["logprobs"].flatMap { $0.elements?.isEmpty == false ? $0 : nil }
            events.append(.text(key(index, content, .text, into: &events), members.text("delta") ?? EscapedText(), logprobs: logprobs))
        case "response.refusal.delta":
            events.append(.delta(key(index, content, .refusal, into: &events), members.text("delta") ?? EscapedText()))
        case "response.reasoning_summary_text.delta", "response.reasoning_text.delta":
            let key = key(index, 0, .reasoning, into: &events)
            let part = members["summary_index"]?.integer ?? content
            // Parts of a summary are paragraphs.
            if let summary, summary.key == key, summary.index != part { events.append(.delta(key, EscapedText("\n\n"))) }
            summary = (key, part)
            events.append(.delta(key, members.text("delta") ?? EscapedText()))
        case "response.function_call_arguments.delta":
            guard let item = open.first(where: { $0.index == index && $0.part == -1 }) else { return }
            told.insert(item.key)
            events.append(.delta(item.key, members.text("delta") ?? EscapedText()))
        case "response.output_item.done": try close(members["item"], index, into: &events)
        case "response.completed", "response.incomplete": try finish(members["response"], into: &events)
        case "response.failed":
            isDone = true
            events.append(.error(StreamError.read(members["response"]?["error"])))
        case "error":
            isDone = true
            events.append(.error(StreamError.read(members["error"] ?? view)))
        default:
            if let error = members["error"] {
                isDone = true
                events.append(.error(StreamError.read(error)))
            }
        }
    }

    /// The stream ended. One without its last event broke off.
    mutating func finish(into events: inout [AnswerEvent]) throws(StreamError) {
        guard !isDone else { return }
        throw .truncated
    }

    private mutating func start(_ response: JSONView?, into events: inout [AnswerEvent]) {
        guard !isStarted else { return }
        isStarted = true
        events.append(
            .start(
                id: response?["id"]?.text ?? EscapedText(), model: response?["model"]?.text ?? EscapedText(),
                created: response?["created_at"]?.integer))
    }

    private mutating func announce(_ item: JSONView?, _ index: Int64, into events: inout [AnswerEvent]) throws(StreamError) {
        start(nil, into: &events)
        guard item?["type"]?.text?.string == "function_call" else { return }
        guard let id = item?["call_id"]?.text, let name = item?["name"]?.text else { throw .unreadable }
        guard !open.contains(where: { $0.index == index && $0.part == -1 }), nextKey < 4096 else { return }
        hasCalls = true
        begun.insert(index)
        open.append(Item(index: index, part: -1, key: nextKey))
        events.append(.blockStart(nextKey, .call(id: id, name: name)))
        nextKey += 1
    }

    /// The key of a part, which begins with its first piece.
    private mutating func key(
        _ index: Int64, _ part: Int64, _ kind: AnswerEvent.BlockKind, into events: inout [AnswerEvent]
    ) -> Int {
        start(nil, into: &events)
        if let known = open.first(where: { $0.index == index && $0.part == part }) { return known.key }
        stop(index, into: &events)
        begun.insert(index)
        let key = nextKey
        nextKey += 1
        open.append(Item(index: index, part: part, key: key))
        events.append(.blockStart(key, kind))
        return key
    }

    private mutating func stop(_ index: Int64, into events: inout [AnswerEvent]) {
        for item in open where item.index == index { events.append(.blockStop(item.key)) }
        open.removeAll { $0.index == index }
    }

    private mutating func close(_ item: JSONView?, _ index: Int64, into events: inout [AnswerEvent]) throws(StreamError) {
        if let item, !begun.contains(index) { try tell(item, index, into: &events) }
        if let call = open.first(where: { $0.index == index && $0.part == -1 }), !told.contains(call.key),
            let whole = item?["arguments"]?.text, !whole.isEmpty
        {
            events.append(.delta(call.key, whole))
        }
        stop(index, into: &events)
    }

    /// An item that comes in one piece.
    private mutating func tell(_ item: JSONView, _ index: Int64, into events: inout [AnswerEvent]) throws(StreamError) {
        start(nil, into: &events)
        var answer = Answer()
        answer.blocks = try ResponsesAnswerReader.blocks(item)
        guard nextKey &+ answer.blocks.count < 4096 else { throw .oversize }
        if !answer.blocks.isEmpty { begun.insert(index) }
        hasCalls = hasCalls || answer.hasCalls
        events += answer.told(from: nextKey)
        nextKey += answer.blocks.count
    }

    private mutating func finish(_ response: JSONView?, into events: inout [AnswerEvent]) throws(StreamError) {
        isDone = true
        start(response, into: &events)
        for item in open { events.append(.blockStop(item.key)) }
        open = []
        if begun.isEmpty {
            for (index, item) in (response?["output"]?.elements ?? []).enumerated() { try tell(item, Int64(index), into: &events) }
        }
        if let usage = Reading.usage(response?["usage"]) { events.append(.usage(usage)) }
        let end = response?.members.map { ResponsesAnswerReader.end(Members($0)) } ?? .stop
        events.append(.end(end.following(hasCalls: hasCalls)))
        events.append(.done)
    }
}
