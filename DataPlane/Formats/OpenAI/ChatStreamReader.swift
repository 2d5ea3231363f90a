/// Reads a stream of chat completions, chunk by chunk. Of several choices it reads the first.
struct ChatStreamReader: Sendable {
    private enum Running { case text, refusal, reasoning, thinking(Int64) }

    private struct Call {
        let index: Int64
        var id: EscapedText
        var key: Int
    }

    private var isStarted = false
    private var answerID = EscapedText()
    private var running: (key: Int, kind: Running)?
    private var calls: [Call] = []
    private var nextKey = 0
    private var usage: AnswerUsage?
    private var end: Answer.End?
    private(set) var isDone = false

    /// Calls that one answer may have.
    private static let maxCalls = 1024

    mutating func read(_ event: EventReader.Event, into events: inout [AnswerEvent]) throws(StreamError) {
        guard !isDone, let data = event.data else { return }
        let isEnd = data.withUnsafeBytes { buffer in buffer.baseAddress.map { EventLines.isDone($0, 0, buffer.count) } ?? false }
        if isEnd { return close(into: &events) }
        guard let view = try? JSONView(checking: data), let members = view.members.map({ Members($0) }) else { throw .unreadable }
        if let error = members["error"], !error.isNoError {
            isDone = true
            events.append(.error(StreamError.read(error)))
            return
        }
        if event.name.elementsEqual("error".utf8) {
            isDone = true
            events.append(.error(StreamError.read(view)))
            return
        }
        if let usage = Reading.usage(members["usage"]) { self.usage = usage }
        for choice in members["choices"]?.elements ?? [] where choice["index"]?.integer ?? 0 == 0 {
            start(members, into: &events)
            if let usage = Reading.usage(choice["usage"]) { self.usage = usage }
            if let delta = choice["delta"]?.members.map({ Members($0) }) { try read(delta, choice["logprobs"]?["content"], into: &events) }
            if let end = try ChatAnswerReader.end(choice) { self.end = end }
        }
    }

    /// The stream ended: without `[DONE]` it is whole when it said why it ended.
    mutating func finish(into events: inout [AnswerEvent]) throws(StreamError) {
        guard !isDone else { return }
        guard end != nil else { throw .truncated }
        close(into: &events)
    }

    private mutating func start(_ members: Members, into events: inout [AnswerEvent]) {
        guard !isStarted else { return }
        isStarted = true
        answerID = members.text("id") ?? EscapedText()
        events.append(.start(id: answerID, model: members.text("model") ?? EscapedText(), created: members["created"]?.integer))
    }

    private mutating func close(into events: inout [AnswerEvent]) {
        isDone = true
        if !isStarted {
            isStarted = true
            events.append(.start(id: answerID, model: EscapedText(), created: nil))
        }
        stopRunning(into: &events)
        for call in calls { events.append(.blockStop(call.key)) }
        if let usage { events.append(.usage(usage)) }
        events.append(.end((end ?? .stop).following(hasCalls: !calls.isEmpty)))
        events.append(.done)
    }

    // MARK: Deltas

    private mutating func read(_ delta: Members, _ logprobs: JSONView?, into events: inout [AnswerEvent]) throws(StreamError) {
        let wasSigned = readSigned(delta["reasoning_details"], into: &events)
        if !wasSigned, let text = delta.text("reasoning_content") ?? delta.text("reasoning"), !text.isEmpty {
            let key = run(.reasoning, into: &events)
            events.append(.delta(key, text))
        }
        if let text = ChatAnswerReader.text(delta["content"]), !text.isEmpty || logprobs != nil {
            let key = run(.text, into: &events)
            events.append(.text(key, text, logprobs: logprobs))
        }
        if let text = delta.text("refusal"), !text.isEmpty {
            let key = run(.refusal, into: &events)
            events.append(.delta(key, text))
        }
        for (position, call) in (delta["tool_calls"]?.elements ?? []).enumerated() { try read(call, position, into: &events) }
        if let call = delta["function_call"] { try read(function: call, id: nil, index: 0, into: &events) }
    }

    /// The key of the running block of this kind, which begins where another ran.
    private mutating func run(_ kind: Running, into events: inout [AnswerEvent]) -> Int {
        if let running {
            switch (running.kind, kind) {
            case (.text, .text), (.refusal, .refusal), (.reasoning, .reasoning): return running.key
            case (.thinking(let one), .thinking(let other)) where one == other: return running.key
            default: stopRunning(into: &events)
            }
        }
        let key = nextKey
        nextKey &+= 1
        running = (key, kind)
        switch kind {
        case .text: events.append(.blockStart(key, .text))
        case .refusal: events.append(.blockStart(key, .refusal))
        case .reasoning: events.append(.blockStart(key, .reasoning))
        case .thinking: events.append(.blockStart(key, .thinking))
        }
        return key
    }

    private mutating func stopRunning(into events: inout [AnswerEvent]) {
        if let running { events.append(.blockStop(running.key)) }
        running = nil
    }

    /// Reasoning that Anthropic signed, through another gateway. Returns whether there was any.
    private mutating func readSigned(_ details: JSONView?, into events: inout [AnswerEvent]) -> Bool {
        var found = false
        for element in details?.elements ?? [] {
            guard let members = element.members.map({ Members($0) }) else { continue }
            let index = members["index"]?.integer ?? 0
            if case .thinking(index)? = running?.kind {} else if !ReasoningDetails.isAnthropic(members) { continue }
            found = true
            if members.word("type") == "reasoning.encrypted", let data = members.text("data") {
                stopRunning(into: &events)
                let key = nextKey
                nextKey &+= 1
                events += [.blockStart(key, .redactedThinking(data)), .blockStop(key)]
                continue
            }
            let key = run(.thinking(index), into: &events)
            if let text = members.text("text"), !text.isEmpty { events.append(.delta(key, text)) }
            if let signature = members.text("signature"), !signature.isEmpty { events.append(.signature(key, signature)) }
        }
        return found
    }

    private mutating func read(_ call: JSONView, _ position: Int, into events: inout [AnswerEvent]) throws(StreamError) {
        let index = call["index"]?.integer ?? Int64(position)
        guard let function = call["function"] else { return }
        try read(function: function, id: call["id"]?.text, index: index, into: &events)
    }

    private mutating func read(
        function: JSONView, id: EscapedText?, index: Int64, into events: inout [AnswerEvent]
    ) throws(StreamError) {
        var at = calls.lastIndex { $0.index == index }
        let name = function["name"]?.text.flatMap { $0.isEmpty ? nil : $0 }
        // Servers that number every call 0 tell them apart by their ids.
        if let known = at, let id, !id.isEmpty, name != nil, calls[known].id != id { at = nil }
        if at == nil {
            guard let name else { return }
            guard calls.count < Self.maxCalls else { throw .oversize }
            stopRunning(into: &events)
            let call = Call(index: index, id: ChatCalls.id(id, answerID, calls.count), key: nextKey)
            nextKey &+= 1
            calls.append(call)
            at = calls.count - 1
            events.append(.blockStart(call.key, .call(id: call.id, name: name)))
        }
        guard let at, let piece = ChatCalls.arguments(function), !piece.isEmpty else { return }
        events.append(.delta(calls[at].key, piece))
    }
}
