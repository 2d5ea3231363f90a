import Primitives

/// The messages of a request: whether they are a conversation that Anthropic's API takes.
struct MessageHistory {
    /// A turn with calls that are answered then begins with the thinking that led to them; adaptive thinking may lack it.
    let thinksByBudget: Bool
    private(set) var words: Int64 = 0
    private(set) var cacheMarks = 0
    /// The last message answers calls of tools.
    private(set) var endsWithResults = false
    /// Calls of the message before, which are still to be answered.
    private var open: [String] = []

    init(thinksByBudget: Bool) { self.thinksByBudget = thinksByBudget }

    mutating func read(_ messages: [JSONValue]) throws(MessagesRefusal) {
        var before: String?
        for (index, message) in messages.enumerated() {
            let path = "messages.\(index)"
            guard case .object(let object) = message else { throw MessagesRefusal("\(path): Input should be a valid dictionary") }
            for member in object.members where member.name != "role" && member.name != "content" {
                throw MessagesRefusal("\(path).\(member.name): Extra inputs are not permitted")
            }
            guard let role = object["role"]?.stringValue else { throw MessagesRefusal("\(path).role: Field required") }
            guard role == "user" || role == "assistant" else {
                throw MessagesRefusal(#"messages: Unexpected role "\#(role)". Allowed roles are "user" or "assistant"."#)
            }
            if index == 0, role != "user" { throw MessagesRefusal(#"messages: first message must use the "user" role"#) }
            guard let content = object["content"] else { throw MessagesRefusal("\(path).content: Field required") }
            let answered = open
            open = []
            try read(content, role, path, answering: answered, isNext: before == "assistant", isLast: index == messages.count - 1)
            before = role
        }
        if let id = open.first { throw Self.unanswered(messages.count, id) }
    }

    private static func unanswered(_ index: Int, _ id: String) -> MessagesRefusal {
        MessagesRefusal(
            "messages.\(index): `tool_use` ids were found without `tool_result` blocks immediately after: \(id). Each `tool_use` block must "
                + "have a corresponding `tool_result` block in the next message.")
    }

    mutating func checkSystem(_ system: JSONValue?) throws(MessagesRefusal) {
        switch system {
        case nil: return
        case .string(let text)?: words += Self.words(text)
        case .array(let blocks)?:
            for (index, block) in blocks.enumerated() {
                guard block["type"]?.stringValue == "text" else { throw MessagesRefusal("system.\(index).type: Input should be 'text'") }
                try text(block, "system.\(index)")
                try mark(block, "system.\(index)")
            }
        default: throw MessagesRefusal("system: Input should be a valid string or list")
        }
    }

    private mutating func read(
        _ content: JSONValue, _ role: String, _ path: String, answering answered: [String], isNext: Bool, isLast: Bool
    ) throws(MessagesRefusal) {
        endsWithResults = false
        switch content {
        case .string(let text):
            guard !text.isEmpty || (isLast && role == "assistant") else {
                throw MessagesRefusal("\(path): all messages must have non-empty content except for the optional final assistant message")
            }
            if let id = answered.first { throw Self.unanswered(0, id) }
            words += Self.words(text)
        case .array(let blocks):
            guard !blocks.isEmpty || (isLast && role == "assistant") else {
                throw MessagesRefusal("\(path): all messages must have non-empty content except for the optional final assistant message")
            }
            var left = Set(answered)
            var sawOther = false
            for (index, block) in blocks.enumerated() {
                let place = "\(path).content.\(index)"
                guard let type = block["type"]?.stringValue else { throw MessagesRefusal("\(place).type: Field required") }
                if type == "tool_result" {
                    let id = block["tool_use_id"]?.stringValue ?? ""
                    guard role == "user", left.remove(id) != nil else {
                        throw MessagesRefusal(
                            "\(place): unexpected `tool_use_id` found in `tool_result` blocks: \(id). Each `tool_result` block must have a "
                                + "corresponding `tool_use` block in the previous message.")
                    }
                    guard !sawOther else { throw MessagesRefusal("\(place): tool_result blocks must come first in the content") }
                    endsWithResults = true
                } else {
                    sawOther = true
                }
                try check(block, type, role, place)
            }
            if let id = left.first { throw Self.unanswered(0, id) }
            if role == "assistant", thinksByBudget, !open.isEmpty, let first = blocks.first?["type"]?.stringValue,
                !first.contains("thinking")
            {
                throw MessagesRefusal(
                    "\(path).content.0.type: Expected `thinking` or `redacted_thinking`, but found `\(first)`. When `thinking` is enabled, a "
                        + "final `assistant` message must start with a thinking block.")
            }
        default: throw MessagesRefusal("\(path).content: Input should be a valid string or list")
        }
    }

    private mutating func check(_ block: JSONValue, _ type: String, _ role: String, _ place: String) throws(MessagesRefusal) {
        try mark(block, place)
        let known: Set<String>
        switch (type, role) {
        case ("text", _):
            known = ["type", "text", "cache_control", "citations"]
            try text(block, place)
        case ("image", "user"), ("document", "user"):
            known = ["type", "source", "cache_control", "title", "context", "citations"]
            try source(block["source"], place)
        case ("tool_use", "assistant"):
            known = ["type", "id", "name", "input", "cache_control", "caller"]
            guard let id = block["id"]?.stringValue, !id.isEmpty,
                id.utf8.allSatisfy({
                    (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x5F || $0 == 0x2D
                })
            else { throw MessagesRefusal("\(place).tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'") }
            guard !open.contains(id) else { throw MessagesRefusal("\(place): `tool_use` ids must be unique") }
            guard case .string? = block["name"] else { throw MessagesRefusal("\(place).tool_use.name: Field required") }
            guard case .object? = block["input"] else {
                throw MessagesRefusal("\(place).tool_use.input: Input should be a valid dictionary")
            }
            open.append(id)
        case ("tool_result", "user"):
            known = ["type", "tool_use_id", "content", "is_error", "cache_control"]
            words += block["content"]?.stringValue.map(Self.words) ?? 0
        case ("thinking", "assistant"):
            known = ["type", "thinking", "signature"]
            guard case .string? = block["thinking"] else { throw MessagesRefusal("\(place).thinking.thinking: Field required") }
            guard block["signature"]?.stringValue == MessagesRequest.signature else {
                throw MessagesRefusal("\(place): Invalid `signature` in `thinking` block")
            }
        case ("redacted_thinking", "assistant"):
            known = ["type", "data"]
            guard case .string? = block["data"] else { throw MessagesRefusal("\(place).redacted_thinking.data: Field required") }
        case ("server_tool_use", _), ("web_search_tool_result", _), ("search_result", _), ("container_upload", _): return
        default:
            throw MessagesRefusal("\(place): Input tag '\(type)' found using 'type' does not match any of the expected tags")
        }
        for member in block.objectValue?.members ?? [] where !known.contains(member.name) {
            throw MessagesRefusal("\(place).\(type).\(member.name): Extra inputs are not permitted")
        }
    }

    private mutating func text(_ block: JSONValue, _ place: String) throws(MessagesRefusal) {
        guard let text = block["text"]?.stringValue else { throw MessagesRefusal("\(place).text.text: Field required") }
        guard !text.allSatisfy(\.isWhitespace) else {
            throw MessagesRefusal("messages: text content blocks must contain non-whitespace text")
        }
        words += Self.words(text)
    }

    private mutating func mark(_ block: JSONValue, _ place: String) throws(MessagesRefusal) {
        guard let control = block["cache_control"], control != .null else { return }
        cacheMarks += 1
        guard control["type"]?.stringValue == "ephemeral" else {
            throw MessagesRefusal("\(place).cache_control.type: Input should be 'ephemeral'")
        }
        if let ttl = control["ttl"], ttl != "5m", ttl != "1h" {
            throw MessagesRefusal("\(place).cache_control.ephemeral.ttl: Input should be '5m' or '1h'")
        }
    }

    private func source(_ source: JSONValue?, _ place: String) throws(MessagesRefusal) {
        switch source?["type"]?.stringValue {
        case "base64":
            guard source?["media_type"]?.stringValue != nil, source?["data"]?.stringValue?.isEmpty == false else {
                throw MessagesRefusal("\(place).source.base64.data: Field required")
            }
        case "url":
            guard source?["url"]?.stringValue?.hasPrefix("http") == true else {
                throw MessagesRefusal("\(place).source.url.url: Field required")
            }
        case "file":
            guard source?["file_id"]?.stringValue != nil else { throw MessagesRefusal("\(place).source.file.file_id: Field required") }
        case "text", "content": break
        default: throw MessagesRefusal("\(place).source: Field required")
        }
    }

    private static func words(_ text: String) -> Int64 { Int64(text.split(whereSeparator: \.isWhitespace).count) }
}
