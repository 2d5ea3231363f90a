import Listening
import NIOCore
import Primitives
import Wire

/// One connection of an application: reads requests with the strict codec, one at a time, and writes their answers. Owns the deadlines
/// towards the client; what a request means is its `Exchange`'s.
/// A request is read when the answers before it are taken: what a client does not read is neither made nor kept, whoever makes it.
final class FrontHandler: ByteStreamUser, ListedConnection, ReplySink {
    /// head → (lengthBody | chunkedBody) → exchanging → flushing → head. lingering and closed come last.
    enum State {
        case head
        case lengthBody(Int)
        case chunkedBody, exchanging
        /// The answer is whole and waits for the kernel to take it.
        case flushing
        /// The last answer is out; what still arrives is thrown away, so that the client's kernel does not drop the answer with a reset.
        case lingering
        case closed
    }

    let loop: LoopContext
    let allocator: ByteBufferAllocator
    private(set) var exchange: Exchange!
    var listIndex = -1
    /// Monotonic microseconds; the sweep calls `deadlinePassed` after it.
    var deadline: Int64

    var stream: (any ByteStream)?
    private let place: ConnectionGate.Place
    private var hasSpoken = false
    var state = State.head
    private var parser: RequestHeadParser
    private var decoder = ChunkedDecoder()
    var inbound: ByteBuffer
    var chunkedBody: ByteBuffer
    var terms = HTTP1Reply.Terms()
    private var reply: HTTP1Reply
    /// What `flush` sends ahead of what stands in `reply`: pieces that are passed on as they are, with what was written before them.
    private var outgoing: [ByteBuffer] = []
    /// Bytes sent since the stream was last seen to have passed everything on.
    private var untaken = 0
    /// What the client's kernel had acknowledged when it was last looked at, while the client does not keep up; nil while it does.
    var stalledAt: UInt64?
    /// An exchange waits for the client to take what was sent.
    private var awaitsTaking = false
    /// On a connection that lingers: when everything was acknowledged, and until when something more has to be.
    private var deliveredAt: Int64?
    private var patienceEnds = Int64.max
    private var isProcessing = false
    var held = HeldBody()
    /// What is still to come of a body that is sent on as it comes.
    var upload: Upload?

    /// Bytes of further requests that are taken in while one is being answered.
    static let pipelineBytes = 65_536
    /// What a kernel always has room for behind nothing: below it nobody asks whether an answer was taken.
    private static let smallAnswer = 16_384
    private static let lingerMicroseconds: Int64 = 2_000_000
    private static let lingerLook: Int64 = 200_000

    init(loop: LoopContext, allocator: ByteBufferAllocator, place: ConnectionGate.Place) {
        self.loop = loop
        self.allocator = allocator
        self.place = place
        parser = RequestHeadParser(
            limits: HTTPLimits(maxHeadBytes: loop.settings.maxHeadBytes, maxFields: loop.settings.maxHeaderFields))
        deadline = loop.readClock() &+ Int64(loop.settings.headTimeout) &* 1000
        (inbound, chunkedBody) = (loop.nothing, loop.nothing)
        reply = HTTP1Reply(allocator: allocator, nothing: loop.nothing)
        exchange = Exchange(sink: self, loop: loop)
    }

    var peer: String? { stream?.peer }

    /// Between two requests, with nothing of the next one.
    var isResting: Bool {
        guard case .head = state else { return false }
        return hasSpoken && inbound.readableBytes == 0
    }

    /// Something of a request or of its answer is under way: a data plane that stops waits for it.
    var isBusy: Bool {
        switch state {
        case .flushing: true
        case .lingering: deliveredAt == nil
        default: !exchange.isIdle
        }
    }

    // MARK: The stream

    func opened(_ stream: any ByteStream) {
        self.stream = stream
        loop.add(self)
        loop.metrics.connectionsOpened &+= 1
    }

