import Listening
import NIOCore
import NIOHPACK
import NIOHTTP2
import Primitives
import Wire

/// One HTTP/2 connection of an application (RFC 9113): opens a stream for each request, and owns what concerns all of them. What one
/// connection's requests hold counts as if each had come on a connection of its own.
final class HTTP2Front: HTTP2User, ByteStreamUser, ListedConnection {
    private enum State {
        case open
        /// GOAWAY was said: streams run to their end, and no others begin.
        case leaving
        /// All is said; what still arrives is thrown away, so that the client's kernel does not drop it with a reset.
        case lingering
        case closed
    }

    let loop: LoopContext
    var listIndex = -1
    /// Bytes of all streams that the kernel has not taken.
    var pending = 0
    private var deadline: Int64
    private var state = State.open
    private var stream: (any ByteStream)?
    private var frames: HTTP2Channel?
    private let place: ConnectionGate.Place
    /// Let in beyond the maximum.
    private let isReserved: Bool
    private var hasSpoken = false
    private var streams: [HTTP2StreamID: HTTP2Stream] = [:]
    /// Streams that have ended, for the next ones: they remember the key that was presented.
    private var spares: [HTTP2Stream] = []
    private var head: HTTP2RequestHead
    private var last = HTTP2StreamID(0)
    /// Places of the listener beside the connection's own.
    private var places = 0
    /// WINDOW_UPDATE frames that what was sent does not explain.
    private var idleUpdates = 0
    /// Everything was acknowledged; on a connection that lingers.
    private var isDelivered = false
    private var patienceEnds = Int64.max

    /// Of all streams together: above, only a stream with nothing on its way may send.
    private static let highMark = 1 << 20
    private static let maximumSpares = 16
    private static let maximumIdleUpdates = 2000
    private static let lingerMicroseconds: Int64 = 2_000_000

    init(loop: LoopContext, place: ConnectionGate.Place) {
        self.loop = loop
        self.place = place
        isReserved = place.passage == .reserved
        deadline = loop.after(loop.settings.headTimeout)
        head = HTTP2RequestHead(
            limits: HTTPLimits(maxHeadBytes: loop.settings.maxHeadBytes, maxFields: loop.settings.maxHeaderFields), text: loop.nothing)
    }

    /// - Parameter bytes: what the client has sent so far.
    func takeOver(_ stream: any ByteStream, with bytes: ByteBuffer) {
        opened(stream)
        // More than a head may have, so that one that is somewhat too large is answered, and not the end of its connection.
        let headers = loop.settings.maxHeadBytes + 32 * loop.settings.maxHeaderFields + 16_384
        stream.speakHTTP2(.init(maxStreams: loop.settings.maxStreams, maxHeaderBytes: headers), user: self, with: bytes)
    }

    var peer: String? { stream?.peer }

    /// Between two requests, with nothing of the next one.
    var isResting: Bool { state == .open && hasSpoken && streams.isEmpty }
    /// When its rest ends.
    var restsUntil: Int64 { deadline }

    /// Requests and answers under way: a data plane that stops waits for them.
    var busy: Int { streams.count + (state == .lingering && !isDelivered ? 1 : 0) }

    // MARK: The connection

    func opened(_ stream: any ByteStream) {
        self.stream = stream
        loop.add(self)
        loop.metrics.http2Connections &+= 1
    }

    func opened(_ frames: HTTP2Channel) { self.frames = frames }

    /// Bytes that a client may send on a stream before it is told that there is room for more.
    var streamWindow: Int { frames?.settings.streamWindow ?? 0 }

    /// Of a client that has broken the protocol.
    func received(_ bytes: ByteBuffer) {}

    func writabilityChanged(isWritable: Bool) {}

    func ended(_ failure: StreamFailure?) {
        state = .closed
        deadline = .max
        stream = nil
        frames = nil
        loop.remove(self)
        for stream in Array(streams.values) { stream.clientLeft() }
        spares.removeAll()
    }

    func violated(_ error: HTTP2ErrorCode) {
        guard state == .open || state == .leaving else { return }
        loop.metrics.http2Violations &+= 1
        linger()
        // Nothing of what still comes is looked at.
        stream?.speakNothing()
        for stream in Array(streams.values) { stream.clientLeft() }
    }

