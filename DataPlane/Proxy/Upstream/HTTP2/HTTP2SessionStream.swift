import NIOCore
import NIOHPACK
import NIOHTTP2

/// One request and its response on an `HTTP2Session`, to whoever sends it a connection of its own that serves once: heads are HTTP/1.1's bytes,
/// which one writer writes and one strict parser reads; bodies pass as they are. The end of the stream is the end of the connection.
final class HTTP2SessionStream: ByteStream {
    /// Bytes of a response that may come before its client takes them. A client that does not is a stream that is not read.
    static let window = 131_072

    private let session: HTTP2Session
    private let id: HTTP2StreamID
    private var user: (any ByteStreamUser)?

    /// Bytes of the request's body that are still to be written; nil before its head.
    private var unwritten: Int?
    private var pending = 0
    private var whenAllTaken: ((Bool) -> Void)?

    private var isPaused = false
    /// What came while nothing was read.
    private var waiting: [ByteBuffer] = []
    private var windowLeft = HTTP2SessionStream.window
    /// Bytes that the response's head promised and that have not come; nil where it promised none.
    private var promised: Int?
    private var hasHead = false
    private var isWhole = false
    private var wasRefused = false

    init(_ session: HTTP2Session, _ id: HTTP2StreamID, _ user: any ByteStreamUser) {
        self.session = session
        self.id = id
        self.user = user
    }

    // MARK: The request

    let mayBeHTTP2 = false
    let applicationProtocol: String? = nil
    func speakHTTP2(_ settings: HTTP2Channel.Settings, user: any HTTP2User & ByteStreamUser, with bytes: ByteBuffer) {}
    func speakNothing() {}

    var peer: String? { session.peer }
    var isWritable: Bool { pending < Self.window }
    var pendingBytes: Int { pending }
    /// Known of a request that the provider refused unread, and of no other.
    var delivery: Delivery? { wasRefused ? Delivery(acknowledged: 0, isComplete: false, outstanding: .max) : nil }

    func write(_ bytes: ByteBuffer) {
        var bytes = bytes
        if unwritten == nil { writeHead(&bytes) }
        guard let left = unwritten, bytes.readableBytes > 0 else { return }
        let count = min(bytes.readableBytes, left)
        unwritten = left - count
        pending += count
        guard let slice = bytes.readSlice(length: count) else { return }
        session.frames?.write(id, .data(.init(data: .byteBuffer(slice), endStream: left == count))) { isDone in
            let wasWritable = self.isWritable
            self.pending -= count
            if isDone, !wasWritable, self.isWritable { self.user?.writabilityChanged(isWritable: true) }
            if self.pending == 0, let done = self.whenAllTaken {
                self.whenAllTaken = nil
                done(isDone)
            }
        }
    }

    /// Our own bytes: `METHOD target HTTP/1.1`, then fields.
    private func writeHead(_ bytes: inout ByteBuffer) {
        var fields = HPACKHeaders()
        var length = 0
        var authority = ""
        var line = Self.line(&bytes).split(separator: " ")
        let target = line.count > 1 ? String(line.remove(at: 1)) : "/"
        while case let text = Self.line(&bytes), !text.isEmpty {
            guard let colon = text.firstIndex(of: ":") else { continue }
            let name = text[..<colon].lowercased()
            let value = String(text[text.index(after: colon)...].drop { $0 == " " })
            switch name {
            case "host": authority = value
            // Of one connection only (RFC 9113 §8.2.2).
            case "connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection", "te": continue
            case "content-length":
                length = Int(value) ?? 0
                fields.add(name: name, value: value, indexing: .nonIndexable)
            // Kept out of both sides' tables (RFC 7541 §7.1.3).
            case "authorization", "x-api-key", "api-key": fields.add(name: name, value: value, indexing: .neverIndexed)
            case "x-request-id", "traceparent", "idempotency-key": fields.add(name: name, value: value, indexing: .nonIndexable)
            default: fields.add(name: name, value: value)
            }
        }
        var headers: HPACKHeaders = [
            ":method": String(line.first ?? "POST"), ":scheme": session.scheme, ":authority": authority, ":path": target,
        ]
        headers.add(contentsOf: fields)
        unwritten = length
        session.frames?.write(id, .headers(.init(headers: headers, endStream: length == 0)))
    }