    func received(_ bytes: ByteBuffer) {
        var buffer = bytes
        let now = loop.readClock()
        switch state {
        case .lingering, .closed: return
        case .exchanging where upload?.isWhole == false: return takeUpload(&buffer)
        case .head where inbound.readableBytes == 0:
            deadline = now &+ milliseconds(loop.settings.headTimeout)
            inbound = buffer
        case .chunkedBody where inbound.readableBytes == 0: inbound = buffer
        default:
            if inbound.readableBytes == 0 { inbound = buffer } else { inbound.writeBuffer(&buffer) }
        }
        process()
        switch state {
        case .exchanging, .flushing: if inbound.readableBytes > Self.pipelineBytes { stream?.pauseReading() }
        default: return
        }
    }

    func ended(_ failure: StreamFailure?) {
        if !hasSpoken, failure?.isHandshake == true { loop.metrics.handshakeFailures &+= 1 }
        state = .closed
        deadline = .max
        stream = nil
        upload = nil
        loop.remove(self)
        release()
        if !exchange.isIdle { exchange.clientLeft(.clientGone) }
    }

    func writabilityChanged(isWritable: Bool) {
        guard isWritable else { return }
        if case .exchanging = state {
            keepsUp()
            // Something still waits, and the client has as long again for it.
            if awaitsTaking { stalls() }
        }
        exchange.clientIsReady()
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
                guard hold(min(inbound.readableBytes, length), of: length) else { return }
                guard inbound.readableBytes >= length, let body = inbound.readSlice(length: length) else {
                    switch exchange.judge(begin: inbound, of: length) {
                    case .isHeld: break
                    case .isSentOn: beginUpload(length)
                    case .isRefused(let rejection): refuseBody(rejection)
                    }
                    return
                }
                run(body)
            case .chunkedBody:
                guard readChunks() else { return }
            case .exchanging, .flushing, .lingering, .closed: return
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
                decision = decide(bytes)
            }
            return step
        }
        switch step {
        case .needMore: return false
        case .invalid(.http2Preface) where switchesToHTTP2(): return false
        case .invalid(let violation):
            loop.metrics.malformedRequests &+= 1
            terms = HTTP1Reply.Terms()
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

    /// The client's first bytes are the preface of HTTP/2: over TLS when both sides have agreed on it (ALPN), else by prior knowledge
    /// (RFC 9113 §3.2, §3.3). This handler makes way for another front then.
    private func switchesToHTTP2() -> Bool {
        guard !hasSpoken, loop.settings.maxStreams > 0, let stream, stream.mayBeHTTP2 else { return false }
        state = .closed
        deadline = .max
        self.stream = nil
        loop.remove(self)
        let bytes = inbound
        inbound = loop.nothing
        HTTP2Front(loop: loop, place: place).takeOver(stream, with: bytes)
        return true
    }

    private func decide(_ bytes: UnsafeRawBufferPointer) -> HeadDecision {
        if let refusal = firstHead(bytes[parser.path]) ?? crossOrigin(bytes) {
            exchange.open()
            return refusal
        }
        return exchange.receive(parser, bytes)
    }

    /// The first head is whole: this connection gives way to nobody any more. One that was let in beyond the maximum may ask for health.
    private func firstHead(_ path: Slice<UnsafeRawBufferPointer>) -> HeadDecision? {
        if hasSpoken { return nil }
        hasSpoken = true
        switch place.passage {
        case .open:
            place.spoke()
            return nil
        case .reserved:
            terms.keepAlive = false
            return path.starts(with: "/health/".utf8) ? nil : .reject(.overloaded())
        }
    }

    /// What pages of other origins are told, where the operator lets any call. Preflights are answered here.
    private func crossOrigin(_ bytes: UnsafeRawBufferPointer) -> HeadDecision? {
        guard let policy = loop.crossOrigin else { return nil }
        let (lines, decision) = policy.judge(parser, bytes)
        terms.originLines = lines
        return decision
    }

    private func begin(_ decision: HeadDecision) {
        let length = parser.contentLength.map { Int(clamping: $0) } ?? 0
        let isChunked = parser.isChunked
        let expectsContinue = parser.expectsContinue
        parser.reset()
        switch decision {
        case .receiveBody:
            deadline = loop.nowMicroseconds &+ milliseconds(loop.settings.bodyTimeout)
            if isChunked {
                decoder = ChunkedDecoder()
                chunkedBody = loop.nothing
                state = .chunkedBody
            } else {
                state = .lengthBody(length)
            }
            if expectsContinue, inbound.readableBytes == 0 {
                var answer = allocator.buffer(capacity: 32)
                answer.writeStaticString("HTTP/1.1 100 Continue\r\n\r\n")
                send(answer)
                stream?.flush()
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
            var rejection = Rejection.badRequest("malformed_request", "The request body is not valid: \(violation.reason).")
            rejection.closesConnection = true
            refuseBody(rejection)
            return true
        }
        if isTooLarge {
            refuseBody(exchange.bodyTooLarge(statesLength: false))
            return true
        }
        guard hold(chunkedBody.readableBytes, of: chunkedBody.readableBytes), isEnd else { return false }
        let body = chunkedBody
        chunkedBody = loop.nothing
        run(body)
        return true
    }

    func run(_ body: ByteBuffer, _ upload: Upload? = nil) {
        if inbound.readableBytes == 0 { inbound = loop.nothing }
        state = .exchanging
        deadline = .max
        do throws(Rejection) {
            try exchange.run(body: body, upload: upload)
        } catch {
            exchange.reject(error)
        }
    }

    // MARK: Writing answers

    func begin(_ head: ReplyHead) {
        // The rest of a body that is not wanted any more is no request.
        if loop.isDraining || upload?.isWhole == false { terms.keepAlive = false }
        reply.begin(head, terms, dateLine: loop.dateLine, from: &loop.spareBuffers)
    }

    func write(_ bytes: UnsafeRawBufferPointer) { reply.write(bytes) }

    func write(_ piece: ByteBuffer) {
        guard reply.passes(piece) else {
            piece.withUnsafeReadableBytes { reply.write($0) }
            return
        }
        if !reply.isEmpty { outgoing.append(reply.take()) }
        outgoing.append(piece)
    }

    func discard() {
        reply.discard()
        if !outgoing.isEmpty { outgoing.removeAll() }
    }

    func requestIsDone() { release() }

    func flush() -> Bool {
        guard let stream else { return true }
        if !outgoing.isEmpty {
            for piece in outgoing { send(piece) }
            outgoing.removeAll(keepingCapacity: true)
        }
        if reply.isEmpty {
            stream.flush()
        } else {
            let bytes = reply.take()
            send(bytes)
            stream.flush()
            loop.spareBuffers.give(bytes)
        }
        if stream.isWritable { return true }
        stalls()
        return false
    }

    private func send(_ bytes: ByteBuffer) {
        untaken &+= bytes.readableBytes
        stream?.write(bytes)
    }

    var isTaken: Bool {
        guard untaken >= Self.smallAnswer, let stream else { return true }
        guard stream.pendingBytes == 0 else { return false }
        untaken = 0
        return true
    }

    func whenTaken(_ done: @escaping () -> Void) {
        awaitsTaking = true
        stalls()
        stream?.whenTaken { taken in
            self.awaitsTaking = false
            guard taken else { return }
            self.untaken = 0
            self.keepsUp()
            done()
        }
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

    /// On to the next request when the client has taken this answer, or farewell.
    private func replyEnded() {
        guard case .exchanging = state else { return }
        loop.metrics.answers[(1...5).contains(reply.status / 100) ? reply.status / 100 : 0] &+= 1
        release()
        if let upload {
            if !upload.isWhole { terms.keepAlive = false }
            self.upload = nil
        }
        guard terms.keepAlive, !loop.isDraining else { return linger() }
        if isTaken { return next() }
        state = .flushing
        whenTaken {
            if case .flushing = self.state { self.next() }
        }
    }

    private func next() {
        guard terms.keepAlive, !loop.isDraining else { return linger() }
        state = .head
        deadline =
            loop.nowMicroseconds
            &+ milliseconds(inbound.readableBytes == 0 ? loop.settings.keepAliveTimeout : loop.settings.headTimeout)
        stream?.resumeReading()
        if inbound.readableBytes > 0 { process() }
    }

    // MARK: A client that does not keep up

    /// It may take its time, but has to take something within `writeTimeout`.
    private func stalls() {
        guard stalledAt == nil else { return }
        stalledAt = stream?.delivery?.acknowledged ?? 0
        deadline = loop.nowMicroseconds &+ milliseconds(loop.settings.writeTimeout)
    }

    private func keepsUp() {
        stalledAt = nil
        deadline = .max
    }

    /// Whether the client's kernel has acknowledged something since the last look; it has as long again then.
    private func hasTakenSomething(_ now: Int64) -> Bool {
        guard let before = stalledAt, let acknowledged = stream?.delivery?.acknowledged, acknowledged > before else { return false }
        stalledAt = acknowledged
        deadline = now &+ milliseconds(loop.settings.writeTimeout)
        return true
    }

    // MARK: Closing

    /// Closes the sending side once everything is written, waits until the client's kernel has it all, and then a little for the client's
    /// own end (RFC 9112 §9.6): bytes that arrive at a closed socket would make the kernel reset the connection, and the client's drop
    /// what it has not read yet.
    private func linger() {
        guard let stream else { return }
        state = .lingering
        inbound = loop.nothing
        deliveredAt = nil
        stalledAt = nil
        stalls()
        patienceEnds = deadline
        stream.resumeReading()
        stream.whenTaken { taken in
            guard taken, case .lingering = self.state else { return }
            self.stream?.closeOutput()
            self.lookAtDelivery(self.loop.readClock())
        }
    }

    /// Everything has left this process: how far has the client's got?
    private func lookAtDelivery(_ now: Int64) {
        guard let delivery = stream?.delivery, !delivery.isComplete else {
            deliveredAt = now
            deadline = now &+ Self.lingerMicroseconds
            return
        }
        if delivery.acknowledged > stalledAt ?? 0 {
            stalledAt = delivery.acknowledged
            patienceEnds = now &+ milliseconds(loop.settings.writeTimeout)
        }
        deadline = min(now &+ Self.lingerLook, patienceEnds)
    }

    func close() {
        deadline = .max
        stream?.close()
    }

    /// The gateway stops: connections between two requests are closed, the others after their answer.
    func drain() {
        terms.keepAlive = false
        guard case .head = state, inbound.readableBytes == 0 else { return }
        if hasSpoken { linger() } else { close() }
    }

    /// The time for draining is over: a body that is still arriving is waited for no longer, and whoever sends it is told so.
    func interrupt() {
        switch state {
        case .lengthBody, .chunkedBody: refuseBody(Rejection(.stopped))
        case .head, .exchanging, .flushing, .lingering, .closed: return
        }
    }

    func deadlinePassed(_ now: Int64) {
        deadline = .max
        switch state {
        case .head where inbound.readableBytes == 0:
            if !hasSpoken { place.tookTooLong() }
            close()
        case .head, .lengthBody, .chunkedBody:
            loop.metrics.deadlinesPassed &+= 1
            if case .head = state {
                // Nothing is known of this request; what the connection's last one asked for says nothing of it.
                terms = HTTP1Reply.Terms()
                exchange.open()
            }
            refuseBody(.slowRequest())
        case .exchanging where stalledAt == nil && upload?.isWhole == false:
            loop.metrics.deadlinesPassed &+= 1
            exchange.interrupt(.uploadTooSlow)
        case .exchanging, .flushing:
            if hasTakenSomething(now) { return }
            loop.metrics.deadlinesPassed &+= 1
            if !exchange.isIdle { exchange.clientLeft(.clientStalled) }
            close()
        case .lingering:
            if deliveredAt != nil {
                close()
            } else if stream?.pendingBytes ?? 0 > 0 {
                if hasTakenSomething(now) { return }
                loop.metrics.deadlinesPassed &+= 1
                close()
            } else if now >= patienceEnds {
                loop.metrics.deadlinesPassed &+= 1
                close()
            } else {
                lookAtDelivery(now)
            }
        case .closed: return
        }
    }

    func milliseconds(_ value: Int) -> Int64 { Int64(value) &* 1000 }
}
