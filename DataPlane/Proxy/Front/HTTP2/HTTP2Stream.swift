import NIOCore
import NIOHPACK
import NIOHTTP2
import Primitives
import Wire

/// One request of an HTTP/2 connection and its answer: takes in the body, frames what its exchange says, and owns the deadlines towards the
/// client of both. Serves one request after the other, as its exchange does, where each came to its end.
final class HTTP2Stream: ReplySink, UploadSource {
    /// receiving → exchanging → finishing → closed.
    private enum State {
        case receiving, exchanging
        /// All is said; some of it waits for the client to take it.
        case finishing
        case closed
    }

    let loop: LoopContext
    private(set) var id = HTTP2StreamID(0)
    private(set) var exchange: Exchange!
    /// Monotonic microseconds; the sweep calls `deadlinePassed` after it.
    private(set) var deadline = Int64.max
    private let front: HTTP2Front
    private var state = State.closed

    // The request.
    private var body: ByteBuffer
    private var held = HeldBody()
    private var length = 0
    /// The client has said all.
    private var requestIsWhole = false
    /// What is still to come of a body that is sent on as it comes.
    private var upload: Upload?
    private var uploadIsPaused = false
    /// What the client may still send, as far as it was told.
    private var windowLeft = Int.max

    // The answer.
    private var isHeadRequest = false
    private var originLines: [UInt8] = []
    private var head: ReplyHead?
    private var status = 0
    /// Bytes that a stated length still promises; nil where none was stated.
    private var promised: Int64?
    /// What the next `flush` sends, in this order.
    private var pieces: [ByteBuffer] = []
    private var out: ByteBuffer
    /// Bytes that were sent and that the kernel has not taken: the client's windows or its connection keep them here.
    private var pending = 0
    private var whenAllTaken: (() -> Void)?
    /// Frames of DATA that have left; raised by each.
    private var sent: UInt64 = 0
    /// What had left, and what the client's kernel had acknowledged, when a client that does not keep up was last looked at.
    private var stalledAt: (sent: UInt64, acknowledged: UInt64)?

    /// Above the one, an exchange is asked to wait until it is below the other.
    private static let highMark = 65_536
    private static let lowMark = 16_384

    init(_ front: HTTP2Front) {
        self.front = front
        loop = front.loop
        (body, out) = (loop.nothing, loop.nothing)
        exchange = Exchange(sink: self, loop: loop)
    }

    var peer: String? { front.peer }

    /// Nothing of what it did last is under way any more: it may serve another request.
    var isReusable: Bool { pending == 0 && whenAllTaken == nil && exchange.isIdle }

    // MARK: The request

    /// - Parameter isWhole: the request has no body.
    func begin(_ id: HTTP2StreamID, isHead: Bool, originLines: [UInt8], isWhole: Bool) {
        self.id = id
        isHeadRequest = isHead
        self.originLines = originLines
        requestIsWhole = isWhole
        (length, status, sent) = (0, 0, 0)
        promised = nil
        stalledAt = nil
        upload = nil
        uploadIsPaused = false
        windowLeft = .max
        deadline = .max
        state = .exchanging
    }

    func go(on decision: HeadDecision, length: Int64?, expectsContinue: Bool) {
        switch decision {
        case .answer(let answer): exchange.answer(answer)
        case .reject(let rejection): exchange.reject(rejection)
        case .receiveBody:
            if requestIsWhole { return run() }
            state = .receiving
            self.length = length.map { Int(clamping: $0) } ?? 0
            deadline = loop.after(loop.settings.bodyTimeout)
            if expectsContinue { front.send(id, .headers(.init(headers: [":status": "100"]))) }
        }
    }

    func received(_ bytes: ByteBuffer, isEnd: Bool) {
        if isEnd { requestIsWhole = true }
        if case .exchanging = state, upload?.isWhole == false { return takeUpload(bytes, isEnd: isEnd) }
        // Nobody wants the rest of a body whose request is answered: the client is told so behind the answer.
        guard case .receiving = state else { return }
        let count = body.readableBytes + bytes.readableBytes
        let mayUpload = length > Upload.heldBytes && exchange.mayUpload
        let maximum = mayUpload ? length : loop.settings.maxBodyBytes
        guard count <= maximum else { return refuseBody(exchange.bodyTooLarge(statesLength: length > 0)) }
        let more = held.missing(of: count, length: length, exchange)
        if more > 0 {
            guard held.hasRoom(for: more, loop) else { return refuseBody(.overloaded()) }
            // It may be this body that gave way.
            guard case .receiving = state else { return }
            held.add(more, loop)
        }
        if body.readableBytes == 0 {
            body = bytes
        } else {
            body.writeImmutableBuffer(bytes)
        }
        if isEnd { return run() }
        guard mayUpload, count < length else { return }
        switch exchange.judge(begin: body, of: length) {
        case .isHeld: return
        case .isSentOn: break
        case .isRefused(let rejection): return refuseBody(rejection)
        }
        // What the client may send before it is told to wait is held here while there is nobody to take it.
        let ahead = min(windowLeft, length - count, front.streamWindow)
        guard held.hasRoom(for: ahead, loop) else { return refuseBody(.overloaded()) }
        guard case .receiving = state else { return }
        held.add(ahead, loop)
        upload = Upload(length: length, held: count, pause: Int64(loop.settings.bodyTimeout) &* 1000, from: self)
        uploadIsPaused = true
        run()
    }