    // MARK: Frames

    func received(_ frame: HTTP2Frame) {
        guard state == .open || state == .leaving else { return }
        switch frame.payload {
        case .headers(let block):
            if let stream = streams[frame.streamID] {
                // Trailers: nothing in them concerns a request for a model.
                stream.received(loop.nothing, isEnd: block.endStream)
            } else if frame.streamID > last {
                begin(frame.streamID, block)
            }
        case .data(let data):
            guard case .byteBuffer(let bytes) = data.data else { return }
            streams[frame.streamID]?.received(bytes, isEnd: data.endStream)
        case .windowUpdate:
            idleUpdates += 1
            if idleUpdates > Self.maximumIdleUpdates { calm() }
        case .goAway:
            state = .leaving
            leaveIfDone()
        case .settings, .ping, .rstStream, .priority, .pushPromise, .alternativeService, .origin: return
        }
    }

    private func begin(_ id: HTTP2StreamID, _ block: HTTP2Frame.FramePayload.Headers) {
        last = id
        loop.readClock()
        // Not begun: it may be sent to another data plane as it is (RFC 9113 §8.7).
        guard state == .open, !loop.isDraining, streams.count < loop.settings.maxStreams else { return reset(id, .refusedStream) }
        let violation = head.read(block.headers, endStream: block.endStream)
        let refusal = violation == nil ? firstHead() ?? takePlace() : nil
        var origin: (lines: [UInt8], decision: HeadDecision?) = ([], nil)
        if violation == nil, let policy = loop.crossOrigin { origin = head.judge(policy) }
        let stream = spares.popLast() ?? HTTP2Stream(self)
        streams[id] = stream
        deadline = .max
        stream.begin(id, isHead: head.method == .head, originLines: origin.lines, isWhole: block.endStream)
        let decision: HeadDecision
        if let violation {
            loop.metrics.malformedRequests &+= 1
            var rejection = Rejection.badRequest("malformed_request", "The request is not valid: \(violation.reason).")
            rejection.status = violation.status
            decision = .reject(rejection)
            stream.exchange.open()
        } else if let here = refusal ?? origin.decision {
            decision = here
            stream.exchange.open()
        } else {
            decision = head.text.withUnsafeReadableBytes { stream.exchange.receive(head, $0) }
        }
        stream.go(on: decision, length: violation == nil ? head.contentLength : nil, expectsContinue: head.expectsContinue)
    }

    /// The first head is whole: this connection gives way to nobody any more. One that was let in beyond the maximum may ask for health.
    private func firstHead() -> HeadDecision? {
        if !hasSpoken {
            hasSpoken = true
            if !isReserved { place.spoke() }
        }
        if !isReserved || head.pathStarts(with: "/health/") { return nil }
        return .reject(.overloaded())
    }

    /// A request beside others of its connection takes a place as a connection would.
    private func takePlace() -> HeadDecision? {
        guard streams.count > places else { return nil }
        if place.takeAnother() {
            places += 1
            return nil
        }
        return head.pathStarts(with: "/health/") ? nil : .reject(.overloaded())
    }

    /// A stream that was not read is read again.
    func widenAgain(_ id: HTTP2StreamID, from size: Int) {
        guard size != .max else { return }
        windowChanged(id, to: size)
    }

    func windowChanged(_ id: HTTP2StreamID, to size: Int) {
        guard let frames, let stream = streams[id] else { return }
        frames.widen(id, by: stream.windowChanged(to: size, of: frames.settings.streamWindow))
    }

    func streamClosed(_ id: HTTP2StreamID, _ error: HTTP2ErrorCode?) {
        guard error != nil, let stream = streams[id] else { return }
        loop.metrics.http2Resets &+= 1
        stream.clientLeft()
    }

    func sentData(_ id: HTTP2StreamID) {
        // A client tells of what it took once for the stream and once for the connection.
        idleUpdates = max(0, idleUpdates - 4)
        streams[id]?.sentData()
    }

    // MARK: What its streams do

