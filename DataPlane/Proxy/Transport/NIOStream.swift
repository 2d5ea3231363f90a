import NIOCore
import NIOHTTP2
import NIOSSL
import NIOTLS

/// A `ByteStream` over a NIO channel: the one handler of its pipeline, but for TLS in front of it.
final class NIOStream: ChannelInboundHandler, ByteStream {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// The channel's own, kept here: asking it goes through several objects.
    private(set) var isWritable = true
    private var context: ChannelHandlerContext?
    /// Where the pipeline's outbound end hands everything on to, for a channel with nothing but this handler in it: the way there would
    /// cost a tenth of what sending costs. Nil behind TLS.
    private var socket: (any ChannelCore)?
    private let isAlone: Bool
    private var user: (any ByteStreamUser)?
    private var isPaused = false
    private var failure: StreamFailure?
    private(set) var applicationProtocol: String?
    private var hasHandshaken = false
    /// What comes goes on to the handlers behind this one.
    private var passesOn = false
    /// Whether it can carry bytes: from the first for what was accepted, from the end of the handshake for what we open.
    private var opening: Opening

    private enum Opening {
        case open
        /// An attempt at one of a name's addresses; `finishOpening` follows for the one that is taken.
        case attempt(waitsForTLS: Bool)
        /// TCP is there, TLS is not.
        case handshaking(host: String, done: (ConnectFailure?) -> Void)
        case failed(TLSFailure)
    }

    /// For a connection that was accepted.
    /// - Parameter isAlone: without TLS.
    init(user: any ByteStreamUser, isAlone: Bool) {
        self.user = user
        opening = .open
        self.isAlone = isAlone
    }

    /// For a connection that is being made.
    init(waitsForTLS: Bool) {
        opening = .attempt(waitsForTLS: waitsForTLS)
        isAlone = !waitsForTLS
    }

    /// TCP is connected. Calls `done` once: with nil when bytes can be carried, or with what keeps it from that.
    func finishOpening(
        for user: any ByteStreamUser, host: String, deadline: TimeAmount, done: @escaping (ConnectFailure?) -> Void
    ) {
        switch opening {
        case .attempt(waitsForTLS: true):
            guard let context else { return done(.tls(.closedDuringHandshake(host: host))) }
            let timer = context.eventLoop.assumeIsolated().scheduleTask(in: deadline) { self.failOpening(.timeout(duringTLS: true)) }
            self.user = user
            opening = .handshaking(host: host) { result in
                timer.cancel()
                done(result)
            }
        case .failed(let failure): done(.tls(failure))
        case .attempt(waitsForTLS: false), .open, .handshaking:
            guard let context, context.channel.isActive else { return done(.refused("the connection was closed")) }
            opening = .open
            self.user = user
            user.opened(self)
            done(nil)
        }
    }

    private func failOpening(_ failure: ConnectFailure) {
        guard case .handshaking(_, let done) = opening else { return }
        opening = .open
        user = nil
        context?.close(promise: nil)
        done(failure)
    }

    // MARK: What its user does

    var peer: String? { context?.remoteAddress?.ipAddress }

    func write(_ bytes: ByteBuffer) {
        if let socket { socket.write0(wrapOutboundOut(bytes), promise: nil) } else { context?.write(wrapOutboundOut(bytes), promise: nil) }
    }

    func flush() {
        if let socket { socket.flush0() } else { context?.flush() }
    }

