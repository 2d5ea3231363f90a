import NIOCore
import Primitives
import Wire

/// The head of an answer in no protocol: what a front needs to write it in its own.
struct ReplyHead {
    var status: Int
    var length: Length
    var content = Content.json
    var requestID: RequestID
    /// Decimal digits; empty when the request was answered without a configuration.
    var configVersion: [UInt8] = []
    /// Further fields, names in lower case. Empty, and so without storage, for most answers.
    var fields: [Field] = []
    /// Nil for who has no limits.
    var standings: RateStandings?
    /// The client is to come back on another connection.
    var closesConnection = false

    /// How long the body is, as far as that is known at the head.
    enum Length: Equatable {
        case none
        case known(Int64)
        /// Ends with `ReplySink.end`.
        case unknown
    }

    enum Content {
        case json
        case eventStream
        /// The value of content-type; empty when there is none.
        case other([UInt8])
    }

    struct Field {
        let name: StaticString
        let value: [UInt8]
    }
}

/// The front that a request came through, as its exchange sees it: takes one answer, in order, and knows how to frame it.
///
/// `begin`, any number of `write`, then `end` or `abort`, once each. Nothing of it leaves before `flush` or `end`, so an exchange that waits
/// for something holds an answer back by not calling them, and may still think better of it: `discard`.
protocol ReplySink: AnyObject {
    /// The address of whoever is at the other end of the connection; nil where there is none.
    var peer: String? { get }
    func begin(_ head: ReplyHead)
    func write(_ bytes: UnsafeRawBufferPointer)
    /// A large piece, which the front passes on without copying it where its framing allows that.
    func write(_ piece: ByteBuffer)
    /// Nothing will be sent to a provider again: the body of the request need not be held any more.
    func requestIsDone()
    /// Takes back an answer of which nothing was flushed, nor any piece passed on; another may `begin`.
    func discard()
    /// Sends what was written. False when the client does not keep up: the exchange stops reading, until `Exchange.clientIsReady`.
    func flush() -> Bool
    /// Whether what was flushed has left this process for the client's connection.
    var isTaken: Bool { get }
    /// Calls back when that is so; never, when the client is gone or cut off before.
    func whenTaken(_ done: @escaping () -> Void)
    /// The answer is whole: sends the rest of it. The exchange belongs to the next request afterwards.
    func end()
    /// The answer stays incomplete, and the client has to see that it is. Sends what was written and gives up the connection or stream.
    func abort()
}

/// The head of a request in no protocol. Ranges are offsets into the bytes that come with it; both are valid during one call only.
protocol RequestHead: ~Copyable {
    var method: HTTPMethod { get }
    var methodRange: Range<Int> { get }
    /// Percent-encoded, without the query.
    var path: Range<Int> { get }
    /// What follows the question mark, as it was sent; empty without one.
    var query: Range<Int> { get }
    var hasQuery: Bool { get }
    var hasBody: Bool { get }
    /// Nil when the length of the body is known only at its end.
    var contentLength: Int64? { get }
    func has(_ known: KnownField) -> Bool
    func first(_ known: KnownField) -> HTTPField?
    /// Every field of that kind, in order.
    func forEach(_ known: KnownField, _ body: (HTTPField) -> Void)
    /// Every field, in order.
    func forEachField(_ body: (HTTPField) -> Void)
}

extension RequestHeadParser: RequestHead {
    func forEach(_ known: KnownField, _ body: (HTTPField) -> Void) {
        guard has(known) else { return }
        for field in fields where field.known == known { body(field) }
    }

    func forEachField(_ body: (HTTPField) -> Void) { for field in fields { body(field) } }
}
