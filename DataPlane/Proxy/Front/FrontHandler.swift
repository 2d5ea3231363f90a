import NIOCore
import Primitives
import Wire

/// One connection of an application: reads requests with the strict codec, one at a time, and writes their answers. Owns the deadlines
/// towards the client; what a request means is its `Exchange`'s.
final class FrontHandler: ChannelInboundHandler, ListedConnection, ReplySink {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// head → (body | skipping) → exchanging → head. lingering and closed come last.
    private enum State {
        case head
        case lengthBody(Int)
        case chunkedBody
        case exchanging
        /// The last answer is out; what still arrives is thrown away, so that the client's kernel does not drop the answer with a reset.
        case lingering
        case closed
    }

    let loop: LoopContext
    let allocator: ByteBufferAllocator
    private(set) var exchange: Exchange!
    var listIndex = -1
    /// Monotonic microseconds; the sweep calls `deadlinePassed` after it.
    private(set) var deadline: Int64

    private var context: ChannelHandlerContext?
    private var state = State.head
    private var parser: RequestHeadParser
    private var decoder = ChunkedDecoder()
    private var inbound = ByteBuffer()
    private var chunkedBody = ByteBuffer()
    private var terms = HTTP1Reply.Terms()
    private var reply: HTTP1Reply
    private var isPaused = false
    /// The channel's own, kept here: asking it goes through several objects.
    private var isWritable = true
    private var isProcessing = false
    /// What this connection added to the loop's `bufferedBytes`.
    private var accounted = 0

    /// Bytes of further requests that are taken in while one is being answered.
    private static let pipelineBytes = 65_536
    private static let lingerMicroseconds: Int64 = 2_000_000

    init(loop: LoopContext, allocator: ByteBufferAllocator) {
        self.loop = loop
        self.allocator = allocator
        parser = RequestHeadParser(
            limits: HTTPLimits(maxHeadBytes: loop.settings.maxHeadBytes, maxFields: loop.settings.maxHeaderFields))
        deadline = loop.readClock() &+ Int64(loop.settings.headTimeout) &* 1000
        reply = HTTP1Reply(allocator: allocator)
        exchange = Exchange(sink: self, loop: loop)
    }

    // MARK: The channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        loop.add(self)
        loop.metrics.connectionsOpened &+= 1
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        loop.remove(self)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        let now = loop.readClock()
        switch state {
        case .lingering, .closed: return
        case .head where inbound.readableBytes == 0:
            deadline = now &+ Int64(loop.settings.headTimeout) &* 1000
            inbound = buffer
        case .chunkedBody where inbound.readableBytes == 0: inbound = buffer
        default:
            if inbound.readableBytes == 0 { inbound = buffer } else { inbound.writeBuffer(&buffer) }
        }
        process()
        if case .exchanging = state, inbound.readableBytes > Self.pipelineBytes { pauseReading() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        state = .closed
        deadline = .max
        release()
        if !exchange.isIdle { exchange.clientLeft(.clientGone) }
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        isWritable = context.channel.isWritable
        if isWritable {
            if case .exchanging = state { deadline = .max }
            exchange.clientIsReady()
        }
        context.fireChannelWritabilityChanged()
    }

    // MARK: Reading requests

    private func process() {
        // A request that is answered at once leads to the next one: a loop, not a recursion that a client could deepen.
        if isProcessing { return }
        isProcessing = true
        defer { isProcessing = false }
        while true {
            switch state {
            case .head:
                guard inbound.readableBytes > 0, readHead() else { return }
            case .lengthBody(let length):
                guard inbound.readableBytes >= length, let body = inbound.readSlice(length: length) else { return }
                run(body)
            case .chunkedBody:
                guard readChunks() else { return }
            case .exchanging, .lingering, .closed: return
            }
        }
    }

