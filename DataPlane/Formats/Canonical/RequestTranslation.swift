/// Turns a request of one dialect into one of another, and tells how its answer is turned back.
package struct RequestTranslation: Sendable {
    /// The provider's request.
    package let body: [UInt8]
    package let answers: AnswerTranslation

    /// - Throws: what cannot be said in the other dialect, with the member to blame.
    package init(
        _ request: [UInt8], from client: WireDialect, to provider: WireDialect, _ options: TranslationOptions
    ) throws(TranslationRefusal) {
        let view: JSONView
        do throws(JSONViolation) {
            view = try JSONView(checking: request)
        } catch {
            throw TranslationRefusal(nil, error.reason)
        }
        let conversation: Conversation =
            switch client {
            case .chat: try ChatRequestReader.read(view, for: provider)
            case .messages: try MessagesRequestReader.read(view, for: provider)
            case .responses: try ResponsesRequestReader.read(view, for: provider)
            }
        var names = ToolNames()
        switch provider {
        case .chat: body = try ChatRequestWriter(conversation, options, from: client).write(&names)
        case .messages: body = try MessagesRequestWriter(conversation, options, from: client).write(&names)
        case .responses: body = try ResponsesRequestWriter(conversation, options, from: client).write(&names)
        }
        answers = AnswerTranslation(
            client: client, provider: provider, wantsUsage: conversation.wantsUsage, createdSeconds: options.createdSeconds, names: names,
            echo: conversation.echo)
    }
}

/// What the provider was told of tools in other words than the caller's, to tell the caller in his.
package struct ToolNames: Sendable {
    /// The caller's name by the provider's.
    private var original: [EscapedText: EscapedText] = [:]
    /// Tools that take a text, by the provider's name.
    private var custom: Set<EscapedText> = []

    /// The name to use at a provider that takes `limit` bytes.
    mutating func name(_ name: EscapedText, limit: Int) -> EscapedText {
        let portable = PortableName.tool(name, limit: limit)
        if portable != name { original[portable] = name }
        return portable
    }

    mutating func isCustom(_ name: EscapedText) { custom.insert(name) }

    func restored(_ name: EscapedText) -> EscapedText { original.isEmpty ? name : original[name] ?? name }
    func wasCustom(_ name: EscapedText) -> Bool { !custom.isEmpty && custom.contains(name) }
}

/// Turns a provider's answers into the caller's dialect.
package struct AnswerTranslation: Sendable {
    package let client: WireDialect
    package let provider: WireDialect
    let wantsUsage: Bool
    let createdSeconds: Int64
    let names: ToolNames
    let echo: ResponsesEcho?

    /// A whole answer.
    /// - Throws: when it cannot be read: the provider did not answer.
    package func document(_ bytes: [UInt8]) throws(StreamError) -> [UInt8] {
        guard let view = try? JSONView(checking: bytes) else { throw .unreadable }
        if let error = view["error"], view["choices"] == nil, view["content"] == nil, view["output"] == nil {
            throw StreamError.read(error)
        }
        var answer: Answer =
            switch provider {
            case .chat: try ChatAnswerReader.read(view)
            case .messages: try MessagesAnswerReader.read(view)
            case .responses: try ResponsesAnswerReader.read(view)
            }
        for index in answer.blocks.indices {
            guard case .call(var call) = answer.blocks[index] else { continue }
            if names.wasCustom(call.name) {
                call.input = .text(CustomTools.input(call.input.text))
                call.isCustom = true
            }
            call.name = names.restored(call.name)
            answer.blocks[index] = .call(call)
        }
        return switch client {
        case .chat: ChatAnswerWriter.write(answer, createdSeconds: createdSeconds)
        case .messages: MessagesAnswerWriter.write(answer)
        case .responses: ResponsesAnswerWriter.write(answer, echo, createdSeconds: createdSeconds)
        }
    }

    package func stream() -> StreamTranslation { StreamTranslation(self) }
}

