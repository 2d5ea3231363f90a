import Primitives

/// Puts the events of a Messages stream together to the message that they are parts of, as Anthropic's SDKs accumulate them.
struct MessagesAssembler: Sendable {
    private var message: JSONObject?
    private var blocks: [Block] = []
    private var isOver = false

    fileprivate struct Block {
        let index: Int64
        var content: JSONObject
        /// What was added to its members.
        var text = ""
        var thinking = ""
        var signature = ""
        var input = ""
        var citations: [JSONValue] = []
    }

    private static let maxBlocks = 4_096

    /// The message; nil before its end.
    func finish() -> JSONObject? {
        guard isOver, var message else { return nil }
        message["content"] = .array(blocks.map { .object(Self.whole($0)) })
        return message
    }

    mutating func take(_ event: JSONObject) throws(StreamAssembler.Failure) {
        switch event["type"]?.stringValue {
        case "message_start":
            guard case .object(let start)? = event["message"] else { throw .unreadable }
            message = start
        case "content_block_start":
            guard let index = event["index"]?.intValue, case .object(let content)? = event["content_block"] else { throw .unreadable }
            guard blocks.count < Self.maxBlocks else { throw .tooLarge }
            blocks.append(Block(index: index, content: content))
        case "content_block_delta":
            guard let index = event["index"]?.intValue, case .object(let delta)? = event["delta"],
                let place = blocks.lastIndex(where: { $0.index == index })
            else { throw .unreadable }
            blocks[place].take(delta)
        case "message_delta": takeEnd(event)
        case "message_stop": isOver = true
        default: break
        }
    }

    private mutating func takeEnd(_ event: JSONObject) {
        if case .object(let delta)? = event["delta"] {
            for member in delta.members { message?[member.name] = member.value }
        }
        // Of each count the last one that is not null.
        guard case .object(let stated)? = event["usage"] else { return }
        var usage = message?["usage"]?.objectValue ?? JSONObject()
        for member in stated.members where member.value != .null { usage[member.name] = member.value }
        message?["usage"] = .object(usage)
    }

    private static func whole(_ block: Block) -> JSONObject {
        var content = block.content
        func join(_ name: String, _ added: String) {
            if !added.isEmpty { content[name] = .string((content[name]?.stringValue ?? "") + added) }
        }
        join("text", block.text)
        join("thinking", block.thinking)
        join("signature", block.signature)
        if !block.citations.isEmpty { content["citations"] = .array((content["citations"]?.arrayValue ?? []) + block.citations) }
        if !block.input.isEmpty, let input = try? JSONValue(parsing: Array(block.input.utf8)) { content["input"] = input }
        return content
    }
}

extension MessagesAssembler.Block {
    fileprivate mutating func take(_ delta: JSONObject) {
        switch delta["type"]?.stringValue {
        case "text_delta": text += delta["text"]?.stringValue ?? ""
        case "thinking_delta": thinking += delta["thinking"]?.stringValue ?? ""
        case "signature_delta": signature += delta["signature"]?.stringValue ?? ""
        case "input_json_delta": input += delta["partial_json"]?.stringValue ?? ""
        case "citations_delta": if let citation = delta["citation"] { citations.append(citation) }
        default: break
        }
    }
}
