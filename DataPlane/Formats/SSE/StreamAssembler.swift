import Primitives

/// Puts the chunks of a stream together to the one answer that they are parts of, for a caller that asked for one answer and a provider that
/// streamed regardless. Reads OpenAI's chat and completion chunks and Anthropic's events, and takes a Responses stream's answer out of its
/// last event.
///
/// Works through each piece as it comes, so that no turn of a loop is long.
package struct StreamAssembler: Sendable {
    package enum Failure: Error, Equatable {
        /// More than `maxBytes`, or more choices or tool calls than anybody asks for.
        case tooLarge
        /// An event is no chunk.
        case unreadable
        /// The stream ended before its answer did.
        case incomplete
        /// The provider reported an error within the stream.
        case failed(ProviderError)
    }

    /// The most bytes of a stream that are taken: some 100,000 tokens in chunks of their own.
    package static let maxBytes = 32 << 20
    private static let maxElements: Int64 = 4_096

    private let hidden: HiddenTexts
    private var boundary = EventBoundary()
    private var carry: [UInt8] = []
    private var bytes = 0
    private var isFirstEvent = true
    private var sawDone = false
    private var root: [JSONObject.Member] = []
    private var choices: [Choice] = []
    private var usage: JSONValue?
    private var response: JSONValue?
    private var messages = MessagesAssembler()

    private struct Choice {
        let index: Int64
        var message = Merged()
        var text: String?
        var logprobs = Merged()
        var finishReason: JSONValue = .null
        var others = JSONObject()
    }

    private let dialect: Dialect

    package init(_ dialect: Dialect = .openAI, hiding hidden: HiddenTexts = .none) {
        self.dialect = dialect
        self.hidden = hidden
    }

    package mutating func append(_ piece: UnsafeRawBufferPointer) throws(Failure) {
        guard let base = piece.baseAddress else { return }
        bytes += piece.count
        guard bytes <= Self.maxBytes else { throw .tooLarge }
        let limit = piece.count
        let mayHoldCR = ByteScan.find(0x0D, base, from: 0, limit: limit) != nil
        var at = 0
        while at < limit, let end = boundary.endOfEvent(base, from: at, limit: limit, mayHoldCR: mayHoldCR) {
            carry.append(contentsOf: piece[at..<end])
            at = end
            try readCarried()
        }
        carry.append(contentsOf: piece[at...])
    }

    /// The answer's JSON.
    package mutating func finish() throws(Failure) -> [UInt8] {
        if !carry.isEmpty { try readCarried() }
        if let response { return response.bytes }
        if dialect == .messages {
            guard let message = messages.finish() else { throw .incomplete }
            return JSONValue.object(message).bytes
        }
        let isFinished = !choices.isEmpty && choices.allSatisfy { $0.finishReason != .null }
        guard isFinished || (sawDone && !choices.isEmpty) else { throw .incomplete }
        var answer = JSONObject(members: root)
        answer["choices"] = .array(choices.sorted { $0.index < $1.index }.map(Self.whole))
        if let usage { answer["usage"] = usage }
        return JSONValue.object(answer).bytes
    }

    private static func whole(_ choice: Choice) -> JSONValue {
        var object = JSONObject()
        object["index"] = .int(choice.index)
        if let text = choice.text {
            object["text"] = .string(text)
        } else {
            var message = JSONObject()
            message["role"] = "assistant"
            message["content"] = .null
            for member in choice.message.value(withoutIndexes: true).objectValue?.members ?? [] { message[member.name] = member.value }
            object["message"] = .object(message)
        }
        object["logprobs"] = choice.logprobs.value(withoutIndexes: false)
        object["finish_reason"] = choice.finishReason
        for member in choice.others.members { object[member.name] = member.value }
        return .object(object)
    }

    private mutating func readCarried() throws(Failure) {
        var event: [UInt8] = []
        swap(&event, &carry)
        var data: [UInt8] = []
        var hasData = false
        event.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            let start = isFirstEvent ? ByteOrderMark.length(base, 0, bytes.count) : 0
            var lines = EventLines(base: base, limit: bytes.count, at: start)
            while let line = lines.next() {
                guard let value = EventLines.dataValue(base, line) else { continue }
                if hasData { data.append(0x0A) }
                hasData = true
                data.append(contentsOf: bytes[value])
            }
        }
        isFirstEvent = false
        guard hasData else { return }
        if data.withUnsafeBytes({ $0.baseAddress.map { EventLines.isDone($0, 0, data.count) } ?? false }) {
            sawDone = true
            return
        }
        guard case .object(let chunk)? = try? JSONValue(parsing: data) else { throw .unreadable }
        let none: [JSONValue] = [.null, false, 0, "", [:], []]
        if let error = chunk["error"], !none.contains(error) {
            throw .failed(data.withUnsafeBytes { ProviderError.inAnswer($0, hiding: hidden) })
        }
        try take(chunk)
    }

    private mutating func take(_ chunk: JSONObject) throws(Failure) {
        if dialect == .messages { return try messages.take(chunk) }
        if let type = chunk["type"]?.stringValue, type.hasPrefix("response.") {
            if type == "response.completed" || type == "response.incomplete" { response = chunk["response"] }
            return
        }
        for member in chunk.members where member.value != .null {
            switch member.name {
            case "choices":
                for choice in member.value.arrayValue ?? [] { try take(choice: choice) }
            case "usage": usage = member.value
            case "object":
                note(member.name, member.value == "chat.completion.chunk" ? "chat.completion" : member.value)
            default: note(member.name, member.value)
            }
        }
    }

    private mutating func note(_ name: String, _ value: JSONValue) {
        if let index = root.firstIndex(where: { $0.name == name }) {
            root[index].value = value
        } else {
            root.append(.init(name: name, value: value))
        }
    }

    private mutating func take(choice: JSONValue) throws(Failure) {
        guard case .object(let object) = choice else { throw .unreadable }
        let index = object["index"]?.intValue ?? 0
        guard index >= 0, index < Self.maxElements else { throw .tooLarge }
        let place = choices.firstIndex { $0.index == index } ?? choices.endIndex
        if place == choices.endIndex { choices.append(Choice(index: index)) }
        for member in object.members where member.value != .null {
            switch member.name {
            case "index": break
            case "delta", "message":
                guard choices[place].message.merge(member.value, below: Self.maxElements) else { throw .tooLarge }
            case "text": choices[place].text = (choices[place].text ?? "") + (member.value.stringValue ?? "")
            case "logprobs":
                guard choices[place].logprobs.merge(member.value, below: Int64(Self.maxBytes)) else { throw .tooLarge }
            case "finish_reason": if member.value != "" { choices[place].finishReason = member.value }
            default: choices[place].others[member.name] = member.value
            }
        }
    }
}