/// Turns a provider's stream into the caller's dialect as it comes, split anywhere. Bounded: it holds one event, and what its writer must.
package struct StreamTranslation: Sendable {
    private enum Reader: Sendable {
        case chat(ChatStreamReader)
        case messages(MessagesStreamReader)
        case responses(ResponsesStreamReader)
    }

    private enum Writer: Sendable {
        case chat(ChatStreamWriter)
        case messages(MessagesStreamWriter)
        case responses(ResponsesStreamWriter)
    }

    private let names: ToolNames
    private var events = EventReader()
    private var reader: Reader
    private var writer: Writer
    /// The caller's stream has its end, or an error in its place.
    package private(set) var hasEnded = false
    /// That end is an error.
    package private(set) var sawError = false

    init(_ answers: AnswerTranslation) {
        names = answers.names
        reader =
            switch answers.provider {
            case .chat: .chat(ChatStreamReader())
            case .messages: .messages(MessagesStreamReader())
            case .responses: .responses(ResponsesStreamReader())
            }
        writer =
            switch answers.client {
            case .chat: .chat(ChatStreamWriter(createdSeconds: answers.createdSeconds, wantsUsage: answers.wantsUsage))
            case .messages: .messages(MessagesStreamWriter())
            case .responses: .responses(ResponsesStreamWriter(answers.echo, answers.names, createdSeconds: answers.createdSeconds))
            }
    }

    /// Takes a piece of the provider's stream.
    /// - Returns: whole events for the caller.
    package mutating func consume(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var output = EventWriter()
        guard !hasEnded else { return [] }
        var pending: [EventReader.Event] = []
        let fits = events.consume(bytes) { pending.append($0) }
        for event in pending { take(event, &output) }
        if !fits { fail(.oversize, &output) }
        return output.bytes
    }

    /// The provider's stream has ended as it should: what is missing then broke off.
    package mutating func finish() -> [UInt8] {
        var output = EventWriter()
        guard !hasEnded else { return [] }
        var pending: [EventReader.Event] = []
        events.finish { pending.append($0) }
        for event in pending { take(event, &output) }
        guard !hasEnded else { return output.bytes }
        var read: [AnswerEvent] = []
        do throws(StreamError) {
            switch reader {
            case .chat(var chat): try chat.finish(into: &read)
            case .messages(var messages): try messages.finish(into: &read)
            case .responses(var responses): try responses.finish(into: &read)
            }
            write(read, &output)
            if !hasEnded { fail(.truncated, &output) }
        } catch {
            write(read, &output)
            fail(error, &output)
        }
        return output.bytes
    }

    /// The stream ends here for another reason: tells the caller so.
    package mutating func fail(_ error: StreamError) -> [UInt8] {
        var output = EventWriter()
        if !hasEnded { fail(error, &output) }
        return output.bytes
    }

    private mutating func take(_ event: EventReader.Event, _ output: inout EventWriter) {
        guard !hasEnded else { return }
        var read: [AnswerEvent] = []
        var failure: StreamError?
        // The state is taken out while it changes, so that it is not copied.
        do throws(StreamError) {
            switch reader {
            case .chat(var chat):
                defer { reader = .chat(chat) }
                try chat.read(event, into: &read)
            case .messages(var messages):
                defer { reader = .messages(messages) }
                try messages.read(event, into: &read)
            case .responses(var responses):
                defer { reader = .responses(responses) }
                try responses.read(event, into: &read)
            }
        } catch {
            failure = error
        }
        write(read, &output)
        if let failure, !hasEnded { fail(failure, &output) }
    }

    private mutating func fail(_ error: StreamError, _ output: inout EventWriter) { write([.error(error)], &output) }

    private mutating func write(_ read: [AnswerEvent], _ output: inout EventWriter) {
        for event in read {
            guard !hasEnded else { return }
            var event = event
            switch event {
            case .blockStart(let key, .call(let id, let name)): event = .blockStart(key, .call(id: id, name: names.restored(name)))
            case .done: hasEnded = true
            case .error:
                hasEnded = true
                sawError = true
            default: break
            }
            do throws(StreamError) {
                switch writer {
                case .chat(var chat):
                    defer { writer = .chat(chat) }
                    chat.write(event, to: &output)
                case .messages(var messages):
                    defer { writer = .messages(messages) }
                    try messages.write(event, to: &output)
                case .responses(var responses):
                    defer { writer = .responses(responses) }
                    try responses.write(event, to: &output)
                }
            } catch {
                fail(error, &output)
                return
            }
        }
    }
}
