/// A request for the next turn of a conversation, in no dialect. Texts and opaque values are as they were written.
package struct Conversation: Sendable {
    /// Instructions ahead of the conversation.
    var system: [SystemText] = []
    var turns: [Turn] = []
    var tools: [Tool] = []
    /// What the caller calls tools of a namespace, by the one name that they have here.
    var namespaced: [EscapedText: NamespacedName] = [:]
    var toolChoice: ToolChoice?
    /// False: one call a turn at most.
    var allowsParallelCalls: Bool?
    var format = OutputFormat.text
    var maxTokens: Int64?
    var temperature: JSONView?
    var topP: JSONView?
    var topK: JSONView?
    var stops: [EscapedText] = []
    var thinking: Thinking?
    var effort: EscapedText?
    /// The caller asks to see how the model came to its answer.
    var showsThinking = false
    var isStreaming = false
    /// A stream says at its end what it cost. Messages and Responses always do.
    var wantsUsage = true
    var user: EscapedText?
    var tier: EscapedText?
    /// Of the text's tokens; `topLogprobs` alternatives for each.
    var logprobs = false
    var topLogprobs: JSONView?
    /// Members that both of OpenAI's dialects have and spell alike, in their order.
    var shared: [(name: StaticString, value: JSONView)] = []
    /// What an answer in the Responses dialect repeats of its request.
    var echo: ResponsesEcho?

    struct SystemText: Sendable {
        var text: EscapedText
        var cache: JSONView?
    }

    enum Role: Sendable { case user, assistant, system }

    struct Turn: Sendable {
        var role: Role
        var parts: [Part]
    }

    struct Part: Sendable {
        var content: Content
        /// A mark that the prompt is to be cached up to here, as Anthropic writes it.
        var cache: JSONView?

        init(_ content: Content, cache: JSONView? = nil) {
            self.content = content
            self.cache = cache
        }
    }

    enum Content: Sendable {
        case text(EscapedText)
        case image(Media, detail: EscapedText?)
        /// `context` is what its sender says of it, beside its contents.
        case file(Media, name: EscapedText?, context: EscapedText?)
        case call(Call)
        case result(Result)
        /// Reasoning that its vendor signed: comes back unaltered or not at all.
        case thinking(EscapedText, signature: EscapedText)
        case redactedThinking(EscapedText)
        /// Reasoning that nobody signed.
        case reasoning(EscapedText)
        case refusal(EscapedText)
    }

    enum Media: Sendable {
        case url(EscapedText)
        case base64(type: EscapedText, data: EscapedText)
        case text(EscapedText)
        /// A file that the provider keeps.
        case stored(id: EscapedText)
    }

    struct Call: Sendable {
        var id: EscapedText
        var name: EscapedText
        var input: CallInput
        /// A call of a tool that takes a text, not an object.
        var isCustom = false
        /// Of the tool, where its caller groups tools; the name is then within it.
        var namespace: EscapedText?
    }

    struct NamespacedName: Sendable {
        let namespace: EscapedText
        let name: EscapedText

        /// Both in one, as long as every provider takes it.
        var joined: EscapedText {
            var text = namespace
            if !namespace.bytes.suffix(2).elementsEqual("__".utf8) { text.append("__") }
            text.append(name)
            return PortableName.tool(text, limit: 64)
        }
    }

    struct Result: Sendable {
        var id: EscapedText
        var parts: [Part]
        var isError = false
    }

    struct Tool: Sendable {
        var name: EscapedText
        var description: EscapedText?
        /// A JSON Schema; nil for a tool without parameters.
        var schema: JSONView?
        var strict: Bool?
        var cache: JSONView?
        /// Takes a text, perhaps of a grammar, in place of an object.
        var isCustom = false
    }

    enum ToolChoice: Sendable {
        case auto
        case forbidden
        case required
        case named(EscapedText)
        /// One of these only; must it be one?
        case allowed([EscapedText], isRequired: Bool)
    }

    enum OutputFormat: Sendable {
        case text
        case json
        case schema(JSONView, name: EscapedText?, description: EscapedText?, strict: Bool)
    }

    enum Thinking: Sendable {
        case off
        /// As much as the model likes.
        case adaptive
        case budget(Int64)
        /// In Anthropic's words, from a caller who knows them.
        case written(JSONView)
    }
}

extension Conversation.Media {
    /// What goes ahead of a file, as text, where there is no place beside it: what it is about, and of a text the name as well.
    func heading(_ name: EscapedText?, _ context: EscapedText?) -> [EscapedText] {
        if case .text = self { return [name, context].compactMap(\.self) }
        return context.map { [$0] } ?? []
    }
}

/// What a tool is called with: an object, or the text that is meant to be one.
package enum CallInput: Sendable {
    case object(JSONView)
    case text(EscapedText)

    /// A JSON object. Nothing is `{}`; what is no object stands in one, so that the call can still be answered.
    var object: [UInt8] {
        switch self {
        case .object(let view): return Array(view.bytes)
        case .text(let text):
            if text.isBlank { return Array("{}".utf8) }
            if let plain = text.plain, let view = try? JSONView(checking: plain), view.kind == .object { return Array(view.bytes) }
            var output = JSONOutput()
            output.object { $0.member("invalid_arguments", text) }
            return output.bytes
        }
    }

    /// The text of a JSON object.
    var text: EscapedText {
        switch self {
        case .object(let view): EscapedText(plain: view.bytes)
        case .text(let text): text.isBlank ? EscapedText("{}") : text
        }
    }
}
