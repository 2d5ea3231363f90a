import NIOCore
import Wire

/// One connection to a provider: reads responses with the strict codec and hands what it reads to the attempt that uses it, in the same
/// turn of the loop. Knows nothing of routing or money.
final class UpstreamConnection: ByteStreamUser, ListedConnection {
    /// idle → awaitingHead → body → idle | closed. Any state may go to closed.
    private enum State {
        case idle
        case awaitingHead
        case length(Int64)
        case chunked
        case untilClose
        case closed
    }

    let pool: UpstreamPool
    let loop: LoopContext
    var listIndex = -1
    /// Monotonic microseconds; the sweep calls `deadlinePassed` after it.
    private(set) var deadline = Int64.max
    /// Monotonic microseconds at which its last attempt ended.
    private(set) var restsSince: Int64 = 0
    /// Whether a byte of the current response has arrived.
    private(set) var hasReceived = false
    /// The provider closed the connection before any of the current request had reached it.
    private(set) var provesUnread = false
    /// The provider has said so itself.
    private(set) var wasRefused = false

    /// Nil before it is open and after it is closed.
    private var stream: (any ByteStream)?
    private var attempt: Attempt?
    private var state = State.idle
    private var parser = ResponseHeadParser(limits: HTTPLimits(maxHeadBytes: 65_536, maxFields: 200))
    private var decoder = ChunkedDecoder()
    private var inbound: ByteBuffer?
    private var keepAlive = true
    /// Of the current request.
    private var requestBytes = 0
    /// Not all of the current request was written.
    private var awaitsMore = false
    private var hasServed = false
    /// What the provider's kernel had acknowledged before the current request, where TLS puts bytes of its own around ours.
    private var acknowledgedBefore: UInt64?
    /// 1xx responses to the current request.
    private var interim = 0
    private static let maximumInterim = 16
    /// Reading the rest of a response that nobody wants.
    private var isDiscarding = false
    /// Closed by us on purpose: not an upstream's death.
    private var isClosing = false

    init(pool: UpstreamPool, loop: LoopContext) {
        self.pool = pool
        self.loop = loop
    }

    var isUsable: Bool {
        // Not asked of the stream: what ends it goes through `ended` first.
        guard case .idle = state, !isClosing, stream != nil else { return false }
        return true
    }

    // MARK: What the attempt does

    /// Binds the connection to an attempt; the request follows with `send`.
    func begin(_ attempt: Attempt) {
        self.attempt = attempt
        state = .awaitingHead
        hasReceived = false
        provesUnread = false
        wasRefused = false
        interim = 0
        keepAlive = true
        deadline = .max
        parser.reset(requestMethod: .post)
    }

    /// Writes the request. `body` is nil when it stands in `head` already.
    /// - Parameter isWhole: false: more of the body follows by `sendMore`.
    func send(head: ByteBuffer, body: ByteBuffer?, isWhole: Bool) {
        guard let stream else { return }
        awaitsMore = !isWhole
        requestBytes = head.readableBytes + (body?.readableBytes ?? 0)
        acknowledgedBefore = hasServed && pool.isTLS ? stream.delivery?.acknowledged : nil
        stream.write(head)
        if let body { stream.write(body) }
        stream.flush()
        loop.spareBuffers.give(head)
    }

    /// Whether more of a request's body would go on its way, and not wait here; `Attempt.upstreamTakesMore` says when that changes.
    var takesMore: Bool { awaitsMore && stream?.isWritable ?? false }

    func sendMore(_ piece: ByteBuffer, isLast: Bool) {
        guard let stream else { return }
        requestBytes += piece.readableBytes
        awaitsMore = !isLast
        stream.write(piece)
        stream.flush()
    }

    func setDeadline(_ deadline: Int64) { self.deadline = deadline }

    /// Back-pressure: stops reading until the client has taken what was sent to it.
    func pause() { stream?.pauseReading() }

    func resume() { stream?.resumeReading() }

    /// The attempt lets go in the middle: what follows on this connection belongs to nobody.
    func abandon() {
        attempt = nil
        close()
    }

    /// The attempt lets go in the middle, and wants to know what is still on its way: the provider sees the end of our side.
    func leave(by deadline: Int64) {
        keepAlive = false
        self.deadline = deadline
        stream?.closeOutput()
        stream?.resumeReading()
    }

    /// The attempt needs nothing more of this response. A short rest is read and thrown away, so that the connection can be used again.
    func letGo() {
        attempt = nil
        if case .length(let rest) = state, rest <= 65_536, keepAlive {
            isDiscarding = true
            deadline = loop.nowMicroseconds &+ 2_000_000
        } else {
            close()
        }
    }