/// Values that grow by what is merged into them, as OpenAI's SDKs accumulate deltas: texts are joined, objects merged by member, lists of
/// elements that carry an `index` by that, other lists appended to. What names a thing (`id`, `type`, `role`, `name`) is replaced.
private struct Merged: Sendable {
    private indirect enum Node: Sendable {
        case value(JSONValue)
        case text(String)
        case object([(name: String, node: Node)])
        case list([Node])
    }

    private var node = Node.value(.null)

    /// False when a list would be longer than `maxElements`.
    mutating func merge(_ value: JSONValue, below maxElements: Int64) -> Bool { Self.merge(value, into: &node, maxElements) }

    func value(withoutIndexes: Bool) -> JSONValue { Self.value(node, withoutIndexes) }

    private static func merge(_ value: JSONValue, into node: inout Node, _ maxElements: Int64) -> Bool {
        switch value {
        case .null: return true
        case .string(let added):
            // Taken out of the node while it grows: appending to a copy would cost its length each time.
            if case .text(var text) = node {
                node = .value(.null)
                text += added
                node = .text(text)
            } else {
                node = .text(added)
            }
            return true
        case .object(let added):
            var members: [(name: String, node: Node)] = []
            if case .object(let known) = node { members = known }
            node = .value(.null)
            defer { node = .object(members) }
            for member in added.members {
                let place = members.firstIndex { $0.name == member.name } ?? members.endIndex
                if place == members.endIndex { members.append((member.name, .value(.null))) }
                if ["id", "type", "role", "name", "index"].contains(member.name) {
                    if member.value != .null { members[place].node = .value(member.value) }
                } else if !merge(member.value, into: &members[place].node, maxElements) {
                    return false
                }
            }
            return true
        case .array(let added):
            var elements: [Node] = []
            if case .list(let known) = node { elements = known }
            node = .value(.null)
            defer { node = .list(elements) }
            for element in added {
                guard elements.count < maxElements else { return false }
                if let index = element["index"], let place = elements.firstIndex(where: { Self.index($0) == index }) {
                    guard merge(element, into: &elements[place], maxElements) else { return false }
                } else {
                    elements.append(.value(.null))
                    guard merge(element, into: &elements[elements.count - 1], maxElements) else { return false }
                }
            }
            return true
        case .bool, .int, .number:
            node = .value(value)
            return true
        }
    }

    private static func index(_ node: Node) -> JSONValue? {
        guard case .object(let members) = node, case .value(let index)? = members.first(where: { $0.name == "index" })?.node else {
            return nil
        }
        return index
    }

    private static func value(_ node: Node, _ withoutIndexes: Bool) -> JSONValue {
        switch node {
        case .value(let value): value
        case .text(let text): .string(text)
        case .list(let elements): .array(elements.map { value($0, withoutIndexes) })
        case .object(let members):
            .object(
                JSONObject(
                    members: members.filter { !(withoutIndexes && $0.name == "index") }
                        .map { .init(name: $0.name, value: value($0.node, withoutIndexes)) }))
        }
    }
}
