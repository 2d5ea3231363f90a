/// Turns a provider's stream into the caller's dialect as it comes, split anywhere. Bounded: it holds one event, and what its writer must.
package struct StreamTranslation: Sendable {
    private enum Reader: Sendable {
        case chat(ChatStreamReader)
        case messages(MessagesStreamReader)
        case responses(ResponsesStreamReader)
        /// It is being changed.
        case taken
    }

    private enum Writer: Sendable {
        case chat(ChatStreamWriter)
        case messages(MessagesStreamWriter)
        case responses(ResponsesStreamWriter)
        case taken
    }

    private let names: ToolNames
    private var events = EventReader()
    private var reader: Reader
    private var writer: Writer
    /// The caller's stream has its end, or an error in its place.
    package private(set) var hasEnded = false
    /// That end is an error.
    package private(set) var sawError = false

    /// How many numbered events the caller has been sent, where its dialect numbers them.
    package var eventsWritten: Int64 {
        if case .responses(let responses) = writer { responses.sequence } else { 0 }
    }

    init(_ answers: AnswerTranslation) {
        names = answers.names
        reader =
            switch answers.provider {
            case .openAI: .chat(ChatStreamReader())
            case .messages: .messages(MessagesStreamReader())
            case .responses: .responses(ResponsesStreamReader())
            }
        writer =
            switch answers.caller {
            case .openAI: .chat(ChatStreamWriter(createdSeconds: answers.createdSeconds, wantsUsage: answers.wantsUsage))
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

    /// All of an answer at once.
    mutating func whole(_ read: [AnswerEvent]) -> [UInt8] {
        var output = EventWriter()
        write(read, &output)
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
            case .taken: break
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
        // The state is taken out while it changes, so that nothing in it is copied.
        var state = Reader.taken
        swap(&state, &reader)
        do throws(StreamError) {
            switch consume state {
            case .chat(var chat):
                defer { reader = .chat(chat) }
                try chat.read(event, into: &read)
            case .messages(var messages):
                defer { reader = .messages(messages) }
                try messages.read(event, into: &read)
            case .responses(var responses):
                defer { reader = .responses(responses) }
                try responses.read(event, into: &read)
            case .taken: break
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
            var state = Writer.taken
            swap(&state, &writer)
            do throws(StreamError) {
                switch consume state {
                case .chat(var chat):
                    defer { writer = .chat(chat) }
                    chat.write(event, to: &output)
                case .messages(var messages):
                    defer { writer = .messages(messages) }
                    try messages.write(event, to: &output)
                case .responses(var responses):
                    defer { writer = .responses(responses) }
                    try responses.write(event, to: &output)
                case .taken: break
                }
            } catch {
                fail(error, &output)
                return
            }
        }
    }
}
