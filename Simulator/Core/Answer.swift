import NIOCore

/// Which of the provider's operations was called.
package enum Operation: String, Hashable, Sendable {
    case chat, completions, embeddings, messages, responses
    case countTokens = "count_tokens"
}

/// The tokens that an answer states, for the ledger: what an exact reader of the answer must arrive at.
package struct StatedUsage: Hashable, Sendable {
    package var input: Int64
    package var output: Int64
    package var cached: Int64
    package var cacheWrite: Int64
    package var reasoning: Int64
}

/// An answer as bytes, made once for a combination of script and request and then only sent: a head, an opening, events that repeat
/// in a cycle, and a closing that carries the usage.
struct Answer: Sendable {
    enum End: Sendable { case keepAlive, close, stall, reset }

    var head = ByteBuffer()
    var opening = ByteBuffer()
    var events: [ByteBuffer] = []
    /// How often an event is sent, going round `events`; `.max`: for ever.
    var eventCount = 0
    var closing = ByteBuffer()
    var end = End.keepAlive
    var status = 200
    /// Sent whole, it is an answer that a client would take as complete.
    var isWhole = true
    /// Nil when the answer states nothing that could be taken at its word.
    var stated: StatedUsage?
    /// All of it in one piece, when nothing asks for a wait or a cut.
    var atOnce: ByteBuffer?

    var delayMicroseconds: Int64 = 0
    var paceMicroseconds: Int64 = 0
    var burst = 0
    /// Not nil: sent byte by byte, with this wait between two of them; `byteWiseHead` includes the head.
    var byteIntervalMicroseconds: Int64?
    var byteWiseHead = false

    /// Answers up to this size are kept in one piece.
    private static let largestAtOnce = 1 << 20

    mutating func joinIfPossible() {
        guard delayMicroseconds == 0, paceMicroseconds == 0, burst == 0, byteIntervalMicroseconds == nil, end != .stall, end != .reset
        else { return }
        atOnce = joined(includingHead: true)
    }

    /// Nil when it is too long.
    func joined(includingHead: Bool) -> ByteBuffer? {
        let eventBytes = events.reduce(0) { $0 + $1.readableBytes }
        guard eventCount <= Self.largestAtOnce, eventBytes <= Self.largestAtOnce,
            events.isEmpty || (eventCount / events.count + 1) * eventBytes <= Self.largestAtOnce
        else { return nil }
        var all = includingHead ? head : ByteBuffer()
        all.writeImmutableBuffer(opening)
        for index in 0..<eventCount { all.writeImmutableBuffer(events[index % events.count]) }
        all.writeImmutableBuffer(closing)
        return all
    }
}

/// What of a request shapes its answer.
struct AnswerKey: Hashable {
    var operation: Operation
    var stream = false
    var includesUsage = false
    var maximumTokens: Int64?
    var wantsBase64 = false
    var inputs = 1
    /// The tool that the answer calls; nil: none.
    var tool: String?
    var thinks = false
}
