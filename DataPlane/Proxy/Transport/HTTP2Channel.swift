import NIOCore
import NIOHPACK
import NIOHTTP2

/// Who reads the frames of one HTTP/2 connection. All calls come on its loop.
protocol HTTP2User: AnyObject {
    /// The first call. The channel is the user's until `ByteStreamUser.ended`.
    func opened(_ frames: HTTP2Channel)
    /// A frame that the protocol allows where it came; header blocks are whole and checked (RFC 9113 §8).
    func received(_ frame: HTTP2Frame)
    /// So much may come on a stream before a WINDOW_UPDATE.
    func windowChanged(_ stream: HTTP2StreamID, to size: Int)
    /// - Parameter error: nil when both sides had said all; else why it was reset, by whichever side.
    func streamClosed(_ stream: HTTP2StreamID, _ error: HTTP2ErrorCode?)
    /// DATA of a stream has left for the connection.
    func sentData(_ stream: HTTP2StreamID)
    /// The peer broke the protocol or flooded us. It was told so by GOAWAY; the connection is of no use any more.
    func violated(_ error: HTTP2ErrorCode)
}

/// The frames of one HTTP/2 connection (RFC 9113), behind a `ByteStream`: framing, header compression, the states of streams, both sides' flow
/// control and the bounds on floods are swift-nio-http2's; what a frame means is its user's. Confined to its loop.
final class HTTP2Channel: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    /// Its name in ALPN (RFC 9113 §3.1).
    static let protocolName = "h2"

    struct Settings {
        var isServer = true
        /// Streams that the peer may have open at one time.
        var maxStreams: Int
        /// Bytes of a header list, counted as RFC 9113 §6.5.2 does.
        var maxHeaderBytes: Int
        /// Bytes that the peer may send on one stream, and on the connection, before it is told to go on.
        var streamWindow = 262_144
        var connectionWindow = 1 << 20
    }

    let settings: Settings
    private(set) var framing: NIOHTTP2Handler!
    private weak var user: (any HTTP2User)?
    private var context: ChannelHandlerContext?
    private var isFlushScheduled = false
    private var fatal: HTTP2ErrorCode?

    /// A stream that its client resets costs us more than the client (CVE-2023-44487); who cancels requests now and then stays far below.
    private static let resetsInTenSeconds = 200
    /// PING, SETTINGS and PRIORITY: each PING and SETTINGS has to be answered (CVE-2019-9512, CVE-2019-9515).
    private static let controlFramesInTenSeconds = 300
    /// DATA without bytes (CVE-2019-9518).
    private static let emptyFramesInARow = 16

    init(_ settings: Settings, user: any HTTP2User) {
        self.settings = settings
        self.user = user
        var connection = NIOHTTP2Handler.ConnectionConfiguration()
        connection.initialSettings = [
            HTTP2Setting(parameter: .maxConcurrentStreams, value: settings.isServer ? settings.maxStreams : 0),
            HTTP2Setting(parameter: .initialWindowSize, value: settings.streamWindow),
            HTTP2Setting(parameter: .maxHeaderListSize, value: settings.maxHeaderBytes),
        ]
        if !settings.isServer { connection.initialSettings.append(HTTP2Setting(parameter: .enablePush, value: 0)) }
        connection.maximumSequentialEmptyDataFrames = Self.emptyFramesInARow
        // Each holds 16 KiB or more, unless somebody makes them small on purpose (CVE-2024-27316).
        connection.maximumSequentialContinuationFrames = settings.maxHeaderBytes / 16_384 + 4
        connection.maximumBufferedControlFrames = 1000
        // What is still on its way for a stream that we have reset is no breach.
        connection.maximumRecentlyResetStreams = max(256, 2 * settings.maxStreams)
        connection.maximumConnectionGlitches = 10_000
        connection.controlFrameRateLimit.maximumCount = Self.controlFramesInTenSeconds
        connection.controlFrameRateLimit.windowLength = .seconds(10)
        var stream = NIOHTTP2Handler.StreamConfiguration()
        stream.streamResetFrameRateLimit.maximumCount = Self.resetsInTenSeconds
        stream.streamResetFrameRateLimit.windowLength = .seconds(10)
        stream.streamErrorRateLimit.maximumCount = Self.resetsInTenSeconds
        stream.streamErrorRateLimit.windowLength = .seconds(10)
        framing = NIOHTTP2Handler(
            mode: settings.isServer ? .server : .client, frameDelegate: FrameWatch(self), connectionConfiguration: connection,
            streamConfiguration: stream)
    }

    /// The framing holds its delegate, and this object the framing.
    private struct FrameWatch: NIOHTTP2FrameDelegate {
        private weak var channel: HTTP2Channel?
        init(_ channel: HTTP2Channel) { self.channel = channel }
        func wroteFrame(_ frame: HTTP2Frame) { channel?.wroteFrame(frame) }
    }

    // MARK: What its user does

    /// Takes a frame to be sent with the next flush, as soon as the peer's windows let it.
    /// - Parameter taken: called with true when the kernel has taken it, with false when it never will.
    func write(_ stream: HTTP2StreamID, _ payload: HTTP2Frame.FramePayload, taken: ((Bool) -> Void)? = nil) {
        guard let context else {
            taken?(false)
            return
        }
        var promise: EventLoopPromise<Void>?
        if let taken {
            let made = context.eventLoop.makePromise(of: Void.self)
            made.futureResult.assumeIsolated().whenComplete { result in
                if case .success = result { taken(true) } else { taken(false) }
            }
            promise = made
        }
        context.write(wrapOutboundOut(HTTP2Frame(streamID: stream, payload: payload)), promise: promise)
    }

    /// Once for all that a turn of the loop wrote.
    func flushSoon() {
        guard !isFlushScheduled, let context else { return }
        isFlushScheduled = true
        context.eventLoop.assumeIsolated().execute {
            self.isFlushScheduled = false
            self.context?.flush()
        }
    }

    func flush() { context?.flush() }

    /// Lets the peer send so much on a stream altogether.
    func widen(_ stream: HTTP2StreamID, by bytes: Int) {
        guard bytes > 0 else { return }
        write(stream, .windowUpdate(windowSizeIncrement: bytes))
        flushSoon()
    }

    /// - Parameter last: streams above it were not looked at.
    func sayGoodbye(last: HTTP2StreamID, _ error: HTTP2ErrorCode = .noError) {
        write(.rootStream, .goAway(lastStreamID: last, errorCode: error, opaqueData: nil))
        flush()
    }

    // MARK: What the channel does

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        user?.opened(self)
        widen(.rootStream, by: settings.connectionWindow - 65_535)
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard fatal == nil else { return }
        user?.received(unwrapInboundIn(data))
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case let event as NIOHTTP2WindowUpdatedEvent:
            guard let size = event.inboundWindowSize else { return }
            if event.streamID != .rootStream {
                user?.windowChanged(event.streamID, to: size)
            } else if size <= settings.connectionWindow / 2 {
                // What arrives is bounded by the streams' own windows and the budget for bodies.
                widen(.rootStream, by: settings.connectionWindow - size)
            }
        case let event as StreamClosedEvent: user?.streamClosed(event.streamID, event.reason)
        default: context.fireUserInboundEventTriggered(event)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Of a stream, unless GOAWAY was said: that one was reset, which `streamClosed` tells.
        if let fatal { user?.violated(fatal) }
    }

    fileprivate func wroteFrame(_ frame: HTTP2Frame) {
        switch frame.payload {
        case .data: user?.sentData(frame.streamID)
        case .goAway(_, let error, _): if error != .noError { fatal = error }
        default: return
        }
    }
}