    private static func line(_ bytes: inout ByteBuffer) -> String {
        guard let end = bytes.readableBytesView.firstIndex(of: UInt8(ascii: "\n")) else { return "" }
        let line = bytes.readString(length: end - bytes.readerIndex) ?? ""
        bytes.moveReaderIndex(forwardBy: 1)
        return line.last == "\r" ? String(line.dropLast()) : line
    }

    func flush() { session.frames?.flushSoon() }

    func whenTaken(_ done: @escaping (Bool) -> Void) {
        if pending == 0 { done(true) } else { whenAllTaken = done }
    }

    // MARK: The response

    func received(_ block: HTTP2Frame.FramePayload.Headers) {
        // Trailers mean nothing here.
        if hasHead {
            if block.endStream { end() }
            return
        }
        let status = block.headers.first(name: ":status") ?? ""
        hasHead = status.utf8.first != UInt8(ascii: "1")
        var text = session.loop.allocator.buffer(capacity: 1024)
        text.writeString("HTTP/1.1 \(status) \r\n")
        for (name, value, _) in block.headers where name.utf8.first != UInt8(ascii: ":") {
            if name == "content-length" { promised = Int(value) }
            text.writeString("\(name): \(value)\r\n")
        }
        if hasHead { text.writeStaticString("connection: close\r\n") }
        text.writeStaticString("\r\n")
        deliver(text)
        if block.endStream { end() }
    }

    func received(_ bytes: ByteBuffer, isEnd: Bool) {
        if let left = promised { promised = left - bytes.readableBytes }
        if bytes.readableBytes > 0 { deliver(bytes) }
        if isEnd { end() }
    }

    private func deliver(_ bytes: ByteBuffer) {
        if isPaused { waiting.append(bytes) } else { user?.received(bytes) }
    }

    private func end() {
        isWhole = true
        // It was answered before all of it was sent, and the rest would wait for a window that does not come.
        if pending > 0 || unwritten != 0 {
            session.remove(id)
            session.frames?.write(id, .rstStream(.cancel))
            session.frames?.flushSoon()
        }
        if !isPaused { tellEnd(nil) }
    }

    private func tellEnd(_ failure: StreamFailure?) {
        let user = user
        self.user = nil
        user?.ended(failure)
    }

    func pauseReading() { isPaused = true }

    func resumeReading() {
        guard isPaused else { return }
        isPaused = false
        var index = 0
        // Whoever reads may stop again at any time.
        while !isPaused, index < waiting.count {
            index += 1
            user?.received(waiting[index - 1])
        }
        waiting.removeFirst(min(index, waiting.count))
        guard !isPaused else { return }
        if isWhole { tellEnd(nil) } else { widen() }
    }

    func windowChanged(to size: Int) {
        windowLeft = size
        if !isPaused { widen() }
    }

    private func widen() {
        guard user != nil, !isWhole, windowLeft <= Self.window / 2 else { return }
        let more = Self.window - windowLeft
        windowLeft = Self.window
        session.frames?.widen(id, by: more)
    }

    // MARK: Ends

    /// Whoever sent the request wants nothing more: a provider stops at a reset, and what it had sent before was counted as it came.
    func closeOutput() {
        resumeReading()
        if user != nil { leave(StreamFailure(detail: "nobody wants the rest", isTorn: true)) }
    }

    func close() { leave(nil) }

    private func leave(_ failure: StreamFailure?) {
        let user = user
        self.user = nil
        waiting.removeAll()
        // A response that is whole but for the end of its stream is no reason for a reset, which the provider counts.
        if !isWhole, promised != 0 || !hasHead || unwritten != 0, session.frames != nil {
            session.remove(id)
            session.frames?.write(id, .rstStream(.cancel))
            session.frames?.flushSoon()
        }
        user?.ended(failure)
    }

    /// Both sides have said all.
    func isOver() { session.remove(id) }

    /// The stream was reset, or its connection is over.
    func ended(_ failure: StreamFailure) {
        session.remove(id)
        wasRefused = failure.isRefused
        // What came before is read first, whoever had stopped reading.
        let unread = waiting
        waiting.removeAll()
        isPaused = false
        for bytes in unread { user?.received(bytes) }
        tellEnd(isWhole ? nil : failure)
    }
}