    func rest(until deadline: Int64) {
        attempt = nil
        restsSince = loop.nowMicroseconds
        self.deadline = deadline
        resume()
    }

    func close() {
        isClosing = true
        deadline = .max
        stream?.close()
    }

    func deadlinePassed(_ now: Int64) {
        guard let attempt else {
            close()
            return
        }
        deadline = .max
        loop.metrics.deadlinesPassed &+= 1
        attempt.upstreamDeadlinePassed()
    }

    // MARK: What the stream does

    func opened(_ stream: any ByteStream) {
        self.stream = stream
        loop.add(self)
    }

    /// What it is to carry goes on a stream of HTTP/2 instead.
    /// - Returns: what was connected; nil where HTTP/2 was neither agreed on by TLS nor known before.
    func handOver() -> (any ByteStream)? {
        guard let stream, pool.assumesHTTP2 || stream.applicationProtocol == HTTP2Channel.protocolName else { return nil }
        self.stream = nil
        loop.remove(self)
        return stream
    }

    func writabilityChanged(isWritable: Bool) {
        if isWritable, awaitsMore { attempt?.upstreamTakesMore() }
    }

    func received(_ bytes: ByteBuffer) {
        var buffer = bytes
        switch state {
        case .closed: return
        case .idle:
            // A provider that speaks unasked (a late 408, or bytes after a response) cannot be trusted with another request.
            close()
        case .awaitingHead:
            hasReceived = true
            readHead(&buffer)
        case .length, .chunked, .untilClose:
            readBody(&buffer)
        }
    }

    private func readHead(_ buffer: inout ByteBuffer) {
        if inbound == nil {
            inbound = buffer
        } else {
            inbound?.writeBuffer(&buffer)
        }
        while case .awaitingHead = state, var bytes = inbound {
            let step = bytes.withUnsafeReadableBytes { parser.parse($0) }
            switch step {
            case .needMore: return
            case .invalid(let violation):
                inbound = nil
                fail(.malformed(violation.reason))
                return
            case .complete(let headBytes):
                if parser.status < 200 {
                    interim += 1
                    guard interim <= Self.maximumInterim else {
                        inbound = nil
                        fail(.malformed("too many interim responses"))
                        return
                    }
                    // 100 and 103 carry nothing that concerns us; 101 cannot be, since nothing was asked to be upgraded.
                    bytes.moveReaderIndex(forwardBy: headBytes)
                    parser.reset(requestMethod: .post)
                    inbound = bytes
                    if bytes.readableBytes == 0 { inbound = nil }
                    continue
                }
                inbound = nil
                keepAlive = parser.keepAlive
                acceptHead(bytes, headBytes)
                return
            }
        }
    }

    private func acceptHead(_ bytes: ByteBuffer, _ headBytes: Int) {
        var bytes = bytes
        guard let attempt else {
            close()
            return
        }
        let framing = parser.framing
        switch framing {
        case .none: state = .length(0)
        case .length(let length): state = .length(length)
        case .chunked:
            decoder = ChunkedDecoder()
            state = .chunked
        case .untilClose:
            keepAlive = false
            state = .untilClose
        }
        bytes.withUnsafeReadableBytes { raw in
            attempt.upstreamHead(UpstreamHead(status: parser.status, framing: framing, fields: parser.fields, bytes: raw))
        }
        bytes.moveReaderIndex(forwardBy: headBytes)
        // The attempt may have let go, to try another endpoint.
        guard self.attempt === attempt else {
            if isDiscarding { discard(&bytes) }
            return
        }
        if case .length(0) = state {
            let extra = bytes.readableBytes > 0
            attempt.upstreamPiece(&bytes, 0, isEnd: true)
            finish(extra: extra)
        } else if bytes.readableBytes > 0 {
            readBody(&bytes)
        }
    }

    private func readBody(_ buffer: inout ByteBuffer) {
        guard let attempt else {
            if isDiscarding { discard(&buffer) } else { close() }
            return
        }
        switch state {
        case .length(let remaining):
            let take = Int(min(Int64(buffer.readableBytes), remaining))
            let left = remaining - Int64(take)
            state = .length(left)
            let extra = buffer.readableBytes > take
            attempt.upstreamPiece(&buffer, take, isEnd: left == 0)
            if left == 0, self.attempt === attempt { finish(extra: extra) }
        case .untilClose:
            attempt.upstreamPiece(&buffer, buffer.readableBytes, isEnd: false)
        case .chunked: readChunks(&buffer, attempt)
        case .idle, .awaitingHead, .closed: return
        }
    }

