/// A model's answer in no dialect.
package struct Answer: Sendable {
    var id = EscapedText()
    var model = EscapedText()
    /// Seconds since 1970; nil where the provider does not say.
    var created: Int64?
    var blocks: [Block] = []
    var end = End.stop
    var usage: AnswerUsage?
    var tier: EscapedText?

    enum Block: Sendable {
        case text(EscapedText, logprobs: JSONView?)
        case refusal(EscapedText)
        case thinking(EscapedText, signature: EscapedText)
        case redactedThinking(EscapedText)
        case reasoning(EscapedText)
        case call(Conversation.Call)
    }

    /// Why it ended.
    enum End: Sendable, Equatable {
        case stop
        case stopSequence(EscapedText?)
        case length
        case contextWindow
        case calls
        /// The provider's filter, or the model's own refusal with its words.
        case filtered(EscapedText?)
        case paused
    }

    var hasCalls: Bool {
        blocks.contains { if case .call = $0 { true } else { false } }
    }
}

extension Answer.End {
    /// The end follows the content: a turn with a call ends for it, and one without does not.
    func following(hasCalls: Bool) -> Answer.End {
        switch self {
        case .stop, .stopSequence: hasCalls ? .calls : self
        case .calls: hasCalls ? .calls : .stop
        case .length, .contextWindow, .filtered, .paused: self
        }
    }
}

/// Token counts in no dialect, each within `UsageReading`'s bounds.
package struct AnswerUsage: Sendable, Equatable {
    /// All input, cached or not.
    var input: Int64 = 0
    var cachedInput: Int64 = 0
    var cacheWrite: Int64 = 0
    var cacheWriteHour: Int64 = 0
    var output: Int64 = 0
    var reasoning: Int64 = 0

    var total: Int64 { input &+ output }
    /// Anthropic counts the rest of the input apart from what the cache has to do with.
    var uncachedInput: Int64 { max(0, input &- cachedInput &- cacheWrite) }
}

/// What happens in a streamed answer, in no dialect. Blocks have keys, which never come again after their stop.
enum AnswerEvent: Sendable {
    case start(id: EscapedText, model: EscapedText, created: Int64?)
    case blockStart(Int, BlockKind)
    case text(Int, EscapedText, logprobs: JSONView?)
    /// A piece of the call's arguments, of reasoning, of a refusal: whatever the block is.
    case delta(Int, EscapedText)
    case signature(Int, EscapedText)
    case blockStop(Int)
    case usage(AnswerUsage)
    case end(Answer.End)
    case tier(EscapedText)
    case ping
    /// The provider reports an error; nothing of the answer follows.
    case error(StreamError)
    /// All was said.
    case done

    enum BlockKind: Sendable {
        case text
        case refusal
        case thinking
        case redactedThinking(EscapedText)
        case reasoning
        case call(id: EscapedText, name: EscapedText)
    }
}

/// An error in a stream that has begun, in no dialect.
package struct StreamError: Error, Sendable {
    package enum Kind: Sendable { case invalidRequest, authentication, permission, notFound, rateLimit, overloaded, timeout, server }

    package var kind: Kind
    package var message: EscapedText

    package init(_ kind: Kind, _ message: EscapedText) {
        self.kind = kind
        self.message = message
    }

    init(_ kind: Kind, _ message: StaticString) { self.init(kind, EscapedText("\(message)")) }

    static let truncated = StreamError(.server, "The provider's answer broke off.")
    static let unreadable = StreamError(.server, "The provider's answer could not be read.")
    static let oversize = StreamError(.server, "The provider's answer is larger than what can be translated.")
}