    /// False when more bytes are needed.
    private func readHead() -> Bool {
        var decision: HeadDecision?
        let step = inbound.withUnsafeReadableBytes { bytes -> ParseStep in
            let step = parser.parse(bytes)
            if case .complete = step {
                terms.isHTTP10 = parser.minorVersion == 0
                terms.isHeadRequest = parser.method == .head
                terms.keepAlive = parser.keepAlive && !loop.isDraining
                decision = exchange.receive(parser, bytes)
            }
            return step
        }
        switch step {
        case .needMore: return false
        case .invalid(let violation):
            loop.metrics.malformedRequests &+= 1
            terms.isHeadRequest = false
            exchange.open()
            state = .exchanging
            var rejection = Rejection.badRequest("malformed_request", "The request is not valid HTTP/1.1: \(violation.reason).")
            rejection.status = violation.status
            rejection.closesConnection = true
            exchange.reject(rejection)
            return true
        case .complete(let headBytes):
            inbound.moveReaderIndex(forwardBy: headBytes)
            begin(decision ?? .reject(.notConfigured()))
            return true
        }
    }

    private func begin(_ decision: HeadDecision) {
        let length = parser.contentLength.map { Int(clamping: $0) } ?? 0
        let isChunked = parser.isChunked
        let expectsContinue = parser.expectsContinue
        parser.reset()
        switch decision {
        case .receiveBody:
            deadline = loop.nowMicroseconds &+ Int64(loop.settings.bodyTimeout) &* 1000
            if isChunked {
                decoder = ChunkedDecoder()
                chunkedBody = ByteBuffer()
                state = .chunkedBody
            } else {
                account(length)
                state = .lengthBody(length)
            }
            if expectsContinue, inbound.readableBytes == 0, let context {
                var answer = allocator.buffer(capacity: 32)
                answer.writeStaticString("HTTP/1.1 100 Continue\r\n\r\n")
                context.writeAndFlush(wrapOutboundOut(answer), promise: nil)
            }
        case .answer(let answer):
            skipBody(length, isChunked)
            state = .exchanging
            exchange.answer(answer)
        case .reject(let rejection):
            skipBody(length, isChunked)
            state = .exchanging
            exchange.reject(rejection)
        }
    }

    /// The request was judged by its head alone. A body that is here already is passed over; for one that is not, the connection is given
    /// up after the answer.
    private func skipBody(_ length: Int, _ isChunked: Bool) {
        if !isChunked, inbound.readableBytes >= length {
            inbound.moveReaderIndex(forwardBy: length)
        } else {
            terms.keepAlive = false
        }
    }

    private func readChunks() -> Bool {
        var isEnd = false
        var violation: HTTPViolation?
        let maximum = loop.settings.maxBodyBytes
        var isTooLarge = false
        let consumed = inbound.withUnsafeReadableBytes { bytes in
            var offset = 0
            while offset < bytes.count {
                switch decoder.next(bytes, from: offset) {
                case .data(let range):
                    offset = range.upperBound
                    isTooLarge = chunkedBody.readableBytes + range.count > maximum
                    if isTooLarge { return offset }
                    chunkedBody.writeBytes(bytes[range])
                case .end(let next):
                    isEnd = true
                    return next
                case .needMore(let next): return next
                case .invalid(let found):
                    violation = found
                    return offset
                }
            }
            return offset
        }
        inbound.moveReaderIndex(forwardBy: min(consumed, inbound.readableBytes))
        if let violation {
            loop.metrics.malformedRequests &+= 1
            state = .exchanging
            var rejection = Rejection.badRequest("malformed_request", "The request body is not valid: \(violation.reason).")
            rejection.closesConnection = true
            exchange.reject(rejection)
            return true
        }
        if isTooLarge {
            state = .exchanging
            exchange.reject(.bodyTooLarge(maximum: maximum))
            return true
        }
        account(chunkedBody.readableBytes - accounted)
        guard isEnd else { return false }
        let body = chunkedBody
        chunkedBody = ByteBuffer()
        run(body)
        return true
    }

    private func run(_ body: ByteBuffer) {
        if inbound.readableBytes == 0 { inbound = ByteBuffer() }
        state = .exchanging
        deadline = .max
        do throws(Rejection) {
            try exchange.run(body: body)
        } catch {
            exchange.reject(error)
        }
    }