    private func discard(_ buffer: inout ByteBuffer) {
        guard case .length(let rest) = state else { return close() }
        let left = rest - Int64(buffer.readableBytes)
        state = .length(max(0, left))
        if left <= 0 { finish(extra: left < 0) }
    }

    private func readChunks(_ buffer: inout ByteBuffer, _ attempt: Attempt) {
        var end = false
        var consumed = 0
        var violation: HTTPViolation?
        buffer.withUnsafeReadableBytes { bytes in
            var offset = 0
            scan: while offset < bytes.count {
                switch decoder.next(bytes, from: offset) {
                case .data(let range):
                    attempt.take(UnsafeRawBufferPointer(rebasing: bytes[range]))
                    offset = range.upperBound
                case .end(let consumedBytes):
                    end = true
                    offset = consumedBytes
                    break scan
                case .needMore(let consumedBytes):
                    offset = consumedBytes
                    break scan
                case .invalid(let found):
                    violation = found
                    break scan
                }
            }
            consumed = offset
        }
        guard self.attempt === attempt else { return }
        attempt.endPieces(isEnd: end)
        guard self.attempt === attempt else { return }
        if let violation {
            fail(.malformed(violation.reason))
        } else if end {
            finish(extra: consumed < buffer.readableBytes)
        }
    }

    /// The response is whole: the connection goes back to its pool, unless it said otherwise.
    private func finish(extra: Bool) {
        attempt = nil
        isDiscarding = false
        hasServed = true
        state = .idle
        if keepAlive, !extra, hasSentAll, !awaitsMore {
            pool.release(self)
        } else {
            close()
        }
    }

    /// Who answers before the whole request was sent may leave the rest of it unread: what came behind would be read as if it were that rest,
    /// or that rest as the next request.
    private var hasSentAll: Bool { requestBytes <= Self.smallRequest || stream?.pendingBytes == 0 }
    /// What the kernel takes at once.
    private static let smallRequest = 16_384

    private func fail(_ failure: UpstreamFailure) {
        let attempt = attempt
        self.attempt = nil
        close()
        attempt?.upstreamFailed(failure, connection: self)
    }

    func ended(_ failure: StreamFailure?) {
        let attempt = attempt
        let before = state
        self.attempt = nil
        wasRefused = failure?.isRefused ?? false
        if case .awaitingHead = before, failure?.isTorn ?? true, !hasReceived, let delivery = stream?.delivery {
            provesUnread =
                acknowledgedBefore.map { delivery.acknowledged == $0 && delivery.outstanding > 0 }
                ?? (delivery.outstanding >= UInt64(requestBytes))
        }
        stream = nil
        state = .closed
        deadline = .max
        loop.remove(self)
        pool.closed(self, byProvider: !isClosing)
        guard let attempt else { return }
        if let failure {
            // Of a response that ends with its connection, nobody can tell whether it is whole.
            attempt.upstreamFailed(failure.isTorn ? .closed : .io(failure.detail), connection: self)
        } else if case .untilClose = before, !isClosing {
            attempt.upstreamEnded()
        } else {
            attempt.upstreamFailed(.closed, connection: self)
        }
    }
}

/// How a provider's connection failed an attempt.
enum UpstreamFailure: Error {
    case closed
    case malformed(String)
    case io(String)

    var detail: String {
        switch self {
        case .closed: "the connection was closed"
        case .malformed(let reason): reason
        case .io(let what): what
        }
    }
}

/// A response head while its bytes are at hand. Not to be kept.
struct UpstreamHead {
    let status: Int
    let framing: BodyFraming
    let fields: [HTTPField]
    let bytes: UnsafeRawBufferPointer

    func value(_ known: KnownField) -> UnsafeRawBufferPointer? {
        for field in fields where field.known == known { return UnsafeRawBufferPointer(rebasing: bytes[field.value]) }
        return nil
    }

    /// - Parameter name: in lower case, of a field that the codec does not know.
    func value(named name: StaticString) -> UnsafeRawBufferPointer? {
        for field in fields where field.name.count == name.utf8CodeUnitCount {
            let isSame = zip(bytes[field.name], UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
                .allSatisfy { $0 | 0x20 == $1 | 0x20 }
            if isSame { return UnsafeRawBufferPointer(rebasing: bytes[field.value]) }
        }
        return nil
    }
}