    var pendingBytes: Int { (try? context?.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0 }

    var delivery: Delivery? {
        guard let context, let provider = context.channel as? any SocketOptionProvider else { return nil }
        var found: TCPInfo?
        // Answered at once on the channel's own loop.
        provider.unsafeGetSocketOption(level: .tcp, name: .tcp_info).assumeIsolated().whenSuccess { (info: TCPInfo) in found = info }
        return found.map {
            let pending = pendingBytes
            return Delivery(
                acknowledged: $0.acknowledged, isComplete: $0.unacknowledged == 0 && $0.notSent == 0 && pending == 0,
                outstanding: $0.outstanding &+ UInt64(max(0, pending)))
        }
    }

    func whenTaken(_ done: @escaping (Bool) -> Void) {
        guard let context else { return done(false) }
        if pendingBytes == 0 { return done(true) }
        let promise = context.eventLoop.makePromise(of: Void.self)
        // Promises of a channel's writes are fulfilled in their order.
        context.writeAndFlush(wrapOutboundOut(ByteBuffer()), promise: promise)
        promise.futureResult.assumeIsolated().whenComplete { result in
            if case .success = result { done(true) } else { done(false) }
        }
    }

    func pauseReading() { setReading(false) }
    func resumeReading() { setReading(true) }

    private func setReading(_ reads: Bool) {
        guard isPaused == reads, let context else { return }
        isPaused = !reads
        context.channel.setOption(.autoRead, value: reads).assumeIsolated().whenFailure { _ in }
    }

    func closeOutput() { context?.close(mode: .output, promise: nil) }

    func close() { context?.close(promise: nil) }

    var mayBeHTTP2: Bool { isAlone || applicationProtocol == HTTP2Channel.protocolName }

    func speakHTTP2(_ settings: HTTP2Channel.Settings, user: any HTTP2User & ByteStreamUser, with bytes: ByteBuffer) {
        guard let context else { return }
        self.user = user
        passesOn = true
        let frames = HTTP2Channel(settings, user: user)
        do {
            try context.pipeline.syncOperations.addHandlers([frames.framing, frames])
        } catch {
            return close()
        }
        if bytes.readableBytes > 0 {
            context.fireChannelRead(wrapInboundOut(bytes))
            context.fireChannelReadComplete()
        }
    }

    func speakNothing() { passesOn = false }

    // MARK: What the channel does

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if isAlone { socket = context.channel._channelCore }
        isWritable = context.channel.isWritable
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        socket = nil
        user = nil
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case TLSUserEvent.handshakeCompleted(let agreed) = event {
            applicationProtocol = agreed
            hasHandshaken = true
            switch opening {
            case .handshaking(_, let done):
                opening = .open
                user?.opened(self)
                done(nil)
            case .attempt: opening = .attempt(waitsForTLS: false)
            case .open, .failed: break
            }
        }
        if case ChannelEvent.inputClosed = event {
            // Not left to the channel's end, with which goes what the kernel knows of the delivery.
            end()
            context.close(promise: nil)
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if passesOn { context.fireChannelRead(data) } else { user?.received(unwrapInboundIn(data)) }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        isWritable = context.channel.isWritable
        user?.writabilityChanged(isWritable: isWritable)
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch opening {
        case .handshaking(let host, _):
            let leaf = try? context.pipeline.syncOperations.nioSSL_peerCertificate()
            failOpening(.tls(error is IOError ? .closedDuringHandshake(host: host) : TLSFailure(error, host: host, leaf: leaf)))
        case .attempt(waitsForTLS: true): opening = .failed(TLSFailure(error, host: "", leaf: nil))
        case .attempt, .failed: break
        case .open:
            let isTruncation = Self.isTruncation(error)
            if failure == nil {
                failure =
                    error is IOError || isTruncation
                    ? StreamFailure(detail: "the connection was torn", isTorn: true)
                    : StreamFailure(
                        detail: TLSFailure(error, host: "", leaf: nil).reason, isTorn: false, isHandshake: !isAlone && !hasHandshaken)
            }
            // The end follows by itself, and while the channel is open the kernel still knows how much was delivered.
            if isTruncation { return }
        }
        context.close(promise: nil)
    }

    /// The peer ended without TLS's farewell, as many do: whether something is missing is for the framing above to see.
    private static func isTruncation(_ error: any Error) -> Bool {
        if case NIOSSLError.uncleanShutdown = error { return true }
        return false
    }

    func channelInactive(context: ChannelHandlerContext) {
        if case .handshaking(let host, _) = opening { failOpening(.tls(.closedDuringHandshake(host: host))) }
        end()
        context.fireChannelInactive()
    }

    private func end() {
        let user = user
        self.user = nil
        user?.ended(failure)
    }
}

/// `struct tcp_info` of linux/tcp.h up to what is read here; glibc's own ends before it. A kernel that knows less leaves the rest zero.
private struct TCPInfo {
    private var state: UInt64 = 0
    private var timers: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
    /// Segments sent and not acknowledged.
    private(set) var unacknowledged: UInt32 = 0
    private var losses: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
    private var times: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
    private var metrics: (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0, 0, 0, 0, 0)
    private var receiver: (UInt32, UInt32, UInt32) = (0, 0, 0)
    private var pacing: (UInt64, UInt64) = (0, 0)
    private(set) var acknowledged: UInt64 = 0
    private var received: UInt64 = 0
    private var segments: (UInt32, UInt32) = (0, 0)
    /// Bytes in the kernel that were not sent.
    private(set) var notSent: UInt32 = 0
    private var roundTrips: (UInt32, UInt32, UInt32) = (0, 0, 0)
    private var rates: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    private var deliveries: (UInt32, UInt32) = (0, 0)
    private var sent: UInt64 = 0
    private var sentAgain: UInt64 = 0

    /// Bytes that were taken and not acknowledged. The acknowledged ones of a connection that we opened count its SYN.
    var outstanding: UInt64 {
        let taken = sent &- min(sent, sentAgain) &+ UInt64(notSent)
        let arrived = acknowledged &- min(acknowledged, 1)
        return taken > arrived ? taken &- arrived : 0
    }
}