    func send(_ id: HTTP2StreamID, _ payload: HTTP2Frame.FramePayload, taken: ((Bool) -> Void)? = nil) {
        guard let frames else {
            taken?(false)
            return
        }
        frames.write(id, payload, taken: taken)
    }

    func flushSoon() { frames?.flushSoon() }

    func reset(_ id: HTTP2StreamID, _ error: HTTP2ErrorCode) {
        send(id, .rstStream(error))
        flushSoon()
    }

    var hasRoom: Bool { pending < Self.highMark }
    /// Bytes that the client's kernel has.
    var acknowledged: UInt64 { stream?.delivery?.acknowledged ?? 0 }
    /// The client's connection is what does not take more.
    var isBacklogged: Bool { stream?.pendingBytes ?? 0 > 0 }

    func closed(_ stream: HTTP2Stream) {
        guard streams.removeValue(forKey: stream.id) != nil else { return }
        while places > max(0, streams.count - 1) {
            place.giveAnother()
            places -= 1
        }
        if state == .open, spares.count < Self.maximumSpares, stream.isReusable { spares.append(stream) }
        guard streams.isEmpty else { return }
        if state == .open {
            if isReserved { return leave() }
            deadline = loop.after(loop.settings.keepAliveTimeout)
        }
        leaveIfDone()
    }

    func isReceiving(for share: BodyBudget.Share) -> HTTP2Stream? { streams.values.first { $0.isReceiving(for: share) } }

    // MARK: Deadlines

    func sweep(_ now: Int64) {
        if deadline <= now { deadlinePassed(now) }
        for (_, stream) in streams where stream.deadline <= now { stream.deadlinePassed(now) }
    }

    private func deadlinePassed(_ now: Int64) {
        deadline = .max
        switch state {
        case .open where !hasSpoken:
            place.tookTooLong()
            leave()
        case .open: leave()
        case .leaving: break
        case .lingering: lookAtDelivery(now)
        case .closed: return
        }
    }

    // MARK: Ends

    /// No more requests on this connection; those under way run to their end.
    func leave() {
        guard state == .open else { return }
        state = .leaving
        // Not the last stream's: what is on its way is refused one by one, and may be sent elsewhere (RFC 9113 §6.8).
        sayGoodbye(.maxID)
        leaveIfDone()
    }

    func drain() { leave() }

    func interrupt() { for stream in Array(streams.values) { stream.interrupt() } }

    /// A flood that the framing does not look for.
    private func calm() {
        frames?.sayGoodbye(last: last, .enhanceYourCalm)
        violated(.enhanceYourCalm)
    }

    private func leaveIfDone() {
        guard state == .leaving, streams.isEmpty else { return }
        sayGoodbye(last)
        linger()
    }

    /// GOAWAY without an error, past the framing: that would take the bodies of requests which cross it for a breach, and end the connection.
    private func sayGoodbye(_ last: HTTP2StreamID) {
        var frame = loop.allocator.buffer(capacity: 17)
        frame.writeBytes([0, 0, 8, 7, 0, 0, 0, 0, 0])
        frame.writeInteger(UInt32(clamping: Int(last)))
        frame.writeInteger(UInt32(0))
        stream?.writeAndFlush(frame)
    }

    /// As HTTP/1.1's front does: the sending side is closed behind all that was written, and the rest when the client has it.
    private func linger() {
        guard let stream else { return }
        state = .lingering
        patienceEnds = loop.after(loop.settings.writeTimeout)
        deadline = patienceEnds
        stream.whenTaken { taken in
            guard taken, self.state == .lingering else { return }
            self.stream?.closeOutput()
            self.lookAtDelivery(self.loop.readClock())
        }
    }

    private func lookAtDelivery(_ now: Int64) {
        guard !isDelivered, now < patienceEnds else { return close() }
        if let delivery = stream?.delivery, !delivery.isComplete {
            deadline = min(now &+ 200_000, patienceEnds)
        } else {
            isDelivered = true
            deadline = now &+ Self.lingerMicroseconds
        }
    }

    func close() {
        deadline = .max
        stream?.close()
    }
}
