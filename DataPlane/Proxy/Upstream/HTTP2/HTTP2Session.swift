import NIOCore
import NIOHPACK
import NIOHTTP2

/// One HTTP/2 connection to a provider: carries as many requests side by side as the provider allows. To what uses them, its streams are
/// connections (`HTTP2SessionStream`): which attempt is blamed for what does not depend on the protocol.
final class HTTP2Session: HTTP2User, ByteStreamUser, ListedConnection {
    let loop: LoopContext
    var listIndex = -1
    /// Monotonic microseconds; the sweep calls `deadlinePassed` after it.
    private(set) var deadline = Int64.max
    private(set) var frames: HTTP2Channel?
    private let pool: UpstreamPool
    private var stream: (any ByteStream)?
    private var streams: [HTTP2StreamID: HTTP2SessionStream] = [:]
    private var nextID = HTTP2StreamID(1)
    /// What the provider's SETTINGS allow; until they come, what RFC 9113 §6.5.2 calls the least.
    private var maxStreams = 100
    /// The provider has said GOAWAY: it has not looked at streams above this one, and takes no others.
    private var lastTaken: HTTP2StreamID?
    private var isClosing = false
    private var heardAt: Int64
    private var pingedAt: Int64?

    private static let mostStreams = 1000
    /// A provider may think for minutes; whether it is still there is asked when nothing was heard for so long.
    private static let quietMicroseconds: Int64 = 20_000_000
    private static let pingMicroseconds: Int64 = 10_000_000
    private static let lastID = HTTP2StreamID(1 << 30)

    /// - Parameter stream: on which HTTP/2 was agreed.
    let scheme: String

    init(_ pool: UpstreamPool, _ stream: any ByteStream) {
        scheme = pool.isTLS ? "https" : "http"
        self.pool = pool
        loop = pool.loop
        heardAt = loop.nowMicroseconds
        opened(stream)
        stream.speakHTTP2(
            .init(isServer: false, maxStreams: 0, maxHeaderBytes: 65_536, streamWindow: HTTP2SessionStream.window), user: self,
            with: loop.nothing)
        rest()
    }

    /// Whether another request may be sent on it.
    var hasRoom: Bool { !isClosing && frames != nil && streams.count < maxStreams && nextID < Self.lastID }

    // MARK: What the pool and the streams do

    /// Gives `user` a stream to send one request on.
    func open(for user: any ByteStreamUser) {
        let stream = HTTP2SessionStream(self, nextID, user)
        streams[nextID] = stream
        nextID = HTTP2StreamID(Int(nextID) + 2)
        deadline = min(deadline, loop.nowMicroseconds &+ Self.quietMicroseconds)
        user.opened(stream)
    }

    var peer: String? { stream?.peer }

    /// The stream is over for both sides.
    func remove(_ id: HTTP2StreamID) {
        streams[id] = nil
        if streams.isEmpty { rest() }
    }

    private func rest() {
        if isClosing { return leave() }
        pingedAt = nil
        deadline = loop.nowMicroseconds &+ Int64(loop.settings.upstreamKeepAlive) &* 1000
    }

    /// Takes no more requests, and closes when those on it have ended.
    func leave() {
        isClosing = true
        guard streams.isEmpty else { return }
        frames?.sayGoodbye(last: .rootStream)
        close()
    }

    func close() {
        isClosing = true
        deadline = .max
        stream?.close()
    }

    func deadlinePassed(_ now: Int64) {
        deadline = .max
        if streams.isEmpty { return leave() }
        if let pingedAt, heardAt < pingedAt {
            if now &- pingedAt >= Self.pingMicroseconds { return close() }
        } else if now &- heardAt >= Self.quietMicroseconds {
            pingedAt = now
            frames?.write(.rootStream, .ping(HTTP2PingData(withInteger: UInt64(bitPattern: now)), ack: false))
            frames?.flush()
        }
        deadline = pingedAt.map { $0 &+ Self.pingMicroseconds } ?? heardAt &+ Self.quietMicroseconds
        if let pingedAt, heardAt >= pingedAt {
            self.pingedAt = nil
            deadline = heardAt &+ Self.quietMicroseconds
        }
    }

    // MARK: What the connection does

    func opened(_ stream: any ByteStream) {
        self.stream = stream
        loop.add(self)
    }

    func opened(_ frames: HTTP2Channel) { self.frames = frames }

    func received(_ bytes: ByteBuffer) {}
    func writabilityChanged(isWritable: Bool) {}

    func ended(_ failure: StreamFailure?) {
        isClosing = true
        deadline = .max
        stream = nil
        frames = nil
        loop.remove(self)
        pool.closed(self)
        let failure = StreamFailure(detail: failure?.detail ?? "the connection was closed", isTorn: failure?.isTorn ?? true)
        for stream in Array(streams.values) { stream.ended(failure) }
        streams.removeAll()
    }

    func received(_ frame: HTTP2Frame) {
        heardAt = loop.readClock()
        switch frame.payload {
        case .headers(let block): streams[frame.streamID]?.received(block)
        case .data(let data):
            guard case .byteBuffer(let bytes) = data.data else { return }
            streams[frame.streamID]?.received(bytes, isEnd: data.endStream)
        case .settings(.settings(let settings)):
            for setting in settings where setting.parameter == .maxConcurrentStreams {
                maxStreams = min(setting.value, Self.mostStreams)
            }
        case .goAway(let last, _, _):
            isClosing = true
            lastTaken = min(last, lastTaken ?? last)
            if streams.isEmpty { leave() }
        case .settings, .ping, .rstStream, .windowUpdate, .priority, .pushPromise, .alternativeService, .origin: return
        }
    }

    func windowChanged(_ id: HTTP2StreamID, to size: Int) { streams[id]?.windowChanged(to: size) }

    func streamClosed(_ id: HTTP2StreamID, _ error: HTTP2ErrorCode?) {
        guard let stream = streams[id] else { return }
        guard let error else { return stream.isOver() }
        // These were not looked at (RFC 9113 §6.8, §8.7): the request may be sent again.
        let isRefused = error == .refusedStream || lastTaken.map { id > $0 } ?? false
        stream.ended(StreamFailure(detail: "the stream was reset (\(error))", isTorn: true, isRefused: isRefused))
    }

    func sentData(_ stream: HTTP2StreamID) {}

    func violated(_ error: HTTP2ErrorCode) {
        // First this: whoever hears of the end may look for another connection at once.
        isClosing = true
        let failure = StreamFailure(detail: "the provider broke HTTP/2 (\(error))", isTorn: false)
        for stream in Array(streams.values) { stream.ended(failure) }
        close()
    }
}