    private func takeUpload(_ bytes: ByteBuffer, isEnd: Bool) {
        guard let upload else { return }
        var bytes = bytes
        if stalledAt == nil { deadline = .max }
        if let piece = bytes.readSlice(length: min(bytes.readableBytes, upload.length - upload.arrived)) { upload.received(piece) }
        if isEnd, self.upload === upload, !upload.isWhole { exchange.interrupt(.uploadCut) }
    }

    func pauseUpload() {
        guard case .exchanging = state, let upload, !upload.isWhole else { return }
        upload.awaitsNoMore(now: loop.nowMicroseconds)
        if stalledAt == nil { deadline = .max }
        uploadIsPaused = true
    }

    func resumeUpload() {
        guard case .exchanging = state, let upload, !upload.isWhole else { return }
        let deadline = upload.awaits(pause: Int64(loop.settings.bodyTimeout) &* 1000, now: loop.nowMicroseconds)
        if stalledAt == nil { self.deadline = deadline }
        guard uploadIsPaused else { return }
        uploadIsPaused = false
        front.widenAgain(id, from: windowLeft)
    }

    private func run() {
        let body = body
        self.body = loop.nothing
        state = .exchanging
        deadline = .max
        do throws(Rejection) {
            try exchange.run(body: body, upload: upload)
        } catch {
            exchange.reject(error)
        }
    }

    /// The window for more of the body. It is given back as the body comes, since what is held counts elsewhere.
    func windowChanged(to size: Int, of whole: Int) -> Int {
        windowLeft = size
        let isWanted =
            switch state {
            case .receiving: true
            case .exchanging: upload?.isWhole == false && !uploadIsPaused
            case .finishing, .closed: false
            }
        guard isWanted, size <= whole / 2 else { return 0 }
        windowLeft = whole
        return whole - size
    }

    func isReceiving(for share: BodyBudget.Share) -> Bool {
        if case .receiving = state { held.isIn(share) } else { false }
    }

    /// Ends a request whose body is not whole; the rest of it is not wanted.
    func refuseBody(_ rejection: Rejection) {
        body = loop.nothing
        held.release(loop)
        state = .exchanging
        deadline = .max
        exchange.reject(rejection)
    }

    /// The gateway stops, and waits for bodies no longer.
    func interrupt() {
        if case .receiving = state { refuseBody(Rejection(.stopped)) }
    }

    // MARK: The answer

    func begin(_ head: ReplyHead) {
        self.head = head
        status = head.status
        if case .known(let length) = head.length, !isHeadRequest { promised = length } else { promised = nil }
    }

    func write(_ bytes: UnsafeRawBufferPointer) {
        guard !bytes.isEmpty, !isHeadRequest, state != .closed else { return }
        let count = take(bytes.count)
        if out.readableBytes == 0 { out = loop.spareBuffers.take(max(count, 512)) }
        out.writeBytes(bytes.prefix(count))
    }

    func write(_ piece: ByteBuffer) {
        guard !isHeadRequest, state != .closed, piece.readableBytes > 0 else { return }
        var piece = piece
        guard let slice = piece.readSlice(length: take(piece.readableBytes)) else { return }
        setAsideOut()
        pieces.append(slice)
    }

    /// Never more than was promised.
    private func take(_ count: Int) -> Int {
        guard let promised else { return count }
        let allowed = min(Int64(count), promised)
        self.promised = promised - allowed
        return Int(allowed)
    }

    private func setAsideOut() {
        guard out.readableBytes > 0 else { return }
        pieces.append(out)
        out = loop.nothing
    }

    func discard() {
        head = nil
        promised = nil
        out = loop.nothing
        pieces.removeAll()
    }

    func requestIsDone() { held.release(loop) }

    func flush() -> Bool {
        guard state != .closed else { return true }
        send(isEnd: false)
        if pending == 0 || pending < Self.highMark && front.hasRoom { return true }
        stalls()
        return false
    }

