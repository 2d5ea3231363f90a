import Primitives

/// Brings a conversation into the order that Messages demands: instructions ahead, user and assistant in turn, results of calls first.
struct MessagesTurns {
    var system: [Conversation.SystemText]
    var turns: [Conversation.Turn] = []

    static func arrange(_ conversation: Conversation, from source: Dialect) throws(TranslationRefusal) -> MessagesTurns {
        var result = MessagesTurns(system: conversation.system)
        for turn in conversation.turns {
            if turn.role == .system {
                // Instructions in the middle go ahead, as Anthropic's own layer for OpenAI's clients has it.
                for part in turn.parts {
                    if case .text(let text) = part.content { result.system.append(.init(text: text, cache: part.cache)) }
                }
                continue
            }
            result.append(
                .init(
                    role: turn.role, parts: try turn.parts.map { part throws(TranslationRefusal) in try Self.document(part, from: source) })
            )
        }
        if result.turns.isEmpty, let last = result.system.last(where: { !$0.text.isBlank }) {
            // Instructions alone: the last of them is what is asked.
            result.system.removeLast()
            result.turns = [.init(role: .user, parts: [.init(.text(last.text), cache: last.cache)])]
        }
        guard !result.turns.isEmpty else {
            throw TranslationRefusal("messages", "'messages' must hold at least one message with content.")
        }
        for index in result.turns.indices { result.turns[index].sortResults() }
        result.tellCallsApart()
        return result
    }

    /// Anthropic takes each id of a call once in a conversation; other vendors number the calls of each turn anew.
    private mutating func tellCallsApart() {
        var used: [EscapedText: Int] = [:]
        var unanswered: [EscapedText: [EscapedText]] = [:]
        for turn in turns.indices {
            // Results answer calls of the turn before them: what that leaves open stays so.
            if turns[turn].role == .assistant { unanswered = [:] }
            for part in turns[turn].parts.indices {
                switch turns[turn].parts[part].content {
                case .call(var call):
                    let id = call.id
                    let times = used[id, default: 0] + 1
                    used[id] = times
                    if times > 1 {
                        call.id.append(EscapedText("_\(times)"))
                        turns[turn].parts[part].content = .call(call)
                    }
                    unanswered[id, default: []].append(call.id)
                case .result(var result):
                    guard used[result.id, default: 0] > 1, let first = unanswered[result.id]?.first else { continue }
                    unanswered[result.id]?.removeFirst()
                    result.id = first
                    turns[turn].parts[part].content = .result(result)
                default: continue
                }
            }
        }
    }

    /// Anthropic takes documents as PDF or as plain text.
    private static func document(_ part: Conversation.Part, from source: Dialect) throws(TranslationRefusal) -> Conversation.Part {
        guard case .file(.base64(let type, let data), let name, let context) = part.content, type.string != "application/pdf" else {
            return part
        }
        guard let plain = Base64.decode(data.string), !plain.contains(0), String(validating: plain, as: UTF8.self) != nil else {
            throw TranslationRefusal(
                source == .responses ? "input_file.file_data" : "file.file_data", "Anthropic's models take files as PDF or as text.")
        }
        return .init(.file(.text(EscapedText(plain: plain)), name: name, context: context), cache: part.cache)
    }

    private mutating func append(_ turn: Conversation.Turn) {
        let parts = turn.parts.filter(\.isSaid)
        guard !parts.isEmpty else { return }
        if let last = turns.indices.last, turns[last].role == turn.role {
            turns[last].parts += parts
        } else {
            turns.append(.init(role: turn.role, parts: parts))
        }
    }
}

extension Conversation.Part {
    /// Anthropic takes no texts of white space alone, nor reasoning that it has not signed.
    fileprivate var isSaid: Bool {
        switch content {
        case .text(let text), .refusal(let text): !text.isBlank
        case .reasoning: false
        default: true
        }
    }

    fileprivate var isResult: Bool { if case .result = content { true } else { false } }
}

extension Conversation.Turn {
    fileprivate mutating func sortResults() {
        guard role == .user, let first = parts.firstIndex(where: { !$0.isResult }), parts[first...].contains(where: \.isResult) else {
            return
        }
        parts = parts.filter(\.isResult) + parts.filter { !$0.isResult }
    }
}

/// Content blocks of Messages.
enum MessagesContent {
    static func write(_ turn: Conversation.Turn, to output: inout JSONOutput) {
        output.object { output in
            if turn.role == .assistant { output.member("role", "assistant") } else { output.member("role", "user") }
            if turn.parts.count == 1, turn.parts[0].cache == nil, case .text(let text) = turn.parts[0].content {
                output.member("content", text)
                return
            }
            output.array("content") { output in
                for part in turn.parts { write(part, to: &output) }
            }
        }
    }

    static func write(_ part: Conversation.Part, to output: inout JSONOutput) {
        output.object { output in
            switch part.content {
            case .text(let text), .refusal(let text), .reasoning(let text):
                output.member("type", "text")
                output.member("text", text)
            case .image(let media, _):
                output.member("type", "image")
                output.object("source") { write(media, to: &$0) }
            case .file(let media, let name, let context):
                output.member("type", "document")
                output.object("source") { write(media, to: &$0) }
                if let name { output.member("title", name) }
                if let context { output.member("context", context) }
            case .call(let call):
                output.member("type", "tool_use")
                output.member("id", PortableName.callID(forMessages: call.id))
                output.member("name", call.name)
                output.member(
                    "input", json: call.isCustom ? CallInput.text(CustomTools.arguments(call.input.custom)).object : call.input.object)
            case .result(let result):
                output.member("type", "tool_result")
                output.member("tool_use_id", PortableName.callID(forMessages: result.id))
                write(result, to: &output)
                if result.isError { output.member("is_error", true) }
            case .thinking(let text, let signature):
                output.member("type", "thinking")
                output.member("thinking", text)
                output.member("signature", signature)
            case .redactedThinking(let data):
                output.member("type", "redacted_thinking")
                output.member("data", data)
            }
            if let cache = part.cache { output.member("cache_control", cache) }
        }
    }

    private static func write(_ result: Conversation.Result, to output: inout JSONOutput) {
        if result.parts.count == 1, result.parts[0].cache == nil, case .text(let text) = result.parts[0].content {
            output.member("content", text)
            return
        }
        let parts = result.parts.filter(\.isSaid)
        guard !parts.isEmpty else { return }
        output.array("content") { output in
            for part in parts { write(part, to: &output) }
        }
    }

    private static func write(_ media: Conversation.Media, to output: inout JSONOutput) {
        switch media {
        case .url(let url):
            output.member("type", "url")
            output.member("url", url)
        case .base64(let type, let data):
            output.member("type", "base64")
            output.member("media_type", type)
            output.member("data", data)
        case .text(let text):
            output.member("type", "text")
            output.member("media_type", "text/plain")
            output.member("data", text)
        case .stored(let id):
            output.member("type", "file")
            output.member("file_id", id)
        }
    }
}

extension CallInput {
    /// The text of a call of a custom tool.
    var custom: EscapedText {
        switch self {
        case .text(let text): text
        case .object(let view): EscapedText(plain: view.bytes)
        }
    }
}