    private func account(_ bytes: Int) {
        accounted &+= bytes
        loop.bufferedBytes &+= bytes
    }

    private func release() {
        loop.bufferedBytes &-= accounted
        accounted = 0
    }

    // MARK: Writing answers

    func begin(_ head: ReplyHead) {
        if loop.isDraining { terms.keepAlive = false }
        reply.begin(head, terms, dateLine: loop.dateLine)
    }

    func write(_ bytes: UnsafeRawBufferPointer) { reply.write(bytes) }

    func write(_ piece: ByteBuffer) {
        guard let context, reply.passes(piece) else {
            piece.withUnsafeReadableBytes { reply.write($0) }
            return
        }
        if !reply.isEmpty { context.write(wrapOutboundOut(reply.take()), promise: nil) }
        context.write(wrapOutboundOut(piece), promise: nil)
    }

    func discard() { reply.discard() }

    func requestIsDone() { release() }

    func flush() -> Bool {
        guard let context else { return true }
        if reply.isEmpty {
            context.flush()
        } else {
            context.writeAndFlush(wrapOutboundOut(reply.take()), promise: nil)
        }
        if isWritable { return true }
        deadline = loop.nowMicroseconds &+ Int64(loop.settings.writeTimeout) &* 1000
        return false
    }

    func end() {
        reply.end()
        if reply.closesConnection { terms.keepAlive = false }
        _ = flush()
        replyEnded()
    }

    func abort() {
        terms.keepAlive = false
        _ = flush()
        replyEnded()
    }

    /// On to the next request, or farewell.
    private func replyEnded() {
        guard case .exchanging = state else { return }
        loop.metrics.answers[(1...5).contains(reply.status / 100) ? reply.status / 100 : 0] &+= 1
        release()
        guard terms.keepAlive, !loop.isDraining else {
            linger()
            return
        }
        state = .head
        deadline =
            loop.nowMicroseconds &+ Int64(inbound.readableBytes == 0 ? loop.settings.keepAliveTimeout : loop.settings.headTimeout) &* 1000
        resumeReading()
        if inbound.readableBytes > 0 { process() }
    }

    // MARK: Closing

    /// Closes the sending side once everything is written, and waits a little for the client's own end (RFC 9112 §9.6).
    private func linger() {
        guard let context else { return }
        state = .lingering
        inbound = ByteBuffer()
        deadline = loop.nowMicroseconds &+ Self.lingerMicroseconds
        resumeReading()
        let written = context.eventLoop.makePromise(of: Void.self)
        context.writeAndFlush(wrapOutboundOut(ByteBuffer()), promise: written)
        written.futureResult.assumeIsolated().whenComplete { _ in
            self.context?.close(mode: .output, promise: nil)
        }
    }

    func close() {
        deadline = .max
        context?.close(promise: nil)
    }

    /// The gateway stops: connections between two requests are closed, the others after their answer.
    func drain() {
        if case .head = state, inbound.readableBytes == 0 { close() }
        terms.keepAlive = false
    }

    func deadlinePassed(_ now: Int64) {
        deadline = .max
        switch state {
        case .head where inbound.readableBytes == 0: close()
        case .head, .lengthBody, .chunkedBody:
            loop.metrics.deadlinesPassed &+= 1
            if case .head = state { exchange.open() }
            state = .exchanging
            exchange.reject(.slowRequest())
        case .exchanging:
            loop.metrics.deadlinesPassed &+= 1
            exchange.clientLeft(.clientStalled)
            close()
        case .lingering: close()
        case .closed: return
        }
    }

    // MARK: Back-pressure

    private func pauseReading() {
        guard !isPaused, let context else { return }
        isPaused = true
        context.channel.setOption(.autoRead, value: false).assumeIsolated().whenFailure { _ in }
    }

    private func resumeReading() {
        guard isPaused, let context else { return }
        isPaused = false
        context.channel.setOption(.autoRead, value: true).assumeIsolated().whenFailure { _ in }
    }
}