    private func send(isEnd: Bool) {
        setAsideOut()
        if let head {
            self.head = nil
            let endsHere = isEnd && pieces.isEmpty
            let headers = HPACKHeaders(head, originLines: originLines, dateLine: loop.dateLine)
            front.send(
                id, .headers(.init(headers: headers, endStream: endsHere)), taken: endsHere ? { [id] in self.endTaken(id, $0, 0) } : nil)
            if endsHere { return front.flushSoon() }
        }
        for (index, piece) in pieces.enumerated() {
            let isLast = isEnd && index == pieces.count - 1
            let count = piece.readableBytes
            pending += count
            front.pending += count
            front.send(id, .data(.init(data: .byteBuffer(piece), endStream: isLast))) { [id] in
                if isLast { self.endTaken(id, $0, count) } else { self.taken($0, count) }
            }
        }
        if isEnd, pieces.isEmpty {
            front.send(id, .data(.init(data: .byteBuffer(loop.nothing), endStream: true))) { [id] in self.endTaken(id, $0, 0) }
        }
        pieces.removeAll(keepingCapacity: true)
        front.flushSoon()
    }

    /// - Parameter isDone: false when the stream was reset, or its connection ended, before.
    private func taken(_ isDone: Bool, _ count: Int) {
        pending -= count
        front.pending -= count
        guard isDone, state != .closed else { return }
        if pending == 0, let done = whenAllTaken {
            whenAllTaken = nil
            keepsUp()
            return done()
        }
        if pending <= Self.lowMark, stalledAt != nil, case .exchanging = state {
            if whenAllTaken == nil { keepsUp() } else { hasTakenSomething(loop.readClock()) }
            exchange.clientIsReady()
        }
    }

    /// - Parameter ended: of the request that this was of: the object may serve another by now.
    private func endTaken(_ ended: HTTP2StreamID, _ isDone: Bool, _ count: Int) {
        pending -= count
        front.pending -= count
        guard isDone, ended == id, case .finishing = state else { return }
        close()
        // What is left of the request is not wanted (RFC 9113 §8.1).
        if !requestIsWhole { front.reset(id, .noError) }
    }

    var isTaken: Bool { pending == 0 }

    func whenTaken(_ done: @escaping () -> Void) {
        guard pending > 0 else { return done() }
        whenAllTaken = done
        stalls()
    }

    func end() {
        guard state != .closed else { return }
        if let promised, promised > 0, status != 304 { return abort() }
        finish()
        send(isEnd: true)
    }

    /// Behind what is on its way, the client is told that nothing follows.
    func abort() {
        guard state != .closed else { return }
        finish()
        if head == nil { send(isEnd: false) }
        whenTaken {
            self.close()
            self.front.reset(self.id, .internalError)
        }
    }

    private func finish() {
        let index = status / 100
        loop.metrics.answers[(1...5).contains(index) ? index : 0] &+= 1
        held.release(loop)
        state = .finishing
        stalls()
    }

    // MARK: A client that does not keep up

    /// It may take its time, but has to take something within `writeTimeout`.
    private func stalls() {
        guard stalledAt == nil else { return }
        stalledAt = (sent, front.acknowledged)
        deadline = loop.after(loop.settings.writeTimeout)
    }

    private func keepsUp() {
        stalledAt = nil
        deadline = .max
    }

    func sentData() { sent &+= 1 }

    /// Whether its windows have let out something since the last look; or its kernel has acknowledged something, where that is what is waited
    /// for. It has as long again then.
    @discardableResult
    private func hasTakenSomething(_ now: Int64) -> Bool {
        guard let before = stalledAt else { return false }
        let acknowledged = front.acknowledged
        guard sent != before.sent || front.isBacklogged && acknowledged > before.acknowledged else { return false }
        stalledAt = (sent, acknowledged)
        deadline = now &+ Int64(loop.settings.writeTimeout) &* 1000
        return true
    }

    func deadlinePassed(_ now: Int64) {
        deadline = .max
        switch state {
        case .receiving:
            loop.metrics.deadlinesPassed &+= 1
            refuseBody(.slowRequest())
        case .exchanging where stalledAt == nil && upload?.isWhole == false:
            loop.metrics.deadlinesPassed &+= 1
            exchange.interrupt(.uploadTooSlow)
        case .exchanging, .finishing:
            if hasTakenSomething(now) { return }
            loop.metrics.deadlinesPassed &+= 1
            leave(.clientStalled)
            front.reset(id, .cancel)
        case .closed: return
        }
    }

    // MARK: Ends

    /// The client has reset the stream, or its connection is over.
    func clientLeft() {
        leave(.clientGone)
    }

    private func leave(_ how: Interruption) {
        guard state != .closed else { return }
        close()
        if !exchange.isIdle { exchange.clientLeft(how) }
    }

    private func close() {
        state = .closed
        deadline = .max
        upload = nil
        held.release(loop)
        body = loop.nothing
        discard()
        whenAllTaken = nil
        front.closed(self)
    }
}
